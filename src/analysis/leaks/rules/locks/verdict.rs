//! Who keeps tasks waiting that wait for locks: those who are known to hold them, or else whoever may.

use super::super::{Claim, many, time};
use super::Study;
use super::collect::{Convoy, Outsider};
use super::convoys::stuck;
use super::describe::{holder, inferred};
use super::graph::{End, Held};
use crate::analysis::leaks::finding::{Holder, Sureness};
use crate::snapshot::WaitClass;
use crate::snapshot::{LockState, ObjectId, TaskState};

/// Holders that are named.
const NAMED: usize = 3;

const TOO_LONG: (&str, &str) =
    ("the lock is held for too long or too often", "do less under the lock, or divide it");

/// What is to be said of those who may hold the locks.
struct Verdict {
    sureness: Sureness,
    because: Vec<String>,
    cause: &'static str,
    next: &'static str,
    holders: Vec<Holder>,
    /// Kinds of tasks that wait for the same reason, besides the waiters.
    kinds: Vec<usize>,
}

/// A task that holds one of the locks, or may hold it.
struct Keeper {
    object: ObjectId,
    held: Held,
    /// It, or the task that keeps it waiting.
    end: End,
    /// That one has stood still for as long as the waiters. None if that is not known.
    still: Option<bool>,
    /// That one never runs again.
    never: bool,
}

impl Keeper {
    fn new(study: &Study<'_, '_>, crowd: &Convoy<'_>, (object, held): (ObjectId, &Held)) -> Self {
        let end = study.graph.end(held.task);
        let kind = study.kind_of(end.task).and_then(|nth| study.context.kinds.get(nth));
        let never = kind.is_some_and(|kind| kind.waits.never_ends());
        Keeper { object, held: *held, end, still: crowd.stillness(study, end.task), never }
    }
}

impl Convoy<'_> {
    /// Tasks that wait for locks, and who keeps them waiting.
    pub(super) fn convoy(&self, study: &Study<'_, '_>) -> Option<Claim> {
        let keepers: Vec<Keeper> = self.holders(study).map(|held| Keeper::new(study, self, held)).collect();
        let never = keepers.iter().any(|keeper| keeper.never);
        let stands = self.stands(study.context).or(never.then_some(Sureness::Stuck))?;
        let mut because = self.evidence(study);
        because.extend(self.says(study));
        let still = keepers.iter().any(|keeper| keeper.still == Some(true));
        let free = self.states(study).all(|state| state == LockState::Free);
        let verdict = if self.goes_round(study.context) && !study.context.is_single() && !still && !never {
            self.going_round(study, &keepers)
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
        because.extend(verdict.because);
        let mut kinds = self.kinds.clone();
        for kind in verdict.kinds {
            if !kinds.contains(&kind) {
                kinds.push(kind);
            }
        }
        let claim = Claim { kinds, holders: verdict.holders, ..Claim::of(0, verdict.sureness, because) };
        Some(claim.meaning(verdict.cause, verdict.next))
    }

    /// Has a task stood still for as long as the waiters?
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

    /// They become more.
    fn grows(&self, study: &Study<'_, '_>) -> bool {
        self.kinds.iter().filter_map(|&nth| study.context.kinds.get(nth)).any(|kind| kind.growth.is_some())
    }

    fn going_round(&self, study: &Study<'_, '_>, keepers: &[Keeper]) -> Verdict {
        let guesses: Vec<&Outsider<'_>> = self.outsiders.iter().collect();
        Verdict {
            sureness: Sureness::Suspect,
            because: Vec::new(),
            cause: "it is given from one to the next, but held for too long or too often",
            next: TOO_LONG.1,
            holders: if keepers.is_empty() { guessed(study, &guesses) } else { named(study, keepers) },
            kinds: Vec::new(),
        }
    }

    /// What those do who are known to hold the locks.
    fn by_holders(&self, study: &Study<'_, '_>, stands: Sureness, mut keepers: Vec<Keeper>) -> Verdict {
        // A stable sort: they come in the order of the locks, then of the tasks.
        keepers
            .sort_by_key(|keeper| (!keeper.never, keeper.still != Some(true), keeper.still == Some(false)));
        let still = keepers.iter().filter(|keeper| keeper.still == Some(true)).count();
        let never = keepers.iter().filter(|keeper| keeper.never).count();
        let moves = still == 0 && keepers.iter().any(|keeper| keeper.still == Some(false));
        let mut because: Vec<String> =
            what_holders_do(study, &keepers, never, still, moves).into_iter().collect();
        let without = self.known(study).filter(|(_, lock)| lock.holders.is_empty()).count();
        if without > 0 {
            let locks = many(self.locks.len() as u64, "lock");
            because.push(format!("for {without} of the {locks} nobody was found who holds it"));
        }
        if let more @ 1.. = keepers.len().saturating_sub(NAMED) {
            because.push(format!(
                "{} such a lock",
                if more == 1 {
                    "1 more task holds".to_owned()
                } else {
                    format!("{} hold", many(more as u64, "more task"))
                }
            ));
        }
        let (cause, next) = match keepers.first() {
            Some(Keeper { never: true, .. }) => (
                "its holder never runs again, and keeps the lock",
                "look at what the holder waits for; do not hold a lock while waiting for something that may not come",
            ),
            Some(Keeper { end: End { waits: true, .. }, .. }) => (
                "its holder waits for another lock, and who holds that one is not known",
                "look at that lock, and at why it is taken while this one is held",
            ),
            _ if moves => TOO_LONG,
            _ => (
                "its holder waits for something else and keeps the lock meanwhile",
                "look at what the holder waits for; do not hold a lock while waiting for something that can take long",
            ),
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
            next,
            kinds: kinds.filter(waits).collect(),
            holders: named(study, &keepers),
        }
    }

    /// Others are in the functions that take the locks.
    fn by_functions(&self, study: &Study<'_, '_>, stands: Sureness) -> Verdict {
        let (still, moving): (Vec<_>, Vec<_>) = self.outsiders.iter().partition(|outsider| outsider.still);
        if still.is_empty() {
            return Verdict {
                sureness: if self.grows(study) { stands } else { Sureness::Suspect },
                because: vec![format!("{} in the same functions and may hold it", is_are(moving.len()))],
                cause: TOO_LONG.0,
                next: TOO_LONG.1,
                holders: guessed(study, &moving),
                kinds: Vec::new(),
            };
        }
        Verdict {
            sureness: stuck(stands),
            because: vec![format!(
                "{} in the same functions and as long without moving",
                is_are(still.len())
            )],
            cause: "its probable holder waits for something else and keeps the lock meanwhile",
            next: "look at what the holder waits for; do not hold a lock while waiting for something that can take long",
            holders: guessed(study, &still),
            kinds: Vec::new(),
        }
    }

    /// Others have the address of a lock on their stacks, which alone says next to nothing.
    fn by_addresses(&self, study: &Study<'_, '_>, stands: Sureness) -> Verdict {
        let mut all: Vec<Keeper> = self.perhaps(study).map(|held| Keeper::new(study, self, held)).collect();
        all.sort_by_key(|keeper| (keeper.still != Some(true), keeper.still == Some(false)));
        let mut tasks: Vec<u32> = all.iter().map(|keeper| keeper.held.task).collect();
        tasks.sort_unstable();
        tasks.dedup();
        let still = all.iter().all(|keeper| keeper.still == Some(true));
        let because = match tasks.len() {
            1 => "its address stands on the stack of 1 other task, which may hold it".to_owned(),
            n => format!("its address stands on the stacks of {n} other tasks; one of them may hold it"),
        };
        Verdict {
            sureness: if still { stuck(stands) } else { stands },
            because: vec![because],
            cause: "who holds it could not be told: perhaps one of those that know it, perhaps nobody any more, after \
                    a return without Unlock",
            next: "look at what those tasks do under the lock; defer Unlock right after Lock",
            holders: named(study, &all),
            kinds: Vec::new(),
        }
    }

    fn by_nobody(&self, study: &Study<'_, '_>, stands: Sureness) -> Verdict {
        let looked = self.states(study).next().is_some();
        let (because, cause) = if looked && self.mixed() > 0 {
            (
                "nobody was found that would unlock it",
                "it is held for reading, and nobody is left who would unlock it: a return without RUnlock, or a task \
                 that reads for a second time while a writer waits",
            )
        } else if looked {
            (
                "nobody was found that would unlock it",
                "it is held, and nobody is left who would unlock it: a return or a panic without Unlock, or a holder \
                 that could not be read",
            )
        } else {
            (
                "no other task is to be seen in the functions that take it",
                "nobody is to be seen who could unlock it: a return without Unlock, a task that locks twice, or a \
                 holder in another function",
            )
        };
        Verdict {
            sureness: stuck(stands),
            because: vec![because.to_owned()],
            cause,
            next: "defer Unlock right after Lock; look for returns and panics between them, and for callers that hold \
                   the lock already",
            holders: Vec::new(),
            kinds: Vec::new(),
        }
    }
}

/// The locks say that nobody holds them.
fn by_free(stands: Sureness) -> Verdict {
    Verdict {
        sureness: stands.min(Sureness::Likely),
        because: Vec::new(),
        cause: "it is given from one to the next, but held for too long or too often; or it was overwritten while \
                they waited",
        next: "do less under the lock, or divide it; never copy or assign a lock that is in use",
        holders: Vec::new(),
        kinds: Vec::new(),
    }
}

/// "its holder has stood still for at least 2 min".
fn what_holders_do(
    study: &Study<'_, '_>,
    keepers: &[Keeper],
    never: usize,
    still: usize,
    moves: bool,
) -> Option<String> {
    let all = keepers.len();
    let who = |n: usize| match (n, all) {
        (_, 1) => "its holder".to_owned(),
        (n, all) if n == all => format!("each of the {all} holders"),
        (n, all) => format!("of the {all} holders {n}"),
    };
    let has = |n: usize| if n == 1 || n == all { "has" } else { "have" };
    if never > 0 {
        let runs = if never == 1 || never == all { "runs" } else { "run" };
        return Some(format!("{} never {runs} again", who(never)));
    }
    let longest = keepers.iter().filter(|keeper| keeper.still == Some(true));
    let longest = longest.map(|keeper| study.standing_ns(keeper.end.task)).max();
    if let Some(longest) = longest.filter(|&ns| ns > 0) {
        let chain = keepers.first().is_some_and(|keeper| keeper.end.locks > 0);
        let or = if chain { ", or who that one waits for," } else { "" };
        return Some(format!("{}{or} {} stood still for at least {}", who(still), has(still), time(longest)));
    }
    moves.then(|| {
        format!("{} stood still all the time", if all == 1 { "its holder has not" } else { "no holder has" })
    })
}

/// Those that are named.
fn named(study: &Study<'_, '_>, keepers: &[Keeper]) -> Vec<Holder> {
    keepers.iter().filter_map(|keeper| holder(study, keeper.object, &keeper.held)).take(NAMED).collect()
}

fn guessed(study: &Study<'_, '_>, outsiders: &[&Outsider<'_>]) -> Vec<Holder> {
    outsiders.iter().filter_map(|outsider| inferred(study, outsider)).take(NAMED).collect()
}

fn is_are(n: usize) -> String {
    if n == 1 { "1 other task is".to_owned() } else { format!("{n} other tasks are") }
}
