//! Turns entries into tasks.

use rustc_hash::FxHashMap;

use super::chain::ChainStatus;
use super::codes;
use super::entries::{Batch, Doing, Entry};
use super::layout::Header;
use super::places::Places;
use crate::process::{Target, TargetError};
use crate::runtimes::images::Images;
use crate::snapshot::{
    Age, Frame, FunctionId, FunctionKind, LabelSetId, Location, LocationId, SnapshotBuilder, StackId,
    StackStatus, StrId, Task, TaskState, Wait, WaitClass,
};
use crate::words::rust as words;

/// CLOCK_MONOTONIC and CLOCK_MONOTONIC_COARSE, which share their zero.
const KNOWN_CLOCKS: [u32; 2] = [1, 6];

/// The basis of labels: the name and the kind of a task.
type Labelled = (Option<StrId>, u32);

/// Turns the entries of one registry into tasks.
pub(super) struct Converter<'a> {
    target: &'a dyn Target,
    runtime: u8,
    pub(super) into: &'a mut SnapshotBuilder,
    pub(super) places: Places,
    /// Now, by the clock of spawns and by that of polls, if these are known.
    now: [Option<u64>; 2],
    images: Images<'a>,
    locations: FxHashMap<u64, LocationId>,
    /// By the name of the type: the function and its outermost frame.
    entries: FxHashMap<StrId, (FunctionId, LocationId)>,
    /// By their parts: the entry, then places from the innermost on.
    stacks: FxHashMap<Vec<u64>, StackId>,
    key: Vec<u64>,
    reasons: FxHashMap<u32, Option<StrId>>,
    /// By stack: the kind of reading or writing that a task does there.
    io_classes: FxHashMap<StackId, WaitClass>,
    /// The labels of the previous task: neighbours often have the same.
    labels: Option<(Labelled, Option<LabelSetId>)>,
    name_key: Option<StrId>,
    threads: FxHashMap<u32, Option<u32>>,
    unknown_clocks: bool,
}

impl<'a> Converter<'a> {
    pub(super) fn new(
        target: &'a dyn Target,
        header: &Header,
        runtime: u8,
        into: &'a mut SnapshotBuilder,
    ) -> Self {
        let now = target.monotonic_ns();
        Converter {
            target,
            runtime,
            into,
            places: Places::new(header.location),
            now: header.clocks.map(|clock| now.filter(|_| KNOWN_CLOCKS.contains(&clock))),
            images: Images::new(target),
            locations: FxHashMap::default(),
            entries: FxHashMap::default(),
            stacks: FxHashMap::default(),
            key: Vec::new(),
            reasons: FxHashMap::default(),
            io_classes: FxHashMap::default(),
            labels: None,
            name_key: None,
            threads: FxHashMap::default(),
            unknown_clocks: header.clocks.iter().any(|clock| !KNOWN_CLOCKS.contains(clock)),
        }
    }

    /// Adds the result of reading a block.
    pub(super) fn batch(&mut self, batch: &Batch) -> Result<(), TargetError> {
        self.places.learn(self.target, batch, self.into)?;
        let reading = &mut self.into.header.reading;
        reading.retried += batch.retried;
        reading.torn += batch.torn.len() as u64;
        for entry in &batch.entries {
            self.entry(entry, batch);
        }
        for &address in &batch.torn {
            let unknown = self.unknown(address);
            self.into.task(unknown);
        }
        Ok(())
    }

    /// What cannot be judged here but should be reported.
    pub(super) fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        if self.places.left_out > 0 {
            warnings.push("it has more names and locations than loiter keeps: some are left out".to_owned());
        }
        if self.unknown_clocks {
            warnings.push("it uses a clock unknown to loiter: ages are unknown".to_owned());
        }
        warnings
    }

    /// A task whose entry kept changing.
    fn unknown(&self, address: u64) -> Task {
        Task { runtime: self.runtime, address, stack_status: StackStatus::Torn, ..Task::default() }
    }

    fn entry(&mut self, entry: &Entry, batch: &Batch) {
        let type_name = self.places.text(entry.type_name);
        let name = self.places.text(entry.name);
        let function = type_name.map(|name| self.entry_function(name));
        let (start, len) = entry.places;
        let places = batch.places.get(start..start.saturating_add(len)).unwrap_or_default();
        let (stack, stack_status) = self.stack(type_name, places, entry.chain_status);
        let mut task = Task {
            id: Some(entry.id),
            address: if entry.task_header == 0 { entry.address } else { entry.task_header },
            parent: (entry.parent != 0).then_some(entry.parent),
            lifetime_ns: since(self.now[0], entry.spawned_ns),
            creator: self.location(entry.location),
            entry: function.map(|(function, _)| function),
            labels: self.labels(name, entry.kind),
            locked_to_thread: codes::is_bound_to_thread(entry.kind),
            stack,
            stack_status,
            ..self.unknown(entry.address)
        };
        if let Some(doing) = &entry.doing {
            self.doing(&mut task, entry, doing);
        }
        self.into.task(task);
    }

    fn doing(&mut self, task: &mut Task, entry: &Entry, doing: &Doing) {
        task.state = doing.state.map_or(TaskState::Unknown, codes::state);
        task.polls = doing.polls;
        task.age = match task.state {
            TaskState::Running => self.age(doing.last_start_ns),
            TaskState::Runnable if doing.last_end_ns == 0 => {
                since(self.now[0], entry.spawned_ns).map_or(Age::Unknown, Age::Exactly)
            }
            TaskState::Waiting | TaskState::Runnable | TaskState::Finished => self.age(doing.last_end_ns),
            _ => Age::Unknown,
        };
        if doing.thread != 0 && (task.state == TaskState::Running || task.locked_to_thread) {
            let target = self.target;
            let inside = |tid: &u32| target.thread_from_inside(*tid);
            task.thread = *self.threads.entry(doing.thread).or_insert_with_key(inside);
        }
        if task.state != TaskState::Unknown {
            task.wait_class = WaitClass::Nothing;
        }
        if task.state != TaskState::Waiting {
            return;
        }
        task.reason = self.reason(doing);
        task.wait_class = match codes::wait_class(doing.wait_reason) {
            WaitClass::Io => self.io_class(task.stack),
            class => class,
        };
        if doing.wait_address != 0 {
            let (op, kind) = codes::wait(doing.wait_reason);
            let object = self.into.object(kind, doing.wait_address, |_| None);
            task.waits = self.into.waits([Wait { op, object }]);
        }
    }

    /// The kind of reading or writing, from the innermost functions of the stack.
    fn io_class(&mut self, stack: Option<StackId>) -> WaitClass {
        const INNERMOST: usize = 12;
        let Some(stack) = stack else { return WaitClass::Io };
        let code = &self.into.code;
        *self.io_classes.entry(stack).or_insert_with(|| {
            let locations = code.stack_at(stack).iter().filter_map(|id| code.locations().get(id.index()));
            let functions = locations.flat_map(|location| &location.frames).take(INNERMOST);
            let names = || {
                functions.clone().filter_map(|frame| Some(code.text(code.function_at(frame.function)?.name)))
            };
            match () {
                () if names().any(words::accepts) => WaitClass::Accept,
                () if names().any(words::is_network) => WaitClass::Network,
                () => WaitClass::Io,
            }
        })
    }

    fn age(&self, since_ns: u64) -> Age {
        since(self.now[1], since_ns).map_or(Age::Unknown, Age::Exactly)
    }

    fn reason(&mut self, doing: &Doing) -> Option<StrId> {
        let own = self.places.place(doing.wait_location).and_then(|place| place.name);
        if own.is_some() {
            return own;
        }
        let into = &mut *self.into;
        *self.reasons.entry(doing.wait_reason).or_insert_with_key(|&number| {
            let text = codes::reason(number);
            (!text.is_empty()).then(|| into.code.string(text))
        })
    }

    /// The labels for a given name and for an unusual kind.
    fn labels(&mut self, name: Option<StrId>, kind: u32) -> Option<LabelSetId> {
        if let Some((_, set)) = self.labels.filter(|(last, _)| *last == (name, kind)) {
            return set;
        }
        let kind_label =
            codes::kind(kind).map(|kind| (self.into.code.string("kind"), self.into.code.string(kind)));
        let name_label = name.map(|name| (self.name_key(), name));
        let set = match (kind_label, name_label) {
            (None, None) => None,
            (Some(one), None) | (None, Some(one)) => Some(self.into.code.label_set(&[one])),
            (Some(kind), Some(name)) => Some(self.into.code.label_set(&[kind, name])),
        };
        self.labels = Some(((name, kind), set));
        set
    }

    /// The key of the label that is a task's name.
    fn name_key(&mut self) -> StrId {
        *self.name_key.get_or_insert_with(|| self.into.code.string("name"))
    }

    /// The function that a task was started with, from the name of its type, and its frame.
    fn entry_function(&mut self, name: StrId) -> (FunctionId, LocationId) {
        let into = &mut *self.into;
        *self.entries.entry(name).or_insert_with(|| {
            let name = into.code.text(name).to_owned();
            let function = function(&name, into);
            let frame = into.code.frame(function, "", 0);
            (function, into.code.location(Location::in_source(vec![frame])))
        })
    }

    /// A place in the source: of a spawn or an await.
    fn location(&mut self, address: u64) -> Option<LocationId> {
        if let Some(&known) = self.locations.get(&address) {
            return Some(known);
        }
        let place = self.places.place(address)?;
        let name = place.name.map_or(String::new(), |name| self.into.code.text(name).to_owned());
        let function = function(&name, self.into);
        let file = place.file.unwrap_or_else(|| self.into.code.string(""));
        let frame = Frame { function, file, line: place.line };
        // The description of a place is data of the image that contains the place.
        let image = self.images.at(address, &mut self.into.code);
        let id = self.into.code.location(Location { image, ..Location::in_source(vec![frame]) });
        self.locations.insert(address, id);
        Some(id)
    }

    /// The await places, then the entry.
    fn stack(
        &mut self,
        type_name: Option<StrId>,
        places: &[u64],
        chain_status: ChainStatus,
    ) -> (Option<StackId>, StackStatus) {
        let status = match chain_status {
            ChainStatus::Unmarked => StackStatus::Unknown,
            ChainStatus::Whole => StackStatus::Complete,
            ChainStatus::Gaps => StackStatus::Gaps,
            ChainStatus::Moving => StackStatus::Torn,
            ChainStatus::Broken => StackStatus::Broken,
        };
        self.key.clear();
        self.key.push(type_name.map_or(u64::MAX, |name| name.0.into()));
        self.key.extend_from_slice(places);
        if let Some(&known) = self.stacks.get(&self.key) {
            return (Some(known), status);
        }
        let mut locations: Vec<_> = places.iter().filter_map(|&place| self.location(place)).collect();
        locations.extend(type_name.map(|name| self.entry_function(name).1));
        if locations.is_empty() {
            return (None, status);
        }
        let id = self.into.code.stack(locations);
        self.stacks.insert(self.key.clone(), id);
        (Some(id), status)
    }
}

fn function(name: &str, into: &mut SnapshotBuilder) -> FunctionId {
    into.code.function_with(name, codes::package(name), FunctionKind::Normal, words::role(name))
}

/// Nanoseconds from `then` to now; 0 if `then` is later.
fn since(now: Option<u64>, then: u64) -> Option<u64> {
    now.filter(|_| then != 0).map(|now| now.saturating_sub(then))
}
