//! Turns headers into tasks of the model. [`reader`] reads their chains, some ahead. [`roots`] does the same with the futures of
//! `block_on`; [`sockets`] adds what tasks wait for where chains do not say it.

mod reader;
mod roots;
mod sockets;

use std::collections::BTreeSet;
use std::rc::Rc;
use std::sync::Arc;

use rustc_hash::{FxHashMap, FxHashSet};

use super::chain::{self, Found, HeldLock, Ready, Wanted};
use super::find::Vtable;
use super::kinds::{self, FutureType};
use super::owned::Scheduler;
use super::places::{Places, function};
use super::running::Thread;
use super::scan::{Header, Known, state};
use crate::cause::full_text;
use crate::code::{FunctionId, LabelSetId, Location, StackId, StrId};
use crate::process::{Target, TargetError};
use crate::runtimes::ReadOptions;
use crate::snapshot::{
    Action, Actor, By, Certainty, Hold, ObjectId, ObjectKind, SnapshotBuilder, StackStatus, Task, TaskState,
    Timer, TimerKind, TimerState, Wait, WaitClass,
};
pub(super) use reader::ChainReader;
use reader::OfTask;

/// The reason of a task that nothing can wake.
const NO_WAKER: &str = "no waker";
/// The reason of a task that has ended and whose `JoinHandle` still exists, with its output.
const NOT_JOINED: &str = "finished, not joined";

/// Branches of all tasks that are kept.
const MAX_BRANCHES: usize = 1 << 22;

/// What is known of the type of a task's future, with the ids of one snapshot.
#[derive(Debug, Clone, Copy)]
struct Entry {
    function: FunctionId,
    stack: StackId,
    is_worker: bool,
}

/// Turns the headers of one reading into tasks.
pub(super) struct Converter<'a> {
    known: &'a Known,
    types: &'a FxHashMap<u32, FutureType>,
    schedulers: &'a [Scheduler],
    /// Vtables of the jobs that are workers.
    pub(super) workers: FxHashSet<u32>,
    /// Tasks that had no waker in the last reading: address and id, in order.
    stuck: &'a [(u64, u64)],
    /// The threads that run tasks, by the address of the task's header.
    pub(super) threads: FxHashMap<u64, Thread>,
    /// Nothing moves.
    pub(super) still: bool,
    target: &'a dyn Target,
    runtime: u8,
    /// The number of its first task.
    pub(super) first: usize,
    /// The number behind its last task that has a header.
    end: usize,
    entries: FxHashMap<u32, Entry>,
    labels: FxHashMap<kinds::LabelKey, Option<LabelSetId>>,
    places: Places<'a>,
    awaits: chain::Places,
    /// Chains by the image and the number there.
    ready: FxHashMap<(usize, u32), Rc<Ready>>,
    descriptors: BTreeSet<u32>,
    /// Locks that tasks may hold, with the numbers of the tasks, in order.
    held: Vec<(usize, HeldLock)>,
    branches_left_out: bool,
    no_waker: Option<StrId>,
    /// Kept for the next task.
    waits: Vec<Wait>,
}

impl<'a> Converter<'a> {
    pub(super) fn new(
        target: &'a dyn Target,
        known: &'a Known,
        types: &'a FxHashMap<u32, FutureType>,
        schedulers: &'a [Scheduler],
        stuck: &'a [(u64, u64)],
        runtime: u8,
    ) -> Converter<'a> {
        Converter {
            known,
            types,
            schedulers,
            workers: FxHashSet::default(),
            threads: FxHashMap::default(),
            still: false,
            target,
            stuck,
            runtime,
            first: 0,
            end: 0,
            entries: FxHashMap::default(),
            labels: FxHashMap::default(),
            places: Places::new(target),
            awaits: chain::Places::default(),
            ready: FxHashMap::default(),
            descriptors: BTreeSet::new(),
            held: Vec::new(),
            branches_left_out: false,
            no_waker: None,
            waits: Vec::new(),
        }
    }

    /// Adds tasks.
    pub(super) fn tasks(&mut self, headers: &[Header], chains: ChainReader<'_>, into: &mut SnapshotBuilder) {
        let before = into.lengths();
        let mut left = headers.len();
        chains.each_part(headers, |part, chains| {
            let is_first = left == headers.len();
            left -= part.len();
            for (nth, header) in part.iter().enumerate() {
                self.task(header, chains.of(nth), into);
            }
            if is_first {
                into.reserve_alike(before, part.len(), left);
            }
        });
    }

    /// Adds a task.
    fn task(&mut self, header: &Header, chain: Option<OfTask<'_>>, into: &mut SnapshotBuilder) {
        if self.known.of(header).is_none() {
            return;
        }
        let entry = self.entry(header.vtable, into);
        let state = state_of(header);
        let mut task = Task {
            runtime: self.runtime,
            id: Some(header.id),
            address: header.address,
            state,
            wait_class: if state == TaskState::Waiting { WaitClass::Unknown } else { WaitClass::Nothing },
            creator: self.places.location(header.spawned_at, &mut into.code),
            entry: Some(entry.function),
            labels: self.labels(header, into),
            system: entry.is_worker,
            // A job of the blocking pool stays on its thread.
            locked_to_thread: self.known.of(header).is_some_and(Vtable::is_blocking) && !entry.is_worker,
            stack: Some(entry.stack),
            stack_status: StackStatus::Unknown,
            ..Task::default()
        };
        match chain.as_ref().map(|chain| (chain, chain.found)) {
            Some((chain, Found::Known(number, begin))) => {
                if let Some(ready) = self.known_chain(chain, *number, &task, into) {
                    self.add_chain(&mut task, &ready, chain.kept.get(*begin..).unwrap_or_default(), into);
                }
            }
            Some((_, Found::Own(template, kept))) => {
                let ready = self.ready(template, &task, into);
                self.add_chain(&mut task, &ready, kept, into);
            }
            Some((_, Found::Moved)) => {
                task.stack_status = StackStatus::Torn;
                into.header.reading.torn += 1;
            }
            Some((_, Found::Unknown)) | None => {}
        }
        if state == TaskState::Waiting {
            self.wakers(&mut task, header, into);
        }
        if state == TaskState::Finished && header.has(state::JOIN_INTEREST) {
            task.reason = Some(into.code.string(NOT_JOINED));
        }
        if state == TaskState::Running {
            task.stack_status = StackStatus::Running;
            self.running(&mut task, into);
        }
        into.task(task);
    }

    /// The thread that runs it, with its stack.
    fn running(&self, task: &mut Task, into: &mut SnapshotBuilder) {
        let Some(thread) = self.threads.get(&task.address) else { return };
        task.thread = Some(thread.tid);
        thread.add_call(into.task_count(), into);
        if !thread.locations.is_empty() {
            task.stack = Some(into.code.stack(thread.locations.clone()));
            task.stack_status = thread.status;
        }
    }

    /// The chain with a number in its image, which tasks of one type share.
    fn known_chain(
        &mut self,
        chain: &OfTask<'_>,
        number: u32,
        task: &Task,
        into: &mut SnapshotBuilder,
    ) -> Option<Rc<Ready>> {
        if let Some(known) = self.ready.get(&(chain.image, number)) {
            return Some(Rc::clone(known));
        }
        let ready = Rc::new(self.ready(chain.template(number)?, task, into));
        self.ready.insert((chain.image, number), Rc::clone(&ready));
        Some(ready)
    }

    fn ready(&mut self, template: &Arc<chain::Template>, task: &Task, into: &mut SnapshotBuilder) -> Ready {
        let entry = task.entry.map_or(String::new(), |entry| into.code.function_name(entry).to_owned());
        Ready::of(template, (entry.as_str(), task.stack), &mut self.awaits, &mut into.code)
    }

    /// Where it awaits, and what for.
    fn add_chain(&mut self, task: &mut Task, ready: &Ready, kept: &[u64], into: &mut SnapshotBuilder) {
        task.stack = ready.stack;
        task.stack_status = ready.status;
        let row = into.task_count();
        self.held.extend(ready.held(kept).map(|held| (row, held)));
        let Some((reason, class)) = ready.wait.filter(|_| task.state == TaskState::Waiting) else { return };
        (task.reason, task.wait_class) = (Some(reason), class);
        let objects = ready.objects();
        if into.room_for_waits(objects.len()) {
            let mut waits = std::mem::take(&mut self.waits);
            waits.extend(objects.iter().map(|wanted| self.wait(wanted, kept, into)));
            task.waits = into.waits(waits.drain(..));
            self.waits = waits;
        }
        if into.links.branches.len().saturating_add(ready.branch_count()) > MAX_BRANCHES {
            self.branches_left_out = true;
            return;
        }
        let row = u32::try_from(row).unwrap_or(u32::MAX);
        into.links.branches.extend(ready.branches(row, task.waits));
    }

    fn wait(&mut self, wanted: &Wanted, kept: &[u64], into: &mut SnapshotBuilder) -> Wait {
        let address = wanted.address.of(kept);
        let object = into.object(wanted.kind, address, |_| wanted.channel.map(|channel| channel.of(kept)));
        into.links.handles.extend(wanted.handles.map(|handles| handles.of(object, kept)));
        into.count_waiter(object, wanted.op);
        if wanted.kind == ObjectKind::Timer {
            let state = wanted.deadline_ns(kept).map_or(TimerState::Unknown, TimerState::At);
            into.links.timers.push(Timer { object, kind: TimerKind::Sleep, state, period_ns: 0 });
        }
        if wanted.kind == ObjectKind::Descriptor {
            self.descriptors.extend(u32::try_from(address));
        }
        Wait { op: wanted.op, object }
    }

    /// Says which tasks they are whose end others wait for. `first` and `end`: the numbers of the runtime's first task and of
    /// the one after its last; they were added in the order of their addresses.
    fn joined((first, end): (usize, usize), into: &mut SnapshotBuilder) {
        let rows = into.tasks().get(first..end).unwrap_or_default();
        let mut actors = Vec::new();
        for (object, id) in into.objects().iter().zip((0..).map(ObjectId)) {
            if object.kind != ObjectKind::Task {
                continue;
            }
            let Ok(row) = rows.binary_search_by_key(&object.address, |task| task.address) else { continue };
            let by = By::Task(u32::try_from(first + row).unwrap_or(u32::MAX));
            let (action, certainty) = (Action::End, Certainty::Sure);
            actors.push(Actor { object: id, by, action, certainty, location: None, hops: 0 });
        }
        into.links.actors.extend(actors);
    }

    /// Adds who holds the locks that tasks wait for.
    fn holders(&mut self, into: &mut SnapshotBuilder) {
        let is_lock = |kind| matches!(kind, ObjectKind::Mutex | ObjectKind::RwMutex | ObjectKind::Semaphore);
        let locks = into.objects().iter().zip((0..).map(ObjectId));
        let locks: FxHashMap<(ObjectKind, u64), ObjectId> = locks
            .filter(|(object, _)| is_lock(object.kind))
            .map(|(object, id)| ((object.kind, object.address), id))
            .collect();
        for of_task in self.held.chunk_by(|(row, _), (other, _)| row == other) {
            let mut holds: Vec<Hold> = Vec::new();
            for (_, held) in of_task {
                let Some(&object) = locks.get(&(held.kind, held.lock)) else { continue };
                holds.push(Hold { object, how: held.how, location: held.location });
            }
            if let (Some((row, _)), false) = (of_task.first(), holds.is_empty()) {
                into.task_mut(*row).holds = into.holds(holds);
            }
        }
    }

    /// Adds which tasks others wait for, who holds locks, and what the kernel says of the descriptors that tasks wait for.
    pub(super) fn finish(
        mut self,
        options: &ReadOptions,
        into: &mut SnapshotBuilder,
    ) -> Result<(), TargetError> {
        Self::joined((self.first, self.end), into);
        self.holders(into);
        if self.branches_left_out {
            let warning =
                format!("tasks poll more than {MAX_BRANCHES} futures together: the rest is left out");
            into.header.warnings.push(warning);
        }
        if options.links.is_zero() || self.descriptors.is_empty() {
            return Ok(());
        }
        into.links.descriptors.iter().for_each(|known| {
            self.descriptors.remove(&known.fd);
        });
        let all: Vec<u32> = self.descriptors.into_iter().collect();
        match self.target.descriptors(&all) {
            Ok(found) => into.links.descriptors.extend(found),
            Err(error @ TargetError::Ended { .. }) => return Err(error),
            Err(error) => {
                let unknown = format!("what the descriptors are is unknown: {}", full_text(&error));
                into.links.unknown.push(unknown);
            }
        }
        Ok(())
    }

    /// A task that nothing can wake has leaked. A second reading must find the same.
    fn wakers(&mut self, task: &mut Task, header: &Header, into: &mut SnapshotBuilder) {
        if !header.has_no_waker() {
            return;
        }
        if task.reason.is_none() {
            task.reason = Some(*self.no_waker.get_or_insert_with(|| into.code.string(NO_WAKER)));
        }
        task.leaked = self.stuck.binary_search(&(header.address, header.id)).is_ok();
        if task.leaked {
            task.wait_class = WaitClass::Leaked;
        }
    }

    fn entry(&mut self, vtable: u32, into: &mut SnapshotBuilder) -> Entry {
        if let Some(&known) = self.entries.get(&vtable) {
            return known;
        }
        let is_worker = self.workers.contains(&vtable);
        let known = self.known.vtables.get(vtable as usize);
        let text = kinds::name(self.types.get(&vtable), known, is_worker);
        let function = function(&text, &mut into.code);
        let frame = into.code.frame(function, "", 0);
        let location = into.code.location(Location::in_source(vec![frame]));
        let stack = into.code.stack(vec![location]);
        let entry = Entry { function, stack, is_worker };
        self.entries.insert(vtable, entry);
        entry
    }

    /// The runtime, where there are several; the kind of task, if it is unusual; that it was aborted.
    fn labels(&mut self, header: &Header, into: &mut SnapshotBuilder) -> Option<LabelSetId> {
        let key = kinds::label_key(header, self.known.of(header));
        if let Some(&known) = self.labels.get(&key) {
            return known;
        }
        let pairs = kinds::labels(key, self.schedulers);
        let pairs = pairs.iter().map(|(name, value)| (*name, value.as_str()));
        let set = (pairs.len() > 0).then(|| into.code.labels(pairs));
        self.labels.insert(key, set);
        set
    }
}

/// What a task is doing, by its state.
pub(super) fn state_of(header: &Header) -> TaskState {
    match () {
        () if header.has(state::RUNNING) => TaskState::Running,
        () if header.has(state::COMPLETE) => TaskState::Finished,
        () if header.has(state::NOTIFIED) => TaskState::Runnable,
        () => TaskState::Waiting,
    }
}
