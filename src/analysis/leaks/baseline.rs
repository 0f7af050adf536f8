//! A baseline: tasks that are known are not reported again.
//!
//! It is a snapshot or a list. Groups that a snapshot has are left out as long as they are no larger; they are compared
//! by the functions of their stack and of their creator, because lines move when a program is built again. Kinds that a
//! list names ([`crate::analysis::baseline`]) are left out in any number.

use std::collections::BTreeSet;
use std::sync::Arc;

use rustc_hash::{FxHashMap, FxHashSet};

use super::context::Context;
use super::listed::Listed;
use super::task_group::{LeftOut, TaskGroup};
use crate::analysis::baseline::{self, Date, Said, program_of};
use crate::analysis::signature::{Signature, SignatureOptions, Signatures};
use crate::snapshot::{Header, Snapshot};

/// What is known.
#[derive(Debug, Clone)]
pub enum Baseline {
    /// The groups of a snapshot.
    Counts(Counts),
    /// A list of kinds.
    List {
        /// The list.
        list: baseline::Baseline,
        /// Today, for lines that have a last day. None: no line has expired.
        today: Option<Date>,
    },
}

type Key = (Vec<Arc<str>>, Option<Arc<str>>);

/// How many tasks of each kind there were.
#[derive(Debug, Clone, Default)]
pub struct Counts {
    counts: FxHashMap<Key, u64>,
}

impl Baseline {
    /// Counts the tasks of a snapshot.
    pub fn of_snapshot(snapshot: &Snapshot) -> Self {
        Baseline::Counts(Counts::new(snapshot))
    }

    /// The list, if it is one.
    pub fn list(&self) -> Option<&baseline::Baseline> {
        match self {
            Baseline::Counts(_) => None,
            Baseline::List { list, .. } => Some(list),
        }
    }

    /// Marks the groups that are known.
    pub(super) fn leave_out(&self, header: &Header, kinds: &mut [TaskGroup<'_>]) {
        match self {
            Baseline::Counts(counts) => counts.leave_out(kinds),
            Baseline::List { list, today } => {
                let (program, _) = program_of(header);
                for kind in kinds.iter_mut().filter(|kind| kind.left_out.is_none()) {
                    if matches!(list.says(&program, &kind.kind(), *today), Said::Known(_)) {
                        kind.left_out = Some(LeftOut::Known);
                    }
                }
            }
        }
    }
}

impl Counts {
    fn new(snapshot: &Snapshot) -> Self {
        let mut signatures = Signatures::new(SignatureOptions::default());
        let mut reader = signatures.reader(snapshot);
        let tasks = snapshot.tasks.iter().filter(|task| !task.system);
        let ids: Vec<_> = tasks.map(|task| (reader.of(task), task.count())).collect();
        let mut counts: FxHashMap<Key, u64> = FxHashMap::default();
        for (signature, count) in ids.into_iter().filter_map(|(id, n)| Some((signatures.get(id)?, n))) {
            let sum = counts.entry(key(signature)).or_default();
            *sum = sum.saturating_add(count);
        }
        Counts { counts }
    }

    /// Marks the groups that are no larger than they were.
    fn leave_out(&self, kinds: &mut [TaskGroup<'_>]) {
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

impl Listed {
    /// `found`: the groups of the findings.
    pub(super) fn new(context: &Context<'_>, found: &FxHashSet<usize>) -> Self {
        let (program, _) = program_of(&context.snapshot.header);
        let mut listed = Listed::default();
        let (mut kinds, mut known) = (BTreeSet::new(), BTreeSet::new());
        for (nth, group) in context.kinds.iter().enumerate() {
            let kind = group.kind();
            let said = match &context.options.baseline {
                Some(Baseline::List { list, today }) => list.says(&program, &kind, *today),
                _ => Said::New,
            };
            if let Said::Expired(line) = said
                && !listed.expired.contains(line)
            {
                listed.expired.push(line.clone());
            }
            if group.left_out == Some(LeftOut::Known) {
                listed.tasks = listed.tasks.saturating_add(group.count());
                known.insert(kind.clone());
            }
            if said != Said::New || found.contains(&nth) {
                kinds.insert(kind);
            }
        }
        listed.known = known.into_iter().collect();
        listed.programs.push((program, kinds.into_iter().collect()));
        listed.look_for_stale(context.options.baseline.as_ref());
        listed
    }

    /// Asks which lines nothing needs any more.
    pub(super) fn look_for_stale(&mut self, baseline: Option<&Baseline>) {
        let stale = baseline.and_then(Baseline::list).map(|list| list.stale(&self.programs));
        self.stale = stale.unwrap_or_default().into_iter().cloned().collect();
    }
}
