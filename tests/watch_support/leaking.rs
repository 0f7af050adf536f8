//! A server that leaks while it is watched.
#![allow(unreachable_pub, missing_docs, reason = "a test's own module")]

use loiter::snapshot::Snapshot;

use super::samples;

/// Reading number `n` of `of`, half a second after the one before. The leaked tasks become more; the
/// others come and go a little.
pub fn reading(n: u64, of: u64) -> Snapshot {
    let mut snapshot = samples::server();
    let missing = (of - 1 - n) * 7;
    let is_leaked = |id: Option<u64>| id.is_some_and(|id| (2204 - missing..2204).contains(&id));
    let busy = |id: Option<u64>| id.is_some_and(|id| (3000 + n * 5 % 40..3010 + n * 5 % 40).contains(&id));
    snapshot.tasks.retain(|task| !is_leaked(task.id) && !busy(task.id));
    let header = &mut snapshot.header;
    *header.taken_at_ns.as_mut().unwrap() += n * samples::SECOND / 2;
    *header.monotonic_ns.as_mut().unwrap() += n * samples::SECOND / 2;
    header.process.rss = header.process.rss.map(|rss| rss - missing * 65_536);
    let runtime = &mut header.runtimes[0];
    runtime.scheduler.tasks_created = runtime.scheduler.tasks_created.map(|created| created + n * 70);
    runtime.scheduler.workers[0].queue = (n * 3 % 7) as u32;
    if let Some(heap) = &mut runtime.heap {
        heap.in_use = heap.in_use.map(|bytes| bytes - missing * 16_384 - n % 5 * 4_194_304);
    }
    snapshot
}
