//! Which processes can be read: asked in the background, so that one that does not answer keeps nobody
//! waiting.

use std::num::NonZeroUsize;
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use super::inspect;
use crate::process::{self, Candidate};
use crate::snapshot::RuntimeInfo;

/// Asked at the same time at least, so that one of them may get stuck.
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
    /// Tasks of all runtimes.
    pub fn tasks(&self) -> u64 {
        self.runtimes.iter().fold(0, |sum, (_, tasks)| sum.saturating_add(*tasks))
    }
}

/// What came of asking a process.
#[derive(Debug)]
#[non_exhaustive]
pub enum Answer {
    /// It can be read.
    Readable(Found),
    /// It has no runtime that loiter knows, or has ended.
    Nothing,
    /// It cannot be read.
    Refused,
}

/// Asks each of the processes which runtimes it has, on threads of their own. The answers come in any order,
/// and the channel ends after the last one. A process that does not answer keeps its thread.
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
