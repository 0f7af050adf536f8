//! Whether the garbage collector may have shrunk stacks: it alone does, while it marks, or the goroutine itself soon
//! after, when it was asked to. Source: `scanstack` in `src/runtime/mgcmark.go`, `startCycle` and `resetLive` in
//! `src/runtime/mgcpacer.go` of Go 1.19 to 1.27.

use crate::runtimes::go::Go;

/// `gcController.triggered` while nothing is marked.
const NOT_MARKING: u64 = u64::MAX;

/// What the last cycle of an idle collector left. If it is the same twice, there was no cycle in between.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Idle {
    cycles: u32,
    marked_bytes: u64,
}

/// Where the collector's state is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Collector {
    /// `gcController.triggered`, `gcController.heapMarked`, `memstats.numgc`.
    addresses: Option<[u64; 3]>,
}

impl Collector {
    pub(super) fn new(go: &Go) -> Self {
        let at = |base: Option<u64>, name: &str, field: &str| {
            base?.checked_add(go.layouts.get(name)?.fields.get(field)?.offset)
        };
        let controller = |field| at(go.globals.gc_controller, "gcControllerState", field);
        let cycles = at(go.globals.memstats, "mstats", "numgc");
        let all = [controller("triggered"), controller("heapMarked"), cycles];
        let addresses = match all {
            [Some(triggered), Some(marked), Some(cycles)] => Some([triggered, marked, cycles]),
            _ => None,
        };
        Collector { addresses }
    }

    /// Where the words are that [`Collector::idle`] is made of. None if that is not known.
    pub(super) fn addresses(self) -> Option<[u64; 3]> {
        self.addresses
    }

    /// The collector, if it marks nothing. None if it does.
    ///
    /// The order in which the three are read does not matter: a cycle that begins and does not end meanwhile leaves the
    /// same as one that begins later, and one that ends leaves what it counted.
    pub(super) fn idle([triggered, marked_bytes, cycles]: [u64; 3]) -> Option<Idle> {
        // The count of cycles is a u32.
        (triggered == NOT_MARKING).then_some(Idle { cycles: cycles as u32, marked_bytes })
    }
}
