//! Turns goroutines into tasks, as far as their own struct and stack tell.

use rustc_hash::FxHashMap;

use super::draft::{Draft, Late, wait_class};
use crate::runtimes::go::channels::Channels;
use crate::runtimes::go::chunk::Chunk;
use crate::runtimes::go::goroutine::{Goroutine, Raw, status};
use crate::runtimes::go::labels::{KnownLabels, LabelSets};
use crate::runtimes::go::links::Candidate;
use crate::runtimes::go::names::{WaitReason, WaitReasons};
use crate::runtimes::go::threads::Threads;
use crate::runtimes::go::waits::RawWait;
use crate::snapshot::{Age, FunctionId, LocationId, SnapshotBuilder, Span, StackStatus, Task};

/// Turns goroutines into tasks, and records in the draft what is still to be found out.
pub(super) struct Tasks<'d, 'a> {
    runtime: u8,
    draft: &'d mut Draft<'a>,
    pub(super) into: &'d mut SnapshotBuilder,
    /// Goroutines that have not run since the last reading.
    pub(super) unchanged: u64,
    /// The target's CLOCK_MONOTONIC.
    now: Option<u64>,
    reasons: WaitReasons<'a>,
    labels: LabelSets<'a>,
    threads: Threads<'a>,
    channels: Channels<'a>,
    /// By start function and the place of the `go` statement.
    starts: FxHashMap<(u64, u64), Begin>,
    /// The last one that was asked for: goroutines next to each other are often alike.
    last: Option<((u64, u64), Begin)>,
}

/// What the places where a goroutine began say.
#[derive(Debug, Clone, Copy)]
struct Begin {
    creator: Option<LocationId>,
    entry: Option<FunctionId>,
    system: bool,
    helper: bool,
    coroutine: bool,
}

impl<'d, 'a> Tasks<'d, 'a> {
    /// `labels`: those that the last reading met.
    pub(super) fn new(
        runtime: u8,
        labels: KnownLabels,
        draft: &'d mut Draft<'a>,
        into: &'d mut SnapshotBuilder,
    ) -> Self {
        let Draft { go, target, .. } = *draft;
        Tasks {
            runtime,
            now: target.monotonic_ns(),
            reasons: WaitReasons::new(&go.wait_reasons),
            labels: LabelSets::new(target, go.build.minor).after(labels),
            threads: Threads::new(target, go.offsets.m_procid),
            channels: Channels::new(&go.types),
            starts: FxHashMap::default(),
            last: None,
            unchanged: 0,
            draft,
            into,
        }
    }

    /// The labels that this reading met.
    pub(super) fn into_labels(self) -> KnownLabels {
        self.labels.into_known()
    }

    /// Reads the labels of a goroutine: as long as it has them, they stay in memory.
    pub(super) fn meet_labels(&mut self, labels: u64) {
        self.labels.of(labels, &mut self.into.code);
    }

    /// Reads what a goroutine that was read just now has only now. It becomes a task later.
    pub(super) fn meet(&mut self, goroutine: &Goroutine) {
        self.meet_labels(goroutine.raw.labels);
        self.thread(goroutine);
    }

    /// Counts what happened while goroutines were read.
    pub(super) fn count(&mut self, chunk: &Chunk) {
        let reading = &mut self.into.header.reading;
        reading.retried += chunk.retried;
        reading.torn += chunk.torn;
        reading.ended += chunk.ended;
        reading.missing += chunk.missing;
    }

    /// Adds one goroutine. `waits`: what it waits for, from its own struct.
    pub(super) fn goroutine(&mut self, goroutine: &Goroutine, waits: &[RawWait]) {
        let raw = &goroutine.raw;
        self.unchanged += u64::from(goroutine.unchanged);
        let lacks_stack = goroutine.stack_status == StackStatus::Missing;
        self.into.header.reading.missing_stacks += u64::from(lacks_stack);
        let reason = if is_waiting(raw) { self.reasons.of(raw.waitreason, self.into) } else { None };
        let begin = self.begin(raw);
        self.note(raw, reason, waits, begin.helper);
        let Draft { stacks, resolver, .. } = &mut *self.draft;
        let (stack, facts) = stacks.add(goroutine.stack, resolver, self.into);
        let (state, leaked) = (raw.state(), raw.status == status::LEAKED);
        let waits = self.channels.waits(waits, self.into);
        let wait_class = wait_class(
            &Task { state, leaked, waits, ..Task::default() },
            reason.and_then(|reason| reason.class),
            self.into,
        );
        let thread = self.thread(goroutine);
        let is = Candidate {
            state,
            class: wait_class,
            has_thread: thread.is_some(),
            is_blocked_on_coroutine: reason.is_some_and(|reason| reason.is_of_coroutine),
            is_coroutine: begin.coroutine,
        };
        self.draft.candidates.note(self.into.task_count(), is);
        // Nothing may refer to it before it is in its place: else it is copied there, which takes as long as all else.
        let task = Task {
            runtime: self.runtime,
            id: Some(raw.goid),
            address: raw.address,
            state,
            reason: reason.map(|reason| reason.text),
            wait_class: facts.refine(wait_class),
            age: age(raw, self.now),
            lifetime_ns: None,
            polls: None,
            mark: raw.mark(),
            parent: (raw.parent != 0).then_some(raw.parent),
            creator: begin.creator,
            entry: begin.entry,
            labels: self.labels.of_goroutine(raw.labels, goroutine.settled, &mut self.into.code),
            thread,
            locked_to_thread: raw.locked,
            system: begin.system,
            leaked,
            stack,
            stack_status: goroutine.stack_status,
            stack_bytes: raw.stack_hi.saturating_sub(raw.stack_lo),
            waits,
            holds: Span::default(),
            twins: 0,
        };
        self.into.task(task);
    }

    /// Records what can be found out only when everything has been read.
    fn note(&mut self, raw: &Raw, reason: Option<WaitReason>, waits: &[RawWait], helper: bool) {
        let (task, semaphore) = (self.into.task_count(), semaphore_of(waits));
        let late = || Late { task, raw: *raw, semaphore };
        let for_lock = || reason.is_some_and(|reason| reason.is_of_lock);
        if is_waiting(raw) && (semaphore.is_some() || waits.is_empty() && for_lock()) {
            self.draft.waiting.push(late());
        }
        if helper {
            self.draft.helpers.push(late());
        }
        if raw.status == status::SYSCALL && self.draft.resolver.is_cgocall(raw.syscallpc) {
            self.draft.in_c.push(late());
        }
    }

    fn thread(&mut self, goroutine: &Goroutine) -> Option<u32> {
        let raw = &goroutine.raw;
        match raw.status {
            // A goroutine whose stack grows is still on its thread (`newstack`).
            status::SYSCALL | status::RUNNING | status::COPYSTACK => {
                goroutine.thread.or_else(|| self.threads.of(raw.m))
            }
            _ => None,
        }
    }

    fn begin(&mut self, raw: &Raw) -> Begin {
        // The first goroutine was started by the runtime's start-up code, not by a statement.
        let key = (raw.startpc, if raw.goid == 1 { 0 } else { raw.gopc });
        if let Some((_, begin)) = self.last.filter(|(last, _)| *last == key) {
            return begin;
        }
        let (resolver, into) = (&mut self.draft.resolver, &mut *self.into);
        let begin = *self.starts.entry(key).or_insert_with(|| Begin {
            creator: resolver.creator(key.1, &mut into.code),
            entry: resolver.entry(raw.startpc, &mut into.code),
            system: resolver.is_system(raw.startpc, || false),
            helper: resolver.is_helper(raw.startpc),
            coroutine: resolver.is_coroutine(raw.startpc),
        });
        self.last = Some((key, begin));
        begin
    }
}

fn is_waiting(raw: &Raw) -> bool {
    matches!(raw.status, status::WAITING | status::LEAKED)
}

/// How long it has waited, if it waits and the runtime recorded it.
fn age(raw: &Raw, now: Option<u64>) -> Age {
    let waits = is_waiting(raw) || raw.status == status::SYSCALL;
    match (u64::try_from(raw.waitsince), now) {
        (Ok(since), Some(now)) if waits && since != 0 && since <= now => Age::AtLeast(now - since),
        _ => Age::Unknown,
    }
}

fn semaphore_of(waits: &[RawWait]) -> Option<u64> {
    waits.iter().find_map(|wait| match wait {
        RawWait::Address(address) if *address != 0 => Some(*address),
        _ => None,
    })
}
