//! The tasks of the last reading by signature, and what the earlier readings say of them.

use super::{Series, SignatureId};
use crate::analysis::tally::{Counter, Tally};
use crate::snapshot::{Age, StrId, Task, TaskState, picked};

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
    let all = series.last().map_or(&[][..], |snapshot| &snapshot.tasks);
    let (mut states, mut reasons, mut oldest) = (Counter::default(), Counter::default(), Age::Unknown);
    let [mut count, mut leaked, mut stack_bytes, mut stayed, mut still] = [0_u64; 5];
    // Those of the members come first. One walk: a large group does not fit into the processor's caches.
    for (nth, (_, task)) in picked(all, &tasks, size_of::<Task>()).enumerate() {
        let member = members.get(nth).and_then(|&nth| series.members().get(nth as usize));
        let times = task.count();
        if let Some(member) = member {
            let proved = series.still_ns(member);
            oldest = older(oldest, older(task.age, proved.map_or(Age::Unknown, Age::AtLeast)));
            stayed += u64::from(member.first_seen == 0 && member.first_signature == signature);
            still += u64::from(member.still_since == 0 && proved.is_some());
        } else if members.is_empty() {
            oldest = older(oldest, task.age);
        }
        states.add(task.state, times);
        reasons.add(task.reason, times);
        count = count.saturating_add(times);
        leaked = leaked.saturating_add(if task.leaked { times } else { 0 });
        stack_bytes = stack_bytes.saturating_add(task.stack_bytes.saturating_mul(times));
    }
    SeriesGroup {
        signature,
        stayed,
        still,
        oldest,
        count,
        states: states.finish(),
        reasons: reasons.finish(),
        stack_bytes,
        leaked,
        tasks,
        members,
    }
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
