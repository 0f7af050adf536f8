//! The threads of a recording, with their names.

use rustc_hash::FxHashMap;

use super::batch::Event;
use crate::process::proc::threads;
use crate::recording::{RecordingBuilder, SampledThread, ThreadRow};
use crate::sampler::usage::thread_name;

/// Names that are kept for threads that were never sampled. More are asked of the kernel again.
const MAX_NAMES: usize = 1 << 16;

/// The threads of a recording, with their names.
#[derive(Debug)]
pub(super) struct Threads {
    pid: u32,
    rows: FxHashMap<u32, Option<ThreadRow>>,
    names: FxHashMap<u32, String>,
}

impl Threads {
    /// The threads of a process, with the names that they have now: later they may be gone.
    pub(super) fn new(pid: u32) -> Self {
        let tids = threads(pid).unwrap_or_default();
        let names = tids.into_iter().take(MAX_NAMES).filter_map(|tid| Some((tid, thread_name(pid, tid)?)));
        Threads { pid, rows: FxHashMap::default(), names: names.collect() }
    }

    /// Takes note of what happened to a thread.
    pub(super) fn note(&mut self, event: &Event) {
        match event {
            Event::Named { tid, name } | Event::Executed { tid, name, .. } => {
                if self.names.len() < MAX_NAMES {
                    self.names.insert(*tid, name.clone());
                }
                self.rows.remove(tid);
            }
            // Its id may be used again.
            Event::Started { tid } => {
                self.names.remove(tid);
                self.rows.remove(tid);
            }
            _ => {}
        }
    }

    /// The last name of a thread that was told of.
    pub(super) fn name(&self, tid: u32) -> Option<&str> {
        self.names.get(&tid).map(String::as_str)
    }

    /// The row of a thread. None if there are too many threads.
    pub(super) fn row(&mut self, tid: u32, builder: &mut RecordingBuilder) -> Option<ThreadRow> {
        if let Some(&known) = self.rows.get(&tid) {
            return known;
        }
        let name = self.names.get(&tid).cloned().or_else(|| thread_name(self.pid, tid));
        let name = name.map(|name| builder.code.string(&name));
        let row = builder.thread(SampledThread::new(tid, name));
        self.rows.insert(tid, row);
        row
    }
}
