//! The tasks of a reading, as members of the series.

use std::hash::{Hash, Hasher};

use rustc_hash::FxHasher;

use super::super::signature::{SignatureId, Signatures};
use super::join::{Followed, Join};
use super::member::{Member, is_busy};
use super::still_ns;
use super::times::Times;
use crate::snapshot::{Snapshot, Task, ahead};

/// The tasks of a snapshot.
pub(super) struct Members {
    /// Members with an identity, sorted by it.
    pub(super) list: Vec<Member>,
    /// How long each task of the snapshot has certainly not run, nanoseconds; 0 for none.
    pub(super) proved_ns: Vec<u64>,
    /// Tasks without an identity, as indices into the tasks of the snapshot, with their signatures.
    pub(super) anonymous: Vec<(u32, SignatureId)>,
    /// How many tasks there are in all.
    pub(super) count: u64,
    /// The same, with the runtime's own tasks.
    pub(super) listed: u64,
    /// What happened since the reading before, and how many members the signatures have.
    pub(super) followed: Followed,
}

/// When a reading was made.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moment<'t> {
    /// Its number.
    pub(super) number: u32,
    /// Nanoseconds since the reading before.
    pub(super) gap: Option<u64>,
    /// The times of all readings, this one included.
    pub(super) times: &'t Times,
}

/// Takes the tasks of a snapshot, and what the members of the reading before say of them. `before`: None if tasks cannot be
/// found again. `each` is called with each task, in their order.
pub(super) fn members(
    snapshot: &Snapshot,
    system: bool,
    moment: Moment<'_>,
    before: Option<&[Member]>,
    signatures: &mut Signatures,
    mut each: impl FnMut(&Task),
) -> Members {
    let maker = Maker { snapshot, moment, places: places(snapshot) };
    let mut reader = signatures.reader(snapshot);
    let mut list: Vec<Member> = Vec::with_capacity(snapshot.tasks.len());
    let mut anonymous = Vec::new();
    let (mut count, mut listed) = (0_u64, 0_u64);
    let mut is_sorted = true;
    let mut join = Join::new(before);
    let mut proved_ns = vec![0; snapshot.tasks.len()];
    let mut prove = |member: &Member| {
        if let Some(slot) = proved_ns.get_mut(member.task as usize) {
            *slot = still_ns(moment.times, member).unwrap_or(0);
        }
    };
    for (index, task) in (0..).zip(ahead(&snapshot.tasks, 2 * Task::MOST_NEEDED)) {
        each(task);
        listed = listed.saturating_add(task.count());
        if task.system && !system {
            continue;
        }
        count = count.saturating_add(task.count());
        let signature = reader.of(task);
        let Some(mut member) = maker.member(index, task, signature) else {
            anonymous.push((index, signature));
            continue;
        };
        is_sorted &= list.last().is_none_or(|last| last.identity() <= member.identity());
        // While it is in the cache.
        if is_sorted {
            join.next(&mut member);
            prove(&member);
        }
        list.push(member);
    }
    // They are sorted, except in files that were made by hand.
    if !is_sorted {
        list.sort_unstable_by_key(Member::identity);
        join = Join::new(before);
        for member in &mut list {
            member.begin(moment.number);
            join.next(member);
            prove(member);
        }
    }
    Members { list, proved_ns, anonymous, count, listed, followed: join.end() }
}

/// Makes members of tasks.
struct Maker<'a> {
    snapshot: &'a Snapshot,
    moment: Moment<'a>,
    places: Vec<u64>,
}

impl Maker<'_> {
    /// What the reading itself says of a task. None if it has no identity.
    fn member(&self, index: u32, task: &Task, signature: SignatureId) -> Option<Member> {
        let Moment { number, gap, .. } = self.moment;
        let is_marked = task.mark.is_some() || task.polls.is_some() || task.age.nanos().is_some();
        let look = if is_marked { None } else { look(self.snapshot, task) };
        let mark = task.mark.or(look);
        Some(Member {
            task: index,
            signature,
            first_signature: signature,
            first_seen: number,
            here_since: number,
            busy_since: is_busy(task.state).then_some(number),
            still_since: number,
            by_look: look.is_some(),
            exact: true,
            runtime: task.runtime,
            state: task.state,
            id: task.id?,
            address: task.address,
            place: place_of(task, &self.places),
            mark: mark.unwrap_or(0),
            polls: task.polls.unwrap_or(0),
            has_mark: mark.is_some(),
            has_polls: task.polls.is_some(),
            waited: gap.zip(task.age.nanos()).is_some_and(|(gap, age)| age >= gap),
        })
    }
}

/// A hash for each stack, equal for equal stacks of one process: of addresses, or of names if a source has no
/// addresses.
fn places(snapshot: &Snapshot) -> Vec<u64> {
    let locations: Vec<u64> = (snapshot.code.locations.iter())
        .map(|location| {
            let mut hasher = FxHasher::default();
            match location.address {
                Some(address) => address.hash(&mut hasher),
                None => location.frames.iter().for_each(|frame| {
                    snapshot.function_name(frame.function).hash(&mut hasher);
                    snapshot.str(frame.file).hash(&mut hasher);
                    frame.line.hash(&mut hasher);
                }),
            }
            hasher.finish()
        })
        .collect();
    (snapshot.code.stacks.iter())
        .map(|stack| {
            let mut hasher = FxHasher::default();
            stack.locations.iter().for_each(|id| locations.get(id.index()).hash(&mut hasher));
            hasher.finish()
        })
        .collect()
}

/// What a task waits for, and until when, as a number. None if that is not known.
fn look(snapshot: &Snapshot, task: &Task) -> Option<u64> {
    let waits = snapshot.waits_of(task);
    if waits.is_empty() {
        return None;
    }
    let mut hasher = FxHasher::default();
    for wait in waits {
        let object = snapshot.objects.get(wait.object.index())?;
        let timer = snapshot.timer_of(wait.object).map(|timer| timer.state);
        (wait.op, object.kind, object.address, timer).hash(&mut hasher);
    }
    Some(hasher.finish())
}

fn place_of(task: &Task, places: &[u64]) -> u64 {
    task.stack.and_then(|id| places.get(id.index()).copied()).unwrap_or(0)
}
