//! Which goroutines hold the locks that others wait for?
//!
//! A lock does not record its holder. But the holder will unlock it, and its code says how. That code is run
//! ahead from where a goroutine is ([`lookahead`]), on the goroutine's own stack and memory ([`held_locks`]).
//! If a lock's holder is not found this way, the goroutines whose stack contains the lock's address are
//! recorded.
//!
//! A parked goroutine must not move while it is examined; a running one is held. At the end the parked ones
//! that were found are checked again, so that there was one moment at which all of it was true.

use std::sync::{Mutex, MutexGuard, PoisonError};

use rustc_hash::{FxHashMap, FxHashSet};

mod budget;
pub(super) mod clock;
pub(super) mod code;
pub(super) mod held_locks;
pub(super) mod lookahead;
mod memory;
pub(super) mod state;
pub(super) mod stopped;

use budget::Budget;
use clock::Clock;
use code::Text;
use held_locks::{Held, Look, Part, StoppedGoroutine};
use lookahead::{Ahead, Taken};
pub(super) use memory::Remembered;
use stopped::{Candidate, Goroutines, Seen, View};

use super::running::Stops;
use super::stacks::{StackNumber, TaskStacks};
use super::unwind::CodeAddress;
use super::{Go, GoError};
use crate::process::Target;
use crate::process::bytes::word;
use crate::process::paged::PagedMemory;
use crate::runtimes::ReadOptions;
use crate::snapshot::{HoldKind, LockState, ObjectId, ObjectKind, SnapshotBuilder, Task, TaskState};

/// Goroutines examined together.
const BATCH: usize = 128;
/// Goroutines recorded per lock for having its address on their stack.
const MAX_PERHAPS: usize = 16;

/// A goroutine that holds a lock.
#[derive(Debug, Clone, Copy)]
pub(super) struct Found {
    /// Number of the task in the builder.
    pub(super) task: usize,
    pub(super) lock: ObjectId,
    pub(super) how: HoldKind,
    /// The frame of its stack that will unlock it.
    pub(super) at: Option<CodeAddress>,
}

/// Finds the holders of all locks that the runtime's tasks wait for. `stacks`: their stacks.
pub(super) fn find(
    go: &Go,
    target: &dyn Target,
    options: &ReadOptions,
    stacks: TaskStacks<'_>,
    into: &mut SnapshotBuilder,
) -> Result<Vec<Found>, GoError> {
    let locks: FxHashMap<u64, ObjectId> = (0..)
        .map(ObjectId)
        .zip(into.objects())
        .filter(|(_, object)| matches!(object.kind, ObjectKind::Mutex | ObjectKind::RwMutex))
        .map(|(id, object)| (object.address, id))
        .collect();
    if locks.is_empty() {
        return Ok(Vec::new());
    }
    let search = Search { goroutines: Goroutines { go, target, options }, stacks, locks };
    search.run(into)
}

struct Search<'s> {
    goroutines: Goroutines<'s>,
    stacks: TaskStacks<'s>,
    locks: FxHashMap<u64, ObjectId>,
}

/// The look-ahead, and what it found out about code.
struct Reading<'a> {
    ahead: Ahead<'a>,
    remembered: Remembered,
    /// Heap memory that was read for the goroutines examined together.
    memory: PagedMemory<'a>,
    /// Goroutines that were not examined to the end because the look-ahead's budget was used up.
    not_asked: u64,
}

/// Locks with missing holders: how many are missing.
type Open = FxHashMap<ObjectId, u32>;

impl<'s> Search<'s> {
    fn run(&self, into: &mut SnapshotBuilder) -> Result<Vec<Found>, GoError> {
        let go = self.goroutines.go;
        let clock = Clock::new(self.goroutines.options.holders);
        let mut reading = Reading {
            ahead: Ahead::new(Text::new(&go.modules, self.goroutines.target, go.build.minor), clock),
            remembered: std::mem::take(&mut *lock(&go.holders)),
            memory: PagedMemory::new(self.goroutines.target),
            not_asked: 0,
        };
        let mut open = self.open(into);
        let all = by_stack(self.stacks);
        let mut budget = Budget::new();
        let mut stops = Stops::default();
        let mut seen = self.holders(&mut reading, &all, &mut open, &mut budget, &mut stops, into)?;
        let not_asked = budget.left_out + reading.not_asked;
        reading.remembered.turn_over();
        *lock(&go.holders) = reading.remembered;
        stops.note(&mut into.header.reading);
        into.header.reading.holders_not_asked += not_asked;
        let known: FxHashSet<ObjectId> = seen.iter().flat_map(|s| &s.found).map(|found| found.lock).collect();
        open.retain(|lock, _| !known.contains(lock));
        if !open.is_empty() {
            seen.append(&mut self.perhaps(&all, &open, &mut budget, into)?);
        }
        let spent = reading.ahead.clock.spent();
        into.header.reading.holders_ns += spent.as_nanos() as u64;
        if not_asked > 0 && !open.is_empty() {
            into.header.warnings.push(format!(
                "the holder of {} was not found; {not_asked} goroutines were not searched, because the search \
                 ended after {} ms",
                if open.len() == 1 { "a lock".to_owned() } else { format!("{} locks", open.len()) },
                spent.as_millis()
            ));
        }
        self.goroutines.still(seen)
    }

    /// How many goroutines hold each lock, by the lock's own state.
    fn open(&self, into: &SnapshotBuilder) -> Open {
        let holders = |id: &ObjectId| match into.objects().get(id.index()).and_then(|object| object.lock) {
            Some(LockState::Free) => 0,
            Some(LockState::Shared(readers)) => readers,
            _ => 1,
        };
        self.locks.values().map(|id| (*id, holders(id))).filter(|(_, holders)| *holders > 0).collect()
    }

    /// Looks for the holders of locks until all are found.
    fn holders(
        &self,
        reading: &mut Reading<'s>,
        all: &[Vec<u32>],
        open: &mut Open,
        budget: &mut Budget,
        stops: &mut Stops,
        into: &SnapshotBuilder,
    ) -> Result<Vec<Seen<Found>>, GoError> {
        let mut seen = Vec::new();
        for tasks in all {
            let stack = tasks.first().map_or(&[][..], |number| self.stacks.of(*number as usize));
            let may_hold = self.may_hold(reading, stack);
            if reading.ahead.is_out_of_budget() {
                budget.end();
            } else if !may_hold {
                continue;
            }
            for numbers in tasks.chunks(BATCH) {
                if open.is_empty() {
                    return Ok(seen);
                }
                let batch = budget.take(candidates(numbers, into));
                if batch.is_empty() {
                    continue;
                }
                reading.memory = PagedMemory::new(self.goroutines.target);
                let (running, parked): (Vec<_>, Vec<_>) =
                    batch.into_iter().partition(|candidate| candidate.task.state == TaskState::Running);
                let first = seen.len();
                seen.append(
                    &mut self
                        .goroutines
                        .parked(&parked, &mut |view, candidate| self.look(reading, view, candidate, into))?,
                );
                for candidate in &running {
                    seen.extend(self.goroutines.running(candidate, stops, &mut |view, candidate| {
                        self.look(reading, view, candidate, into)
                    })?);
                }
                for found in seen.iter().skip(first).flat_map(|seen| &seen.found) {
                    if let Some(holders) = open.get_mut(&found.lock) {
                        *holders = holders.saturating_sub(1);
                    }
                }
                open.retain(|_, holders| *holders > 0);
            }
        }
        Ok(seen)
    }

    /// Does code on this stack unlock something later?
    fn may_hold(&self, reading: &mut Reading<'s>, stack: &[CodeAddress]) -> bool {
        stack.iter().any(|pc| {
            let part = reading.remembered.parts.of(*pc, &mut reading.ahead);
            // A running goroutine has moved by now.
            matches!(part, Part::Unlocks | Part::Defers | Part::Leaves | Part::Restores)
                || pc.is_interrupted()
        })
    }

    /// What one goroutine holds.
    fn look(
        &self,
        reading: &mut Reading<'s>,
        view: View<'_>,
        candidate: &Candidate,
        into: &SnapshotBuilder,
    ) -> Vec<Found> {
        let taken = self.taken(&candidate.task, &mut reading.memory, into);
        let print = memory::print(&view, &candidate.task, &taken);
        let known = print.and_then(|print| reading.remembered.recall(view.g, print));
        let (held, is_whole) = match known {
            Some(answer) => (answer.held.into_vec(), answer.is_whole),
            None => self.ask(reading, &view, taken, print),
        };
        reading.not_asked += u64::from(!is_whole);
        held.into_iter().filter_map(|held| self.found(candidate, held)).collect()
    }

    /// All locks that one goroutine holds, and whether it was examined to the end. The answer is kept for the
    /// next reading, unless it was cut short by too little time.
    fn ask(
        &self,
        reading: &mut Reading<'s>,
        view: &View<'_>,
        taken: Vec<Taken>,
        print: Option<u64>,
    ) -> (Vec<Held>, bool) {
        let began = reading.ahead.clock.spent();
        let offsets = &self.goroutines.go.offsets;
        let goroutine = StoppedGoroutine::new(&mut reading.memory, offsets, view.stack, view.g);
        let (ahead, parts) = (&mut reading.ahead, &mut reading.remembered.parts);
        let look = Look { goroutine, ahead, parts, taken, state: view.state.clone() };
        let (held, is_whole) = look.held(view.frames);
        let is_final = is_whole || reading.ahead.clock.was_early(began);
        if let Some(print) = print.filter(|_| is_final) {
            reading.remembered.keep(view.g, print, &held, is_whole);
        }
        (held, is_whole)
    }

    fn found(&self, candidate: &Candidate, held: Held) -> Option<Found> {
        let how = if held.shared { HoldKind::Shared } else { HoldKind::Exclusive };
        let lock = *self.locks.get(&held.lock)?;
        // The frame as it was when the task was read. If the task moved since, the frame of the same
        // function.
        let stack = self.stacks.of(candidate.number);
        let modules = &self.goroutines.go.modules;
        let function =
            |pc: CodeAddress| modules.iter().find_map(|m| m.pclntab.find(pc.pc())).map(|f| f.entry());
        let same =
            || stack.iter().find(|pc| function(**pc).is_some_and(|entry| function(held.pc) == Some(entry)));
        let at = stack.iter().find(|pc| **pc == held.pc).or_else(same)?;
        Some(Found { task: candidate.number, lock, how, at: Some(*at) })
    }

    /// The locks that a task is about to take.
    fn taken(&self, task: &Task, memory: &mut PagedMemory<'_>, into: &SnapshotBuilder) -> Vec<Taken> {
        let objects = into.waits_of(task).iter().filter_map(|wait| into.objects().get(wait.object.index()));
        objects
            .filter_map(|object| match object.kind {
                ObjectKind::Mutex | ObjectKind::RwMutex => Some(Taken::Lock(object.address)),
                // A condition's `L` is an interface; it is taken again before the wait returns.
                ObjectKind::Cond => {
                    let lock = memory.word(object.address.wrapping_add(8));
                    Some(lock.map_or(Taken::Unknown, Taken::Lock))
                }
                _ => None,
            })
            .collect()
    }

    /// Goroutines whose stack contains the address of one of these locks and that do not wait for it.
    fn perhaps(
        &self,
        all: &[Vec<u32>],
        open: &Open,
        budget: &mut Budget,
        into: &SnapshotBuilder,
    ) -> Result<Vec<Seen<Found>>, GoError> {
        let mut counts: FxHashMap<ObjectId, usize> = FxHashMap::default();
        let lock_at = |address: u64| self.locks.get(&address).filter(|id| open.contains_key(id)).copied();
        let mut seen = Vec::new();
        for numbers in all.iter().flat_map(|tasks| tasks.chunks(BATCH)) {
            let batch = budget.take(candidates(numbers, into));
            let parked: Vec<_> =
                batch.iter().filter(|c| c.task.state != TaskState::Running).copied().collect();
            seen.append(&mut self.goroutines.parked(&parked, &mut |view, candidate| {
                let mut found: Vec<Found> = Vec::new();
                for at in (0..view.stack.bytes.len()).step_by(8) {
                    let Some(lock) = lock_at(word(view.stack.bytes, at)) else { continue };
                    let waits = into.waits_of(&candidate.task).iter().any(|wait| wait.object == lock);
                    if waits || found.iter().any(|found| found.lock == lock) {
                        continue;
                    }
                    let count = counts.entry(lock).or_default();
                    *count += 1;
                    if *count <= MAX_PERHAPS {
                        found.push(Found { task: candidate.number, lock, how: HoldKind::Perhaps, at: None });
                    }
                }
                found
            })?);
        }
        Ok(seen)
    }
}

fn lock(remembered: &Mutex<Remembered>) -> MutexGuard<'_, Remembered> {
    // It is consistent at every moment.
    remembered.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The numbers of the tasks with a stack, grouped by stack, the rarest stacks first: a lock's holder is at a
/// place that few others share.
pub(super) fn by_stack(stacks: TaskStacks<'_>) -> Vec<Vec<u32>> {
    let mut by_stack: FxHashMap<StackNumber, Vec<u32>> = FxHashMap::default();
    for (stack, task) in stacks.numbers.iter().zip(stacks.first_task as u32..) {
        if let Some(stack) = stack {
            by_stack.entry(*stack).or_default().push(task);
        }
    }
    let mut all: Vec<_> = by_stack.into_iter().collect();
    all.sort_unstable_by_key(|(stack, tasks)| (tasks.len(), *stack));
    all.into_iter().map(|(_, tasks)| tasks).collect()
}

/// The tasks of these numbers.
pub(super) fn candidates(numbers: &[u32], into: &SnapshotBuilder) -> Vec<Candidate> {
    let task = |number: &u32| into.tasks().get(*number as usize).copied();
    numbers
        .iter()
        .filter_map(|number| Some(Candidate { number: *number as usize, task: task(number)? }))
        .collect()
}
