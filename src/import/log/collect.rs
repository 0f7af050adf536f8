//! Groups the goroutines of a log into dumps, and chooses one dump.

use rustc_hash::FxHashMap;

use super::{Cut, DumpGoroutine, GoLog};

/// The sizes of at most this many dumps are kept.
const MAX_DUMPS: usize = 10_000;
/// The longest time that writing a dump takes, nanoseconds.
const LONGEST_NS: u64 = 60_000_000_000;

/// Groups the goroutines of one writer into dumps.
#[derive(Default)]
pub(super) struct Collector {
    current: GoLog,
    /// The index of each id in the current dump.
    ids: FxHashMap<u64, usize>,
    next: Beginning,
    /// When the last goroutine was written.
    time_ns: u64,
}

/// How a goroutine begins.
#[derive(Default)]
pub(super) struct Beginning {
    /// What the program said before it.
    pub(super) said: Vec<String>,
    /// Nanoseconds since the Unix epoch. 0 if unknown.
    pub(super) time_ns: u64,
    /// It follows lines that the runtime did not write, or is in a message of its own.
    pub(super) apart: bool,
    /// The number of stack lines before it that belong to no goroutine.
    pub(super) strays: u64,
}

/// The dumps of all writers.
#[derive(Default)]
pub(super) struct Dumps {
    best: Option<GoLog>,
    sizes: Vec<usize>,
    writers: Vec<String>,
}

impl Collector {
    /// A goroutine begins.
    pub(super) fn begin(&mut self, beginning: Beginning, writer: &str, into: &mut Dumps) {
        let (before, now) = (self.time_ns, beginning.time_ns);
        if before != 0 && now != 0 && before.abs_diff(now) > LONGEST_NS {
            self.end(writer, into);
        }
        self.time_ns = now;
        self.next = beginning;
    }

    /// The goroutine has ended. `cut`: where it should not.
    pub(super) fn add(&mut self, goroutine: DumpGoroutine, cut: Option<Cut>, writer: &str, into: &mut Dumps) {
        let next = std::mem::take(&mut self.next);
        // The goroutine that writes a dump comes first in it. Other running goroutines have no stack.
        let begins = goroutine.state == "running" && !goroutine.unavailable;
        let known = self.ids.get(&goroutine.id).and_then(|&at| self.current.dump.goroutines.get_mut(at));
        match known {
            // With GOTRACEBACK=crash each thread prints its own goroutine again.
            Some(known) if known.unavailable && !goroutine.unavailable && !next.apart => {
                *known = goroutine;
                return;
            }
            Some(known) if known.id != 0 => self.end(writer, into),
            _ if begins && next.apart => self.end(writer, into),
            _ => {}
        }
        let current = &mut self.current;
        if current.dump.goroutines.is_empty() {
            current.said = next.said;
            current.taken_at_ns = next.time_ns;
            current.dump.strays_first = next.strays;
        }
        current.dump.stray_lines += next.strays;
        self.ids.insert(goroutine.id, current.dump.goroutines.len());
        current.dump.goroutines.push(goroutine);
        current.dump.cut = cut;
    }

    /// The text ends here.
    pub(super) fn cut(&mut self, cut: Option<Cut>) {
        self.current.dump.cut = cut;
    }

    /// More lines of stacks that belong to no goroutine.
    pub(super) fn strays(&mut self, lines: u64) {
        self.current.dump.stray_lines += lines;
    }

    /// The dump has ended.
    pub(super) fn end(&mut self, writer: &str, into: &mut Dumps) {
        self.ids.clear();
        let dump = std::mem::take(&mut self.current);
        if !dump.dump.goroutines.is_empty() {
            into.add(dump, writer);
        }
    }
}

impl Dumps {
    fn add(&mut self, mut dump: GoLog, writer: &str) {
        /// At most this many writers are named.
        const MAX_WRITERS: usize = 16;
        if self.sizes.len() < MAX_DUMPS {
            self.sizes.push(dump.dump.goroutines.len());
        }
        if self.writers.len() < MAX_WRITERS && !self.writers.iter().any(|known| known == writer) {
            self.writers.push(writer.to_owned());
        }
        if self.best.as_ref().is_none_or(|best| best.dump.cut.is_some() || dump.dump.cut.is_none()) {
            writer.clone_into(&mut dump.writer);
            self.best = Some(dump);
        }
    }

    /// The chosen dump.
    pub(super) fn finish(self) -> GoLog {
        GoLog { dumps: self.sizes, writers: self.writers, ..self.best.unwrap_or_default() }
    }
}
