//! Compares two recordings by share.

use std::collections::BTreeMap;

use super::{By, Interval, Recorded, Sum, change, functions, group};
use crate::analysis::Filter;
use crate::recording::Clock;

/// What is compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Compared {
    /// The own time of functions.
    Function,
    /// The time of functions with what they call.
    Cumulative,
    /// Groups.
    Group(By),
}

/// One function or group in two recordings.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Changed {
    /// Its name: it is what the two have in common. Raw from the target: escape before printing.
    pub name: String,
    /// Its time in the earlier recording.
    pub before: Sum,
    /// Its time in the later recording.
    pub now: Sum,
    /// How its share of all time changed.
    pub change: Interval,
}

impl Changed {
    /// The change is more than chance.
    pub fn is_real(&self) -> bool {
        !self.change.has_zero()
    }
}

/// The result of comparing two recordings.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct RecordingDiff {
    /// The clock whose time was compared.
    pub clock: Clock,
    /// What was compared.
    pub compared: Compared,
    /// All time of the earlier recording.
    pub before: Sum,
    /// All time of the later recording.
    pub now: Sum,
    /// Independent samples of both.
    pub sureness: [f64; 2],
    /// Functions or groups: those whose change is real first, then by the size of the change.
    pub rows: Vec<Changed>,
}

/// Compares the time of one clock in two recordings. None if one of them has no samples of it that pass the filter.
pub fn diff(
    before: &Recorded,
    now: &Recorded,
    clock: Clock,
    filter: &Filter,
    compared: &Compared,
) -> Option<RecordingDiff> {
    let total = |recorded: &Recorded| {
        let rows = recorded.select(clock, filter).tasks;
        let (sum, sureness) = (recorded.sum(&rows), recorded.sureness(clock, &rows));
        (sum.ns > 0).then_some((sum, sureness))
    };
    let ((was, was_sure), (is, is_sure)) = (total(before)?, total(now)?);
    let mut sums: BTreeMap<String, [Sum; 2]> = BTreeMap::new();
    for (side, recorded) in [before, now].into_iter().enumerate() {
        for (name, sum) in named(recorded, clock, filter, compared) {
            let entry = sums.entry(name).or_default();
            entry.iter_mut().skip(side).take(1).for_each(|slot| slot.add(sum));
        }
    }
    let row = |(name, [before, now]): (String, [Sum; 2])| Changed {
        name,
        before,
        now,
        change: change((before.ns, was.ns, was_sure), (now.ns, is.ns, is_sure)),
    };
    let mut rows: Vec<_> = sums.into_iter().map(row).collect();
    rows.sort_by(|a, b| {
        let size = |row: &Changed| row.change.value.abs();
        b.is_real().cmp(&a.is_real()).then(size(b).total_cmp(&size(a))).then_with(|| a.name.cmp(&b.name))
    });
    let compared = compared.clone();
    Some(RecordingDiff { clock, compared, before: was, now: is, sureness: [was_sure, is_sure], rows })
}

/// Times under the names that recordings share.
fn named(recorded: &Recorded, clock: Clock, filter: &Filter, compared: &Compared) -> Vec<(String, Sum)> {
    let by = match compared {
        Compared::Group(by) => by,
        Compared::Function | Compared::Cumulative => {
            let times = functions(recorded, clock, filter);
            let own = *compared == Compared::Function;
            let name = |id| match recorded.snapshot.function_name(id) {
                "" => "(no name)".to_owned(),
                name => name.to_owned(),
            };
            let mut named: Vec<_> = (times.functions.iter())
                .map(|time| (name(time.function), if own { time.flat } else { time.cumulative }))
                .filter(|(_, sum)| sum.ns > 0)
                .collect();
            if times.without_stack.ns > 0 {
                named.push(("stack unknown".to_owned(), times.without_stack));
            }
            return named;
        }
    };
    let groups = group(recorded, filter, by, None);
    let groups = groups.into_iter().map(|group| (recorded.name(group.subject), group.sum(clock)));
    groups.filter(|(_, sum)| sum.ns > 0).collect()
}
