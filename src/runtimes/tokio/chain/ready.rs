//! Chains in the ids of one snapshot, so that each is worded once.

use std::sync::Arc;

use super::{Places, Template, Wanted};
use crate::code::{CodeBuilder, LocationId, StackId, StrId};
use crate::snapshot::{Branch, HoldKind, ObjectKind, Span, StackStatus, WaitClass};

/// A chain in the ids of one snapshot.
#[derive(Debug)]
pub(in super::super) struct Ready {
    template: Arc<Template>,
    /// Where it awaits, and what runs it.
    pub(in super::super) stack: Option<StackId>,
    pub(in super::super) status: StackStatus,
    /// What it waits for, if that is known.
    pub(in super::super) wait: Option<(StrId, WaitClass)>,
    /// The branches of no task yet: what they wait for begins among that of the task.
    branches: Vec<Branch>,
    /// Where the locks are held: their places.
    held: Vec<Option<LocationId>>,
}

/// A lock that a task may hold.
#[derive(Debug, Clone, Copy)]
pub(in super::super) struct HeldLock {
    /// The address of its semaphore.
    pub(in super::super) lock: u64,
    pub(in super::super) kind: ObjectKind,
    pub(in super::super) how: HoldKind,
    pub(in super::super) location: Option<LocationId>,
}

impl Ready {
    /// That of a chain, for tasks whose function has this name and this stack, which has no line.
    pub(in super::super) fn of(
        template: &Arc<Template>,
        (entry, stack): (&str, Option<StackId>),
        places: &mut Places,
        code: &mut CodeBuilder,
    ) -> Ready {
        let chain = &template.chain;
        let mut locations: Vec<_> = chain.awaits.iter().filter_map(|at| places.location(at, code)).collect();
        // What is around the outermost async function has no line.
        if chain.awaits.last().is_none_or(|outermost| outermost.name() != entry) {
            locations.extend(stack.map_or(&[] as &[_], |stack| code.stack_at(stack)));
        }
        let stack = if locations.is_empty() { stack } else { Some(code.stack(locations)) };
        let leaf = chain.leaf.as_ref();
        let mut branches = Vec::new();
        for (branch, number) in leaf.into_iter().flat_map(|leaf| &leaf.branches).zip(0..) {
            let locations: Vec<_> = branch.awaits.iter().filter_map(|at| places.location(at, code)).collect();
            let (first, len) = branch.objects;
            let span = |(first, len)| {
                Some(Span { start: u32::try_from(first).ok()?, len: u32::try_from(len).ok()? })
            };
            branches.push(Branch {
                task: 0,
                number,
                depth: branch.depth,
                nth: branch.nth,
                of: branch.of,
                stack: (!locations.is_empty()).then(|| code.stack(locations)),
                stack_status: branch.status,
                reason: Some(code.string(&branch.reason)),
                wait_class: branch.class,
                waits: span((first, len)).unwrap_or_default(),
            });
        }
        Ready {
            template: Arc::clone(template),
            stack,
            status: chain.status,
            wait: leaf.map(|leaf| (code.string(&leaf.reason), leaf.class)),
            branches,
            held: chain.held.iter().map(|held| places.location(&held.at, code)).collect(),
        }
    }

    /// What it waits for.
    pub(in super::super) fn objects(&self) -> &[Wanted] {
        self.template.chain.leaf.as_ref().map_or(&[], |leaf| &leaf.objects)
    }

    /// How many branches it has.
    pub(in super::super) fn branch_count(&self) -> usize {
        self.branches.len()
    }

    /// The branches of the task with a row, which waits for these things.
    pub(in super::super) fn branches(&self, task: u32, waits: Span) -> impl Iterator<Item = Branch> {
        self.branches.iter().map(move |branch| {
            let start = waits.start.saturating_add(branch.waits.start);
            let span = Span { start, len: branch.waits.len };
            let is_inside = span.len > 0 && span.end() <= waits.end();
            Branch { task, waits: if is_inside { span } else { Span::default() }, ..*branch }
        })
    }

    /// The locks that a task, of which these values were kept, may hold.
    pub(in super::super) fn held(&self, kept: &[u64]) -> impl Iterator<Item = HeldLock> {
        let held = self.template.chain.held.iter().zip(&self.held);
        held.map(|(held, location)| HeldLock {
            lock: held.lock.of(kept),
            kind: held.kind,
            how: held.how,
            location: *location,
        })
    }
}
