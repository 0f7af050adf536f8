//! Computes what the views show, and writes files, on its own thread. Of several requests only the last is
//! answered.

use std::collections::VecDeque;
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;

use super::event::Happened;
use super::query::Query;
use crate::session::Picture;
use crate::session::record::CpuTimes;

use super::tables::{Memory, compute};
use super::update::{Event, What};
use super::write;

type Question = (Arc<Picture>, Arc<Query>);

/// A request.
#[derive(Default)]
struct Jobs {
    question: Option<(Question, Option<Arc<CpuTimes>>)>,
    writes: VecDeque<(What, Question)>,
}

/// The worker's in-tray.
#[derive(Clone, Default)]
pub(super) struct Worker {
    jobs: Arc<(Mutex<Jobs>, Condvar)>,
}

/// At most this many files wait to be written.
const WRITES: usize = 8;

impl Worker {
    /// Starts the worker; answers go to `out`.
    pub(super) fn spawn(out: SyncSender<Happened>) -> Worker {
        let worker = Worker::default();
        let its = worker.clone();
        thread::spawn(move || its.run(&out));
        worker
    }

    /// Requests what the views show of a picture.
    pub(super) fn compute(&self, picture: Arc<Picture>, query: Arc<Query>, cpu: Option<Arc<CpuTimes>>) {
        self.put(|jobs| jobs.question = Some(((picture, query), cpu)));
    }

    /// Requests a file.
    pub(super) fn write(&self, what: What, picture: Arc<Picture>, query: Arc<Query>) {
        self.put(|jobs| {
            if jobs.writes.len() < WRITES {
                jobs.writes.push_back((what, (picture, query)));
            }
        });
    }

    fn put(&self, change: impl FnOnce(&mut Jobs)) {
        let (jobs, changed) = &*self.jobs;
        change(&mut jobs.lock().unwrap_or_else(PoisonError::into_inner));
        changed.notify_one();
    }

    fn run(&self, out: &SyncSender<Happened>) {
        let mut memory = Memory::default();
        let (jobs, changed) = &*self.jobs;
        loop {
            let jobs = jobs.lock().unwrap_or_else(PoisonError::into_inner);
            let idle = |jobs: &mut Jobs| jobs.question.is_none() && jobs.writes.is_empty();
            let mut jobs = changed.wait_while(jobs, idle).unwrap_or_else(PoisonError::into_inner);
            let (question, write) = (jobs.question.take(), jobs.writes.pop_front());
            drop(jobs);
            let mut events = Vec::new();
            if let Some(((picture, query), cpu)) = question {
                events.push(Event::Tables(Arc::new(compute(&picture, &query, cpu.as_ref(), &mut memory))));
            }
            if let Some((what, (picture, query))) = write {
                events.push(Event::Wrote(write::write(what, &picture, &query)));
            }
            if events.into_iter().any(|event| out.send(Happened::Event(event)).is_err()) {
                return;
            }
        }
    }
}
