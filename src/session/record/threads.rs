//! The threads of a recording, with their names.

use rustc_hash::FxHashMap;

use super::batch::Event;
use crate::recording::{RecordingBuilder, SampledThread, ThreadRow};

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
    pub(super) fn new(pid: u32) -> Self {
        Threads { pid, rows: FxHashMap::default(), names: FxHashMap::default() }
    }

    /// Takes note of what happened to a thread.
    pub(super) fn note(&mut self, event: &Event) {
        match event {
            Event::Named { tid, name } => {
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

    /// The row of a thread. None if there are too many threads.
    pub(super) fn row(&mut self, tid: u32, builder: &mut RecordingBuilder) -> Option<ThreadRow> {
        if let Some(&known) = self.rows.get(&tid) {
            return known;
        }
        let name = self.names.get(&tid).cloned().or_else(|| name_of(self.pid, tid));
        let name = name.map(|name| builder.code.string(&name));
        let row = builder.thread(SampledThread::new(tid, name));
        self.rows.insert(tid, row);
        row
    }
}

/// The name that the kernel has for a thread.
fn name_of(pid: u32, tid: u32) -> Option<String> {
    let name = std::fs::read(format!("/proc/{pid}/task/{tid}/comm")).ok()?;
    Some(String::from_utf8_lossy(name.strip_suffix(b"\n").unwrap_or(&name)).into_owned())
}
