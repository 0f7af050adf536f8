//! Goroutines that run finalizers and cleanups belong to the program while they run its code, otherwise to
//! the runtime.

use super::draft::Draft;
use crate::snapshot::SnapshotBuilder;

pub(super) fn run(draft: &mut Draft<'_>, into: &mut SnapshotBuilder) {
    for late in std::mem::take(&mut draft.helpers) {
        let stack = draft.stacks.as_read().of(late.task);
        let in_user_code = stack.iter().any(|pc| draft.resolver.is_user_code(*pc));
        let system = draft.resolver.is_system(late.raw.startpc, || in_user_code);
        into.task_mut(late.task).system = system;
    }
}
