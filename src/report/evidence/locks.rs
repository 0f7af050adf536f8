//! Evidence about locks in words.

use rustc_hash::FxHashSet;

use super::named_place;
use crate::analysis::leaks::evidence::{CycleStep, LockEvidence, LockName, LockUse, TaskName};
use crate::analysis::signature::SignatureFrame;
use crate::report::units::{count, duration, thousands};
use crate::report::waiting;

/// One piece of evidence as a clause. `noun`: what the tasks are called.
pub(super) fn evidence(evidence: &LockEvidence, noun: &str) -> String {
    match evidence {
        LockEvidence::Waiters { tasks, locks, lock } => {
            let wait = tasks_verb(*tasks, noun, "waits", "wait");
            match (lock, locks) {
                (Some(lock), _) => format!("{wait} for {}", lock_name(*lock)),
                (None, 0) if *tasks == 1 => format!("{wait} for a lock whose address is unknown"),
                (None, 0) => format!("{wait} for locks whose addresses are unknown"),
                (None, n) => format!("{wait} for {}", count(*n, "lock")),
            }
        }
        LockEvidence::LongestWait { at_least_ns } => {
            format!("the longest wait is at least {}", duration(*at_least_ns))
        }
        LockEvidence::SeenWaiting { at_least_ns } => format!(
            "every reading for {} found the same {noun}s waiting for the same locks",
            duration(*at_least_ns)
        ),
        LockEvidence::Guards { tasks, at_least_ns } => {
            let have = tasks_verb(*tasks, noun, "has", "have");
            let which = if *tasks == 1 { "which may hold it" } else { "one of which may hold it" };
            let text = format!("{have} a guard of the lock in a variable, {which}");
            match at_least_ns {
                0 => text,
                &ns => format!("{text} and waited for the same in every reading for {}", duration(ns)),
            }
        }
        LockEvidence::AlwaysWaiting { at_least } => {
            format!("at least {} waited in every reading", thousands(*at_least))
        }
        LockEvidence::FreeLocks { locks: 1 } => "1 of the locks is being handed over".to_owned(),
        LockEvidence::FreeLocks { locks } => {
            format!("{} of the locks are being handed over", thousands(*locks))
        }
        LockEvidence::HandedOver { lock } => format!("the {} is being handed over", waiting::object(*lock)),
        LockEvidence::Readers { readers, found, blocked_by_writer } => {
            let writer = if *blocked_by_writer { "; a waiting writer blocks new readers" } else { "" };
            format!("{}{writer}", waiting::readers_found(*readers, *found))
        }
        LockEvidence::AllWait { tasks, locks } => format!(
            "{} for {}, and every other {noun} in the same functions waits for a lock, too",
            tasks_verb(*tasks, noun, "waits", "wait"),
            count(*locks, "lock")
        ),
        LockEvidence::HoldersGuessed => "the holders of these locks are a guess".to_owned(),
        LockEvidence::ReadersAndWriters { locks } => format!(
            "both readers and writers wait for {}; a {noun} that read-locks twice deadlocks with a writer in between",
            count(*locks, "lock")
        ),
        LockEvidence::Cycle { steps, more_tasks } => cycle(steps, *more_tasks, noun),
        LockEvidence::SelfWait { task, lock, wants, held, unlocks } => {
            self_wait(task, *lock, *wants, *held, unlocks.as_ref())
        }
        LockEvidence::ReadTwice { task, lock, unlocks, writer } => {
            read_twice(task, *lock, unlocks.as_ref(), writer)
        }
        LockEvidence::MoreCycles { cycles, tasks } => format!(
            "{} in {} like this",
            tasks_verb(*tasks, &format!("other {noun}"), "waits", "wait"),
            count(*cycles, "more cycle")
        ),
        LockEvidence::AlsoWait { tasks } => {
            format!("{} for these locks", tasks_verb(*tasks, &format!("more {noun}"), "waits", "wait"))
        }
        LockEvidence::WithoutHolder { locks: 1, of: 1 } => "no holder was found for the lock".to_owned(),
        LockEvidence::WithoutHolder { locks, of } if locks == of => {
            format!("no holder was found for any of the {}", count(*of, "lock"))
        }
        LockEvidence::WithoutHolder { locks, of } => {
            format!("no holder was found for {} of the {}", thousands(*locks), count(*of, "lock"))
        }
        LockEvidence::MoreHolders { tasks } => {
            format!("{} one of these locks", tasks_verb(*tasks, &format!("more {noun}"), "holds", "hold"))
        }
        LockEvidence::HoldersBlockedForever { tasks, of } => {
            format!("{} will never run again", holders(*tasks, *of))
        }
        LockEvidence::HoldersStill { tasks, of, at_least_ns, or_next } => {
            let next = if *or_next { ", or the task that it waits for," } else { "" };
            let has = if *of == 1 || tasks == of || *tasks == 1 { "has" } else { "have" };
            format!("{}{next} {has} not moved for at least {}", holders(*tasks, *of), duration(*at_least_ns))
        }
        LockEvidence::HoldersMove { of: 1 } => "the holder has not been blocked all the time".to_owned(),
        LockEvidence::HoldersMove { of } => {
            format!("none of the {} holders is known to have been blocked all the time", thousands(*of))
        }
        LockEvidence::InSameFunctions { tasks, still } => {
            let are = tasks_verb(*tasks, &format!("other {noun}"), "is", "are");
            let what = match (still, tasks) {
                (false, _) => "may hold the lock",
                (true, 1) => "has not moved for as long",
                (true, _) => "have not moved for as long",
            };
            format!("{are} in the same functions and {what}")
        }
        LockEvidence::AddressOnStacks { tasks: 1 } => {
            format!("the lock's address is on the stack of 1 other {noun}, which may hold it")
        }
        LockEvidence::AddressOnStacks { tasks } => format!(
            "the lock's address is on the stacks of {}, one of which may hold it",
            count(*tasks, &format!("other {noun}"))
        ),
        LockEvidence::NoUnlocker => format!("no {noun} was found that would unlock it"),
        LockEvidence::NobodyElse => format!("no other {noun} was found in the functions that take the lock"),
    }
}

/// "1 goroutine waits", "40 goroutines wait".
fn tasks_verb(tasks: u64, noun: &str, one: &str, many: &str) -> String {
    format!("{} {}", count(tasks, noun), if tasks == 1 { one } else { many })
}

/// "the holder", "each of the 2 holders", "3 of the 5 holders".
fn holders(tasks: u64, of: u64) -> String {
    match (tasks, of) {
        (_, 1) => "the holder".to_owned(),
        (tasks, of) if tasks == of => format!("each of the {} holders", thousands(of)),
        (tasks, of) => format!("{} of the {} holders", thousands(tasks), thousands(of)),
    }
}

/// "mutex 0xc000012040".
fn lock_name(lock: LockName) -> String {
    format!("{} {:#x}", waiting::object(lock.kind), lock.address)
}

/// "18", or the address of its structure if it has no id.
fn number(task: &TaskName) -> String {
    task.id.map_or_else(|| format!("{:#x}", task.address), |id| id.to_string())
}

/// What a task does with the lock that it waits for.
fn wait(wants: LockUse, held: Option<LockUse>) -> &'static str {
    match (wants, held) {
        (LockUse::Shared, _) => "waits to read-lock",
        (LockUse::Exclusive, Some(LockUse::Shared)) => "waits to lock",
        (LockUse::Exclusive | LockUse::Perhaps, _) => "waits for",
    }
}

/// "goroutine 18 (main.f) waits for mutex 0x10, which 19 (main.g) holds; 19 waits for mutex 0x20, which 18 holds".
fn cycle(steps: &[CycleStep], more_tasks: u64, noun: &str) -> String {
    let mut names = Names::default();
    let mut clauses: Vec<String> = steps.iter().map(|step| names.clause(step)).collect();
    if more_tasks > 0 {
        clauses.push(format!(
            "and so on over {}, back to the first",
            count(more_tasks, &format!("more {noun}"))
        ));
    }
    clauses.join("; ")
}

/// Introduces each task once.
#[derive(Default)]
struct Names(FxHashSet<(Option<u64>, u64)>);

impl Names {
    /// "goroutine 18 (main.transfer)" for the first, "19 (main.transfer)" for others, later only "18".
    fn name(&mut self, task: &TaskName) -> String {
        let first = self.0.is_empty();
        let name = if first { format!("{} {}", task.noun, number(task)) } else { number(task) };
        let is_new = self.0.insert((task.id, task.address));
        if is_new && !task.function.is_empty() { format!("{name} ({})", task.function) } else { name }
    }

    fn clause(&mut self, step: &CycleStep) -> String {
        let who = self.name(&step.task);
        let next = self.name(&step.next);
        let waits = wait(step.wants, step.held);
        let lock = lock_name(step.lock);
        match step.held {
            None => format!("{who} {waits} {lock}, behind {next}, which waits to lock it"),
            Some(LockUse::Shared) => format!("{who} {waits} {lock}, which {next} holds for reading"),
            Some(LockUse::Exclusive) => format!("{who} {waits} {lock}, which {next} holds"),
            Some(LockUse::Perhaps) => format!("{who} {waits} {lock}, which {next} seems to hold"),
        }
    }
}

/// "goroutine 18 (main.f)".
fn introduced(task: &TaskName) -> String {
    let name = format!("{} {}", task.noun, number(task));
    if task.function.is_empty() { name } else { format!("{name} ({})", task.function) }
}

/// " (to be unlocked in main.(*cache).Refresh cache.go:41)"; empty if the place is not known.
fn to_be_unlocked(place: Option<&SignatureFrame>) -> String {
    place.map(|place| format!(" (to be unlocked in {})", named_place(place))).unwrap_or_default()
}

fn self_wait(
    task: &TaskName,
    lock: LockName,
    wants: LockUse,
    held: LockUse,
    unlocks: Option<&SignatureFrame>,
) -> String {
    let holds = match held {
        LockUse::Exclusive => "holds itself",
        LockUse::Shared => "holds itself for reading",
        LockUse::Perhaps => "seems to hold itself",
    };
    format!(
        "{} {} {}, which it {holds}{}",
        introduced(task),
        wait(wants, Some(held)),
        lock_name(lock),
        to_be_unlocked(unlocks)
    )
}

fn read_twice(
    task: &TaskName,
    lock: LockName,
    unlocks: Option<&SignatureFrame>,
    writer: &TaskName,
) -> String {
    format!(
        "{} waits to read-lock {}, which it already holds for reading{}, behind {}, which waits to lock it until {} \
         unlocks it",
        introduced(task),
        lock_name(lock),
        to_be_unlocked(unlocks),
        introduced(writer),
        number(task)
    )
}
