//! Which goroutines of a log belong to one dump, and which dump is taken.

use rustc_hash::FxHashMap;

use super::{DumpGoroutine, GoLog};

/// The sizes of no more dumps than these are kept.
const MAX_DUMPS: usize = 10_000;

/// Puts goroutines together to dumps.
#[derive(Default)]
pub(super) struct Collector {
    current: GoLog,
    /// Where each id stands in the current dump.
    ids: FxHashMap<u64, usize>,
    /// The goroutine that is being read comes after lines that were not the runtime's.
    after_junk: bool,
    said: Vec<String>,
    time_ns: u64,
    best: Option<GoLog>,
    dumps: Vec<usize>,
}

impl Collector {
    /// A goroutine begins; the program said that before it.
    pub(super) fn begin(&mut self, said: Vec<String>, time_ns: u64, after_junk: bool) {
        self.after_junk = after_junk;
        self.said = said;
        self.time_ns = time_ns;
    }

    /// The goroutine is over. `cut`: in the middle.
    pub(super) fn add(&mut self, goroutine: DumpGoroutine, cut: bool) {
        // The writer of a dump comes first in it. Others that run show without a stack.
        let writer = goroutine.state == "running" && !goroutine.unavailable;
        let known = self.ids.get(&goroutine.id).and_then(|&at| self.current.dump.goroutines.get_mut(at));
        match known {
            // With GOTRACEBACK=crash each thread prints its own goroutine once more.
            Some(known) if known.unavailable && !goroutine.unavailable && !self.after_junk => {
                *known = goroutine;
                return;
            }
            Some(known) if known.id != 0 => self.end(),
            _ if writer && self.after_junk => self.end(),
            _ => {}
        }
        if self.current.dump.goroutines.is_empty() {
            self.current.said = std::mem::take(&mut self.said);
            self.current.taken_at_ns = self.time_ns;
        }
        self.ids.insert(goroutine.id, self.current.dump.goroutines.len());
        self.current.dump.goroutines.push(goroutine);
        self.current.dump.cut = cut;
    }

    /// The dump is over.
    pub(super) fn end(&mut self) {
        let dump = std::mem::take(&mut self.current);
        self.ids.clear();
        if dump.dump.goroutines.is_empty() {
            return;
        }
        if self.dumps.len() < MAX_DUMPS {
            self.dumps.push(dump.dump.goroutines.len());
        }
        if self.best.as_ref().is_none_or(|best| best.dump.cut || !dump.dump.cut) {
            self.best = Some(dump);
        }
    }

    /// What is taken.
    pub(super) fn finish(mut self) -> GoLog {
        self.end();
        GoLog { dumps: self.dumps, ..self.best.unwrap_or_default() }
    }
}
