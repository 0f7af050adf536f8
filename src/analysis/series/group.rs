//! The tasks of the last reading by signature, and what the earlier readings say of them.

use super::{Member, Series, SignatureId};
use crate::analysis::tally::{Counter, Tally};
use crate::snapshot::{Age, StrId, TaskState};

/// The tasks of one signature in the last reading.
#[derive(Debug, Clone, PartialEq)]
pub struct SeriesGroup {
    /// Their signature.
    pub signature: SignatureId,
    /// The tasks: indices into the tasks of [`Series::last`], in its order. Empty if none are left.
    pub tasks: Vec<u32>,
    /// How many tasks these are: one row may stand for several.
    pub count: u64,
    /// The tasks with an identity: indices into [`Series::members`].
    pub members: Vec<u32>,
    /// How many of these had the same signature in the first reading.
    pub stayed: u64,
    /// How many have certainly not run since the first reading.
    pub still: u64,
    /// The longest time that any of them has been in its state: what the runtime says, or longer if the
    /// readings prove it.
    pub oldest: Age,
    /// What they are doing.
    pub states: Tally<TaskState>,
    /// Why they wait.
    pub reasons: Tally<Option<StrId>>,
    /// Bytes of memory that their stacks take.
    pub stack_bytes: u64,
    /// How many of them the runtime has proved to be leaked.
    pub leaked: u64,
}

/// All groups, one for each signature that the series remembers, in the order of their slots.
pub fn groups(series: &Series) -> Vec<SeriesGroup> {
    let count = series.tracks.len();
    let mut tasks: Vec<Vec<u32>> = vec![Vec::new(); count];
    let mut members: Vec<Vec<u32>> = vec![Vec::new(); count];
    for (nth, member) in series.members().iter().enumerate() {
        let at = member.signature.index();
        tasks.get_mut(at).into_iter().for_each(|list| list.push(member.task));
        members.get_mut(at).into_iter().for_each(|list| list.push(nth as u32));
    }
    for &(index, signature) in &series.anonymous {
        tasks.get_mut(signature.index()).into_iter().for_each(|list| list.push(index));
    }
    (series.signatures.iter())
        .map(|(signature, _)| {
            let tasks = tasks.get_mut(signature.index()).map(std::mem::take).unwrap_or_default();
            let members = members.get_mut(signature.index()).map(std::mem::take).unwrap_or_default();
            group(series, signature, tasks, members)
        })
        .collect()
}

fn group(series: &Series, signature: SignatureId, tasks: Vec<u32>, members: Vec<u32>) -> SeriesGroup {
    let last = series.last();
    let task = |&index: &u32| last.and_then(|snapshot| snapshot.tasks.get(index as usize));
    let member = |&nth: &u32| series.members().get(nth as usize);
    let followed = || members.iter().filter_map(member);
    let all = || tasks.iter().filter_map(task);
    let mut oldest = Age::Unknown;
    for member in followed() {
        let age = last.and_then(|snapshot| snapshot.tasks.get(member.task as usize)).map(|task| task.age);
        oldest = older(oldest, older(age.unwrap_or_default(), proved(series, member)));
    }
    let (mut states, mut reasons) = (Counter::default(), Counter::default());
    let [mut count, mut leaked, mut stack_bytes] = [0_u64; 3];
    for task in all() {
        let times = task.count();
        states.add(task.state, times);
        reasons.add(task.reason, times);
        count = count.saturating_add(times);
        leaked = leaked.saturating_add(if task.leaked { times } else { 0 });
        stack_bytes = stack_bytes.saturating_add(task.stack_bytes.saturating_mul(times));
    }
    SeriesGroup {
        signature,
        stayed: followed().filter(|m| m.first_seen == 0 && m.first_signature == signature).count() as u64,
        still: followed().filter(|m| m.still_since == 0 && series.still_ns(m).is_some()).count() as u64,
        oldest: if members.is_empty() {
            all().fold(oldest, |age, task| older(age, task.age))
        } else {
            oldest
        },
        count,
        states: states.finish(),
        reasons: reasons.finish(),
        stack_bytes,
        leaked,
        tasks,
        members,
    }
}

/// How long the readings prove that a task has been in its state.
fn proved(series: &Series, member: &Member) -> Age {
    series.still_ns(member).map_or(Age::Unknown, Age::AtLeast)
}

/// The longer of two ages. If they are equal, the lower bound, which may be longer.
fn older(a: Age, b: Age) -> Age {
    match a.nanos().cmp(&b.nanos()) {
        std::cmp::Ordering::Less => b,
        std::cmp::Ordering::Greater => a,
        std::cmp::Ordering::Equal if matches!(a, Age::AtLeast(_)) => a,
        std::cmp::Ordering::Equal => b,
    }
}
