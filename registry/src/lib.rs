#![doc = include_str!("../README.md")]
#![deny(unsafe_op_in_unsafe_fn)]

#[cfg(not(all(target_os = "linux", target_pointer_width = "64", target_endian = "little")))]
compile_error!("loiter-registry is for 64-bit little-endian Linux: use it as a target-specific dependency");

// Under loom only the protocols are built: its atomics have no fixed layout.
#[cfg_attr(not(loom), doc(hidden))]
pub mod seqlock;

#[cfg(not(loom))]
mod at;
#[cfg(not(loom))]
mod current;
#[cfg(not(loom))]
pub mod format;
#[cfg(not(loom))]
mod future;
#[cfg(all(feature = "tokio-hooks", tokio_unstable, not(loom)))]
pub mod hooks;
// Like `seqlock`, modelled by loom.
#[cfg(any(loom, all(feature = "tokio-hooks", tokio_unstable)))]
#[cfg_attr(not(loom), allow(unreachable_pub, reason = "public for loom"))]
#[cfg_attr(not(loom), doc(hidden))]
pub mod ids;
#[cfg(not(loom))]
mod names;
#[cfg(not(loom))]
mod note;
#[cfg(not(loom))]
mod places;
#[cfg(not(loom))]
mod registry;
#[cfg(not(loom))]
mod sys;
#[cfg(not(loom))]
mod task;
#[cfg(all(feature = "tokio", not(loom)))]
pub mod tokio;
#[cfg(not(loom))]
mod track;

#[cfg(not(loom))]
pub use crate::{
    at::{At, AwaitExt, Waiting, function_around},
    current::current_id,
    format::{Kind, Location, RuntimeKind, WaitReason},
    names::Name,
    registry::{DEFAULT_LIMIT, Registry},
    task::{Registration, Task},
    track::{Tracked, track},
};
