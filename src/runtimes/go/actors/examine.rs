//! Examines one goroutine that does not move: what its code will do, and what it can reach.

use super::calls::Actions;
use super::look::{Intent, Look, Part, Receiver};
use super::reach::{Heap, Limits, Reach, is_address};
use super::rows::Found;
use super::wanted::Objects;
use super::{Plain, Search};
use crate::runtimes::go::holders::held_locks::StoppedGoroutine;
use crate::runtimes::go::holders::stopped::{Candidate, View};
use crate::runtimes::go::unwind::CodeAddress;
use crate::snapshot::{Action, By, Certainty, SnapshotBuilder};

/// Waiters' records of one goroutine.
const MAX_RECORDS: usize = 256;
/// Pointers on one stack that are followed.
const MAX_ROOTS: usize = 1 << 16;
/// Variables on one stack whose address is taken.
const MAX_VARIABLES: usize = 1024;
/// Frames of one stack of which is remembered what they do.
const MAX_ACTING: usize = 64;
/// What is read for one goroutine.
const LIMITS: Limits = Limits { objects: 4096, bytes: 1 << 20 };

/// What one goroutine was found to do.
pub(super) struct Examined {
    pub(super) actors: Vec<Found>,
    /// All of it was examined.
    pub(super) is_whole: bool,
}

/// Where a goroutine's pointers are.
#[derive(Debug, Default)]
struct Places {
    /// Words with pointers.
    roots: Vec<u64>,
    /// Variables whose address is taken: start and end.
    variables: Vec<(u64, u64)>,
    /// There are more.
    cut: bool,
}

impl Search<'_> {
    /// What one goroutine will do.
    pub(super) fn examine(
        &mut self,
        view: &View<'_>,
        candidate: &Candidate,
        into: &SnapshotBuilder,
    ) -> Examined {
        let task = &candidate.task;
        let Places { roots, variables, cut } = self.places(view);
        let (intents, mut is_whole) = self.look(view, variables);
        let reach = self.reach(roots);
        is_whole &= !reach.cut && !cut;
        let mut actors = Vec::new();
        for intent in intents {
            let Some(object) = self.objects.id(intent.address) else { continue };
            if self.objects.may(task, object, intent.action, into) {
                actors.push(Found {
                    object,
                    by: By::Task(candidate.number as u32),
                    action: intent.action,
                    certainty: intent.certainty,
                    at: self.frame(candidate, intent.pc),
                    hops: reach.hops(object).unwrap_or(0),
                });
            }
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
        // Who calls a function of package context cancels a context that it knows; that is read ahead or not at all.
        const ACTIONS: [Action; 6] =
            [Action::Send, Action::Receive, Action::Close, Action::Done, Action::Signal, Action::Resume];
        if reach.objects.is_empty() {
            return;
        }
        let acting = self.acting(view);
        for &(object, hops) in &reach.objects {
            let is_known = actors.iter().any(|known| known.object == object);
            if is_known || Objects::waits(&candidate.task, object, into) {
                continue;
            }
            let helps = self.objects.may_help(object);
            let best = acting.iter().find_map(|(pc, actions)| {
                let does = |action: &Action| helps.has(*action) && actions.has(*action);
                Some((ACTIONS.into_iter().find(does)?, *pc))
            });
            actors.push(Found {
                object,
                by: By::Task(candidate.number as u32),
                action: best.map_or(Action::Unknown, |(action, _)| action),
                certainty: Certainty::Perhaps,
                at: best.and_then(|(_, pc)| self.frame(candidate, pc)),
                hops,
            });
        }
    }

    /// The frames that act on anything, each code address once.
    fn acting(&mut self, view: &View<'_>) -> Vec<(CodeAddress, Actions)> {
        let mut acting: Vec<(CodeAddress, Actions)> = Vec::new();
        for frame in view.frames {
            if acting.len() < MAX_ACTING
                && let Part::Code(course) = self.parts.of(frame.pc, &mut self.ahead)
                && !course.actions.is_empty()
                && !acting.iter().any(|(pc, _)| *pc == frame.pc)
            {
                acting.push((frame.pc, course.actions));
            }
        }
        acting
    }

    fn look(&mut self, view: &View<'_>, variables: Vec<(u64, u64)>) -> (Vec<Intent>, bool) {
        let written = self.written(view.g);
        let offsets = &self.reader.go.offsets;
        let inner = StoppedGoroutine::new(&mut self.memory, offsets, view.stack, view.g);
        let look = Look {
            goroutine: Receiver { inner, written, variables },
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
            if owner != g || channel == 0 {
                break;
            }
            if element != 0 {
                let size = self.ahead.element(channel, &mut Plain(&mut self.memory));
                written.push((element, size.unwrap_or(0) as u64));
            }
            record = next;
        }
        written
    }

    /// A goroutine's live pointers, and its deferred calls.
    fn places(&mut self, view: &View<'_>) -> Places {
        let Places { mut roots, mut variables, mut cut } = Places::default();
        let mut waits = true;
        for frame in view.frames {
            waits &= self.parts.of(frame.pc, &mut self.ahead) == Part::Waits;
            if waits {
                // It holds what the goroutine itself waits for.
                continue;
            }
            if roots.len() > MAX_ROOTS || variables.len() > MAX_VARIABLES {
                cut = true;
                break;
            }
            let slots = self.maps.slots(frame.pc);
            for at in &slots.live {
                let Some(word) = frame.sp.checked_add(*at).and_then(|at| view.stack.word(at)) else {
                    continue;
                };
                let is_odd = slots.exact && word != 0 && !is_address(word);
                self.odd_pointers += u64::from(is_odd);
                roots.push(word);
            }
            variables.extend(slots.objects.iter().filter_map(|(at, size)| {
                let start = frame.sp.checked_add(*at)?;
                Some((start, start.checked_add(*size)?))
            }));
        }
        if let Some(state) = &view.state {
            roots.extend(state.general().into_iter().flatten());
        }
        let offsets = &self.reader.go.offsets;
        let mut goroutine = StoppedGoroutine::new(&mut self.memory, offsets, view.stack, view.g);
        roots.extend(goroutine.list().iter().map(|(_, closure)| *closure));
        variables.truncate(MAX_VARIABLES);
        // Variables are used if a pointer leads there.
        let mut unused = variables.clone();
        let stack_end = view.stack.base.saturating_add(view.stack.bytes.len() as u64);
        let mut at = 0;
        while let Some(&root) = roots.get(at) {
            at += 1;
            if let Some(nth) = unused.iter().position(|(start, end)| (*start..*end).contains(&root)) {
                let (start, end) = unused.swap_remove(nth);
                let end = end.min(stack_end);
                cut |= roots.len() > MAX_ROOTS;
                if cut {
                    break;
                }
                roots.extend((start..end).step_by(8).filter_map(|at| view.stack.word(at)));
            }
        }
        Places { roots, variables, cut }
    }

    /// What pointers from these words lead to.
    pub(super) fn reach(&mut self, roots: Vec<u64>) -> Reach {
        self.heap_and_memory(|heap, objects, memory| heap.reach(roots, objects, memory, LIMITS))
    }

    /// Runs something with the heap, the objects asked for, and the memory.
    pub(super) fn heap_and_memory<T>(
        &mut self,
        with: impl FnOnce(&mut Heap<'_>, &Objects, &mut crate::process::paged::PagedMemory<'_>) -> T,
    ) -> T {
        let go = self.reader.go;
        let mut heap = Heap {
            spans: self.spans.as_mut(),
            goroutines: &self.goroutines,
            modules: &go.modules,
            offsets: &go.offsets,
        };
        with(&mut heap, &self.objects, &mut self.memory)
    }

    /// The frame as it was when the task was read. If the task moved since, the frame of the same function.
    fn frame(&self, candidate: &Candidate, pc: CodeAddress) -> Option<CodeAddress> {
        let stack = self.stacks.of(candidate.number);
        let go = self.reader.go;
        let function = |pc: CodeAddress| go.function(pc.pc()).map(|function| function.entry());
        let same = || stack.iter().find(|at| function(**at).is_some() && function(**at) == function(pc));
        stack.iter().find(|at| **at == pc).or_else(same).copied()
    }
}
