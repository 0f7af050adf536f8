//! From a waiting task to its cause: chains of waits through tasks, objects, descriptors and processes.

mod system;

pub use system::{Ends, OpenEnd, OtherEnd, Peer, SeenProcess, System};
