//! Which jobs of the blocking pools are workers, by the stacks of their threads: for programs whose tasks have no names.

use rustc_hash::{FxHashMap, FxHashSet};

use super::names::WORKER;
use super::running::{Thread, names};
use super::scan::Header;
use crate::snapshot::SnapshotBuilder;

/// A worker waits in one of these for its sockets; other jobs hardly ever do. The C library exports the names, so that
/// stripped programs have them, too.
const POLLS: [&str; 3] = ["epoll_wait", "epoll_pwait", "epoll_pwait2"];

/// The vtables of jobs that are workers. `threads`: those that run the jobs, by the address of the job's header.
/// `is_blind`: nothing has a name, and no task leads to a runtime. Then the oldest jobs are workers if one of them waits
/// for sockets, because a runtime starts its workers before anything else.
pub(super) fn by_stacks(
    running: &[Header],
    threads: &FxHashMap<u64, Thread>,
    is_blind: bool,
    into: &SnapshotBuilder,
) -> FxHashSet<u32> {
    let jobs = || running.iter().filter(|header| header.owner == 0);
    let is_in = |header: &Header, wanted: &dyn Fn(&str) -> bool| {
        let locations = threads.get(&header.address).map_or(&[][..], |thread| &thread.locations);
        locations.iter().flat_map(|id| names(*id, into)).any(wanted)
    };
    let is_of_worker = |name: &str| {
        let name = name.trim_start_matches('<');
        WORKER.iter().any(|worker| name.starts_with(worker))
    };
    let named: FxHashSet<u32> =
        jobs().filter(|header| is_in(header, &is_of_worker)).map(|header| header.vtable).collect();
    if !named.is_empty() || !is_blind {
        return named;
    }
    let oldest = jobs().min_by_key(|header| header.id).map(|header| header.vtable);
    let polls = |name: &str| POLLS.contains(&name);
    let waits = |vtable: &u32| jobs().any(|header| header.vtable == *vtable && is_in(header, &polls));
    oldest.filter(waits).into_iter().collect()
}
