//! Whose the moments of threads are that poll the tasks of a registry.
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
use crate::process::{Moment, Target, coarse_step_ns, monotonic_ns};
use crate::recording::SampledTask;
use crate::runtimes::{Attribute, Claim, Owner};
use crate::snapshot::StackStatus;
use crate::{Error, Result};

/// The state of a running task.
const RUNNING: u32 = 2;
/// CLOCK_MONOTONIC and CLOCK_MONOTONIC_COARSE.
const EXACT_CLOCK: u32 = 1;
const COARSE_CLOCK: u32 = 6;
/// Reading all entries takes no more than this part of a core: one in this many.
const SHARE: u64 = 50;
/// Entries that are read again between two readings of all.
const MAX_HOT: usize = 1024;
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
    /// Entries whose tasks were polled by threads that samples are of.
    hot: Vec<u64>,
    next_scan_ns: u64,
    /// The target's clock minus loiter's.
    offset_ns: i128,
}

impl<'a> Attribution<'a> {
    pub(super) fn new(registry: &'a Registry, target: &'a dyn Target, runtime: u8, header: Header) -> Self {
        let inside = target.monotonic_ns().map_or(0, i128::from);
        Attribution {
            registry,
            target,
            runtime,
            names: Names::new(target, Places::new(header.location)),
            header,
            polls: FxHashMap::default(),
            workers: FxHashSet::default(),
            hot: Vec::new(),
            next_scan_ns: 0,
            offset_ns: inside - i128::from(monotonic_ns()),
        }
    }

    /// How far a time by the clock of polls may be before the moment that it stands for. None for a clock that is not
    /// known here.
    fn step_ns(&self) -> Option<u64> {
        match self.header.clocks[1] {
            EXACT_CLOCK => Some(0),
            COARSE_CLOCK => Some(coarse_step_ns()),
            _ => None,
        }
    }

    /// A time of the target's clock by loiter's.
    fn ours(&self, target_ns: u64) -> Option<u64> {
        u64::try_from(i128::from(target_ns) - self.offset_ns).ok()
    }

    fn scan(&mut self, threads: &FxHashSet<u32>, into: &mut CodeBuilder) -> Result<()> {
        let begin = monotonic_ns();
        self.header = self.registry.header(self.target)?;
        self.hot.clear();
        let layout = self.header.entry.clone();
        let mut entries = Entries::new(self.target, &layout);
        for run in self.header.runs() {
            for block in Entries::blocks(&layout, run) {
                let at_ns = monotonic_ns();
                let batch = entries.read(block)?;
                self.keep(&batch, at_ns, threads, into)?;
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
            let at_ns = monotonic_ns();
            let batch = entries.read(Run { address, entries: 1 })?;
            self.keep(&batch, at_ns, threads, into)?;
        }
        Ok(())
    }

    /// Keeps the polls of entries that were read after `at_ns`.
    fn keep(
        &mut self,
        batch: &Batch,
        at_ns: u64,
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
            if let Some(poll) = self.poll(entry, &doing, at_ns, into) {
                let polls = self.polls.entry(tid).or_default();
                if polls.len() < MAX_POLLS {
                    polls.push(poll);
                }
            }
        }
        Ok(())
    }

    fn poll(&mut self, entry: &Entry, doing: &Doing, at_ns: u64, into: &mut CodeBuilder) -> Option<Poll> {
        let step = self.step_ns()?;
        let from_ns =
            self.ours(doing.last_start_ns.checked_add(step)?).filter(|_| doing.last_start_ns != 0)?;
        let running = doing.state == Some(RUNNING);
        let to_ns = if running { at_ns } else { self.ours(doing.last_end_ns)? };
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
        stack_status: StackStatus::Unknown,
    }
}
