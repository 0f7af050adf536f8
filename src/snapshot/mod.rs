//! Everything that was true of a target's tasks at one moment.
//!
//! A [`Snapshot`] is plain data. It does not depend on how it was taken or how it will be shown. [`mod@file`]
//! saves and loads it; a reader makes one with a [`SnapshotBuilder`].

mod ahead;
mod builder;
pub mod file;
mod header;
mod ids;
mod lacks;
mod links;
mod lookup;
mod model;
mod task;
mod validate;
mod wait_class;
mod waits;

pub use crate::code::{
    Begins, CodeTables, Frame, Function, FunctionId, FunctionKind, FunctionRole, Image, ImageId, LabelSet,
    LabelSetId, Layer, Location, LocationId, Stack, StackId, StrId,
};
pub(crate) use ahead::{ahead, ahead_mut, picked};
pub use builder::{Checkpoint, SnapshotBuilder};
pub use header::*;
pub use ids::*;
pub use links::*;
pub use model::Snapshot;
pub use task::*;
pub use validate::Invalid;
use validate::TaskChecks;
pub use wait_class::WaitClass;
pub use waits::*;
