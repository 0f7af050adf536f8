//! From a waiting task to its cause: chains of waits through tasks, objects, descriptors and processes.

mod system;

pub use crate::snapshot::{Ends, OpenEnd, OtherEnd, Peer};
pub use system::{SeenProcess, System};
