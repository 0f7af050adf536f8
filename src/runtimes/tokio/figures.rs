//! What schedulers say of themselves: the figures of all together, and what the search for tasks did not find by their lists.

use rustc_hash::FxHashMap;

use super::chain::{Figures, Pool};
use super::owned::{Kind, Scheduler};
use super::scan::{Header, state};
use crate::snapshot::{self, Worker};

/// What the lists count and the search did not find, if nothing moves. Also the lines that say so.
pub(super) fn coverage(before: &[Scheduler], after: &[Scheduler], headers: &[Header]) -> (u64, Vec<String>) {
    let mut found: FxHashMap<u64, u64> = FxHashMap::default();
    for header in headers.iter().filter(|header| !header.has(state::COMPLETE)) {
        *found.entry(header.owner).or_default() += 1;
    }
    let (mut missing, mut lines) = (0_u64, Vec::new());
    for scheduler in after {
        let read = found.get(&scheduler.owner).copied().unwrap_or(0);
        let name = format!("{} {}", scheduler.kind.name(), scheduler.owner);
        let Some(counts) = scheduler.counts else {
            lines.push(format!(
                "{name} at {:#x}: read {read} tasks, its own count is unknown",
                scheduler.address
            ));
            continue;
        };
        let ever = counts.spawned.map_or(String::new(), |spawned| format!(" and {spawned} ever"));
        lines.push(format!(
            "{name} at {:#x}: read {read} tasks, its list counts {} now{ever}",
            scheduler.address, counts.live
        ));
        let earlier = before.iter().find(|earlier| earlier.owner == scheduler.owner);
        // Tasks that came or went while memory was read may or may not have been found.
        if let Some(earlier) = earlier.and_then(|earlier| earlier.counts)
            && let (Some(now), Some(then)) = (counts.spawned, earlier.spawned)
        {
            let came = now.saturating_sub(then);
            let lost = counts.live.min(earlier.live).saturating_sub(read.saturating_add(came));
            missing = lost.saturating_add(missing);
        }
    }
    (missing, lines)
}

/// The figures of all schedulers together. `own`: what each says of itself, if that is known.
pub(super) fn figures(schedulers: &[Scheduler], own: &[Option<Figures>]) -> snapshot::Scheduler {
    let mut workers: Vec<Worker> = Vec::new();
    for (nth, scheduler) in schedulers.iter().enumerate() {
        let parked = own.get(nth).and_then(|own| own.as_ref()?.parked.as_ref());
        for (queue, number) in scheduler.queues.iter().zip(0_u64..) {
            let status = match parked {
                Some(parked) if parked.contains(&number) => "idle",
                Some(_) => "running",
                None => "unknown",
            };
            workers.push(Worker::new(u32::try_from(workers.len()).unwrap_or(u32::MAX), status, *queue));
        }
    }
    let created = sum(schedulers.iter().map(|scheduler| scheduler.counts?.spawned));
    // A LocalSet has neither a queue of this kind nor threads.
    let runtimes = || {
        let owners = schedulers.iter().enumerate().filter(|(_, scheduler)| scheduler.kind != Kind::LocalSet);
        owners.map(|(nth, _)| own.get(nth).and_then(Option::as_ref))
    };
    let all = |of: &dyn Fn(&Figures) -> Option<u64>| sum(runtimes().map(|own| of(own?)));
    let threads =
        |of: fn(&Pool) -> u64| all(&|own| own.pool.as_ref().map(of)).and_then(|sum| u32::try_from(sum).ok());
    snapshot::Scheduler {
        max_workers: u32::try_from(workers.len()).ok().filter(|&workers| workers > 0),
        workers,
        worker_noun: "worker".to_owned(),
        global_queue: all(&|own| own.global_queue),
        threads: threads(|pool| pool.threads),
        idle_threads: threads(|pool| pool.idle),
        tasks_created: created,
        ..snapshot::Scheduler::default()
    }
}

/// One sentence for each runtime whose blocking jobs wait for a thread.
pub(super) fn starved(schedulers: &[Scheduler], own: &[Option<Figures>]) -> Vec<String> {
    let all = schedulers.iter().zip(own).filter_map(|(scheduler, own)| {
        let pool = own.as_ref()?.pool.filter(Pool::is_starved)?;
        let jobs =
            if pool.queued == 1 { "1 job waits".to_owned() } else { format!("{} jobs wait", pool.queued) };
        let threads = match pool.threads {
            1 => "its only thread is busy".to_owned(),
            n => format!("all of its {n} threads are busy"),
        };
        let (kind, owner) = (scheduler.kind.name(), scheduler.owner);
        Some(format!("the blocking pool of {kind} {owner} is starved: {jobs}, and {threads}"))
    });
    all.collect()
}

/// The sum of numbers that are all known. None if one is not, or if there are none. They may be any: memory says so.
fn sum(numbers: impl Iterator<Item = Option<u64>>) -> Option<u64> {
    let mut sum = None;
    for number in numbers {
        sum = Some(number?.saturating_add(sum.unwrap_or(0)));
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::super::owned::Counts;
    use super::*;

    fn scheduler(owner: u64, spawned: Option<u64>, live: u64) -> Scheduler {
        let counts = Some(Counts { spawned, live });
        Scheduler { address: 0x1000 * owner, owner, kind: Kind::CurrentThread, counts, queues: Vec::new() }
    }

    #[test]
    fn numbers_that_are_too_large() {
        let schedulers = [1, 2].map(|owner| scheduler(owner, Some(u64::MAX), u64::MAX));
        let unknown = scheduler(3, None, 1);
        assert_eq!(figures(&schedulers, &[]).tasks_created, Some(u64::MAX));
        assert_eq!(figures(&[schedulers[0].clone(), unknown], &[]).tasks_created, None);
        assert_eq!(figures(&[], &[]).tasks_created, None);
        assert_eq!(coverage(&schedulers, &schedulers, &[]).0, u64::MAX);
    }

    #[test]
    fn what_the_search_did_not_find() {
        let headers = [Header { owner: 1, ..Header::default() }; 3];
        let (before, after) = (scheduler(1, Some(10), 5), scheduler(1, Some(11), 6));
        let missing = |before: &[Scheduler]| coverage(before, std::slice::from_ref(&after), &headers).0;
        assert_eq!(missing(&[before]), 1, "one was spawned meanwhile");
        assert_eq!(missing(&[]), 0, "nothing is known of before");
    }
}
