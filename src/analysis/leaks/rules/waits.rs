//! What tasks wait for, as evidence.

use crate::analysis::leaks::context::Context;
use crate::analysis::leaks::evidence::{Evidence, ObjectWaits};
use crate::analysis::leaks::task_group::TaskGroup;
use crate::analysis::lore;
use crate::snapshot::ObjectKind;

/// This many tasks are suspect even without growth, if each waits for an object of its own and no task is on
/// the other side.
pub(super) const QUIET_MANY: u64 = 20;
/// Ways of waiting that are evidence; one finding rarely has more than two.
const WAYS: usize = 3;

/// What the objects that tasks wait for have in common.
#[derive(Debug, Default)]
pub(super) struct Objects {
    /// What was seen.
    pub(super) because: Vec<Evidence>,
    /// Each task waits for objects of its own, and no task is on the other side of any of them.
    pub(super) alone: bool,
    /// They wait for several objects, some perhaps for the same one, and no task is on the other side.
    pub(super) deserted: bool,
    /// They wait in one queue: all of them for one object, and no task is on the other side of it.
    pub(super) queue: bool,
    /// What they wait for is known.
    pub(super) known: bool,
}

/// Looks at what the tasks of a group wait for.
pub(super) fn objects(context: &Context<'_>, kind: &TaskGroup<'_>) -> Objects {
    let summaries = context.summaries(kind);
    let known = !summaries.is_empty();
    let timers = lore::of(&kind.signature.runtime).timer_element;
    let mut objects = Objects { alone: known, deserted: known, queue: known, known, because: Vec::new() };
    for summary in &summaries {
        let own = summary.objects == summary.waits;
        let element = summary.element.map_or("", |id| context.snapshot.str(id));
        // A timer sends without waiting.
        let channels = summary.channels.filter(|_| timers.is_none_or(|timers| element != timers));
        // Nothing is known of the other end of a channel whose state is unknown.
        let unknown = summary.kind == ObjectKind::Channel && summary.channels.is_none();
        let deserted = !unknown && channels.is_none_or(|channels| channels.without_peer == summary.objects);
        // A channel that all tasks watch beside their own, such as a shutdown channel, says nothing.
        objects.alone &= deserted && (own || summary.alternative);
        objects.queue &= deserted && summary.objects == 1 && !own && !summary.alternative;
        objects.deserted &= deserted && (summary.objects > 1 || own);
        if objects.because.len() < WAYS {
            objects.because.push(Evidence::Waits(ObjectWaits {
                op: summary.op,
                object: summary.kind,
                element: element.to_owned(),
                selects: summary.alternative,
                waits: summary.waits,
                objects: summary.objects,
                channels,
                senders: summary.senders,
            }));
        }
    }
    objects.alone &= summaries.iter().any(|summary| summary.objects == summary.waits);
    objects
}
