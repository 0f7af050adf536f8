//! A baseline: groups of tasks that were there before are not reported.
//!
//! Groups are compared by the functions of their stack and of their creator, because lines move when a program is
//! built again.

use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::task_group::{LeftOut, TaskGroup};
use crate::analysis::signature::{Signature, SignatureOptions, Signatures};
use crate::snapshot::Snapshot;

type Key = (Vec<Arc<str>>, Option<Arc<str>>);

/// How many tasks of each kind there were.
#[derive(Debug, Clone, Default)]
pub struct Baseline {
    counts: FxHashMap<Key, u64>,
}

impl Baseline {
    /// Counts the tasks of a snapshot.
    pub fn new(snapshot: &Snapshot) -> Self {
        let mut signatures = Signatures::new(SignatureOptions::default());
        let mut reader = signatures.reader(snapshot);
        let tasks = snapshot.tasks.iter().filter(|task| !task.system);
        let ids: Vec<_> = tasks.map(|task| (reader.of(task), task.count())).collect();
        let mut counts: FxHashMap<Key, u64> = FxHashMap::default();
        for (signature, count) in ids.into_iter().filter_map(|(id, n)| Some((signatures.get(id)?, n))) {
            let sum = counts.entry(key(signature)).or_default();
            *sum = sum.saturating_add(count);
        }
        Baseline { counts }
    }

    /// Marks the groups that are no larger than they were.
    pub(super) fn leave_out(&self, kinds: &mut [TaskGroup<'_>]) {
        let mut now: FxHashMap<Key, u64> = FxHashMap::default();
        for kind in kinds.iter() {
            *now.entry(key(kind.signature)).or_default() += kind.count();
        }
        for kind in kinds.iter_mut().filter(|kind| kind.left_out.is_none()) {
            let key = key(kind.signature);
            let (now, then) = (now.get(&key), self.counts.get(&key));
            if then.is_some_and(|then| now.is_none_or(|now| now <= then)) {
                kind.left_out = Some(LeftOut::Baseline);
            }
        }
    }
}

fn key(signature: &Signature) -> Key {
    let function = |place: &crate::analysis::signature::SignatureFrame| Arc::clone(&place.function);
    (signature.frames.iter().map(function).collect(), signature.creator.as_ref().map(function))
}
