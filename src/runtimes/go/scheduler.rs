//! Ps, Ms and the scheduler's own figures. Source: `src/runtime/runtime2.go` (`p`, `m`, `schedt`),
//! `src/runtime/proc.go`.

use rustc_hash::FxHashSet;

use super::globals::{Globals, MAX_PS};
use super::layout::Layouts;
use super::offsets::Offsets;
use crate::process::Memory;
use crate::snapshot::{Scheduler, Worker};

/// A larger number of Ms is not believed (`sched.maxmcount` is 10,000 unless it was raised).
const MAX_MS: usize = 1 << 17;
/// Entries in the run queue of a P.
const RUN_QUEUE: u32 = 256;

/// The scheduler as it is now; what cannot be read is left unknown.
pub(super) fn read(memory: &dyn Memory, globals: &Globals, layouts: &Layouts, o: &Offsets) -> Scheduler {
    let ps = globals.allp.map(|allp| processors(memory, allp)).unwrap_or_default();
    let sched = |field: &str| {
        let field = layouts.get("schedt")?.fields.get(field)?;
        let address = globals.sched?.checked_add(field.offset)?;
        if field.size == 4 {
            memory.read_u32(address).ok().map(u64::from)
        } else {
            memory.read_u64(address).ok()
        }
    };
    let small = |value: Option<u64>| value.and_then(|v| u32::try_from(v).ok());
    // Before 1.25 the queue's length was a separate field; since then it is part of the queue.
    let global_queue = sched("runqsize").or_else(|| sched("runq.size")).map(|v| v & 0xffff_ffff);
    Scheduler {
        max_workers: (!ps.is_empty()).then_some(ps.len() as u32),
        workers: ps.iter().map(|p| worker(memory, *p, o)).collect(),
        worker_noun: "P".to_owned(),
        global_queue,
        threads: globals.allm.map(|allm| threads(memory, allm, o).len() as u32),
        idle_threads: small(sched("nmidle")),
        tasks_created: tasks_created(memory, &ps, sched("goroutinesCreated"), sched("goidgen"), o),
        structs_made: memory.read_u64(globals.allglen).ok(),
    }
}

/// Addresses of the Ps that GOMAXPROCS allows: the slice `allp` is cut to that length.
pub(super) fn processors(memory: &dyn Memory, allp: u64) -> Vec<u64> {
    let (Ok(array), Ok(len)) = (memory.read_u64(allp), memory.read_u64(allp.wrapping_add(8))) else {
        return Vec::new();
    };
    let len = if len > MAX_PS { 0 } else { len };
    (0..len).map_while(|i| memory.read_u64(array.wrapping_add(8 * i)).ok().filter(|p| *p != 0)).collect()
}

fn worker(memory: &dyn Memory, p: u64, o: &Offsets) -> Worker {
    let half = |offset: u64| memory.read_u32(p.wrapping_add(offset)).unwrap_or(0);
    let (head, tail) = (half(o.p_runqhead), half(o.p_runqtail));
    let next = o.p_runnext.and_then(|at| memory.read_u64(p.wrapping_add(at)).ok()).is_some_and(|g| g != 0);
    Worker {
        id: half(o.p_id),
        status: match half(o.p_status) {
            0 => "idle",
            1 => "running",
            2 => "syscall",
            3 => "gcstop",
            4 => "dead",
            _ => "unknown",
        }
        .to_owned(),
        queue: tail.wrapping_sub(head).min(RUN_QUEUE) + u32::from(next),
    }
}

/// Addresses of all Ms.
pub(super) fn threads(memory: &dyn Memory, allm: u64, o: &Offsets) -> Vec<u64> {
    let Some(link) = o.m_alllink else { return Vec::new() };
    let mut seen = FxHashSet::default();
    let mut all = Vec::new();
    let mut at = memory.read_u64(allm).unwrap_or(0);
    while at != 0 && all.len() < MAX_MS && seen.insert(at) {
        all.push(at);
        at = memory.read_u64(at.wrapping_add(link)).unwrap_or(0);
    }
    all
}

/// Goroutines ever created.
///
/// From 1.26 on they are counted, on each P and on `sched`. Before, ids tell: the generator's value minus the
/// ids that the Ps have taken in advance and not yet used. Ps that a lower GOMAXPROCS retired are not seen,
/// nor are their unused ids; the number is then too high by up to 16 for each.
fn tasks_created(
    memory: &dyn Memory,
    ps: &[u64],
    counted: Option<u64>,
    issued: Option<u64>,
    o: &Offsets,
) -> Option<u64> {
    let read = |p: u64, offset: Option<u64>| memory.read_u64(p.wrapping_add(offset?)).ok();
    if let (Some(counted), Some(_)) = (counted, o.p_created) {
        return ps.iter().try_fold(counted, |sum, p| sum.checked_add(read(*p, o.p_created)?));
    }
    let in_hand = ps.iter().try_fold(0u64, |sum, p| {
        let (cache, end) = (read(*p, o.p_goidcache)?, read(*p, o.p_goidcacheend)?);
        sum.checked_add(end.saturating_sub(cache))
    })?;
    issued?.checked_sub(in_hand)
}
