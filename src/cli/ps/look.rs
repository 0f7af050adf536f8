//! Examines all processes, each on a thread of its own: a process whose memory or files hang costs only its own
//! row. A thread that is stuck in the kernel is left behind, and ends with loiter.

use std::collections::BTreeMap;
use std::io;
use std::num::NonZeroUsize;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::{Duration, Instant};

use super::{Finding, Process};
use crate::full_text;
use crate::process::{self, Candidate, TargetError};
use crate::source::inspect;

/// A process that keeps its thread waiting for longer than this does not answer.
const PATIENCE: Duration = Duration::from_secs(2);
/// The same for a process that costs work, not waiting.
const MAX_WORK: Duration = Duration::from_secs(10);
/// No process is started on after this time.
const MAX_TOTAL: Duration = Duration::from_secs(60);
/// How often the threads are checked.
const TICK: Duration = Duration::from_millis(10);
/// At most this many threads may be stuck at a time.
const MAX_THREADS: usize = 512;

/// What happens while processes are examined.
pub(super) enum Event {
    /// The next process, in ascending order of pid.
    Process(Process),
    /// Some time has passed.
    Tick,
}

/// A message from the thread of a process.
enum Said {
    /// Which thread it is.
    Thread(i32),
    /// Who the process is.
    Known(Candidate),
    /// The result. None if the process has ended, or cannot have a runtime.
    Done(Option<Process>),
}

/// A process that is being examined.
struct Job {
    pid: u32,
    thread: Option<i32>,
    who: Option<Candidate>,
    begun: Instant,
    /// Since when it has been seen waiting.
    waits_since: Option<Instant>,
}

/// The state of all processes that are being examined.
struct Jobs {
    sender: Sender<(usize, Said)>,
    receiver: Receiver<(usize, Said)>,
    running: BTreeMap<usize, Job>,
    done: BTreeMap<usize, Option<Process>>,
    left_behind: usize,
    begun: Instant,
}

/// Examines the processes `pids` and calls `with` for each that exists.
///
/// # Errors
/// Errors of `with`, and failure to start any thread.
pub(super) fn look_at_all(pids: &[u32], mut with: impl FnMut(Event) -> io::Result<()>) -> io::Result<()> {
    let cores = thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let (sender, receiver) = mpsc::channel();
    let begun = Instant::now();
    let (running, done) = (BTreeMap::new(), BTreeMap::new());
    let mut jobs = Jobs { sender, receiver, running, done, left_behind: 0, begun };
    let (mut next, mut shown) = (0, 0);
    while shown < pids.len() {
        while let Some(&pid) = pids.get(next).filter(|_| jobs.working() < cores && jobs.has_room()) {
            jobs.begin(next, pid)?;
            next += 1;
        }
        jobs.listen();
        while let Some(process) = jobs.done.remove(&shown) {
            shown += 1;
            process.map(|process| with(Event::Process(process))).transpose()?;
        }
        with(Event::Tick)?;
    }
    Ok(())
}

impl Jobs {
    /// How many threads have work to do. Waiting threads leave the processors to others.
    fn working(&self) -> usize {
        self.running.values().filter(|job| job.waits_since.is_none_or(|since| since.elapsed() < TICK)).count()
    }

    fn has_room(&self) -> bool {
        self.running.len() + self.left_behind < MAX_THREADS || self.running.is_empty()
    }

    fn begin(&mut self, nth: usize, pid: u32) -> io::Result<()> {
        let (why, full) = ("it was not examined", self.left_behind >= MAX_THREADS);
        if full || self.begun.elapsed() > MAX_TOTAL {
            let why = match full {
                true => format!("{why}: too many processes before it did not answer"),
                false => format!("{why}: the others took {} s", MAX_TOTAL.as_secs()),
            };
            self.done.insert(nth, given_up(pid, None, why));
            return Ok(());
        }
        let sender = self.sender.clone();
        // If this took too long, the receiver is gone.
        let work = move || {
            let say = |said| drop(sender.send((nth, said)));
            process::be_patient_for(PATIENCE);
            say(Said::Thread(nix::unistd::gettid().as_raw()));
            say(Said::Done(look_at(pid, &say)));
        };
        let spawned = thread::Builder::new().name("look".to_owned()).spawn(work);
        match spawned {
            Ok(_) => {
                let begun = Instant::now();
                let job = Job { pid, thread: None, who: None, begun, waits_since: None };
                self.running.insert(nth, job);
            }
            Err(error) if self.running.is_empty() && self.left_behind == 0 => return Err(error),
            Err(error) => {
                let why = format!("cannot start a thread: {error}");
                self.done.insert(nth, given_up(pid, None, why));
            }
        }
        Ok(())
    }

    /// Receives messages from the threads for a while, then checks the silent threads.
    fn listen(&mut self) {
        let until = Instant::now() + TICK;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let Ok((nth, said)) = self.receiver.recv_timeout(left) else { break };
            let Some(job) = self.running.get_mut(&nth) else { continue };
            match said {
                Said::Thread(thread) => job.thread = Some(thread),
                Said::Known(who) => job.who = Some(who),
                Said::Done(process) => {
                    self.running.remove(&nth);
                    self.done.insert(nth, process);
                    // The next process can begin.
                    break;
                }
            }
        }
        let mut late = Vec::new();
        for (&nth, job) in &mut self.running {
            if job.begun.elapsed() < TICK {
                continue;
            }
            job.waits_since = match job.thread.is_some_and(is_working) {
                true => None,
                false => job.waits_since.or_else(|| Some(Instant::now())),
            };
            let waited = job.waits_since.map_or(Duration::ZERO, |since| since.elapsed());
            if waited >= PATIENCE || job.begun.elapsed() >= MAX_WORK {
                late.push((nth, waited >= PATIENCE));
            }
        }
        for (nth, waits) in late {
            let Some(job) = self.running.remove(&nth) else { continue };
            self.left_behind += 1;
            let why = match waits {
                true => format!("no answer within {} s: {}", PATIENCE.as_secs(), waits_for(&job)),
                false => format!("not done within {} s", MAX_WORK.as_secs()),
            };
            self.done.insert(nth, given_up(job.pid, job.who, why));
        }
    }
}

/// A process about which nothing more is known.
fn given_up(pid: u32, who: Option<Candidate>, why: String) -> Option<Process> {
    let who = match who {
        Some(who) => who,
        None => process::candidate(pid).ok()??,
    };
    let can_be_read = !who.is_kernel_thread && !who.is_zombie && who.pid != std::process::id();
    can_be_read.then_some(Process { who, finding: Finding::NoAnswer { why } })
}

/// Whether a thread of loiter runs or wants to, and so does not wait.
fn is_working(thread: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/self/task/{thread}/stat")).unwrap_or_default();
    stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with('R'))
}

/// What the thread of a job waits for, by the system call that it is in.
fn waits_for(job: &Job) -> String {
    let call = |thread| {
        let line = std::fs::read_to_string(format!("/proc/self/task/{thread}/syscall")).ok()?;
        line.split_ascii_whitespace().next()?.parse::<i64>().ok()
    };
    match job.thread.and_then(call) {
        Some(libc::SYS_process_vm_readv | libc::SYS_pread64) => {
            "its memory cannot be read because a file system that it uses hangs".to_owned()
        }
        // Here helper threads wait for the kernel on its behalf.
        Some(libc::SYS_futex | libc::SYS_poll | libc::SYS_ppoll | libc::SYS_recvmsg | libc::SYS_recvfrom) => {
            "its memory or a file that it maps cannot be read because a file system hangs".to_owned()
        }
        Some(libc::SYS_read | libc::SYS_openat | libc::SYS_statx | libc::SYS_readlink) => {
            format!("/proc/{} cannot be read because the process is stuck in the kernel", job.pid)
        }
        Some(other) => format!("system call {other} hangs"),
        None => "the kernel does not say why".to_owned(),
    }
}

/// Examines a process. None if it has ended, or cannot have a runtime.
fn look_at(pid: u32, say: &impl Fn(Said)) -> Option<Process> {
    let mut who = match process::candidate(pid) {
        Ok(who) => who?,
        Err(error) => {
            let nobody = Candidate {
                pid,
                name: "?".to_owned(),
                program: String::new(),
                command: Vec::new(),
                age_ns: 0,
                threads: 0,
                uid: 0,
                is_kernel_thread: false,
                is_zombie: false,
            };
            let (why, remedy) = (format!("read /proc/{pid}/stat: {error}"), Vec::new());
            return Some(Process { who: nobody, finding: Finding::Unreadable { why, remedy } });
        }
    };
    if who.is_kernel_thread || who.is_zombie || pid == std::process::id() {
        return None;
    }
    say(Said::Known(who.clone()));
    who.read_command();
    say(Said::Known(who.clone()));
    let found =
        process::open_pid(who.pid).map_err(crate::Error::from).and_then(|target| inspect(target.as_ref()));
    let finding = match found {
        Ok(runtimes) if runtimes.is_empty() => Finding::Native,
        Ok(runtimes) => Finding::Runtimes(runtimes),
        Err(error) if error.is_gone() => return None,
        Err(error @ crate::Error::Target(TargetError::NoAnswer { .. })) => Finding::NoAnswer {
            why: format!("no answer within {} s: {}", PATIENCE.as_secs(), full_text(&error)),
        },
        Err(error) => {
            let why = full_text(&error);
            let remedy = match error {
                crate::Error::Target(TargetError::Permission { remedy, .. }) => remedy,
                _ => Vec::new(),
            };
            Finding::Unreadable { why, remedy }
        }
    };
    Some(Process { who, finding })
}
