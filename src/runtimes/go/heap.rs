//! Figures of the garbage collected heap. Source: `src/runtime/mstats.go`, `mgcpacer.go`.

use super::globals::Globals;
use super::layout::Layouts;
use crate::process::Memory;
use crate::snapshot::Heap;

/// Pauses kept in `memstats.pause_ns`.
const PAUSES: u64 = 256;

/// The heap as it is now; what cannot be read is left unknown.
pub(super) fn read(memory: &dyn Memory, globals: &Globals, layouts: &Layouts) -> Heap {
    let field = |name: &str, base: Option<u64>, field: &str| {
        let field = layouts.get(name)?.fields.get(field)?;
        Some((base?.checked_add(field.offset)?, field.size))
    };
    let word = |at: Option<(u64, u64)>| match at? {
        (address, 4) => memory.read_u32(address).ok().map(u64::from),
        (address, _) => memory.read_u64(address).ok(),
    };
    let controller = |name| field("gcControllerState", globals.gc_controller, name);
    let stats = |name| field("mstats", globals.memstats, name);
    let collections = word(stats("numgc"));
    let last_pause_ns = collections.filter(|n| *n > 0).and_then(|n| {
        let (pauses, _) = stats("pause_ns")?;
        memory.read_u64(pauses.checked_add((n + PAUSES - 1) % PAUSES * 8)?).ok()
    });
    Heap {
        in_use: word(controller("heapInUse")),
        next_gc: next_gc(word(controller("gcPercentHeapGoal")), word(controller("memoryLimit"))),
        collections,
        last_pause_ns,
    }
}

/// The heap goal, if GOGC alone sets it. With a memory limit the runtime computes another goal each time it
/// needs one, from figures that are not kept. With GOGC=off there is none.
fn next_gc(goal: Option<u64>, memory_limit: Option<u64>) -> Option<u64> {
    let unlimited = memory_limit.is_none_or(|limit| limit == i64::MAX as u64);
    goal.filter(|goal| unlimited && *goal != u64::MAX)
}
