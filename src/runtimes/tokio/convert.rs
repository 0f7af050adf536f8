//! Turns headers into tasks of the model. [`roots`] does so with the futures of `block_on`.

mod roots;

use std::collections::BTreeSet;

use rustc_hash::{FxHashMap, FxHashSet};

use super::chain::{self, Asked, Chain, Chains, FutureKind, Held, Moved, Wanted};
use super::names::Name;
use super::owned::{Kind, Scheduler};
use super::places::{Places, function};
use super::running::Thread;
use super::scan::{Header, Known, state};
use crate::cause::full_text;
use crate::code::{FunctionId, LabelSetId, Location, StackId, StrId};
use crate::process::{Target, TargetError};
use crate::runtimes::ReadOptions;
use crate::snapshot::{
    Action, Actor, Branch, By, Certainty, Hold, ObjectId, ObjectKind, SnapshotBuilder, Span, StackStatus,
    Task, TaskState, Timer, TimerKind, TimerState, Wait, WaitClass,
};

/// The reason of a task that nothing can wake.
const NO_WAKER: &str = "no waker";
/// The reason of a task that has ended and whose `JoinHandle` still exists, with its output.
const NOT_JOINED: &str = "finished, not joined";

/// Branches of all tasks that are kept.
const MAX_BRANCHES: usize = 1 << 22;

/// Tasks whose memory is read at a time. Most time is saved with few already, and a task that runs meanwhile has to be read
/// again.
const AT_A_TIME: usize = 128;

/// What is known of the type of a task's future, with the ids of one snapshot.
#[derive(Debug, Clone, Copy)]
struct Entry {
    function: FunctionId,
    stack: StackId,
    is_worker: bool,
}

/// What is known of the types of futures, by the index of the vtable.
#[derive(Debug, Clone, Default)]
pub(super) struct FutureType {
    pub(super) name: Option<Name>,
    /// Where the poll function is, as "program+0x1234".
    pub(super) place: String,
    /// What the debug information of an image, by its number, says.
    pub(super) kind: Option<(usize, FutureKind)>,
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
    /// What is known of the types of each image.
    pub(super) chains: &'a mut [Chains],
    /// Nothing moves.
    pub(super) still: bool,
    target: &'a dyn Target,
    runtime: u8,
    /// The number of its first task.
    pub(super) first: usize,
    /// The number behind its last task that has a header.
    end: usize,
    entries: FxHashMap<u32, Entry>,
    labels: FxHashMap<(u64, bool, bool), Option<LabelSetId>>,
    places: Places<'a>,
    awaits: chain::Places,
    descriptors: BTreeSet<u32>,
    /// Locks that tasks may hold, with the numbers of the tasks, in order.
    held: Vec<(usize, Held)>,
    branches_left_out: bool,
    no_waker: Option<StrId>,
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
            chains: &mut [],
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
            descriptors: BTreeSet::new(),
            held: Vec::new(),
            branches_left_out: false,
            no_waker: None,
        }
    }

    /// Adds tasks.
    pub(super) fn tasks(&mut self, headers: &[Header], into: &mut SnapshotBuilder) {
        for headers in headers.chunks(AT_A_TIME) {
            for (header, chain) in headers.iter().zip(self.chains(headers)) {
                self.task(header, chain, into);
            }
        }
    }

    /// Where tasks await, and what for, of those of which it is known.
    fn chains(&mut self, headers: &[Header]) -> Vec<Result<Option<Chain>, Moved>> {
        let mut chains: Vec<_> = headers.iter().map(|_| Ok(None)).collect();
        for (number, image) in self.chains.iter_mut().enumerate() {
            let mut places = Vec::new();
            let mut asked = Vec::new();
            for (place, header) in headers.iter().enumerate() {
                let kind = self.types.get(&header.vtable).and_then(|known| known.kind.as_ref());
                let (Some((of, kind)), Some(vtable)) = (kind, self.known.of(header)) else { continue };
                let is_wanted = matches!(state_of(header), TaskState::Waiting | TaskState::Runnable);
                if is_wanted && *of == number {
                    places.push(place);
                    asked.push(Asked { kind, header, vtable });
                }
            }
            for (place, chain) in places.into_iter().zip(image.chains(&asked, self.target, self.still)) {
                chains[place] = chain;
            }
        }
        chains
    }

    /// Adds a task.
    fn task(&mut self, header: &Header, chain: Result<Option<Chain>, Moved>, into: &mut SnapshotBuilder) {
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
            stack: Some(entry.stack),
            stack_status: StackStatus::Unknown,
            ..Task::default()
        };
        match chain {
            Ok(Some(chain)) => self.add_chain(&mut task, chain, into),
            Ok(None) => {}
            Err(Moved) => {
                task.stack_status = StackStatus::Torn;
                into.header.reading.torn += 1;
            }
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
        if !thread.locations.is_empty() {
            task.stack = Some(into.code.stack(thread.locations.clone()));
            task.stack_status = thread.status;
        }
    }

    /// Where it awaits, and what for.
    fn add_chain(&mut self, task: &mut Task, chain: Chain, into: &mut SnapshotBuilder) {
        let places = &mut self.awaits;
        let awaits = chain.awaits.iter().filter_map(|at| places.location(at, &mut into.code));
        let mut locations: Vec<_> = awaits.collect();
        // What is around the outermost async function has no line.
        let entry = task.entry.map_or("", |entry| into.code.function_name(entry));
        if chain.awaits.last().is_none_or(|outermost| outermost.name() != entry) {
            locations.extend(task.stack.map_or(&[] as &[_], |stack| into.code.stack_at(stack)));
        }
        if !locations.is_empty() {
            task.stack = Some(into.code.stack(locations));
        }
        task.stack_status = chain.status;
        let row = into.task_count();
        self.held.extend(chain.held.into_iter().map(|held| (row, held)));
        let Some(leaf) = chain.leaf.filter(|_| task.state == TaskState::Waiting) else { return };
        task.reason = Some(into.code.string(&leaf.reason));
        task.wait_class = leaf.class;
        if into.room_for_waits(leaf.objects.len()) {
            let waits: Vec<Wait> = leaf.objects.iter().map(|wanted| self.wait(wanted, into)).collect();
            task.waits = into.waits(waits);
        }
        self.branches(task, &leaf.branches, into);
    }

    /// Adds the futures that a task, which is about to be added, polls together.
    fn branches(&mut self, task: &Task, branches: &[chain::Branch], into: &mut SnapshotBuilder) {
        if into.links.branches.len().saturating_add(branches.len()) > MAX_BRANCHES {
            self.branches_left_out = true;
            return;
        }
        let row = u32::try_from(into.task_count()).unwrap_or(u32::MAX);
        for (branch, number) in branches.iter().zip(0..) {
            let locations: Vec<_> =
                branch.awaits.iter().filter_map(|at| self.awaits.location(at, &mut into.code)).collect();
            let part = |(first, len): (usize, usize)| {
                let (first, len) = (u32::try_from(first).ok()?, u32::try_from(len).ok()?);
                let start = task.waits.start.checked_add(first)?;
                let span = Span { start, len };
                (span.end() <= task.waits.end()).then_some(span)
            };
            let added = Branch {
                task: row,
                number,
                depth: branch.depth,
                nth: branch.nth,
                of: branch.of,
                stack: (!locations.is_empty()).then(|| into.code.stack(locations)),
                stack_status: branch.status,
                reason: Some(into.code.string(&branch.reason)),
                wait_class: branch.class,
                waits: part(branch.objects).unwrap_or_default(),
            };
            into.links.branches.push(added);
        }
    }

    fn wait(&mut self, wanted: &Wanted, into: &mut SnapshotBuilder) -> Wait {
        let object = into.object(wanted.kind, wanted.address, |_| wanted.channel);
        into.count_waiter(object, wanted.op);
        if wanted.kind == ObjectKind::Timer {
            let state = wanted.deadline_ns.map_or(TimerState::Unknown, TimerState::At);
            into.links.timers.push(Timer { object, kind: TimerKind::Sleep, state, period_ns: 0 });
        }
        if wanted.kind == ObjectKind::Descriptor {
            self.descriptors.extend(u32::try_from(wanted.address));
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
                let location = self.awaits.location(&held.at, &mut into.code);
                holds.push(Hold { object, how: held.how, location });
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
        let known = self.types.get(&vtable);
        let name = known.and_then(|known| known.name.as_ref());
        let is_worker = self.workers.contains(&vtable);
        let text = match (name, known) {
            (Some(name), _) => name.text.clone(),
            (None, _) if is_worker => "tokio worker".to_owned(),
            (None, Some(known)) => self.nameless(vtable, &known.place),
            (None, None) => "future".to_owned(),
        };
        let function = function(&text, &mut into.code);
        let frame = into.code.frame(function, "", 0);
        let location = into.code.location(Location::in_source(vec![frame]));
        let stack = into.code.stack(vec![location]);
        let entry = Entry { function, stack, is_worker };
        self.entries.insert(vtable, entry);
        entry
    }

    /// A type without a name: by the place of its code, and by its size.
    fn nameless(&self, vtable: u32, place: &str) -> String {
        let vtable = self.known.vtables.get(vtable as usize);
        let size = vtable.map_or(0, |vtable| vtable.trailer.saturating_sub(vtable.stage()));
        let what = if vtable.is_some_and(|vtable| vtable.is_blocking()) { "closure" } else { "future" };
        format!("{what} of {place} ({size} bytes)")
    }

    /// The runtime, where there are several; the kind of task, if it is unusual; that it was aborted.
    fn labels(&mut self, header: &Header, into: &mut SnapshotBuilder) -> Option<LabelSetId> {
        let blocking = self.known.of(header).is_some_and(|vtable| vtable.is_blocking());
        let key = (header.owner, blocking, header.has(state::CANCELLED));
        if let Some(&known) = self.labels.get(&key) {
            return known;
        }
        let scheduler = self.schedulers.iter().find(|scheduler| scheduler.owner == header.owner);
        let runtime = scheduler
            .filter(|_| self.schedulers.len() > 1)
            .map(|scheduler| format!("{} {}", scheduler.kind.name(), scheduler.owner));
        let kind = match (blocking, scheduler.map(|scheduler| scheduler.kind)) {
            (true, _) => Some("blocking"),
            (_, Some(Kind::LocalSet)) => Some("local"),
            _ => None,
        };
        let pairs = [
            key.2.then_some(("cancelled", "yes")),
            kind.map(|kind| ("kind", kind)),
            runtime.as_deref().map(|runtime| ("runtime", runtime)),
        ];
        let pairs: Vec<_> = pairs.into_iter().flatten().collect();
        let set = (!pairs.is_empty()).then(|| into.code.labels(pairs));
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
