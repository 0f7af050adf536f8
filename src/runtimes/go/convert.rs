//! One reading from end to end: threads read goroutines in chunks, this one turns what they
//! found into the model as it comes, then reads the running ones through their threads.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;

use rustc_hash::FxHashMap;

use super::foreign::Foreign;
use super::goroutine::{Goroutine, Raw, status};
use super::read::{CHUNK, Chunk, Reader};
use super::resolve::Resolver;
use super::running::{self, Running, Stops};
use super::semaphores::Semaphores;
use super::stacks::{StackCache, Stacks};
use super::unwind::{CodeAddress, Unwinder};
use super::waits::RawWait;
use super::{Go, GoError, holders, labels, list, sync};
use crate::process::{Target, TargetError};
use crate::runtimes::{Pause, ReadOptions};
use crate::snapshot::{
    Age, Channel, FunctionId, Hold, LabelSetId, LocationId, ObjectKind, SnapshotBuilder, Span, StackId,
    StackStatus, StrId, Task, Wait, WaitClass,
};
use crate::words::go as words;

/// How often a goroutine may go from running to parked and back while it is being read.
const RUNNING_ROUNDS: usize = 4;

/// Reads every goroutine into the snapshot.
pub(super) fn read(
    go: &Go,
    target: &dyn Target,
    options: &ReadOptions,
    runtime: u8,
    into: &mut SnapshotBuilder,
) -> Result<(), GoError> {
    let list = list::read(target, go.globals.allgptr, go.globals.allglen)?;
    into.header.reading.missing += list.missing;
    let mut addresses = list.addresses;
    addresses.retain(|address| *address != 0 && address % 8 == 0);
    addresses.sort_unstable();
    addresses.dedup();
    tracing::debug!("the list of goroutines has {} entries", addresses.len());

    let still = target.is_static() || options.pause == Pause::Everything;
    let stacks = Stacks::default();
    let reader = || {
        let unwinder = Unwinder::new(&go.modules, options.max_depth);
        Reader::new(target, &go.offsets, unwinder, StackCache::new(&stacks), still)
    };
    let mut converter = Converter::new(go, target, runtime, into);
    converter.into.reserve_tasks(addresses.len());
    let running = read_parked(&addresses, options.threads.get(), reader, &mut converter)?;
    tracing::debug!("what is parked is read; {} run or have just run", running.len());
    read_running(running, options, &mut reader(), &mut converter)?;
    let stopped = converter.into.header.reading.threads_stopped;
    tracing::debug!("what runs is read; {stopped} threads were stopped for it, one at a time");
    converter.finish(stacks, options)
}

/// Reads all that are not running, on several threads; returns the addresses of those that are.
fn read_parked<'a>(
    addresses: &[u64],
    threads: usize,
    reader: impl Fn() -> Reader<'a> + Sync,
    converter: &mut Converter<'_>,
) -> Result<Vec<u64>, GoError> {
    let next = AtomicUsize::new(0);
    let mut running = Vec::new();
    std::thread::scope(|scope| {
        let (sender, receiver) = mpsc::sync_channel::<Result<Chunk, TargetError>>(2 * threads);
        for _ in 0..threads.min(addresses.len().div_ceil(CHUNK)).max(1) {
            let (sender, next, reader) = (sender.clone(), &next, &reader);
            scope.spawn(move || {
                let mut reader = reader();
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    let Some(chunk) = addresses.chunks(CHUNK).nth(number) else { break };
                    // Nobody listens any more after an error elsewhere.
                    if sender.send(reader.read(chunk)).is_err() {
                        break;
                    }
                }
                tracing::trace!(frame_pointers = ?reader.unwinder.frame_pointers(), "parked goroutines read");
            });
        }
        drop(sender);
        for chunk in receiver {
            converter.chunk(chunk?, &mut running);
        }
        Ok(running)
    })
}

/// Reads running goroutines through their threads, and those that turn out to be parked by now.
fn read_running(
    mut running: Vec<u64>,
    options: &ReadOptions,
    reader: &mut Reader<'_>,
    converter: &mut Converter<'_>,
) -> Result<(), GoError> {
    let may_stop = options.pause != Pause::Nothing || reader.target.is_static();
    let mut stops = Stops::default();
    for round in 0..RUNNING_ROUNDS {
        let last = round + 1 == RUNNING_ROUNDS;
        let mut parked = Vec::new();
        for address in std::mem::take(&mut running) {
            match running::read(reader, address, may_stop && !last, &mut stops)? {
                Running::Read(goroutine) => converter.goroutine(&goroutine, &[]),
                Running::Moved => parked.push(address),
                Running::Ended => converter.into.header.reading.ended += 1,
            }
        }
        if parked.is_empty() {
            break;
        }
        parked.sort_unstable();
        converter.into.header.reading.retried += parked.len() as u64;
        let chunk = reader.read(&parked)?;
        converter.chunk(chunk, &mut running);
    }
    // It runs whenever it is looked at, but never while its thread stands still.
    for address in running {
        if let Running::Read(mut goroutine) = running::read(reader, address, false, &mut stops)? {
            goroutine.stack_status = StackStatus::Torn;
            converter.into.header.reading.torn += 1;
            converter.goroutine(&goroutine, &[]);
        }
    }
    if let Some(problem) = &stops.refused {
        let warning = format!("a running goroutine's stack was not read: {problem}");
        converter.into.header.warnings.push(warning);
    }
    stops.note(&mut converter.into.header.reading);
    Ok(())
}

/// A task that cannot be finished before everything has been read.
#[derive(Debug, Clone, Copy)]
struct Late {
    /// Number of the task in the builder.
    task: usize,
    raw: Raw,
    /// The semaphore or list of waiters that the goroutine itself named, if it did.
    semaphore: Option<u64>,
}

/// Turns goroutines into tasks.
struct Converter<'a> {
    go: &'a Go,
    target: &'a dyn Target,
    runtime: u8,
    into: &'a mut SnapshotBuilder,
    resolver: Resolver<'a>,
    first_task: usize,
    now: Option<u64>,
    /// Wait reasons by number: their text, and what it says.
    reasons: Vec<Option<(StrId, Option<WaitClass>)>>,
    labels: FxHashMap<u64, Option<LabelSetId>>,
    system: FxHashMap<u64, bool>,
    threads: FxHashMap<u64, Option<u32>>,
    element_types: FxHashMap<u64, Option<StrId>>,
    /// Goroutines that wait for something that only their stack or other structs can tell.
    waiting: Vec<Late>,
    /// Goroutines that run finalizers and cleanups.
    helpers: Vec<Late>,
    /// Goroutines that are in C code.
    in_c: Vec<Late>,
}

impl<'a> Converter<'a> {
    fn new(go: &'a Go, target: &'a dyn Target, runtime: u8, into: &'a mut SnapshotBuilder) -> Self {
        let first_task = into.task_count();
        Converter {
            go,
            target,
            runtime,
            resolver: Resolver::new(&go.modules),
            first_task,
            now: target.monotonic_ns(),
            reasons: vec![None; 256],
            labels: FxHashMap::default(),
            system: FxHashMap::default(),
            threads: FxHashMap::default(),
            element_types: FxHashMap::default(),
            waiting: Vec::new(),
            helpers: Vec::new(),
            in_c: Vec::new(),
            into,
        }
    }

    fn chunk(&mut self, mut chunk: Chunk, running: &mut Vec<u64>) {
        running.append(&mut chunk.running);
        let reading = &mut self.into.header.reading;
        reading.retried += chunk.retried;
        reading.torn += chunk.torn;
        reading.ended += chunk.ended;
        reading.missing += chunk.missing;
        for goroutine in &chunk.goroutines {
            self.goroutine(goroutine, goroutine.waits.slice(&chunk.waits));
        }
    }

    fn goroutine(&mut self, goroutine: &Goroutine, waits: &[RawWait]) {
        let raw = &goroutine.raw;
        let lacks_stack = goroutine.stack_status == StackStatus::Missing;
        self.into.header.reading.missing_stacks += u64::from(lacks_stack);
        let (reason, said) = self.reason(raw);
        let late = Late { task: self.into.task_count(), raw: *raw, semaphore: semaphore_of(waits) };
        let is_waiting = matches!(raw.status, status::WAITING | status::LEAKED);
        if is_waiting && (late.semaphore.is_some() || waits.is_empty() && self.waits_for_lock(reason)) {
            self.waiting.push(late);
        }
        if self.resolver.is_helper(raw.startpc) {
            self.helpers.push(late);
        }
        if raw.status == status::SYSCALL && self.resolver.is_cgocall(raw.syscallpc) {
            self.in_c.push(late);
        }
        let thread = match raw.status {
            // One whose stack grows is still on its thread (`newstack`).
            status::SYSCALL | status::RUNNING | status::COPYSTACK => {
                goroutine.thread.or_else(|| self.thread(raw.m))
            }
            _ => None,
        };
        let mut task = Task {
            runtime: self.runtime,
            id: Some(raw.goid),
            address: raw.address,
            state: raw.state(),
            reason,
            wait_class: WaitClass::Unknown,
            age: self.age(raw),
            lifetime_ns: None,
            polls: None,
            mark: raw.mark(),
            parent: (raw.parent != 0).then_some(raw.parent),
            // What started the first one is the runtime's start-up code, no statement.
            creator: (raw.goid != 1).then(|| self.resolver.creator(raw.gopc, self.into)).flatten(),
            entry: self.resolver.entry(raw.startpc, self.into),
            labels: self.labels(raw.labels),
            thread,
            locked_to_thread: raw.locked,
            system: self.is_system(raw.startpc),
            leaked: raw.status == status::LEAKED,
            stack: goroutine.stack.map(StackId),
            stack_status: goroutine.stack_status,
            stack_bytes: raw.stack_hi.saturating_sub(raw.stack_lo),
            waits: self.waits(waits),
            holds: Span::default(),
            twins: 0,
        };
        task.wait_class = self.wait_class(&task, said);
        self.into.task(task);
    }

    /// The text of a wait reason, and what it says.
    fn reason(&mut self, raw: &Raw) -> (Option<StrId>, Option<WaitClass>) {
        if raw.waitreason == 0 || !matches!(raw.status, status::WAITING | status::LEAKED) {
            return (None, None);
        }
        let number = usize::from(raw.waitreason);
        let (text, said) = *self.reasons[number].get_or_insert_with(|| {
            let unknown = || format!("wait reason {number}, name unknown");
            let text = self.go.wait_reasons.get(number).cloned().unwrap_or_else(unknown);
            (self.into.code.string(&text), words::reason(&text))
        });
        (Some(text), said)
    }

    /// What kind of wait a goroutine is in, as far as that is known without its stack.
    fn wait_class(&self, task: &Task, said: Option<WaitClass>) -> WaitClass {
        let text = |id| self.into.code.text(id);
        words::without_stack(task, said, || {
            words::objects(self.into.waits_of(task), self.into.objects(), text)
        })
    }

    fn waits_for_lock(&self, reason: Option<StrId>) -> bool {
        reason.is_some_and(|reason| words::is_of_lock(self.into.code.text(reason)))
    }

    /// Since when it waits, as far as the runtime noted it; and only while it waits.
    fn age(&self, raw: &Raw) -> Age {
        let waits = matches!(raw.status, status::WAITING | status::LEAKED | status::SYSCALL);
        match (u64::try_from(raw.waitsince), self.now) {
            (Ok(since), Some(now)) if waits && since != 0 && since <= now => Age::AtLeast(now - since),
            _ => Age::Unknown,
        }
    }

    fn labels(&mut self, address: u64) -> Option<LabelSetId> {
        if address == 0 {
            return None;
        }
        if let Some(&known) = self.labels.get(&address) {
            return known;
        }
        let found = labels::read(self.target, address, self.go.build.minor).filter(|pairs| !pairs.is_empty());
        let id =
            found.map(|pairs| self.into.code.labels(pairs.iter().map(|(k, v)| (k.as_str(), v.as_str()))));
        self.labels.insert(address, id);
        id
    }

    fn thread(&mut self, m: u64) -> Option<u32> {
        let (target, offset) = (self.target, self.go.offsets.m_procid);
        *self.threads.entry(m).or_insert_with(|| running::thread_of(target, offset, m))
    }

    fn is_system(&mut self, startpc: u64) -> bool {
        let resolver = &self.resolver;
        *self.system.entry(startpc).or_insert_with(|| resolver.is_system(startpc, || false))
    }

    fn waits(&mut self, waits: &[RawWait]) -> Span {
        if waits.is_empty() || !self.into.room_for_waits(waits.len()) {
            return Span::default();
        }
        let mut found = Vec::with_capacity(waits.len());
        for wait in waits {
            let RawWait::Channel { op, address, detail } = *wait else { continue };
            let element = detail.and_then(|c| self.element_type(c.element_type));
            let channel = detail.map(|c| Channel {
                len: c.len,
                cap: c.cap,
                closed: c.closed,
                senders: 0,
                receivers: 0,
                more: false,
                element,
            });
            let object = self.into.object(ObjectKind::Channel, address, |_| channel);
            self.into.count_waiter(object, op);
            found.push(Wait { op, object });
        }
        self.into.waits(found)
    }

    fn element_type(&mut self, address: u64) -> Option<StrId> {
        if let Some(&known) = self.element_types.get(&address) {
            return known;
        }
        let name = self.go.types.type_name(address).map(|name| self.into.code.string(&name));
        self.element_types.insert(address, name);
        name
    }

    /// What could not be done before every stack was known.
    fn finish(mut self, stacks: Stacks, options: &ReadOptions) -> Result<(), GoError> {
        let stacks = stacks.into_vec();
        for late in std::mem::take(&mut self.helpers) {
            let stack = self.stack_of(late.task, &stacks);
            let in_user_code = stack.iter().any(|pc| self.resolver.is_user_code(*pc));
            let system = self.resolver.is_system(late.raw.startpc, || in_user_code);
            self.into.task_mut(late.task).system = system;
        }
        self.locks(&stacks);
        self.holders(&stacks, options)?;
        let mut reader = words::StackReader::default();
        let ids: Vec<(StackId, words::StackFacts)> = stacks
            .iter()
            .map(|stack| {
                let locations: Vec<_> =
                    stack.iter().map(|pc| self.resolver.location(*pc, self.into)).collect();
                let facts = facts(&mut reader, &locations, self.into);
                (self.into.code.stack(locations), facts)
            })
            .collect();
        let with_c = self.stacks_with_c(&stacks, options.pause)?;
        for task in self.into.tasks_from(self.first_task) {
            let stack = task.stack.and_then(|number| ids.get(number.index()).copied());
            let (id, facts) =
                stack.map_or((None, words::StackFacts::default()), |(id, facts)| (Some(id), facts));
            task.stack = id;
            task.wait_class = facts.refine(task.wait_class);
        }
        for (task, stack) in with_c {
            self.into.task_mut(task).stack = Some(stack);
        }
        Ok(())
    }

    /// The whole stacks of goroutines in C code: C's frames, then Go's.
    fn stacks_with_c(
        &mut self,
        stacks: &[Box<[CodeAddress]>],
        pause: Pause,
    ) -> Result<Vec<(usize, StackId)>, GoError> {
        let mut found = Vec::new();
        if self.in_c.is_empty() {
            return Ok(found);
        }
        let mut foreign = Foreign::new(self.go, self.target, pause)?;
        for late in std::mem::take(&mut self.in_c) {
            let in_go = self.stack_of(late.task, stacks);
            let thread = self.into.task_mut(late.task).thread;
            let Some(thread) = thread.filter(|_| !in_go.is_empty()) else { continue };
            let mut locations = foreign.locations(&late.raw, thread, self.into);
            if !locations.is_empty() {
                locations.extend(in_go.iter().map(|pc| self.resolver.location(*pc, self.into)));
                found.push((late.task, self.into.code.stack(locations)));
            }
        }
        foreign.stops.note(&mut self.into.header.reading);
        Ok(found)
    }

    fn stack_of<'s>(&mut self, task: usize, stacks: &'s [Box<[CodeAddress]>]) -> &'s [CodeAddress] {
        self.into
            .task_mut(task)
            .stack
            .and_then(|number| stacks.get(number.index()))
            .map_or(&[], |stack| stack)
    }

    /// Finds the locks that goroutines wait for.
    fn locks(&mut self, stacks: &[Box<[CodeAddress]>]) {
        if self.waiting.is_empty() {
            return;
        }
        let tasks = self.into.task_count();
        let named = self.waiting.iter().all(|late| late.semaphore.is_some());
        let semtable = self.go.globals.semtable.filter(|_| !named);
        let mut semaphores = Semaphores::read(self.target, &self.go.offsets, semtable, tasks);
        let mut kinds: FxHashMap<(Option<StackId>, Option<StrId>), sync::Lock> = FxHashMap::default();
        for late in std::mem::take(&mut self.waiting) {
            let (number, reason) = {
                let task = self.into.task_mut(late.task);
                (task.stack, task.reason)
            };
            let lock = *kinds.entry((number, reason)).or_insert_with(|| {
                let stack = number.and_then(|n| stacks.get(n.index())).map_or(&[][..], |stack| stack);
                self.resolver.lock(stack, reason.map_or("", |reason| self.into.code.text(reason)))
            });
            let address = late.semaphore.or_else(|| match lock.kind {
                ObjectKind::Cond => semaphores.condition_of(late.raw.address, late.raw.sched_sp),
                _ => semaphores.of(late.raw.address),
            });
            let Some(address) = address.and_then(|address| address.checked_sub(lock.offset)) else {
                continue;
            };
            if !self.into.room_for_waits(1) {
                break;
            }
            let object = self.into.object(lock.kind, address, |_| None);
            let waits = self.into.waits([Wait { op: lock.op, object }]);
            let task = Task { waits, ..*self.into.task_mut(late.task) };
            let class = self.wait_class(&task, None);
            *self.into.task_mut(late.task) = Task { wait_class: class, ..task };
        }
    }
}

impl Converter<'_> {
    /// Finds who holds the locks.
    fn holders(&mut self, stacks: &[Box<[CodeAddress]>], options: &ReadOptions) -> Result<(), GoError> {
        holders::state::read(self.target, self.into)?;
        let mut found = holders::find(self.go, self.target, options, stacks, self.first_task, self.into)?;
        found.sort_by_key(|found| (found.task, found.lock.0));
        for of_task in found.chunk_by(|a, b| a.task == b.task) {
            let holds: Vec<Hold> = of_task
                .iter()
                .map(|found| Hold {
                    object: found.lock,
                    how: found.how,
                    location: found.at.map(|pc| self.resolver.location(pc, self.into)),
                })
                .collect();
            let holds = self.into.holds(holds);
            if let Some(first) = of_task.first() {
                self.into.task_mut(first.task).holds = holds;
            }
        }
        Ok(())
    }
}

/// What the functions of a stack say of a wait.
fn facts(reader: &mut words::StackReader, stack: &[LocationId], into: &SnapshotBuilder) -> words::StackFacts {
    let code = &into.code;
    let name = |id: FunctionId| {
        let function = code.function_at(id);
        function.map_or(("", ""), |function| (code.text(function.name), code.text(function.package)))
    };
    let locations = stack.iter().filter_map(|id| code.locations().get(id.index()));
    reader.read(locations.flat_map(|location| &location.frames).map(|frame| frame.function), name)
}

fn semaphore_of(waits: &[RawWait]) -> Option<u64> {
    waits.iter().find_map(|wait| match wait {
        RawWait::Address(address) if *address != 0 => Some(*address),
        _ => None,
    })
}
