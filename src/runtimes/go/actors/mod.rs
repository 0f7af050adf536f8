//! Who is going to do what others wait for: send on a channel or receive from it, close it, cancel a context,
//! report to a wait group, wake a condition variable?
//!
//! None of these objects records who uses it. But who uses it has a pointer to it, and code that will do so. The code
//! of each goroutine's frames is run ahead from where the goroutine is ([`look`], [`walk`]), and pointers are followed from
//! the places that the garbage collector would follow them from ([`stack_maps`], [`reach`]).
//!
//! A parked goroutine must not move while it is examined; a running one is held.

use rustc_hash::{FxHashMap, FxHashSet};

mod calls;
mod look;
mod reach;
mod spans;
mod stack_maps;
mod walk;
mod wanted;
mod ways;

use look::{Look, Part, Parts, Receiver};
use reach::{Heap, Reach};
use spans::Spans;
use stack_maps::StackMaps;
use walk::Ahead;
use wanted::Objects;

use super::holders::clock::Clock;
use super::holders::code::Text;
use super::holders::held_locks::StoppedGoroutine;
use super::holders::stopped::{Candidate, Goroutines, View};
use super::running::Stops;
use super::stacks::Stack;
use super::unwind::CodeAddress;
use super::{Go, GoError};
use crate::process::Target;
use crate::process::paged::PagedMemory;
use crate::runtimes::ReadOptions;
use crate::snapshot::{
    Action, By, Certainty, ObjectId, Searched, SnapshotBuilder, StackStatus, Task, TaskState,
};

/// Goroutines examined together.
const BATCH: usize = 128;
/// Actors of one object that are only possible.
const MAX_PERHAPS: usize = 8;
/// Tasks recorded for an object although it is not known what they do with it, if nobody else is found.
const MAX_UNKNOWN: usize = 3;
/// Actors of one object.
const MAX_ACTORS: usize = 64;
/// Actors in all.
const MAX_ALL: usize = 1 << 20;
/// Waiters' records of one goroutine.
const MAX_RECORDS: usize = 256;

/// Someone who acts, before its location is known to the snapshot.
#[derive(Debug, Clone, Copy)]
pub(super) struct Found {
    pub(super) object: ObjectId,
    pub(super) by: By,
    pub(super) action: Action,
    pub(super) certainty: Certainty,
    /// The frame that acts.
    pub(super) at: Option<CodeAddress>,
    pub(super) hops: u8,
}

/// The result of a search.
#[derive(Debug, Default)]
pub(super) struct Answer {
    pub(super) actors: Vec<Found>,
    pub(super) searched: Vec<Searched>,
    pub(super) unknown: Vec<String>,
}

/// Finds who acts on the objects that tasks from number `first_task` on wait for. `stacks`: the table that the tasks' stack
/// numbers index.
pub(super) fn find(
    go: &Go,
    target: &dyn Target,
    options: &ReadOptions,
    stacks: &[Stack],
    first_task: usize,
    into: &mut SnapshotBuilder,
) -> Result<Answer, GoError> {
    let objects = Objects::new(first_task, into);
    if objects.is_empty() {
        return Ok(Answer::default());
    }
    let element_size = go.layouts.get("hchan").and_then(|layout| layout.fields.get("elemsize"));
    let text = Text::new(&go.modules, target, go.build.minor);
    let mut memory = PagedMemory::new(target);
    let goroutines: FxHashSet<u64> = into.tasks().iter().skip(first_task).map(|task| task.address).collect();
    let known = into.tasks().iter().skip(first_task).map(|task| task.address);
    // The first goroutines of a program may be static.
    let spans = known
        .take(8)
        .chain(objects.addresses().map(|(address, _)| address).take(8))
        .find_map(|known| Spans::find(&go.modules, &go.layouts, &mut memory, target, known));
    let mut search = Search {
        reader: Goroutines { go, target, options },
        stacks,
        objects,
        ahead: Ahead::new(text, Clock::new(options.actors), element_size.map_or(24, |field| field.offset)),
        parts: Parts::default(),
        maps: StackMaps::new(&go.modules, target),
        spans,
        goroutines,
        memory,
        rows: FxHashMap::default(),
        examined: 0,
        is_whole: true,
    };
    search.widen();
    search.run(first_task, into)
}

/// What one goroutine was found to do.
struct Examined {
    actors: Vec<Found>,
    /// All of it was examined.
    is_whole: bool,
}

/// Actors of one object.
#[derive(Debug, Default)]
struct Rows {
    good: Vec<Found>,
    perhaps: Vec<Found>,
    unknown: Vec<Found>,
}

struct Search<'s> {
    reader: Goroutines<'s>,
    stacks: &'s [Stack],
    objects: Objects,
    ahead: Ahead<'s>,
    parts: Parts,
    maps: StackMaps<'s>,
    spans: Option<Spans>,
    goroutines: FxHashSet<u64>,
    memory: PagedMemory<'s>,
    rows: FxHashMap<ObjectId, Rows>,
    /// Goroutines that were examined.
    examined: usize,
    /// Each of them was examined to the end.
    is_whole: bool,
}

impl<'s> Search<'s> {
    /// Pointers to what contains an object lead to the object.
    fn widen(&mut self) {
        let Some(spans) = &mut self.spans else { return };
        let addresses: Vec<u64> = self.objects.addresses().map(|(address, _)| address).collect();
        let wide = addresses
            .into_iter()
            .filter_map(|address| {
                let object = spans.object(&mut self.memory, address)?;
                Some((address, (object.address, object.address.saturating_add(object.size))))
            })
            .collect();
        self.objects.widen(&wide);
    }

    fn run(mut self, first_task: usize, into: &mut SnapshotBuilder) -> Result<Answer, GoError> {
        let all = super::holders::by_stack(into.tasks(), first_task);
        let mut stops = Stops::default();
        let mut left_out = 0;
        for tasks in &all {
            for numbers in tasks.chunks(BATCH) {
                if self.ahead.is_out_of_budget() {
                    left_out += numbers.len();
                    continue;
                }
                self.batch(numbers, &mut stops, into)?;
            }
        }
        stops.note(&mut into.header.reading);
        let total = into.task_count().saturating_sub(first_task);
        let stacks_whole =
            into.tasks().iter().skip(first_task).all(|task| task.stack_status == StackStatus::Complete);
        let all_tasks = self.is_whole && self.examined == total && stacks_whole && self.spans.is_some();
        Ok(self.answer(all_tasks, left_out))
    }

    fn batch(&mut self, numbers: &[u32], stops: &mut Stops, into: &SnapshotBuilder) -> Result<(), GoError> {
        self.memory = PagedMemory::new(self.reader.target);
        let batch = super::holders::candidates(numbers, into);
        let (running, parked): (Vec<_>, Vec<_>) =
            batch.into_iter().partition(|candidate| candidate.task.state == TaskState::Running);
        let reader = self.reader;
        let mut seen =
            reader.parked(&parked, &mut |view, candidate| vec![self.examine(&view, candidate, into)])?;
        for candidate in &running {
            seen.extend(reader.running(candidate, stops, &mut |view, candidate| {
                vec![self.examine(&view, candidate, into)]
            })?);
        }
        for examined in reader.still(seen)? {
            self.examined += 1;
            self.is_whole &= examined.is_whole;
            for found in examined.actors {
                self.keep(found);
            }
        }
        Ok(())
    }

    fn keep(&mut self, found: Found) {
        let rows = self.rows.entry(found.object).or_default();
        let (list, most) = match (found.action, found.certainty) {
            (Action::Unknown, _) => (&mut rows.unknown, MAX_UNKNOWN),
            (_, Certainty::Perhaps) => (&mut rows.perhaps, MAX_PERHAPS),
            _ => (&mut rows.good, MAX_ACTORS),
        };
        // The nearest ones stay.
        let at = list.partition_point(|known| known.hops <= found.hops);
        list.insert(at, found);
        list.truncate(most);
    }

    /// What one goroutine will do.
    fn examine(&mut self, view: &View<'_>, candidate: &Candidate, into: &SnapshotBuilder) -> Examined {
        let task = &candidate.task;
        let reach = self.reach(view);
        let (intents, mut is_whole) = self.look(view);
        is_whole &= !reach.cut;
        let mut actors = Vec::new();
        for intent in intents {
            let Some(object) = self.objects.id(intent.address) else { continue };
            if !self.objects.may(task, object, intent.action, into) {
                continue;
            }
            actors.push(Found {
                object,
                by: By::Task(candidate.number as u32),
                action: intent.action,
                certainty: intent.certainty,
                at: self.frame(task, intent.pc),
                hops: reach.hops(object).unwrap_or(0),
            });
        }
        self.perhaps(view, candidate, &reach, into, &mut actors);
        Examined { actors, is_whole }
    }

    /// Objects that it can reach, with what its code may do.
    fn perhaps(
        &mut self,
        view: &View<'_>,
        candidate: &Candidate,
        reach: &Reach,
        into: &SnapshotBuilder,
        actors: &mut Vec<Found>,
    ) {
        const ACTIONS: [Action; 6] =
            [Action::Send, Action::Receive, Action::Close, Action::Done, Action::Signal, Action::Cancel];
        for &(object, hops) in &reach.objects {
            if actors.iter().any(|known| known.object == object)
                || Objects::waits(&candidate.task, object, into)
            {
                continue;
            }
            let helps = self.objects.helps(object);
            let by = By::Task(candidate.number as u32);
            let mut best: Option<(Action, CodeAddress)> = None;
            for frame in view.frames {
                if let Part::Code(course) = self.parts.of(frame.pc, &mut self.ahead)
                    && best.is_none()
                {
                    let does = |action: &Action| {
                        helps.has(*action) && course.actions.has(*action) && *action != Action::Cancel
                    };
                    best = ACTIONS.into_iter().find(does).map(|action| (action, frame.pc));
                }
            }
            actors.push(Found {
                object,
                by,
                action: best.map_or(Action::Unknown, |(action, _)| action),
                certainty: Certainty::Perhaps,
                at: best.and_then(|(_, pc)| self.frame(&candidate.task, pc)),
                hops,
            });
        }
    }

    fn look(&mut self, view: &View<'_>) -> (Vec<look::Intent>, bool) {
        let written = self.written(view.g);
        let offsets = &self.reader.go.offsets;
        let inner = StoppedGoroutine::new(&mut self.memory, offsets, view.stack, view.g);
        let look = Look {
            goroutine: Receiver { inner, written },
            ahead: &mut self.ahead,
            parts: &mut self.parts,
            wanted: &self.objects,
            state: view.state.clone(),
            found: Vec::new(),
            sure: true,
            doubtful: false,
        };
        look.run(view.frames)
    }

    /// Where the values that a goroutine waits to receive will be written.
    fn written(&mut self, g: u64) -> Vec<(u64, u64)> {
        let o = &self.reader.go.offsets;
        let mut written = Vec::new();
        let mut record = self.memory.word(g.wrapping_add(o.g_waiting as u64)).unwrap_or(0);
        for _ in 0..MAX_RECORDS {
            if record == 0 {
                break;
            }
            let mut field = |offset: usize| self.memory.word(record.wrapping_add(offset as u64)).unwrap_or(0);
            let (owner, channel, element) = (field(o.sudog_g), field(o.sudog_c), field(o.sudog_elem));
            let next = field(o.sudog_waitlink);
            if owner != g {
                break;
            }
            if channel != 0 && element != 0 {
                let size = self.ahead.element(channel, &mut Plain(&mut self.memory));
                written.push((element, size.unwrap_or(0) as u64));
            }
            record = if channel == 0 { 0 } else { next };
        }
        written
    }

    /// The objects that the goroutine's live pointers and deferred calls lead to.
    fn reach(&mut self, view: &View<'_>) -> Reach {
        let mut roots = Vec::new();
        let mut objects: Vec<(u64, u64)> = Vec::new();
        let mut waits = true;
        for frame in view.frames {
            waits &= matches!(self.parts.of(frame.pc, &mut self.ahead), Part::Waits);
            if waits {
                // It holds what the goroutine itself waits for.
                continue;
            }
            let slots = self.maps.slots(frame.pc);
            roots.extend(slots.live.iter().filter_map(|at| view.stack.word(frame.sp.checked_add(*at)?)));
            let objects_of = slots.objects.iter().filter_map(|(at, size)| {
                let start = frame.sp.checked_add(*at)?;
                Some((start, start.checked_add(*size)?))
            });
            objects.extend(objects_of);
        }
        if let Some(state) = &view.state {
            roots.extend(state.general().into_iter().flatten());
        }
        let offsets = &self.reader.go.offsets;
        let mut goroutine = StoppedGoroutine::new(&mut self.memory, offsets, view.stack, view.g);
        roots.extend(goroutine.list().iter().map(|(_, closure)| *closure));
        // Variables of the frames to which a pointer leads.
        objects.sort_unstable();
        let mut at = 0;
        while let Some(&root) = roots.get(at) {
            at += 1;
            if let Some(nth) = objects.iter().position(|(start, end)| (*start..*end).contains(&root)) {
                let (start, end) = objects.swap_remove(nth);
                roots.extend((start..end).step_by(8).filter_map(|at| view.stack.word(at)));
            }
        }
        let mut heap = Heap { spans: self.spans.as_mut(), goroutines: &self.goroutines };
        heap.reach(roots, &self.objects, &mut self.memory)
    }

    /// The frame as it was when the task was read. If the task moved since, the frame of the same function.
    fn frame(&self, task: &Task, pc: CodeAddress) -> Option<CodeAddress> {
        let stack = task.stack.and_then(|stack| self.stacks.get(stack.index()))?;
        let modules = &self.reader.go.modules;
        let function =
            |pc: CodeAddress| modules.iter().find_map(|m| m.pclntab.find(pc.pc())).map(|f| f.entry());
        let same = || stack.iter().find(|at| function(**at).is_some() && function(**at) == function(pc));
        stack.iter().find(|at| **at == pc).or_else(same).copied()
    }

    fn answer(self, all_tasks: bool, left_out: usize) -> Answer {
        let mut answer = Answer::default();
        for object in self.objects.ids() {
            answer.searched.push(Searched { object, all_tasks, other_roots: false, is_global: false });
            let Some(rows) = self.rows.get(&object) else { continue };
            let nobody = rows.good.is_empty() && rows.perhaps.is_empty();
            let unknown = rows.unknown.iter().filter(|_| nobody);
            answer.actors.extend(rows.good.iter().chain(&rows.perhaps).chain(unknown).copied());
        }
        answer.actors.truncate(MAX_ALL);
        if left_out > 0 {
            answer.unknown.push(format!(
                "{left_out} goroutines were not examined for what they will do, because the search ended after {} ms",
                self.ahead.clock.spent().as_millis()
            ));
        }
        if self.objects.left_out > 0 {
            answer.unknown.push(format!(
                "who acts on {} more objects was not looked for: there are too many",
                self.objects.left_out
            ));
        }
        answer
    }
}

/// Memory that may change at any time.
struct Plain<'p, 'a>(&'p mut PagedMemory<'a>);

impl super::arch::state::World for Plain<'_, '_> {
    fn word(&mut self, address: u64) -> super::arch::state::Value {
        let number = self.0.word(address)?;
        Some(super::arch::state::Known { number, firm: false })
    }
}
