//! What chains of waits are made of: processes of one machine, each read twice, and what joins them. Plain data;
//! who collects it is `session::why`.

use std::sync::Arc;

use crate::snapshot::Snapshot;
pub use crate::snapshot::{Ends, OpenEnd, OtherEnd, Peer};

/// Processes that were read together.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct System {
    /// The processes. The first one is where the question begins.
    pub processes: Vec<SeenProcess>,
    /// The question is about this many of the processes, the first ones; the others were read because those wait for
    /// them. 0: it is about all.
    pub asked: usize,
    /// Who has what open.
    pub ends: Ends,
    /// The other ends of sockets.
    pub peers: Vec<Peer>,
    /// Processes that were stopped as a whole, by a signal or a debugger: nothing in them goes on.
    pub stopped: Vec<u32>,
    /// What was not asked or could not be read, one sentence each.
    pub left_out: Vec<String>,
}

/// A process, read twice.
#[derive(Debug, Clone)]
pub struct SeenProcess {
    /// Its pid.
    pub pid: u32,
    /// Its short name.
    pub name: String,
    /// The first reading.
    pub first: Arc<Snapshot>,
    /// The second reading, begun after the first readings of all processes had ended. Only what is the same in both
    /// held at one moment together. None: there was none, and nothing is proved.
    pub second: Option<Arc<Snapshot>>,
}
