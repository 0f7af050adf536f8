//! Stopping threads, and letting them go whatever happens.
//!
//! A thread is seized (PTRACE_SEIZE), interrupted, read and detached. No signal is sent and nothing is
//! written. A separate process does that, the [`Tracer`]. It lets go when the time of the stop is over and
//! when loiter is gone, stopped or not. What needs no tracer is done here: listing the threads, finding why
//! one cannot be stopped, reading them meanwhile.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use rustc_hash::FxHashSet;

use super::job_control::HeldBack;
use super::proc::{self, Stat};
use super::tracer::{self, Outcome, Remote, Thread, Tracer};
use super::{Frozen, HoldTime, Registers, Result, TargetError, WithRegisters, permission, sys};

/// A thread that does not stop in this time is let go. On an overloaded machine, a thread needs some hundred
/// milliseconds to get a CPU and to notice.
const PATIENCE: Duration = Duration::from_secs(1);
/// A single thread that has stopped is let go after this time; usually it takes microseconds.
const LIMIT: Duration = Duration::from_secs(1);
/// A pause between checks of something that only takes time.
const WAIT_PAUSE: Duration = Duration::from_micros(100);
/// A freeze gives up on a process that creates threads faster than they can be stopped.
const MAX_PASSES: u32 = 1000;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // The data behind these locks is consistent at every moment, so a panic elsewhere does not matter.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Registers of every thread of a frozen process; None for one that did not stop (it is in the kernel, and
/// would stop before it runs any code of its own).
type FrozenThreads = HashMap<u32, Option<Registers>>;

/// A process that is frozen.
#[derive(Debug, Clone)]
struct FrozenNow {
    threads: Arc<FrozenThreads>,
    tracer: Remote,
    limit: Duration,
}

/// Stops threads of one process.
#[derive(Debug)]
pub(super) struct Stopper {
    pub(super) pid: u32,
    /// Tracers that are idle.
    idle: Mutex<Vec<Tracer>>,
    /// Tracers that hold threads.
    active: Mutex<Vec<Remote>>,
    frozen: Mutex<Option<FrozenNow>>,
    /// A process is frozen by one caller at a time.
    freezing: Mutex<bool>,
}

impl Stopper {
    pub(super) fn new(pid: u32) -> Stopper {
        Stopper {
            pid,
            idle: Mutex::default(),
            active: Mutex::default(),
            frozen: Mutex::default(),
            freezing: Mutex::default(),
        }
    }

    /// See [`super::Target::with_stopped_thread`].
    pub(super) fn with_stopped_thread(
        self: &Arc<Self>,
        tid: u32,
        with: &mut WithRegisters<'_>,
    ) -> Result<HoldTime> {
        let frozen = lock(&self.frozen).clone();
        if let Some(frozen) = frozen {
            match frozen.threads.get(&tid) {
                Some(Some(registers)) => with(registers),
                Some(None) => return Err(does_not_react(self.pid, tid)),
                None => return Err(ended(tid)),
            }
            return if frozen.tracer.has_let_go() {
                Err(self.let_go_error(frozen.limit))
            } else {
                Ok(HoldTime::ZERO)
            };
        }
        // The tid may come from the target's own memory: it must not lead to another process.
        if Stat::read_thread(self.pid, tid).is_err() {
            return Err(ended(tid));
        }
        let mut hold = Hold::new(self, PATIENCE + LIMIT)?;
        let registers = hold.stop_one(tid)?;
        with(&registers);
        hold.release()
    }

    /// See [`super::Target::freeze`].
    pub(super) fn freeze(self: &Arc<Self>, limit: Duration) -> Result<Frozen> {
        if std::mem::replace(&mut *lock(&self.freezing), true) {
            let problem = "the process is already frozen by this loiter".to_owned();
            return Err(TargetError::CannotStop { tid: self.pid, problem });
        }
        let freezing = Freezing(Arc::clone(self));
        let mut hold = Hold::new(self, limit)?;
        let threads = Arc::new(hold.stop_all()?);
        *lock(&self.frozen) = Some(FrozenNow { threads, tracer: hold.remote.clone(), limit });
        Ok(Frozen::new(move || {
            *lock(&freezing.0.frozen) = None;
            hold.release()
        }))
    }

    /// How long the process was frozen, if it was let go before loiter asked for that.
    pub(super) fn let_go_after(&self) -> Option<Duration> {
        let frozen = lock(&self.frozen);
        frozen.as_ref().filter(|frozen| frozen.tracer.has_let_go()).map(|frozen| frozen.limit)
    }

    /// Lets go of everything that is held, by any caller.
    pub(super) fn let_go(&self) {
        lock(&self.active).iter().for_each(Remote::let_go);
    }

    fn let_go_error(&self, after: Duration) -> TargetError {
        TargetError::LetGo { pid: self.pid, after, reading: None }
    }
}

/// Ends the exclusive right to freeze.
struct Freezing(Arc<Stopper>);

impl Drop for Freezing {
    fn drop(&mut self) {
        *lock(&self.0.freezing) = false;
    }
}

/// Stopped threads. Dropping it lets all of them go.
struct Hold {
    stopper: Arc<Stopper>,
    /// None when it has been released.
    tracer: Option<Tracer>,
    remote: Remote,
    limit: Duration,
    deadline_ns: u64,
    /// Dropped last: Ctrl-Z takes effect when nothing is held any more.
    _quiet: HeldBack,
}

impl Hold {
    /// Prepares a stop for no longer than `limit`.
    fn new(stopper: &Arc<Stopper>, limit: Duration) -> Result<Hold> {
        if stopper.pid == std::process::id() {
            let problem = "a process cannot stop itself and look".to_owned();
            return Err(TargetError::CannotStop { tid: stopper.pid, problem });
        }
        let idle = lock(&stopper.idle).pop();
        let tracer = idle.map_or_else(Tracer::start, Ok)?;
        tracer.begin();
        let quiet = HeldBack::new();
        let limit_ns = u64::try_from(limit.as_nanos()).unwrap_or(u64::MAX);
        let deadline_ns = sys::monotonic_ns().saturating_add(limit_ns);
        let remote = tracer.remote();
        lock(&stopper.active).push(remote.clone());
        let stopper = Arc::clone(stopper);
        Ok(Hold { stopper, tracer: Some(tracer), remote, limit, deadline_ns, _quiet: quiet })
    }

    /// Stops one thread.
    fn stop_one(&mut self, tid: u32) -> Result<Registers> {
        // A seccomp filter may take it into a sleep that only its end ends (the gate).
        let pid = self.stopper.pid;
        self.stop(&[tid], &|| proc::is_held_at_end(pid, tid))?;
        let last = self.threads().filter(|thread| thread.tid == tid).last();
        match last.map(Thread::outcome).zip(last) {
            Some((Outcome::Stopped, thread)) => self.registers(thread),
            _ if self.remote.has_let_go() => Err(self.stopper.let_go_error(self.limit)),
            Some((Outcome::Coming, _)) => Err(does_not_react(self.stopper.pid, tid)),
            _ => Err(ended(tid)),
        }
    }

    /// Stops all threads, including those created meanwhile. Only a running thread can create another, so
    /// when all listed threads are stopped and the list has no new one, none is missing.
    fn stop_all(&mut self) -> Result<FrozenThreads> {
        let pid = self.stopper.pid;
        for _ in 0..MAX_PASSES {
            let listed =
                proc::threads(pid).map_err(|error| permission::explain(pid, "list /proc/PID/task", error))?;
            // Ended threads are remembered too: a leader that has ended stays in the list.
            let touched = self.threads().filter(|thread| thread.outcome() != Outcome::Untouched);
            let known: FxHashSet<u32> = touched.map(|thread| thread.tid).collect();
            let new: Vec<u32> = listed.into_iter().filter(|tid| !known.contains(tid)).collect();
            if new.is_empty() {
                return self.all_stopped();
            }
            self.stop(&new, &|| false)?;
            if self.remote.has_let_go() {
                return Err(self.stopper.let_go_error(self.limit));
            }
        }
        Err(TargetError::CannotStop {
            tid: pid,
            problem: "it makes threads faster than they can be stopped".to_owned(),
        })
    }

    /// The registers of all stopped threads.
    fn all_stopped(&self) -> Result<FrozenThreads> {
        let mut threads = FrozenThreads::new();
        for thread in self.threads() {
            match thread.outcome() {
                Outcome::Stopped => {
                    threads.insert(thread.tid, self.registers(thread).ok());
                }
                Outcome::Coming => {
                    threads.insert(thread.tid, None);
                }
                Outcome::Untouched | Outcome::Gone | Outcome::Refused(_) => {}
            }
        }
        if threads.is_empty() { Err(TargetError::Ended { pid: self.stopper.pid }) } else { Ok(threads) }
    }

    /// All threads of this stop that were tried.
    fn threads(&self) -> impl Iterator<Item = &Thread> {
        self.tracer.iter().flat_map(Tracer::threads)
    }

    /// Tells the tracer to stop threads, and waits for those that have not stopped as long as they are not `hopeless`.
    /// Those after one that has ended may be left untouched.
    fn stop(&mut self, tids: &[u32], hopeless: &dyn Fn() -> bool) -> Result<()> {
        let begun = Instant::now();
        let mut tids = tids.to_vec();
        loop {
            let Some(tracer) = self.tracer.as_mut() else { return Err(self.lost(false)) };
            if tracer.stop(&tids, PATIENCE, self.deadline_ns, hopeless).is_none() {
                let silent = tracer.is_silent();
                return Err(self.lost(silent));
            }
            let threads = tracer.latest();
            let refused = threads.iter().find_map(Thread::refused);
            let Some((tid, errno)) = refused else { return Ok(()) };
            let left =
                |thread: &&Thread| matches!(thread.outcome(), Outcome::Untouched | Outcome::Refused(_));
            tids = threads.iter().filter(left).map(|thread| thread.tid).collect();
            // Another stop of this loiter may need a moment to let go of it.
            if errno != Errno::EPERM || !self.is_ours(tid) || begun.elapsed() > PATIENCE {
                return self.why_not(tid, errno);
            }
            std::thread::sleep(WAIT_PAUSE);
        }
    }

    /// Whether the thread is held by another stop of this loiter.
    fn is_ours(&self, tid: u32) -> bool {
        self.traced_by(tid).is_some_and(tracer::is_ours)
    }

    fn traced_by(&self, tid: u32) -> Option<u64> {
        let status = proc::read_text(format!("/proc/{}/task/{tid}/status", self.stopper.pid)).ok()?;
        proc::number_field(&status, "TracerPid").filter(|&pid| pid != 0)
    }

    /// EPERM means many things; the two that are not a matter of rights are distinguished here. Ok if the
    /// thread has ended.
    fn why_not(&self, tid: u32, errno: Errno) -> Result<()> {
        match Stat::read_thread(self.stopper.pid, tid) {
            Ok(stat) if !stat.is_dead() => {}
            _ => return Ok(()),
        }
        if let Some(tracer) = self.traced_by(tid) {
            let name = u32::try_from(tracer).ok().and_then(|pid| Stat::read(pid).ok());
            let name = name.map_or_else(String::new, |stat| format!(" ({})", stat.comm));
            let problem = format!("it is already traced by pid {tracer}{name}");
            return Err(TargetError::CannotStop { tid, problem });
        }
        Err(permission::explain(self.stopper.pid, "ptrace(PTRACE_SEIZE)", errno.into()))
    }

    /// What the kernel reports about the registers of a stopped thread.
    fn registers(&self, thread: &Thread) -> Result<Registers> {
        match thread.registers() {
            Ok(words) => Ok(Registers::from_words(&words)),
            Err(Errno::ESRCH) => Err(ended(thread.tid)),
            Err(Errno::ENOTSUP) => {
                Err(TargetError::CannotStop { tid: thread.tid, problem: "it runs 32-bit code".to_owned() })
            }
            Err(errno) => {
                Err(permission::explain(self.stopper.pid, "ptrace(PTRACE_GETREGSET)", errno.into()))
            }
        }
    }

    /// The tracer is gone, or `silent`.
    fn lost(&self, silent: bool) -> TargetError {
        if self.remote.has_let_go() || sys::monotonic_ns() >= self.deadline_ns {
            return self.stopper.let_go_error(self.limit);
        }
        let problem = match silent {
            true => {
                "the tracer process of loiter does not answer: it gets no CPU, or somebody has stopped it"
            }
            false => "the tracer process of loiter was ended by somebody else",
        };
        TargetError::CannotStop { tid: self.stopper.pid, problem: problem.to_owned() }
    }

    /// Lets all threads go and returns how long they were held.
    fn release(mut self) -> Result<HoldTime> {
        self.end()
    }

    fn end(&mut self) -> Result<HoldTime> {
        let Some(mut tracer) = self.tracer.take() else { return Ok(HoldTime::ZERO) };
        // From here on no other thread tells this tracer to let go: it may soon serve another stop.
        lock(&self.stopper.active).retain(|active| !active.is(&self.remote));
        let held = tracer.release();
        let outcome = match held {
            _ if self.remote.has_let_go() => Err(self.stopper.let_go_error(self.limit)),
            Some(held) => Ok(held),
            None => Err(self.lost(tracer.is_silent())),
        };
        if !tracer.is_over() {
            lock(&self.stopper.idle).push(tracer);
        }
        outcome
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        let _ = self.end();
    }
}

fn ended(tid: u32) -> TargetError {
    TargetError::CannotStop { tid, problem: "it has ended".to_owned() }
}

fn does_not_react(pid: u32, tid: u32) -> TargetError {
    let state = match Stat::read_thread(pid, tid) {
        Ok(stat) if stat.state == 'D' => "; it sleeps in the kernel and cannot be interrupted (state D)",
        Ok(_) => "",
        Err(_) => return ended(tid),
    };
    let problem = match proc::is_held_at_end(pid, tid) {
        true => "a seccomp filter holds it in the call that ends the process".to_owned(),
        false => format!("it did not stop within {} ms{state}", PATIENCE.as_millis()),
    };
    TargetError::CannotStop { tid, problem }
}
