//! Holding threads still, and letting them go whatever happens.
//!
//! A thread is seized (PTRACE_SEIZE), interrupted, looked at and detached. No signal is sent and
//! nothing is written. The kernel ties a tracee to the thread that traces it and lets it go when
//! that thread ends, so all tracing is done by threads made for it:
//!
//! * when loiter is killed, the kernel detaches;
//! * when a thread cannot be stopped (it sleeps uninterruptibly in the kernel) it cannot be
//!   detached either, and would stop later, with nobody looking. Ending the tracing thread takes
//!   even that back.

use std::collections::HashMap;
use std::path::Path;
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use nix::errno::Errno;

use super::proc::{self, Stat};
use super::sys::{self, Waited};
use super::{Frozen, Held, Registers, Result, TargetError, WithRegisters, permission};

/// A thread that does not stop in this time is let go. On a machine with more to do than it has
/// CPUs for, it takes a thread some hundred milliseconds to get one and to notice.
const PATIENCE: Duration = Duration::from_secs(1);
/// So often the state of a thread is asked for at once, because one that runs on another CPU stops
/// within microseconds. Then comes a pause between questions: the thread may need our CPU to stop
/// on, and unlike yielding, sleeping makes us one of the next to get it back.
const SPINS: u32 = 100;
const WAIT_PAUSE: Duration = Duration::from_micros(10);
/// A freeze gives up on a process that makes threads faster than they can be stopped.
const MAX_PASSES: u32 = 1000;

/// What is held of one thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hold {
    /// Seized and interrupted; it has not stopped yet.
    Coming,
    /// It stands. The signal has to be delivered when it goes on (0: none).
    Stopped { signal: i32 },
    /// It has ended.
    Gone,
}

/// The threads that the calling OS thread traces. Dropping it lets all of them go.
#[derive(Debug)]
struct Tracees {
    pid: u32,
    holds: Vec<(u32, Hold)>,
}

impl Tracees {
    fn new(pid: u32) -> Tracees {
        Tracees { pid, holds: Vec::new() }
    }

    /// Seizes and interrupts a thread. False if it has ended.
    fn seize(&mut self, tid: u32) -> Result<bool> {
        let begun = Instant::now();
        loop {
            match sys::seize(tid) {
                Ok(()) => break,
                Err(Errno::ESRCH) => return Ok(false),
                // A tracing thread that was joined ends a little later for the kernel, and only then
                // lets go of what it could not detach.
                Err(Errno::EPERM) if self.is_ours(tid) && begun.elapsed() < PATIENCE => {
                    std::thread::sleep(WAIT_PAUSE);
                }
                Err(errno) => return self.why_not(tid, errno),
            }
        }
        // From here on it has to be let go, even if it cannot be interrupted because it has ended.
        self.holds.push((tid, Hold::Coming));
        match sys::interrupt(tid) {
            Ok(()) | Err(Errno::ESRCH) => Ok(true),
            Err(errno) => Err(permission::explain(self.pid, "ptrace(PTRACE_INTERRUPT)", errno.into())),
        }
    }

    /// Is the thread traced by a thread of this loiter?
    fn is_ours(&self, tid: u32) -> bool {
        self.tracer(tid).is_some_and(|tracer| Path::new(&format!("/proc/self/task/{tracer}")).exists())
    }

    fn tracer(&self, tid: u32) -> Option<u64> {
        let status = proc::read_text(format!("/proc/{}/task/{tid}/status", self.pid)).ok()?;
        proc::number_field(&status, "TracerPid").filter(|&pid| pid != 0)
    }

    /// EPERM means many things; the two that are no matter of rights are told apart here.
    fn why_not(&self, tid: u32, errno: Errno) -> Result<bool> {
        let Ok(stat) = Stat::read_thread(self.pid, tid) else { return Ok(false) };
        if stat.is_dead() {
            return Ok(false);
        }
        if let Some(tracer) = self.tracer(tid) {
            let name = u32::try_from(tracer).ok().and_then(|pid| Stat::read(pid).ok());
            let name = name.map_or_else(String::new, |stat| format!(" ({})", stat.comm));
            let problem = format!("it is already traced by pid {tracer}{name}");
            return Err(TargetError::CannotStop { tid, problem });
        }
        Err(permission::explain(self.pid, "ptrace(PTRACE_SEIZE)", errno.into()))
    }

    /// Waits until every thread has stopped or ended; false if some do neither in time.
    fn wait(&mut self) -> bool {
        let begun = Instant::now();
        let mut round = 0u32;
        loop {
            let mut all = true;
            for (tid, hold) in self.holds.iter_mut().filter(|(_, hold)| *hold == Hold::Coming) {
                match sys::wait(*tid) {
                    Waited::Nothing => all = false,
                    Waited::Stopped(signal) => *hold = Hold::Stopped { signal },
                    Waited::Gone => *hold = Hold::Gone,
                }
            }
            if all || begun.elapsed() > PATIENCE {
                return all;
            }
            round = round.saturating_add(1);
            if round < SPINS {
                std::hint::spin_loop();
            } else {
                std::thread::sleep(WAIT_PAUSE);
            }
        }
    }

    /// The registers of a thread that stands.
    fn registers(&self, tid: u32) -> Result<Registers> {
        match sys::registers(tid) {
            Ok(words) => Ok(Registers::from_words(&words)),
            Err(Errno::ESRCH) => Err(ended(tid)),
            Err(Errno::ENOTSUP) => {
                Err(TargetError::CannotStop { tid, problem: "it runs 32-bit code".to_owned() })
            }
            Err(errno) => Err(permission::explain(self.pid, "ptrace(PTRACE_GETREGSET)", errno.into())),
        }
    }

    /// Lets all threads go. One that has not stopped, or was killed while it stood, cannot be
    /// detached; the kernel does that when the calling thread ends, which has nothing else to do.
    fn release(&mut self) {
        for (tid, hold) in self.holds.drain(..) {
            if let Hold::Stopped { signal } = hold {
                let _ = sys::detach(tid, signal);
            }
        }
    }
}

impl Drop for Tracees {
    fn drop(&mut self) {
        self.release();
    }
}

fn ended(tid: u32) -> TargetError {
    TargetError::CannotStop { tid, problem: "it has ended".to_owned() }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What is behind these locks is whole at every moment, so a panic elsewhere does not matter.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Registers of every thread of a frozen process; None for one that did not stop (it sits in the
/// kernel, and would stop before it runs any code of its own).
type FrozenThreads = HashMap<u32, Option<Registers>>;

/// Stops threads of one process.
#[derive(Debug)]
pub(super) struct Stopper {
    pid: u32,
    frozen: Arc<Mutex<Option<Arc<FrozenThreads>>>>,
}

impl Stopper {
    pub(super) fn new(pid: u32) -> Stopper {
        Stopper { pid, frozen: Arc::default() }
    }

    /// See [`super::Target::with_stopped_thread`].
    pub(super) fn with_stopped_thread(&self, tid: u32, with: &mut WithRegisters<'_>) -> Result<Held> {
        let frozen = lock(&self.frozen).clone();
        if let Some(frozen) = frozen {
            return match frozen.get(&tid) {
                Some(Some(registers)) => {
                    with(registers);
                    Ok(Held::ZERO)
                }
                Some(None) => Err(does_not_react(self.pid, tid)),
                None => Err(ended(tid)),
            };
        }
        // The tid may come from the target's own memory: it must not lead us to another process.
        if Stat::read_thread(self.pid, tid).is_err() {
            return Err(ended(tid));
        }
        let stop = || {
            let mut tracees = Tracees::new(self.pid);
            let (since, registers) = tracees.stop_one(tid)?;
            with(&registers);
            tracees.release();
            Ok(since.elapsed())
        };
        std::thread::scope(|scope| {
            let tracer = tracer().spawn_scoped(scope, stop).map_err(cannot_start)?;
            // A panic in `with` has let the thread go; it goes on here.
            tracer.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// See [`super::Target::freeze`].
    pub(super) fn freeze(&self) -> Result<Frozen> {
        let mut frozen = lock(&self.frozen);
        if frozen.is_some() {
            let problem = "the process is already frozen by this loiter".to_owned();
            return Err(TargetError::CannotStop { tid: self.pid, problem });
        }
        let (stopped, threads) = channel();
        let (go, release) = channel::<()>();
        let (held_to, held) = channel();
        let pid = self.pid;
        let freeze = move || {
            let begun = Instant::now();
            let mut tracees = Tracees::new(pid);
            let threads = tracees.stop_all();
            if stopped.send(threads).is_ok() {
                // Wakes when the guard goes, in whatever way.
                let _ = release.recv();
            }
            tracees.release();
            let _ = held_to.send(begun.elapsed());
        };
        tracer().spawn(freeze).map_err(cannot_start)?;
        let threads = threads.recv().map_err(|_| TargetError::Ended { pid })??;
        *frozen = Some(Arc::new(threads));
        let state = Arc::clone(&self.frozen);
        Ok(Frozen::new(move || {
            *lock(&state) = None;
            drop(go);
            held.recv().unwrap_or_default()
        }))
    }
}

fn tracer() -> std::thread::Builder {
    std::thread::Builder::new().name("tracer".to_owned())
}

fn cannot_start(source: std::io::Error) -> TargetError {
    TargetError::Io { what: "start a thread".to_owned(), source }
}

fn does_not_react(pid: u32, tid: u32) -> TargetError {
    let state = match Stat::read_thread(pid, tid) {
        Ok(stat) if stat.state == 'D' => "; it sleeps in the kernel and cannot be interrupted (state D)",
        Ok(_) => "",
        Err(_) => return ended(tid),
    };
    let problem = format!("it did not stop within {} ms{state}", PATIENCE.as_millis());
    TargetError::CannotStop { tid, problem }
}

impl Tracees {
    /// Stops one thread. The time is that of the interrupt.
    fn stop_one(&mut self, tid: u32) -> Result<(Instant, Registers)> {
        let since = Instant::now();
        if !self.seize(tid)? {
            return Err(ended(tid));
        }
        if !self.wait() {
            return Err(does_not_react(self.pid, tid));
        }
        Ok((since, self.registers(tid)?))
    }

    /// Stops all threads, those included that are made meanwhile. Only a thread that runs can make
    /// another, so when all that are listed stand, and the list has no new one, none is missing.
    fn stop_all(&mut self) -> Result<FrozenThreads> {
        let mut threads = FrozenThreads::new();
        for _ in 0..MAX_PASSES {
            let listed = proc::threads(self.pid)
                .map_err(|error| permission::explain(self.pid, "list /proc/PID/task", error))?;
            let new: Vec<u32> = listed.into_iter().filter(|tid| !threads.contains_key(tid)).collect();
            if new.is_empty() {
                self.collect(&mut threads);
                return if threads.is_empty() {
                    Err(TargetError::Ended { pid: self.pid })
                } else {
                    Ok(threads)
                };
            }
            for tid in new {
                // Ended ones are remembered as well: a leader that has ended stays in the list.
                self.seize(tid)?;
                threads.insert(tid, None);
            }
            self.wait();
        }
        Err(TargetError::CannotStop {
            tid: self.pid,
            problem: "it makes threads faster than they can be stopped".to_owned(),
        })
    }

    fn collect(&self, threads: &mut FrozenThreads) {
        for &(tid, hold) in &self.holds {
            match hold {
                Hold::Stopped { .. } => {
                    threads.insert(tid, self.registers(tid).ok());
                }
                Hold::Gone => {
                    threads.remove(&tid);
                }
                Hold::Coming => {}
            }
        }
    }
}
