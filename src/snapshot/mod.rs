//! Everything that was true of a target's tasks at one moment.
//!
//! A [`Snapshot`] knows nothing of how it was taken or how it will be shown; it
//! is what files hold and what every command works on.

mod builder;
pub mod file;
mod header;
mod ids;
mod lacks;
mod model;
mod task;
mod validate;
mod waits;

pub use crate::code::{
    CodeTables, Frame, Function, FunctionId, FunctionKind, LabelSet, LabelSetId, Location, LocationId, Stack,
    StackId, StrId,
};
pub use builder::{Checkpoint, SnapshotBuilder};
pub use header::*;
pub use ids::*;
pub use model::Snapshot;
pub use task::*;
pub use validate::Invalid;
pub use waits::*;
