//! Sentences about locks: their holders, their state, and what a task holds.

use super::super::path::place_of;
use super::super::runtime_names::task_noun;
use super::super::task_facts;
use super::super::units::{age, count, thousands};
use super::super::waiting;
use super::parts;
use crate::analysis::frames::holding_frame;
use crate::analysis::locks::{HeldLocks, HoldSummary, Holder, Locks, Next};
use crate::analysis::waits::WaitSummary;
use crate::snapshot::{Frame, HoldKind, LocationId, LockState, ObjectId, Snapshot};

/// At most this many holders of one lock are named; the number of others is mentioned.
const NAMED: usize = 6;
/// At most this many holders of several locks are named; more are only counted.
const FEW: u64 = 3;

/// What is known of the locks and wait groups that tasks wait for: "held by goroutine 99: ...", "2 outstanding
/// Done calls". `said`: the holders have been named already.
pub(super) fn sentences(
    snapshot: &Snapshot,
    wait: &WaitSummary,
    said: bool,
    full_paths: bool,
    into: &mut Vec<String>,
) {
    let Some(locks) = &wait.locks else { return };
    let holders: u64 = locks.held.iter().map(|held| held.total).sum();
    // If all tasks wait for themselves, the sentence about that names the holders; if one of several does, the
    // sentence about the holder says which.
    let all_own = locks.own == wait.waits && holders <= locks.own;
    if !said {
        into.extend(outstanding(wait, locks));
        if !all_own {
            into.extend(locks.held.iter().map(|held| held_by(snapshot, wait, held, full_paths)));
        }
        into.extend(state(snapshot, wait, locks));
    }
    if locks.writers > 0 && matches!(locks.state, Some(LockState::Shared(_))) {
        let tasks = count(locks.writers, task_noun(snapshot));
        let verb = if locks.writers == 1 { "wants" } else { "want" };
        into.push(format!("waits behind {tasks} that {verb} to write"));
    }
    let said_of_holder =
        locks.own < wait.waits && locks.held.iter().any(|held| held.next == Some(Next::Itself));
    into.extend(own(wait, locks).filter(|_| !said_of_holder));
}

/// "2 outstanding Done calls".
fn outstanding(wait: &WaitSummary, locks: &Locks) -> Option<String> {
    let each = if wait.objects > 1 { " on each of them" } else { "" };
    Some(match locks.outstanding? {
        (0, 0) => "no outstanding Done calls".to_owned(),
        (low, high) if low == high => format!("{}{each}", count(low.into(), "outstanding Done call")),
        (low, high) => {
            format!("{} to {} outstanding Done calls{each}", thousands(low.into()), thousands(high.into()))
        }
    })
}

/// Tasks that wait for what they hold themselves.
fn own(wait: &WaitSummary, locks: &Locks) -> Option<String> {
    match locks.own {
        0 => None,
        1 if wait.waits == 1 => Some("holds it itself, and so waits for itself".to_owned()),
        n if n == wait.waits => Some("each holds it itself, and so waits for itself".to_owned()),
        1 => Some("one of them holds it itself, and so waits for itself".to_owned()),
        n => Some(format!("{} of them hold it themselves, and so wait for themselves", thousands(n))),
    }
}

/// "held by goroutine 99: main.(*store).refresh store.go:44, chan receive, 2 min or more".
fn held_by(snapshot: &Snapshot, wait: &WaitSummary, held: &HeldLocks, full_paths: bool) -> String {
    let which = match held.objects {
        _ if wait.objects == 1 => String::new(),
        n if n == wait.objects => "all of them are ".to_owned(),
        1 => "1 of them is ".to_owned(),
        n => format!("{} of them are ", thousands(n)),
    };
    let how = how(held.how);
    let address = address_stands(held);
    if let ([holder], 1) = (held.holders.as_slice(), held.total) {
        let place = holder.at.filter(|_| wait.objects == 1 || holder.location.is_none());
        let facts = holder_facts(snapshot, holder, place, full_paths);
        let next = held.next.as_ref().map_or(String::new(), |next| next_step(snapshot, wait, holder, next));
        return format!("{which}{how} by {}{address}: {}{next}", named(snapshot, holder), facts.join(", "));
    }
    // A lock that is held for writing has one holder; it is unknown which of these tasks that is.
    let shared = held.how == HoldKind::Shared
        || wait.locks.as_ref().is_some_and(|locks| matches!(locks.state, Some(LockState::Shared(_))));
    let one_of = if wait.objects == 1 && !shared { "one of " } else { "" };
    let more = if held.more { " or more" } else { "" };
    let tasks = format!("{}{more} {}s", thousands(held.total), task_noun(snapshot));
    let few = wait.objects == 1 || held.total <= FEW && !held.more;
    let names = if few { format!(": {}", ids(snapshot, held)) } else { String::new() };
    format!("{which}{how} by {one_of}{tasks}{address}{names}")
}

fn how(how: HoldKind) -> &'static str {
    match how {
        HoldKind::Exclusive => "held",
        HoldKind::Shared => "held for reading",
        HoldKind::Perhaps => "perhaps held",
    }
}

/// Why the holder is uncertain.
fn address_stands(held: &HeldLocks) -> &'static str {
    let has_place = held.holders.iter().all(|holder| holder.location.is_some());
    if held.how == HoldKind::Perhaps { why_perhaps(held.total, has_place) } else { "" }
}

/// Why it is uncertain that some tasks hold a lock. `has_place`: the place is known that has a guard of the lock.
fn why_perhaps(tasks: u64, has_place: bool) -> &'static str {
    match (has_place, tasks) {
        (true, 1) => " (a guard of the lock is among its variables)",
        (true, _) => " (guards of the lock are among their variables)",
        (false, 1) => " (the address of the lock is on its stack)",
        (false, _) => " (the address of the lock is on their stacks)",
    }
}

/// "12, 14, 15", "12, 14, 15, 16, 17, 18 and 9 more".
fn ids(snapshot: &Snapshot, held: &HeldLocks) -> String {
    let id = |holder: &Holder| snapshot.tasks.get(holder.task as usize).map(task_facts::id);
    let ids: Vec<String> = held.holders.iter().take(NAMED).filter_map(id).collect();
    let left = held.total.saturating_sub(ids.len() as u64);
    let more = if left > 0 { format!(" and {} more", thousands(left)) } else { String::new() };
    format!("{}{more}", ids.join(", "))
}

/// "goroutine 99".
fn named(snapshot: &Snapshot, holder: &Holder) -> String {
    snapshot.tasks.get(holder.task as usize).map_or(String::new(), |task| task_facts::name(snapshot, task))
}

/// Where a holder is and what it does there: "main.(*store).refresh store.go:44", "chan receive".
fn holder_facts(snapshot: &Snapshot, holder: &Holder, place: Option<Frame>, full_paths: bool) -> Vec<String> {
    let Some(task) = snapshot.tasks.get(holder.task as usize) else { return Vec::new() };
    let mut facts = vec![place.map_or(String::new(), |frame| named_frame(snapshot, frame, full_paths))];
    facts.push(task_facts::doing(snapshot, task).to_owned());
    facts.push(age(task.age));
    facts.retain(|fact| !fact.is_empty());
    facts
}

/// "main.(*store).refresh store.go:44".
fn at(snapshot: &Snapshot, location: LocationId, full_paths: bool) -> String {
    holding_frame(snapshot, location).map_or(String::new(), |frame| named_frame(snapshot, frame, full_paths))
}

fn named_frame(snapshot: &Snapshot, frame: Frame, full_paths: bool) -> String {
    let (function, place) = (snapshot.function_name(frame.function), place_of(snapshot, frame, full_paths));
    let gap = if function.is_empty() || place.is_empty() { "" } else { " " };
    format!("{function}{gap}{place}")
}

/// ", which waits for a lock held by 18".
fn next_step(snapshot: &Snapshot, wait: &WaitSummary, holder: &Holder, next: &Next) -> String {
    let (first, it) = if wait.objects == 1 { ("this one", "it") } else { ("one of these", "one of them") };
    let (held, total, back) = match next {
        Next::Itself => return format!(", which waits for {it} itself"),
        Next::Lock { held, total, back } => (held, *total, *back),
    };
    let how = how(held.how);
    if total > 1 {
        let tasks = count(total, task_noun(snapshot));
        return format!(", which waits for a lock {how} by {tasks}");
    }
    if held.task == holder.task {
        return format!(
            ", which waits for another lock that it {} itself",
            match held.how {
                HoldKind::Perhaps => "perhaps holds",
                HoldKind::Exclusive | HoldKind::Shared => "holds",
            }
        );
    }
    let id = snapshot.tasks.get(held.task as usize).map_or(String::new(), task_facts::id);
    let back = if back { format!(", and {id} waits for {first}") } else { String::new() };
    format!(", which waits for a lock {how} by {id}{back}")
}

/// The state of the locks, if it differs from the holders that were found.
fn state(snapshot: &Snapshot, wait: &WaitSummary, locks: &Locks) -> Option<String> {
    let found = |how: HoldKind| locks.held.iter().find(|held| held.how == how).map_or(0, |held| held.total);
    let (readers, any) = (found(HoldKind::Shared), !locks.held.is_empty());
    Some(match locks.state {
        Some(LockState::Free) if any => format!("the {} says that it is free", waiting::object(wait.kind)),
        Some(LockState::Free) => format!("the {} is being handed over", waiting::object(wait.kind)),
        Some(LockState::Shared(n)) if readers > n.into() => format!(
            "{}, but {} seem to",
            waiting::readers_hold(n.into()),
            count(readers, task_noun(snapshot))
        ),
        Some(LockState::Shared(n)) if readers == 0 && any => waiting::readers_hold(n.into()),
        Some(LockState::Shared(n)) if u64::from(n) != readers => waiting::readers_found(n.into(), readers),
        _ if locks.unheld > 0 && wait.objects == 1 => "no holder was found".to_owned(),
        _ if locks.unheld == wait.objects => "no holder was found for any of them".to_owned(),
        _ if locks.unheld > 0 => format!("no holder was found for {} of them", thousands(locks.unheld)),
        _ => return None,
    })
}

/// "holds mutex 0xc000012040 that 1,204 goroutines wait for (unlocks it after main.(*store).refresh
/// store.go:44)"; one sentence per way of holding. Raw from the target: escape before printing. `tasks`: how
/// many tasks these are.
pub fn hold_sentences(
    snapshot: &Snapshot,
    holds: &[HoldSummary],
    tasks: u64,
    full_paths: bool,
) -> Vec<String> {
    let sentence = |hold: &HoldSummary| {
        let (who, verb) = match hold.tasks {
            n if n == tasks => (String::new(), "holds"),
            1 => ("1 of them ".to_owned(), "holds"),
            n if hold.only.is_some_and(|lock| has_more_readers(snapshot, lock)) => {
                (format!("at least {} of them ", thousands(n)), "hold")
            }
            n => (format!("{} of them ", thousands(n)), "hold"),
        };
        let perhaps = if hold.how == HoldKind::Perhaps { "perhaps " } else { "" };
        let reading = if hold.how == HoldKind::Shared { " for reading" } else { "" };
        let what = parts::objects(snapshot, hold.kind, hold.only, hold.objects);
        let waiters = match hold.waiters {
            0 => String::new(),
            1 => format!(" that 1 {} waits for", task_noun(snapshot)),
            n => format!(" that {} wait for", count(n, task_noun(snapshot))),
        };
        let place = hold.location.map_or(String::new(), |id| at(snapshot, id, full_paths));
        let it = if hold.only.is_some() { "it" } else { "them" };
        let why = match (hold.how, place.as_str()) {
            (HoldKind::Perhaps, _) => why_perhaps(hold.tasks, hold.location.is_some()).to_owned(),
            (_, "") => String::new(),
            (_, place) => format!(" (unlocks {it} after {place})"),
        };
        format!("{who}{perhaps}{verb}{reading} {what}{waiters}{why}")
    };
    holds.iter().map(sentence).collect()
}

/// Whether a lock says that more readers hold it than were found.
fn has_more_readers(snapshot: &Snapshot, lock: ObjectId) -> bool {
    let found =
        snapshot.holds.iter().filter(|hold| hold.object == lock && hold.how == HoldKind::Shared).count();
    match snapshot.objects.get(lock.index()).and_then(|object| object.lock) {
        Some(LockState::Shared(readers)) => u64::from(readers) > found as u64,
        _ => false,
    }
}

#[cfg(test)]
#[allow(clippy::indexing_slicing, reason = "a test may panic")]
mod tests;
