//! Finds the locks that goroutines wait for.

use rustc_hash::FxHashMap;

use super::draft::{Draft, wait_class};
use crate::runtimes::go::semaphores::Semaphores;
use crate::runtimes::go::stacks::StackNumber;
use crate::runtimes::go::sync;
use crate::snapshot::{ObjectKind, SnapshotBuilder, StrId, Task, Wait};

pub(super) fn run(draft: &mut Draft<'_>, into: &mut SnapshotBuilder) {
    if draft.waiting.is_empty() {
        return;
    }
    let named = draft.waiting.iter().all(|late| late.semaphore.is_some());
    let semtable = draft.go.globals.semtable.filter(|_| !named);
    let mut semaphores = Semaphores::read(draft.target, &draft.go.offsets, semtable, into.task_count());
    let mut kinds: FxHashMap<(Option<StackNumber>, Option<StrId>), sync::Lock> = FxHashMap::default();
    for late in std::mem::take(&mut draft.waiting) {
        let (stacks, reason) = (draft.stacks.as_read(), into.task_mut(late.task).reason);
        let lock = *kinds.entry((stacks.number(late.task), reason)).or_insert_with(|| {
            let reason = reason.map_or("", |reason| into.code.text(reason));
            draft.resolver.lock(stacks.of(late.task), reason)
        });
        let address = late.semaphore.or_else(|| match lock.kind {
            ObjectKind::Cond => semaphores.condition_of(late.raw.address, late.raw.sched_sp),
            _ => semaphores.of(late.raw.address),
        });
        let Some(address) = address.and_then(|address| address.checked_sub(lock.offset)) else {
            continue;
        };
        if !into.room_for_waits(1) {
            break;
        }
        let object = into.object(lock.kind, address, |_| None);
        let waits = into.waits([Wait { op: lock.op, object }]);
        let task = Task { waits, ..*into.task_mut(late.task) };
        let class = draft.stacks.facts(late.task).refine(wait_class(&task, None, into));
        *into.task_mut(late.task) = Task { wait_class: class, ..task };
    }
}
