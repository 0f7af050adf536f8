//! From a waiting task to its cause: chains of waits through tasks, objects, descriptors and processes.
//!
//! [`System`] is what was read. [`Graph`] makes one graph of it: who waits for what, and who is to act on it. An edge
//! stands only if both of its ends stood still between two readings (`still`). `alive` finds out which nodes can go
//! on at all, [`Why`] follows tasks to their causes ([`Chain`], [`Cause`]) and adds up who depends on each cause.

mod alive;
mod answer;
mod build;
mod builder;
mod cause;
mod chain;
mod ends;
mod graph;
mod still;
mod system;

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
pub(crate) mod tests;

pub use answer::{Answer, Found, Group, Why};
pub use cause::{Cause, Dead, Unknown};
pub use chain::{Chain, Step};
pub use graph::{Edge, EdgeKind, Graph, Node, NodeId, Want};
pub use still::Proof;
pub use system::{Ends, OpenEnd, OtherEnd, Peer, SeenProcess, System};
