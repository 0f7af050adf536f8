//! Writes snapshots, groups, differences and findings. One file per format; each writer is a pure function of
//! what it writes.
//!
//! The texts in a snapshot are hostile. All of them pass through [`escape()`] before they reach a terminal or a
//! text file.

pub mod dot;
pub mod ends;
pub(crate) mod escape;
pub mod evidence;
#[cfg(feature = "cli")]
pub(crate) mod file_name;
pub mod finding;
pub mod firefox;
pub mod flame;
pub mod gate;
pub mod go;
pub mod json;
pub mod known;
#[allow(unreachable_pub, reason = "its items are public to the rest of the crate")]
pub(crate) mod line;
pub mod markdown;
#[cfg(feature = "cli")]
pub(crate) mod nothing;
pub(crate) mod path;
mod places;
pub mod pprof;
pub mod profile;
pub mod roots;
pub mod runtime_names;
pub mod svg;
pub mod task_facts;
pub mod text;
mod title;
pub mod trip;
pub mod units;
mod waiting;
pub mod why;

pub use escape::escape;
