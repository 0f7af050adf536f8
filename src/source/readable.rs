//! Which processes can be read: asked in the background, so that one that does not answer keeps nobody
//! waiting.

use std::num::NonZeroUsize;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::{inspect, names};
use crate::process::{self, Candidate};
use crate::report::text::runtime_name;
use crate::report::units::{short_duration, thousands};

/// Asked at the same time at least, so that one of them may get stuck.
const AT_ONCE: usize = 4;
/// Those that have not answered by then are left out of a list.
const PATIENCE: Duration = Duration::from_secs(3);
/// Processes that a list has at most; how many more there are is said.
const LISTED: usize = 20;

/// What there is to be read in a process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) who: Candidate,
    /// "go1.24.3 stripped".
    pub(crate) runtime: String,
    pub(crate) tasks: u64,
}

/// What came of asking a process.
#[derive(Debug)]
pub(crate) enum Answer {
    Readable(Found),
    /// It has no runtime that loiter knows, or has ended.
    Nothing,
    /// It cannot be read.
    Refused,
}

/// Asks all of them; the answers come in any order, and the channel ends after the last.
pub(crate) fn ask(all: Vec<Candidate>) -> Receiver<Answer> {
    let (out, answers) = mpsc::channel();
    let left = Arc::new(Mutex::new(all.into_iter()));
    let cores = thread::available_parallelism().map_or(1, NonZeroUsize::get);
    for _ in 0..cores.max(AT_ONCE) {
        let (left, out) = (Arc::clone(&left), out.clone());
        thread::spawn(move || {
            let next = || left.lock().unwrap_or_else(PoisonError::into_inner).next();
            while let Some(who) = next() {
                if out.send(look_at(who)).is_err() {
                    break;
                }
            }
        });
    }
    answers
}

fn look_at(who: Candidate) -> Answer {
    let target = process::open_pid(who.pid).map_err(crate::Error::from);
    match target.and_then(|target| inspect(target.as_ref())) {
        Ok(runtimes) if runtimes.is_empty() => Answer::Nothing,
        Ok(runtimes) => {
            let names: Vec<_> = runtimes.iter().map(|(info, _)| runtime_name(info)).collect();
            let tasks = runtimes.iter().map(|(_, tasks)| tasks).fold(0, |sum: u64, n| sum.saturating_add(*n));
            Answer::Readable(Found { who, runtime: names.join(" + "), tasks })
        }
        Err(crate::Error::Target(
            process::TargetError::NoProcess { .. }
            | process::TargetError::Ended { .. }
            | process::TargetError::Zombie { .. },
        )) => Answer::Nothing,
        Err(_) => Answer::Refused,
    }
}

/// The processes that can be read, and how many there are of others.
#[derive(Debug, Default)]
pub(crate) struct List {
    found: Vec<Found>,
    refused: usize,
    silent: usize,
}

/// Asks all of them, and waits for as long as it makes sense.
pub(crate) fn list(all: Vec<Candidate>) -> List {
    let (mut list, mut left) = (List::default(), all.len());
    let (begin, answers) = (Instant::now(), ask(all));
    while left > 0 {
        match answers.recv_timeout(PATIENCE.saturating_sub(begin.elapsed())) {
            Ok(Answer::Readable(found)) => list.found.push(found),
            Ok(Answer::Nothing) => {}
            Ok(Answer::Refused) => list.refused += 1,
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => break,
        }
        left -= 1;
    }
    list.silent = left;
    list.found.sort_by_key(|found| found.who.pid);
    list
}

impl List {
    /// A line each, and what is not listed.
    pub(crate) fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        let wide =
            self.found.iter().map(|found| found.runtime.chars().count()).max().unwrap_or(0).clamp(7, 32);
        if self.found.is_empty() {
            lines.push("there is no process that loiter can read".to_owned());
        } else {
            lines.push("processes that can be read:".to_owned());
            lines.push(format!("{:>7}  {:<8}  {:<wide$}  {:>9}  COMMAND", "PID", "AGE", "RUNTIME", "TASKS"));
        }
        lines.extend(self.found.iter().take(LISTED).map(|Found { who, runtime, tasks }| {
            let (pid, age, tasks) = (who.pid, short_duration(who.age_ns), thousands(*tasks));
            format!("{pid:>7}  {age:<8}  {runtime:<wide$}  {tasks:>9}  {}", names::command(who))
        }));
        let rest = [
            (self.found.len().saturating_sub(LISTED), "more"),
            (self.refused, "that cannot be read (loiter ps says why)"),
            (self.silent, "that did not answer in time"),
        ];
        lines.extend(rest.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{n} {what}")));
        lines
    }
}
