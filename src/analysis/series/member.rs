//! Single tasks, followed from reading to reading.

use std::cmp::Ordering;
use std::hash::{Hash, Hasher};

use rustc_hash::FxHasher;

use super::super::signature::{SignatureId, Signatures};
use crate::snapshot::{Snapshot, Task, TaskState};

/// A task of the last reading, and what is known of it from the earlier ones. There may be a hundred thousand, made anew
/// with each reading: it is small.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Member {
    /// Index into the tasks of [`super::Series::last`].
    pub task: u32,
    /// Its signature.
    pub signature: SignatureId,
    /// The signature that it had when it was first seen.
    pub first_signature: SignatureId,
    /// Number of the reading in which it was first seen.
    pub first_seen: u32,
    /// Number of the reading since which it has been at one place in the code.
    pub here_since: u32,
    /// Number of the reading since which every reading found it running or ready to run. None if the last one did not.
    pub busy_since: Option<u32>,
    /// Number of the reading since which it seems not to have run. [`super::Series::still_ns`] says whether
    /// that is certain.
    pub still_since: u32,
    /// It has no mark of its own, so what it waits for is its mark: equal ones prove nothing.
    pub(super) by_look: bool,
    /// An exact count shows this, not a mark that wraps.
    pub(super) exact: bool,
    /// Its runtime: the number in the header.
    runtime: u8,
    state: TaskState,
    id: u64,
    address: u64,
    /// Equal for equal stacks of one process.
    place: u64,
    /// 0 if it has none.
    mark: u64,
    polls: u64,
    has_mark: bool,
    has_polls: bool,
    /// It has been in its state at least since the reading before, by what its runtime says.
    waited: bool,
}

impl Member {
    fn identity(&self) -> (u8, u64, u64) {
        (self.runtime, self.id, self.address)
    }

    /// Takes over what is known from the reading before.
    fn follow(&mut self, before: &Member) {
        self.first_seen = before.first_seen;
        self.first_signature = before.first_signature;
        self.busy_since = self.busy_since.and(before.busy_since).or(self.busy_since);
        if self.place != before.place {
            return;
        }
        self.here_since = before.here_since;
        if self.state == TaskState::Finished && before.state == TaskState::Finished {
            (self.still_since, self.exact) = (before.still_since, before.exact);
            return;
        }
        let parked = |m: &Member| matches!(m.state, TaskState::Waiting | TaskState::Syscall);
        let polls = |m: &Member| (m.has_polls, m.polls);
        let mark = |m: &Member| (m.has_mark, m.mark);
        let exact = self.has_polls && polls(self) == polls(before) || self.waited;
        let same_mark = self.has_mark && mark(self) == mark(before);
        if parked(self) && parked(before) && (exact || same_mark) {
            self.still_since = before.still_since;
            self.exact = exact && before.exact;
        }
    }
}

/// Does a task in this state use a CPU, or would it if it had one?
fn is_busy(state: TaskState) -> bool {
    matches!(state, TaskState::Running | TaskState::Runnable | TaskState::Preempted)
}

/// The tasks of a snapshot.
pub(super) struct Members {
    /// Members with an identity, sorted by it.
    pub(super) list: Vec<Member>,
    /// Tasks without an identity, as indices into the tasks of the snapshot, with their signatures.
    pub(super) anonymous: Vec<(u32, SignatureId)>,
    /// How many tasks there are in all.
    pub(super) count: u64,
    /// The same, with the runtime's own tasks.
    pub(super) listed: u64,
}

/// Takes the tasks of a snapshot, which is reading `number`, `gap` nanoseconds after the one before.
pub(super) fn members(
    snapshot: &Snapshot,
    system: bool,
    number: u32,
    gap: Option<u64>,
    signatures: &mut Signatures,
) -> Members {
    let places = places(snapshot);
    let mut reader = signatures.reader(snapshot);
    let mut list = Vec::with_capacity(snapshot.tasks.len());
    let mut anonymous = Vec::new();
    let (mut count, mut listed) = (0_u64, 0_u64);
    let mut is_sorted = true;
    for (index, task) in snapshot.tasks.iter().enumerate() {
        listed = listed.saturating_add(task.count());
        if task.system && !system {
            continue;
        }
        count = count.saturating_add(task.count());
        let signature = reader.of(task);
        let Some(id) = task.id else {
            anonymous.push((index as u32, signature));
            continue;
        };
        let identity = (task.runtime, id, task.address);
        is_sorted &= list.last().is_none_or(|last: &Member| last.identity() <= identity);
        let is_marked = task.mark.is_some() || task.polls.is_some() || task.age.nanos().is_some();
        let look = if is_marked { None } else { look(snapshot, task) };
        let mark = task.mark.or(look);
        list.push(Member {
            task: index as u32,
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
            id,
            address: task.address,
            place: place_of(task, &places),
            mark: mark.unwrap_or(0),
            polls: task.polls.unwrap_or(0),
            has_mark: mark.is_some(),
            has_polls: task.polls.is_some(),
            waited: gap.zip(task.age.nanos()).is_some_and(|(gap, age)| age >= gap),
        });
    }
    // They are sorted, except in files that were made by hand.
    if !is_sorted {
        list.sort_unstable_by_key(Member::identity);
    }
    Members { list, anonymous, count, listed }
}

/// For each signature with members: how many it has, and how many of them were there in the very first reading.
/// There are `slots` signatures.
pub(super) fn count(members: &[Member], slots: usize) -> impl Iterator<Item = (SignatureId, u64, u64)> {
    let mut counts: Vec<Option<(SignatureId, u64, u64)>> = vec![None; slots];
    for member in members {
        if let Some(slot) = counts.get_mut(member.signature.index()) {
            let (_, count, old) = slot.get_or_insert((member.signature, 0, 0));
            *count += 1;
            *old += u64::from(member.first_seen == 0);
        }
    }
    counts.into_iter().flatten()
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

/// What happened to a task from one reading to the next.
pub(super) enum Joined {
    /// It is new.
    Born(SignatureId),
    /// It lives, and has another signature now.
    Moved {
        /// The previous signature.
        from: SignatureId,
        /// The current signature.
        to: SignatureId,
    },
    /// It is no longer there.
    Gone {
        /// The signature that it had.
        signature: SignatureId,
        /// When it was first seen.
        first_seen: u32,
    },
}

/// Joins two sorted lists: members in both take over what is known, and the others are reported.
pub(super) fn join(before: &[Member], now: &mut [Member]) -> Vec<Joined> {
    let mut joined = Vec::new();
    let mut old = before.iter().peekable();
    for member in now {
        loop {
            let order = old.peek().map_or(Ordering::Greater, |o| o.identity().cmp(&member.identity()));
            match order {
                Ordering::Less => joined.extend(old.next().map(gone)),
                Ordering::Equal => {
                    let Some(before) = old.next() else { break };
                    member.follow(before);
                    if before.signature != member.signature {
                        joined.push(Joined::Moved { from: before.signature, to: member.signature });
                    }
                    break;
                }
                Ordering::Greater => {
                    joined.push(Joined::Born(member.signature));
                    break;
                }
            }
        }
    }
    joined.extend(old.map(gone));
    joined
}

fn gone(member: &Member) -> Joined {
    Joined::Gone { signature: member.signature, first_seen: member.first_seen }
}
