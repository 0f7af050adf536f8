//! Which task a sampled moment of a thread belongs to.
//!
//! The stack of a moment shows the function that polls a task ([`polls`]), and where that function keeps the address of the
//! task's header ([`kept`], by [`flow`] and [`values`]). [`tasks`] knows which task had a header at that time. So nothing rests
//! on what a thread does later.

use std::num::NonZeroUsize;

use rustc_hash::{FxHashMap, FxHashSet};

mod flow;
mod kept;
mod polls;
mod tasks;
mod values;

use super::Tokio;
use super::kinds::{self, LabelKey};
use super::owned::{self, Scheduler};
use super::places::{Places, function};
use super::scan::{self, Header};
use crate::Result;
use crate::code::{CodeBuilder, FunctionId, LabelSetId};
use crate::process::{Moment, Target, monotonic_ns};
use crate::recording::SampledTask;
use crate::runtimes::native::some_of;
use crate::runtimes::{Attribute, Claim, Owner, ReadOptions};
use crate::snapshot::StackStatus;
use crate::symbols::native::{NativeCode, NativeFrame, StackBytes};
use polls::{Poll, Polls, Shown};
use tasks::Tasks;

/// Searching memory for tasks takes at most one part in this many of a core's time.
const SHARE: u64 = 250;
/// Headers that are remembered as they were read after a batch.
const MAX_READ: usize = 1 << 16;
/// Sets of labels that are remembered.
const MAX_LABELS: usize = 1 << 16;

/// Says whose moments are.
pub(super) struct Attribution<'a> {
    tokio: &'a Tokio,
    target: &'a dyn Target,
    runtime: u8,
    polls: Polls<'a>,
    tasks: Tasks,
    places: Places<'a>,
    schedulers: Vec<Scheduler>,
    /// Vtables of the jobs that are workers of runtimes.
    workers: FxHashSet<u32>,
    /// How tasks are called, by their vtables.
    names: FxHashMap<u32, FunctionId>,
    labels: FxHashMap<LabelKey, Option<LabelSetId>>,
    /// Headers as they are since the last refresh.
    headers: FxHashMap<u64, Option<Header>>,
    next_search_ns: u64,
}

impl<'a> Attribution<'a> {
    /// # Errors
    /// If the target cannot be read.
    pub(super) fn new(tokio: &'a Tokio, target: &'a dyn Target, runtime: u8) -> Result<Self> {
        let code = NativeCode::of(target)?;
        let mut attribution = Attribution {
            tokio,
            target,
            runtime,
            polls: Polls::new(target, code, &tokio.known.vtables),
            tasks: Tasks::default(),
            places: Places::new(target),
            schedulers: Vec::new(),
            workers: FxHashSet::default(),
            names: FxHashMap::default(),
            labels: FxHashMap::default(),
            headers: FxHashMap::default(),
            next_search_ns: 0,
        };
        attribution.search()?;
        Ok(attribution)
    }

    /// Finds all tasks, so that they are known before they are sampled.
    fn search(&mut self) -> Result<()> {
        let begin = monotonic_ns();
        let found = scan::scan(self.target, &self.tokio.known, NonZeroUsize::MIN)?;
        let end = monotonic_ns();
        self.tasks.note(&found.headers, end);
        let slots = owned::has_slots(&self.tokio.versions);
        let mut schedulers = owned::schedulers(self.target, &found.headers, slots);
        self.tokio.tell_local_sets(&mut schedulers);
        if schedulers.len() != self.schedulers.len() {
            self.labels.clear();
        }
        self.schedulers = schedulers;
        let mut learned = self.tokio.learned();
        self.tokio.learn(self.target, &found.headers, &ReadOptions::default(), &mut learned)?;
        let workers = self.tokio.workers(&found.headers, &learned, &self.schedulers);
        if workers != self.workers {
            self.names.clear();
        }
        self.workers = workers;
        let took_ns = end.saturating_sub(begin);
        self.next_search_ns = end.saturating_add(took_ns.saturating_mul(SHARE - 1));
        Ok(())
    }

    /// How tasks with a vtable are called.
    fn name(&mut self, number: u32, into: &mut CodeBuilder) -> FunctionId {
        if let Some(&known) = self.names.get(&number) {
            return known;
        }
        let mut learned = self.tokio.learned();
        let like = Header { vtable: number, ..Header::default() };
        // Without more, it is called by its place.
        let _ = self.tokio.learn(self.target, &[like], &ReadOptions::default(), &mut learned);
        let vtable = self.tokio.known.vtables.get(number as usize);
        let text = kinds::name(learned.types.get(&number), vtable, self.workers.contains(&number));
        let name = function(&text, into);
        self.names.insert(number, name);
        name
    }

    /// The labels of a task. None if they are not known: its runtime is new.
    fn labels(&mut self, header: &Header, into: &mut CodeBuilder) -> Option<Option<LabelSetId>> {
        let (owner, blocking, _) = kinds::label_key(header, self.tokio.known.of(header));
        if !blocking && !self.schedulers.iter().any(|scheduler| scheduler.owner == owner) {
            return None;
        }
        // It may have been aborted since.
        let key = (owner, blocking, false);
        if let Some(&known) = self.labels.get(&key) {
            return Some(known);
        }
        if self.labels.len() >= MAX_LABELS {
            self.labels.clear();
        }
        let pairs = kinds::labels(key, &self.schedulers);
        let pairs = pairs.iter().map(|(name, value)| (*name, value.as_str()));
        let set = (pairs.len() > 0).then(|| into.labels(pairs));
        self.labels.insert(key, set);
        Some(set)
    }

    /// A header as it is now.
    fn header(&mut self, address: u64, function: u64) -> Option<Header> {
        if let Some(&known) = self.headers.get(&address) {
            return known;
        }
        if self.headers.len() >= MAX_READ {
            self.headers.clear();
        }
        let header = tasks::read(self.target, &self.tokio.known, self.polls.vtables(function), address);
        self.headers.insert(address, header);
        header
    }

    /// Whose a poll is. `at_ns`: it was sampled then. None: it goes on, and the thread does not run.
    fn owner(&mut self, poll: &Poll, at_ns: Option<u64>, into: &mut CodeBuilder) -> (Owner, bool) {
        let header = poll.header.and_then(|address| self.header(address, poll.function));
        let certain = |header: &Header, tasks: &mut Tasks| at_ns.is_none_or(|at_ns| tasks.was(header, at_ns));
        let Some(header) = header.filter(|header| certain(header, &mut self.tasks)) else {
            return (self.some_task(poll.function, into), false);
        };
        if self.workers.contains(&header.vtable) {
            return (Owner::Scheduler, true);
        }
        let labels = self.labels(&header, into);
        let task = SampledTask {
            runtime: self.runtime,
            id: Some(header.id),
            address: header.address,
            creator: self.places.location(header.spawned_at, into),
            entry: Some(self.name(header.vtable, into)),
            system: false,
        };
        (Owner::Task(task, labels.flatten()), labels.is_some())
    }

    /// Some task that a function polls. Its name is known if all of them have the same.
    fn some_task(&mut self, function: u64, into: &mut CodeBuilder) -> Owner {
        let vtables = self.polls.vtables(function).to_vec();
        let workers = vtables.iter().filter(|vtable| self.workers.contains(vtable)).count();
        if workers > 0 {
            return if workers == vtables.len() { Owner::Scheduler } else { Owner::Unknown };
        }
        let mut names = vtables.into_iter().map(|vtable| self.name(vtable, into));
        let first = names.next();
        let entry = first.filter(|first| names.all(|name| name == *first));
        Owner::Task(SampledTask { runtime: self.runtime, entry, ..SampledTask::default() }, None)
    }

    fn claim(&mut self, shown: Shown, at_ns: Option<u64>, into: &mut CodeBuilder) -> Option<Claim> {
        let ((owner, labels_known), frames) = match shown {
            Shown::Poll(poll) => {
                let (owner, labels_known) = self.owner(&poll, at_ns, into);
                let is_task = matches!(owner, Owner::Task(..));
                ((owner, labels_known), is_task.then_some(poll.frames))
            }
            // It may poll a task further out.
            Shown::Unknown => ((Owner::Unknown, false), None),
            Shown::Nothing => return None,
        };
        Some(Claim { owner, labels_known, stack: Vec::new(), frames, stack_status: StackStatus::Unknown })
    }
}

impl Attribute for Attribution<'_> {
    fn refresh(&mut self, moments: &[Moment<'_>], _into: &mut CodeBuilder) -> Result<()> {
        self.headers.clear();
        if !moments.is_empty() && monotonic_ns() >= self.next_search_ns {
            self.search()?;
        }
        Ok(())
    }

    fn renew_code(&mut self) {
        self.polls.renew(self.target);
    }

    fn whose(&mut self, moment: &Moment<'_>, into: &mut CodeBuilder) -> Option<Claim> {
        let stack = StackBytes { base: moment.registers.sp, bytes: moment.stack };
        let shown = self.polls.find(NativeFrame::with_registers(&moment.registers), stack);
        self.claim(shown, Some(moment.at_ns), into)
    }

    fn blocked(&mut self, tid: u32, _since_ns: u64, into: &mut CodeBuilder) -> Option<Claim> {
        let at = self.target.blocked_at(tid)?;
        self.headers.clear();
        let bytes = some_of(self.target, at.sp);
        let stack = StackBytes { base: at.sp, bytes: &bytes };
        let shown = self.polls.find(NativeFrame::innermost(at.pc, at.sp, None), stack);
        let claim = self.claim(shown, None, into);
        self.headers.clear();
        // Only if it has not run since may all this be put together.
        claim.filter(|_| self.target.blocked_at(tid) == Some(at))
    }
}
