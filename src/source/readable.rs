//! Finds the processes that can be read, in the background, so that a process that does not answer delays nothing.

use std::num::NonZeroUsize;
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use super::inspect;
use crate::process::{self, Candidate};
use crate::snapshot::RuntimeInfo;

/// The minimum number of processes asked at the same time, so that one may get stuck.
const AT_ONCE: usize = 4;

/// A process that can be read.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Found {
    /// The process.
    pub who: Candidate,
    /// Its runtimes, each with the number of its tasks. There is at least one.
    pub runtimes: Vec<(RuntimeInfo, u64)>,
}

impl Found {
    /// Total tasks of all runtimes.
    pub fn tasks(&self) -> u64 {
        self.runtimes.iter().fold(0, |sum, (_, tasks)| sum.saturating_add(*tasks))
    }
}

/// The result of asking a process.
#[derive(Debug)]
#[non_exhaustive]
pub enum Answer {
    /// It can be read.
    Readable(Found),
    /// It has no runtime that loiter knows, or it has ended.
    Nothing,
    /// It cannot be read.
    Refused,
}

/// Asks each process for its runtimes, on separate threads. The answers come in any order, and the channel
/// ends after the last one. A process that does not answer blocks its thread.
pub fn ask(all: Vec<Candidate>) -> Receiver<Answer> {
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
        Ok(runtimes) => Answer::Readable(Found { who, runtimes }),
        Err(error) if error.is_gone() => Answer::Nothing,
        Err(_) => Answer::Refused,
    }
}
