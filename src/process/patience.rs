//! Readings that may never return, done on a thread that the caller can abandon.
//!
//! A page of a live process may be served by another program (userfaultfd, FUSE) or another machine (NFS). A
//! thread that reads such a page sleeps in the kernel until the page comes; only the end of the whole process
//! interrupts it. So a reading runs on a thread of its own. The caller waits for that thread and regularly
//! checks what it is doing. Each thread records what it reads in its own slot, which costs nothing beside the
//! system call.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, Weak};
use std::thread;
use std::time::Duration;

use super::stop::Stopper;
use super::watch::{OWNER, PATIENCE, PLACES, Place, Watch, lock};
use super::{Result, Target, TargetError, proc};

/// How often progress is checked. Time for which loiter itself is stopped does not count.
const TICK: Duration = Duration::from_millis(50);
/// A reading that has to end, because the user asked or a freeze is over, gets this long to end in good order. All that
/// it still reads of the target fails.
const LAST_CHANCE: Duration = Duration::from_secs(3);
/// Unless it makes no progress for this long.
const HANGS: Duration = Duration::from_millis(500);
/// A longer read is reported with its end address.
const PAGE: u64 = 4096;
/// As much as the main thread has.
const STACK: usize = 8 << 20;

/// A target that can be read from another thread, and be given up.
pub struct Handle {
    pub(super) target: Box<dyn Target>,
    pub(super) watch: Arc<Watch>,
    pub(super) stopper: Arc<Stopper>,
}

impl std::fmt::Debug for Handle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Handle").field("watch", &self.watch).finish_non_exhaustive()
    }
}

/// Reads a target, and gives up if it does not answer: if nothing comes for 5 s, when the time of a freeze is
/// over, or soon after `stop` is set. Held threads are then let go, and until the hanging read returns, the
/// target counts as not answering. Targets that cannot hang, such as core files, are read by the calling
/// thread.
///
/// # Errors
/// Those of `work`; [`TargetError::NoAnswer`], [`TargetError::LetGo`], [`TargetError::GivenUp`].
pub fn supervised<T, E>(
    target: &dyn Target,
    stop: Option<&AtomicBool>,
    work: impl FnOnce(&dyn Target) -> Result<T, E> + Send + 'static,
) -> Result<T, E>
where
    T: Send + 'static,
    E: From<TargetError> + Send + 'static,
{
    let Some(Handle { target: its, watch, stopper }) = target.handle() else { return work(target) };
    if OWNER.get() == watch.number {
        return work(target);
    }
    run(&watch, Some(&stopper), stop, move || work(its.as_ref()))
}

/// Runs `work`, which reads the target that `watch` watches, on a thread of its own.
pub(super) fn run<T, E>(
    watch: &Arc<Watch>,
    stopper: Option<&Stopper>,
    stop: Option<&AtomicBool>,
    work: impl FnOnce() -> Result<T, E> + Send + 'static,
) -> Result<T, E>
where
    T: Send + 'static,
    E: From<TargetError> + Send + 'static,
{
    if let Some(hanging) = Hanging::of(watch.pid) {
        return Err(hanging.what.no_answer(hanging.pid).into());
    }
    if stop.is_some_and(|stop| stop.load(Ordering::Relaxed)) {
        return Err(TargetError::GivenUp { pid: watch.pid }.into());
    }
    let (done, wait) = mpsc::sync_channel(1);
    let number = watch.number;
    let returned = Arc::new(AtomicBool::new(false));
    let sign = Sign { watch: Arc::clone(watch), returned: Arc::clone(&returned) };
    let reader = thread::Builder::new().name("reader".to_owned()).stack_size(STACK).spawn(move || {
        let sign = sign;
        OWNER.set(number);
        let outcome = work();
        // Before the caller knows: it may read again at once.
        drop(sign);
        // If the reading was given up, no thread waits for it.
        let _ = done.send(outcome);
    });
    let reader = reader.map_err(|source| TargetError::io("start a thread", source))?;
    let mut supervisor =
        Supervisor { watch, stopper, stop, seen: Vec::new(), waited: None, is_stopped: false };
    loop {
        match wait.recv_timeout(TICK) {
            Ok(outcome) => {
                // The last check may have come after the end.
                watch.given_up.store(false, Ordering::SeqCst);
                // Some of what it read is missing.
                let is_stopped = supervisor.is_stopped;
                return if is_stopped {
                    Err(TargetError::GivenUp { pid: watch.pid }.into())
                } else {
                    outcome
                };
            }
            Err(RecvTimeoutError::Disconnected) => match reader.join() {
                Err(panic) => std::panic::resume_unwind(panic),
                Ok(()) => return Err(TargetError::GivenUp { pid: watch.pid }.into()),
            },
            Err(RecvTimeoutError::Timeout) => {}
        }
        if let Some(error) = supervisor.look() {
            supervisor.give_up(returned);
            return Err(error.into());
        }
    }
}

/// Signals, when dropped, that a thread has returned.
struct Sign {
    watch: Arc<Watch>,
    returned: Arc<AtomicBool>,
}

impl Drop for Sign {
    fn drop(&mut self) {
        // The target can be read again.
        self.watch.given_up.store(false, Ordering::SeqCst);
        self.returned.store(true, Ordering::SeqCst);
    }
}

/// A thread's progress.
#[derive(Debug)]
struct Seen {
    tid: u32,
    serial: u64,
    /// How often it had gone to sleep: a long read sleeps for each page that has to be fetched.
    sleeps: u64,
    /// How many checks in a row found it unchanged.
    ticks: u32,
}

/// Checks a reading for the caller that waits for it.
struct Supervisor<'a> {
    watch: &'a Watch,
    stopper: Option<&'a Stopper>,
    stop: Option<&'a AtomicBool>,
    seen: Vec<Seen>,
    /// How many checks ago the decision to end was taken.
    waited: Option<u32>,
    /// The user asked to stop: since then, all that the reading reads fails.
    is_stopped: bool,
}

impl Supervisor<'_> {
    /// One check. Returns why the reading has to be given up, if it has.
    fn look(&mut self) -> Option<TargetError> {
        let slowest = self.slowest();
        let pid = self.watch.pid;
        let let_go = self.stopper.and_then(Stopper::let_go_after);
        if let Some((ticks, what)) = &slowest
            && TICK * *ticks >= PATIENCE.get()
        {
            let what = what.clone();
            return Some(match let_go {
                Some(after) => TargetError::LetGo { pid, after, reading: Some(what.text()) },
                None => what.no_answer(pid),
            });
        }
        let stopped = self.stop.is_some_and(|stop| stop.load(Ordering::Relaxed));
        if let_go.is_none() && !stopped {
            return None;
        }
        // What is read from here on is not of the same moment, or of no use.
        self.watch.given_up.store(true, Ordering::Relaxed);
        self.is_stopped |= stopped;
        let waited = self.waited.get_or_insert(0);
        *waited = waited.saturating_add(1);
        let hangs = slowest.as_ref().is_some_and(|(ticks, _)| TICK * *ticks >= HANGS);
        if TICK * *waited < LAST_CHANCE && !hangs {
            return None;
        }
        Some(match let_go {
            Some(after) => TargetError::LetGo { pid, after, reading: slowest.map(|(_, what)| what.text()) },
            None => TargetError::GivenUp { pid },
        })
    }

    /// For how many checks the slowest read has made no progress, and what it reads. Only sleeping threads
    /// are slow: a thread that waits for a CPU is not.
    fn slowest(&mut self) -> Option<(u32, What)> {
        let places: Vec<Arc<Place>> = lock(&PLACES).iter().filter_map(Weak::upgrade).collect();
        let mut seen = Vec::new();
        let mut slowest = None;
        for place in places {
            if place.owner.load(Ordering::Acquire) != self.watch.number {
                continue;
            }
            let serial = place.serial.load(Ordering::Relaxed);
            let Some(sleeps) = asleep(place.tid) else { continue };
            let before = self.seen.iter().find(|seen| seen.tid == place.tid);
            let same = before.filter(|before| before.serial == serial && before.sleeps == sleeps);
            let ticks = same.map_or(0, |before| before.ticks.saturating_add(1));
            if ticks > 0 && slowest.as_ref().is_none_or(|(most, _)| ticks > *most) {
                slowest = Some((ticks, What::at(&place)));
            }
            seen.push(Seen { tid: place.tid, serial, sleeps, ticks });
        }
        self.seen = seen;
        slowest
    }

    /// Lets go of what is held, and records that the thread has not returned.
    fn give_up(&self, returned: Arc<AtomicBool>) {
        self.watch.given_up.store(true, Ordering::SeqCst);
        if let Some(stopper) = self.stopper {
            stopper.let_go();
        }
        let places: Vec<Arc<Place>> = lock(&PLACES).iter().filter_map(Weak::upgrade).collect();
        let mine = |place: &&Arc<Place>| place.owner.load(Ordering::Acquire) == self.watch.number;
        let what = places.iter().find(mine).map_or_else(What::default, |place| What::at(place));
        if returned.load(Ordering::SeqCst) {
            self.watch.given_up.store(false, Ordering::SeqCst);
        }
        lock(&HANGING).push(Hanging { pid: self.watch.pid, what, returned });
    }
}

/// What a thread is reading.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
enum What {
    /// Nothing that could hang.
    #[default]
    Nothing,
    Memory(u64, u64),
    File(String),
}

impl What {
    fn at(place: &Place) -> What {
        match &*lock(&place.file) {
            Some(path) => What::File(path.clone()),
            None => What::Memory(place.start.load(Ordering::Relaxed), place.end.load(Ordering::Relaxed)),
        }
    }

    fn doing(&self) -> String {
        match self {
            What::Nothing => "the last reading".to_owned(),
            What::Memory(start, end) if end.saturating_sub(*start) <= PAGE => {
                format!("reading address {start:#x}")
            }
            What::Memory(start, end) => format!("reading addresses {start:#x} to {end:#x}"),
            What::File(path) => format!("reading {path}"),
        }
    }

    fn hint(&self) -> &'static str {
        match self {
            What::Nothing => "",
            What::Memory(..) => " (a page that is served by userfaultfd, FUSE or NFS?)",
            What::File(_) => " (a file system that does not answer?)",
        }
    }

    fn text(&self) -> String {
        format!("{}{}", self.doing(), self.hint())
    }

    fn no_answer(&self, pid: u32) -> TargetError {
        TargetError::NoAnswer { pid, what: self.doing(), after: PATIENCE.get(), hint: self.hint() }
    }
}

/// How often a thread of loiter has gone to sleep; None if it is not asleep now.
fn asleep(tid: u32) -> Option<u64> {
    let status = proc::read_text(format!("/proc/self/task/{tid}/status")).ok()?;
    let sleeps = matches!(proc::field(&status, "State")?.chars().next()?, 'S' | 'D');
    proc::number_field(&status, "voluntary_ctxt_switches").filter(|_| sleeps)
}

/// A reading that was given up and has not returned.
#[derive(Debug, Clone)]
struct Hanging {
    pid: u32,
    what: What,
    returned: Arc<AtomicBool>,
}

static HANGING: Mutex<Vec<Hanging>> = Mutex::new(Vec::new());

impl Hanging {
    fn of(pid: u32) -> Option<Hanging> {
        let mut all = lock(&HANGING);
        all.retain(|hanging| !hanging.returned.load(Ordering::SeqCst));
        all.iter().find(|hanging| hanging.pid == pid).cloned()
    }
}
