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
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use nix::errno::Errno;

use super::proc::{self, Stat};
use super::sys::{self, Waited};
use super::{Frozen, Held, Registers, Result, TargetError, WithRegisters, permission};

/// A thread that does not stop in this time is let go.
const PATIENCE: Duration = Duration::from_millis(500);
/// While waiting for a stop: so often the CPU is only yielded, because most threads stop within
/// microseconds; then pauses begin.
const YIELDS: u32 = 200;
const WAIT_PAUSE: Duration = Duration::from_micros(100);
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
        match sys::seize(tid) {
            Ok(()) => {}
            Err(Errno::ESRCH) => return Ok(false),
            Err(errno) => return self.why_not(tid, errno),
        }
        // From here on it has to be let go, even if it cannot be interrupted because it has ended.
        self.holds.push((tid, Hold::Coming));
        match sys::interrupt(tid) {
            Ok(()) | Err(Errno::ESRCH) => Ok(true),
            Err(errno) => Err(permission::explain(self.pid, "ptrace(PTRACE_INTERRUPT)", errno.into())),
        }
    }

    /// EPERM means many things; the two that are no matter of rights are told apart here.
    fn why_not(&self, tid: u32, errno: Errno) -> Result<bool> {
        let Ok(stat) = Stat::read_thread(self.pid, tid) else { return Ok(false) };
        if stat.is_dead() {
            return Ok(false);
        }
        let status = proc::read_text(format!("/proc/{}/task/{tid}/status", self.pid)).unwrap_or_default();
        if let Some(tracer) = proc::number_field(&status, "TracerPid").filter(|&pid| pid != 0) {
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
            if round < YIELDS {
                std::thread::yield_now();
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

    /// Lets all threads go. False if one of them could not be detached: then the calling thread
    /// has to end, which makes the kernel do it.
    fn release(&mut self) -> bool {
        let mut clean = true;
        for (tid, hold) in self.holds.drain(..) {
            clean &= match hold {
                Hold::Stopped { signal } => match sys::detach(tid, signal) {
                    Ok(()) => true,
                    // It was killed while it stood: what is left of it is taken in by waiting.
                    Err(_) => sys::wait(tid) == Waited::Gone,
                },
                Hold::Coming => false,
                Hold::Gone => true,
            };
        }
        clean
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

/// Stop this thread, say its registers, hold it until `release` speaks or hangs up.
struct Job {
    tid: u32,
    stopped: Sender<Result<Registers>>,
    release: Receiver<()>,
    held: Sender<Held>,
}

/// Registers of every thread of a frozen process; None for one that did not stop (it sits in the
/// kernel, and would stop before it runs any code of its own).
type FrozenThreads = HashMap<u32, Option<Registers>>;

/// Stops threads of one process.
#[derive(Debug)]
pub(super) struct Stopper {
    pid: u32,
    /// Tracing threads that have nothing to do. They end when this is dropped.
    idle: Mutex<Vec<Sender<Job>>>,
    frozen: Arc<Mutex<Option<Arc<FrozenThreads>>>>,
}

impl Stopper {
    pub(super) fn new(pid: u32) -> Stopper {
        Stopper { pid, idle: Mutex::new(Vec::new()), frozen: Arc::default() }
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
        let (stopped, registers) = channel();
        let (go, release) = channel();
        let (held_to, held) = channel();
        let worker = self.hand_out(Job { tid, stopped, release, held: held_to })?;
        let registers = registers.recv().map_err(|_| ended(tid))??;
        with(&registers);
        // Hanging up releases too, so a panic in `with` does as well.
        drop(go);
        let held = held.recv().unwrap_or_default();
        lock(&self.idle).push(worker);
        Ok(held)
    }

    /// Gives the job to an idle tracing thread, or to a new one.
    fn hand_out(&self, mut job: Job) -> Result<Sender<Job>> {
        loop {
            let Some(worker) = lock(&self.idle).pop() else { break };
            match worker.send(job) {
                Ok(()) => return Ok(worker),
                // That one has ended because it could not let go of a thread otherwise.
                Err(refused) => job = refused.0,
            }
        }
        let (worker, jobs) = channel();
        let pid = self.pid;
        spawn(move || work(pid, &jobs))?;
        // It cannot have ended yet: it waits for this.
        let _ = worker.send(job);
        Ok(worker)
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
        spawn(move || {
            let begun = Instant::now();
            let mut tracees = Tracees::new(pid);
            let threads = tracees.stop_all();
            if stopped.send(threads).is_ok() {
                // Wakes when the guard goes, in whatever way.
                let _ = release.recv();
            }
            tracees.release();
            let _ = held_to.send(begun.elapsed());
        })?;
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

fn spawn(work: impl FnOnce() + Send + 'static) -> Result<()> {
    let spawned = std::thread::Builder::new().name("tracer".to_owned()).stack_size(256 << 10).spawn(work);
    spawned.map(drop).map_err(|source| TargetError::Io { what: "start a thread".to_owned(), source })
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

/// What an idle tracing thread does: a job after the other, until nobody can give it one, or until
/// it has to end to let go of a thread.
fn work(pid: u32, jobs: &Receiver<Job>) {
    while let Ok(job) = jobs.recv() {
        let mut tracees = Tracees::new(pid);
        match tracees.stop_one(job.tid) {
            Ok((since, registers)) => {
                if job.stopped.send(Ok(registers)).is_ok() {
                    let _ = job.release.recv();
                }
                let clean = tracees.release();
                let _ = job.held.send(since.elapsed());
                if !clean {
                    return;
                }
            }
            Err(error) => {
                let clean = tracees.release();
                let _ = job.stopped.send(Err(error));
                if !clean {
                    return;
                }
            }
        }
    }
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
