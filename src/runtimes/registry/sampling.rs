//! Which task of a registry a sampled moment of a thread belongs to.
//!
//! An entry says which thread polled its task last, and from when to when. A moment of that thread within the poll is
//! the task's. Nothing else proves it: a thread that polled tasks before may do anything else now.

use rustc_hash::{FxHashMap, FxHashSet};

use super::Registry;
use super::entries::{Batch, Doing, Entries, Entry};
use super::layout::{Header, Run};
use super::names::Names;
use super::places::Places;
use crate::code::{CodeBuilder, LabelSetId};
use crate::process::{Moment, Target, monotonic_ns};
use crate::recording::SampledTask;
use crate::runtimes::{Attribute, Claim, Owner};
use crate::snapshot::StackStatus;
use crate::{Error, Result};

/// The state of a running task.
const RUNNING: u32 = 2;
/// CLOCK_MONOTONIC and CLOCK_MONOTONIC_COARSE.
const EXACT_CLOCK: u32 = 1;
const COARSE_CLOCK: u32 = 6;
/// Reading all entries takes at most one part in this many of a core's time.
const SHARE: u64 = 50;
/// Entries that are read again between two readings of all.
const MAX_HOT: usize = 1024;
/// Polls that readings found running and that are remembered.
const MAX_SEEN: usize = 1 << 16;
/// Polls kept of one thread: polls may be nested.
const MAX_POLLS: usize = 16;

/// A task's last poll.
#[derive(Debug, Clone, Copy)]
struct Poll {
    /// When it had certainly begun, and until when it certainly lasted; CLOCK_MONOTONIC, nanoseconds.
    from_ns: u64,
    to_ns: u64,
    running: bool,
    task: SampledTask,
    labels: Option<LabelSetId>,
}

/// Says whose moments are.
pub(super) struct Attribution<'a> {
    registry: &'a Registry,
    target: &'a dyn Target,
    runtime: u8,
    header: Header,
    names: Names<'a>,
    /// The last polls by thread, in loiter's pid namespace.
    polls: FxHashMap<u32, Vec<Poll>>,
    /// Threads that polled tasks.
    workers: FxHashSet<u32>,
    /// By task: its poll, by count and begin, that a reading found running, and when the first such reading ended.
    seen: FxHashMap<u64, ((u64, u64), u64)>,
    /// Entries whose tasks were polled by threads that samples are of.
    hot: Vec<u64>,
    next_scan_ns: u64,
    /// The target's clock minus loiter's: at least and at most.
    offset_ns: (i128, i128),
}

impl<'a> Attribution<'a> {
    pub(super) fn new(registry: &'a Registry, target: &'a dyn Target, runtime: u8, header: Header) -> Self {
        let before = i128::from(monotonic_ns());
        let inside = target.monotonic_ns().map(i128::from);
        let after = i128::from(monotonic_ns());
        let offset_ns = match inside {
            // The same clock.
            Some(inside) if (before..=after).contains(&inside) => (0, 0),
            Some(inside) => (inside - after, inside - before),
            None => (0, 0),
        };
        Attribution {
            registry,
            target,
            runtime,
            names: Names::new(target, Places::new(header.location)),
            header,
            polls: FxHashMap::default(),
            workers: FxHashSet::default(),
            seen: FxHashMap::default(),
            hot: Vec::new(),
            next_scan_ns: 0,
            offset_ns,
        }
    }

    /// A time of the target's clock by loiter's, or somewhat later.
    fn not_before(&self, target_ns: u64) -> Option<u64> {
        u64::try_from(i128::from(target_ns) - self.offset_ns.0).ok()
    }

    /// A time of the target's clock by loiter's, or somewhat earlier.
    fn not_after(&self, target_ns: u64) -> Option<u64> {
        u64::try_from(i128::from(target_ns) - self.offset_ns.1).ok()
    }

    fn scan(&mut self, threads: &FxHashSet<u32>, into: &mut CodeBuilder) -> Result<()> {
        let begin = monotonic_ns();
        self.header = self.registry.header(self.target)?;
        self.hot.clear();
        let layout = self.header.entry.clone();
        let mut entries = Entries::new(self.target, &layout);
        for run in self.header.runs() {
            for block in Entries::blocks(&layout, run) {
                let begin = monotonic_ns();
                let batch = entries.read(block)?;
                self.keep(&batch, (begin, monotonic_ns()), threads, into)?;
            }
        }
        let end = monotonic_ns();
        self.next_scan_ns = end.saturating_add(end.saturating_sub(begin).saturating_mul(SHARE - 1));
        Ok(())
    }

    /// Reads again the entries of tasks that the threads of samples polled.
    fn read_hot(&mut self, threads: &FxHashSet<u32>, into: &mut CodeBuilder) -> Result<()> {
        let layout = self.header.entry.clone();
        let mut entries = Entries::new(self.target, &layout);
        for address in std::mem::take(&mut self.hot) {
            let begin = monotonic_ns();
            let batch = entries.read(Run { address, entries: 1 })?;
            self.keep(&batch, (begin, monotonic_ns()), threads, into)?;
        }
        Ok(())
    }

    /// Keeps the polls of entries that were read between two times.
    fn keep(
        &mut self,
        batch: &Batch,
        read_ns: (u64, u64),
        threads: &FxHashSet<u32>,
        into: &mut CodeBuilder,
    ) -> Result<()> {
        self.names.places.learn(self.target, batch, into).map_err(Error::from)?;
        for entry in &batch.entries {
            let Some(doing) = entry.doing.filter(|doing| doing.thread != 0) else { continue };
            let Some(tid) = self.target.thread_from_inside(doing.thread) else { continue };
            self.workers.insert(tid);
            if !threads.contains(&tid) {
                continue;
            }
            if self.hot.len() < MAX_HOT {
                self.hot.push(entry.address);
            }
            if let Some(poll) = self.poll(entry, &doing, read_ns, into) {
                let polls = self.polls.entry(tid).or_default();
                if polls.len() < MAX_POLLS {
                    polls.push(poll);
                }
            }
        }
        Ok(())
    }

    /// When an entry's last poll had begun for certain.
    ///
    /// The coarse clock is behind by some milliseconds, by more on a busy machine, so it says nothing of when a poll
    /// had begun: a reading does that found it running.
    fn begun_ns(&mut self, entry: &Entry, doing: &Doing, read_end_ns: u64) -> Option<u64> {
        match self.header.clocks[1] {
            EXACT_CLOCK => self.not_before(doing.last_start_ns).filter(|_| doing.last_start_ns != 0),
            COARSE_CLOCK => {
                let poll = (doing.polls?, doing.last_start_ns);
                match self.seen.get(&entry.id) {
                    Some((same, since)) if *same == poll => Some(*since),
                    _ if doing.state == Some(RUNNING) => {
                        if self.seen.len() >= MAX_SEEN {
                            self.seen.clear();
                        }
                        self.seen.insert(entry.id, (poll, read_end_ns));
                        Some(read_end_ns)
                    }
                    _ => None,
                }
            }
            _ => None,
        }
    }

    fn poll(
        &mut self,
        entry: &Entry,
        doing: &Doing,
        (read_begin_ns, read_end_ns): (u64, u64),
        into: &mut CodeBuilder,
    ) -> Option<Poll> {
        let from_ns = self.begun_ns(entry, doing, read_end_ns)?;
        let running = doing.state == Some(RUNNING);
        // The clock is never ahead, so the poll lasted at least until then.
        let to_ns = if running { read_begin_ns } else { self.not_after(doing.last_end_ns)? };
        let type_name = self.names.places.text(entry.type_name);
        let name = self.names.places.text(entry.name);
        let task = SampledTask {
            runtime: self.runtime,
            id: Some(entry.id),
            address: if entry.task_header == 0 { entry.address } else { entry.task_header },
            creator: self.names.location(entry.location, into),
            entry: type_name.map(|name| self.names.entry_function(name, into).0),
            system: false,
        };
        let labels = self.names.labels(name, entry.kind, into);
        (from_ns <= to_ns).then_some(Poll { from_ns, to_ns, running, task, labels })
    }
}

impl Attribute for Attribution<'_> {
    fn refresh(&mut self, moments: &[Moment<'_>], into: &mut CodeBuilder) -> Result<()> {
        self.polls.clear();
        if moments.is_empty() {
            return Ok(());
        }
        let threads: FxHashSet<u32> = moments.iter().map(|moment| moment.tid).collect();
        if monotonic_ns() >= self.next_scan_ns {
            self.scan(&threads, into)
        } else {
            self.read_hot(&threads, into)
        }
    }

    fn whose(&mut self, moment: &Moment<'_>, _into: &mut CodeBuilder) -> Option<Claim> {
        let covers = |poll: &&Poll| (poll.from_ns..=poll.to_ns).contains(&moment.at_ns);
        let polls = self.polls.get(&moment.tid).map(Vec::as_slice).unwrap_or_default();
        // A task that is polled within another one's poll began later.
        let found = polls.iter().filter(covers).max_by_key(|poll| poll.from_ns);
        match found {
            Some(poll) => Some(claim(Owner::Task(poll.task, poll.labels))),
            None if self.workers.contains(&moment.tid) => Some(claim(Owner::Unknown)),
            None => None,
        }
    }

    fn blocked(&mut self, tid: u32, since_ns: u64, into: &mut CodeBuilder) -> Option<Claim> {
        self.polls.clear();
        let threads = FxHashSet::from_iter([tid]);
        if monotonic_ns() >= self.next_scan_ns {
            self.scan(&threads, into).ok()?;
        } else {
            self.read_hot(&threads, into).ok()?;
        }
        let polls = self.polls.get(&tid)?.iter();
        let running = polls.filter(|poll| poll.running && poll.from_ns <= since_ns);
        running.max_by_key(|poll| poll.from_ns).map(|poll| claim(Owner::Task(poll.task, poll.labels)))
    }
}

/// The stack is the thread's own, which the caller unwinds.
fn claim(owner: Owner) -> Claim {
    Claim {
        owner,
        labels_known: matches!(owner, Owner::Task(..)),
        stack: Vec::new(),
        frames: None,
        stack_status: StackStatus::Unknown,
    }
}
