//! Time by label.

use std::cmp::Reverse;

use rustc_hash::FxHashMap;

use super::{Recorded, Sum};
use crate::analysis::Filter;
use crate::recording::Clock;
use crate::snapshot::StrId;

/// More values than this are ids, not kinds: they do not split groups.
const MAX_SPLITS: usize = 24;

/// Time by the values of one label.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct LabelTimes {
    /// The key.
    pub key: StrId,
    /// Its values, the most time first.
    pub values: Vec<(StrId, Sum)>,
    /// Time with this label.
    pub with: Sum,
}

/// Time by label of the rows of one clock that pass a filter, the label with the most time first.
pub fn label_times(recorded: &Recorded, clock: Clock, filter: &Filter) -> Vec<LabelTimes> {
    let snapshot = &recorded.snapshot;
    let mut sums: FxHashMap<(StrId, StrId), Sum> = FxHashMap::default();
    for &nth in &recorded.select(clock, filter).tasks {
        let (task, row) = (snapshot.tasks.get(nth as usize), recorded.rows.get(nth as usize));
        let (Some(task), Some(row)) = (task, row) else { continue };
        let set = task.labels.and_then(|id| snapshot.code.label_sets.get(id.index()));
        for &pair in set.map_or(&[][..], |set| &set.pairs) {
            sums.entry(pair).or_default().add(row.sum);
        }
    }
    let mut by_key: FxHashMap<StrId, LabelTimes> = FxHashMap::default();
    for ((key, value), sum) in sums {
        let times = by_key.entry(key).or_insert(LabelTimes { key, values: Vec::new(), with: Sum::default() });
        times.values.push((value, sum));
        times.with.add(sum);
    }
    let mut labels: Vec<_> = by_key.into_values().collect();
    let text = |id: StrId| snapshot.str(id);
    for times in &mut labels {
        times.values.sort_by_key(|&(value, sum)| (Reverse(sum.ns), text(value), value));
    }
    labels.sort_by_key(|times| (Reverse(times.with.ns), text(times.key), times.key));
    labels
}

/// The key of the label that splits kinds of tasks best: the one with the most time whose values are few.
pub fn splitting_label(recorded: &Recorded, filter: &Filter) -> Option<String> {
    let clocks = [Clock::Cpu, Clock::Wall, Clock::OffCpu].into_iter();
    let first = clocks.map(|clock| label_times(recorded, clock, filter)).find(|labels| !labels.is_empty())?;
    let few = first.iter().find(|times| times.values.len() <= MAX_SPLITS)?;
    Some(recorded.snapshot.str(few.key).to_owned())
}
