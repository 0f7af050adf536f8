//! Which tasks keep the waiters of a lock waiting: its known holders, or else the tasks that may hold it.

use super::super::Claim;
use super::Study;
use super::collect::{Convoy, Outsider};
use super::convoys::stuck;
use super::describe::{holder, inferred};
use super::graph::{End, Held};
use crate::analysis::leaks::evidence::{Cause, Evidence, LockEvidence};
use crate::analysis::leaks::finding::{Holder, Sureness};
use crate::snapshot::WaitClass;
use crate::snapshot::{LockState, ObjectId, TaskState};

/// At most this many holders are named.
const NAMED: usize = 3;

/// What follows from the tasks that hold the locks, or may hold them.
struct Verdict {
    sureness: Sureness,
    because: Vec<LockEvidence>,
    cause: Cause,
    holders: Vec<Holder>,
    /// Kinds of tasks that wait for the same reason, besides the waiters.
    kinds: Vec<usize>,
}

/// A task that holds one of the locks, or may hold it.
struct Keeper {
    object: ObjectId,
    held: Held,
    /// That task, or the task that keeps it waiting.
    end: End,
    /// Whether the task at the end has been still for as long as the waiters. None if unknown.
    still: Option<bool>,
    /// The task at the end never runs again.
    never: bool,
}

impl Keeper {
    fn new(study: &Study<'_, '_>, convoy: &Convoy<'_>, (object, held): (ObjectId, &Held)) -> Self {
        let end = study.graph.end(held.task);
        let kind = study.kind_of(end.task).and_then(|nth| study.context.kinds.get(nth));
        let never = kind.is_some_and(|kind| kind.waits.never_ends());
        Keeper { object, held: *held, end, still: convoy.stillness(study, end.task), never }
    }
}

impl Convoy<'_> {
    /// Tasks that wait for locks, and the tasks that keep them waiting.
    pub(super) fn convoy(&self, study: &Study<'_, '_>) -> Option<Claim> {
        let keepers: Vec<Keeper> = self.holders(study).map(|held| Keeper::new(study, self, held)).collect();
        let never = keepers.iter().any(|keeper| keeper.never);
        if let Some(claim) = self.by_guards(study).filter(|_| keepers.is_empty()) {
            return Some(claim);
        }
        let stands = self.stands(study.context).or(never.then_some(Sureness::Stuck))?;
        let mut because = self.evidence(study);
        because.extend(self.says(study));
        let still = keepers.iter().any(|keeper| keeper.still == Some(true));
        let free = self.states(study).all(|state| state == LockState::Free);
        let verdict = if self.changes_hands(study.context) && !study.context.is_single() && !still && !never {
            self.by_turns(study, &keepers)
        } else if !keepers.is_empty() {
            self.by_holders(study, stands, keepers)
        } else if free && self.states(study).next().is_some() {
            by_free(stands)
        } else if !self.outsiders.is_empty() {
            self.by_functions(study, stands)
        } else if self.perhaps(study).next().is_some() {
            self.by_addresses(study, stands)
        } else {
            self.by_nobody(study, stands)
        };
        because.extend(verdict.because.into_iter().map(Evidence::Lock));
        let mut kinds = self.kinds.clone();
        for kind in verdict.kinds {
            if !kinds.contains(&kind) {
                kinds.push(kind);
            }
        }
        let claim = Claim { kinds, holders: verdict.holders, ..Claim::of(0, verdict.sureness, because) };
        Some(claim.meaning(verdict.cause))
    }

    /// Whether a task has been blocked for as long as the waiters. None: not known.
    fn stillness(&self, study: &Study<'_, '_>, task: u32) -> Option<bool> {
        let state = study.context.task(task)?.state;
        if !matches!(state, TaskState::Waiting | TaskState::Syscall | TaskState::Unknown) {
            return Some(false);
        }
        let standing = study.standing_ns(task);
        if standing >= study.context.options.min_age_ns {
            return Some(true);
        }
        match study.member(task).zip(self.since).filter(|_| !study.context.is_single()) {
            Some((member, since)) if member.still_since > since => Some(false),
            Some(_) => (standing > 0).then_some(true),
            None => (standing > 0 && standing >= self.standing_ns).then_some(true),
        }
    }

    /// The number of waiters grows.
    fn grows(&self, study: &Study<'_, '_>) -> bool {
        self.kinds.iter().filter_map(|&nth| study.context.kinds.get(nth)).any(|kind| kind.growth.is_some())
    }

    fn by_turns(&self, study: &Study<'_, '_>, keepers: &[Keeper]) -> Verdict {
        let guesses: Vec<&Outsider<'_>> = self.outsiders.iter().collect();
        Verdict {
            sureness: Sureness::Suspect,
            because: Vec::new(),
            cause: Cause::LockContended,
            holders: if keepers.is_empty() { guessed(study, &guesses) } else { named(study, keepers) },
            kinds: Vec::new(),
        }
    }

    /// What the known holders of the locks say.
    fn by_holders(&self, study: &Study<'_, '_>, stands: Sureness, mut keepers: Vec<Keeper>) -> Verdict {
        // The sort is stable: by lock, then by task.
        keepers
            .sort_by_key(|keeper| (!keeper.never, keeper.still != Some(true), keeper.still == Some(false)));
        let still = keepers.iter().filter(|keeper| keeper.still == Some(true)).count();
        let never = keepers.iter().filter(|keeper| keeper.never).count();
        let moves = still == 0 && keepers.iter().any(|keeper| keeper.still == Some(false));
        let mut because: Vec<LockEvidence> =
            what_holders_do(study, &keepers, never, still, moves).into_iter().collect();
        let without = self.known(study).filter(|(_, lock)| lock.holders.is_empty()).count() as u64;
        if without > 0 {
            because.push(LockEvidence::WithoutHolder { locks: without, of: self.locks.len() as u64 });
        }
        if let more @ 1.. = keepers.len().saturating_sub(NAMED) {
            because.push(LockEvidence::MoreHolders { tasks: more as u64 });
        }
        let cause = match keepers.first() {
            Some(Keeper { never: true, .. }) => Cause::HolderBlockedForever,
            Some(Keeper { end: End { waits: true, .. }, .. }) => Cause::HolderWaitsForLock,
            _ if moves => Cause::LockHeldTooLong,
            _ => Cause::HolderWaits,
        };
        let sureness = match stands {
            _ if never > 0 => Sureness::Stuck,
            stands if still > 0 => stuck(stands),
            stands if !moves || self.grows(study) => stands,
            _ => Sureness::Suspect,
        };
        // A holder that waits for the next lock waits for the same reason.
        let waits =
            |nth: &usize| study.context.kinds.get(*nth).is_some_and(|kind| kind.waits == WaitClass::Lock);
        let kinds = keepers.iter().take(NAMED).filter_map(|keeper| study.open_kind_of(keeper.held.task));
        Verdict {
            sureness,
            because,
            cause,
            kinds: kinds.filter(waits).collect(),
            holders: named(study, &keepers),
        }
    }

    /// Other tasks are in the functions that take the locks.
    fn by_functions(&self, study: &Study<'_, '_>, stands: Sureness) -> Verdict {
        let (still, moving): (Vec<_>, Vec<_>) = self.outsiders.iter().partition(|outsider| outsider.still);
        if still.is_empty() {
            return Verdict {
                sureness: if self.grows(study) { stands } else { Sureness::Suspect },
                because: in_same_functions(moving.len(), false),
                cause: Cause::LockHeldTooLong,
                holders: guessed(study, &moving),
                kinds: Vec::new(),
            };
        }
        Verdict {
            sureness: stuck(stands),
            because: in_same_functions(still.len(), true),
            cause: Cause::HolderWaitsGuessed,
            holders: guessed(study, &still),
            kinds: Vec::new(),
        }
    }

    /// Other tasks have a guard of a lock in a variable, and every reading has found both them and the waiters as they are.
    fn by_guards(&self, study: &Study<'_, '_>) -> Option<Claim> {
        let min_age_ns = study.context.options.min_age_ns;
        let guards: Vec<_> = self.perhaps(study).filter(|(_, held)| held.is_guard()).collect();
        let longest = |held: &Held| study.seen_ns(held.task);
        let at_least_ns = guards.iter().map(|(_, held)| longest(held)).max()?;
        if self.seen_ns.min(at_least_ns) < min_age_ns {
            return None;
        }
        let mut keepers: Vec<Keeper> = guards.iter().map(|guard| Keeper::new(study, self, *guard)).collect();
        keepers.sort_by_key(|keeper| std::cmp::Reverse(longest(&keeper.held)));
        let mut tasks: Vec<u32> = keepers.iter().map(|keeper| keeper.held.task).collect();
        tasks.sort_unstable();
        tasks.dedup();
        let mut because = self.evidence(study);
        because.push(Evidence::Lock(LockEvidence::SeenWaiting { at_least_ns: self.seen_ns }));
        let guards = LockEvidence::Guards { tasks: tasks.len() as u64, at_least_ns };
        because.push(Evidence::Lock(guards));
        let sureness = if study.context.is_short() { Sureness::Suspect } else { Sureness::Likely };
        let claim = Claim { kinds: self.kinds.clone(), ..Claim::of(0, sureness, because) };
        let claim = Claim { holders: named(study, &keepers), ..claim };
        Some(claim.meaning(Cause::HolderWaitsGuessed))
    }

    /// Other tasks have the address of a lock on their stacks, which by itself says little.
    fn by_addresses(&self, study: &Study<'_, '_>, stands: Sureness) -> Verdict {
        let mut all: Vec<Keeper> = self.perhaps(study).map(|held| Keeper::new(study, self, held)).collect();
        all.sort_by_key(|keeper| (keeper.still != Some(true), keeper.still == Some(false)));
        let mut tasks: Vec<u32> = all.iter().map(|keeper| keeper.held.task).collect();
        tasks.sort_unstable();
        tasks.dedup();
        let still = all.iter().all(|keeper| keeper.still == Some(true));
        Verdict {
            sureness: if still { stuck(stands) } else { stands },
            because: vec![LockEvidence::AddressOnStacks { tasks: tasks.len() as u64 }],
            cause: Cause::HolderUnclear,
            holders: named(study, &all),
            kinds: Vec::new(),
        }
    }

    fn by_nobody(&self, study: &Study<'_, '_>, stands: Sureness) -> Verdict {
        let looked = self.states(study).next().is_some();
        let (because, cause) = if looked && self.mixed() > 0 {
            (LockEvidence::NoUnlocker, Cause::RUnlockMissing)
        } else if looked {
            (LockEvidence::NoUnlocker, Cause::UnlockMissing)
        } else {
            (LockEvidence::NobodyElse, Cause::UnlockerUnknown)
        };
        Verdict {
            sureness: stuck(stands),
            because: vec![because],
            cause,
            holders: Vec::new(),
            kinds: Vec::new(),
        }
    }
}

/// The locks say that they are free.
fn by_free(stands: Sureness) -> Verdict {
    Verdict {
        sureness: stands.min(Sureness::Likely),
        because: Vec::new(),
        cause: Cause::LockContendedOrOverwritten,
        holders: Vec::new(),
        kinds: Vec::new(),
    }
}

/// What the known holders do.
fn what_holders_do(
    study: &Study<'_, '_>,
    keepers: &[Keeper],
    never: usize,
    still: usize,
    moves: bool,
) -> Option<LockEvidence> {
    let of = keepers.len() as u64;
    if never > 0 {
        return Some(LockEvidence::HoldersBlockedForever { tasks: never as u64, of });
    }
    let longest = keepers.iter().filter(|keeper| keeper.still == Some(true));
    let longest = longest.map(|keeper| study.standing_ns(keeper.end.task)).max();
    if let Some(at_least_ns) = longest.filter(|&ns| ns > 0) {
        let or_next = keepers.first().is_some_and(|keeper| keeper.end.locks > 0);
        return Some(LockEvidence::HoldersStill { tasks: still as u64, of, at_least_ns, or_next });
    }
    moves.then_some(LockEvidence::HoldersMove { of })
}

/// The holders that are named.
fn named(study: &Study<'_, '_>, keepers: &[Keeper]) -> Vec<Holder> {
    keepers.iter().filter_map(|keeper| holder(study, keeper.object, &keeper.held)).take(NAMED).collect()
}

fn guessed(study: &Study<'_, '_>, outsiders: &[&Outsider<'_>]) -> Vec<Holder> {
    outsiders.iter().filter_map(|outsider| inferred(study, outsider)).take(NAMED).collect()
}

fn in_same_functions(tasks: usize, still: bool) -> Vec<LockEvidence> {
    vec![LockEvidence::InSameFunctions { tasks: tasks as u64, still }]
}
