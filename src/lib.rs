//! loiter reads the tasks of a live process from outside: every goroutine with
//! its stack, its creator and what it waits for, with no help from the process
//! and without pausing it.
//!
//! The nouns, in the order in which data flows:
//!
//! * a [`process`] is something that can be read: a live pid or a core file;
//! * a [runtime](runtimes) schedules tasks inside a target and turns them into
//! * a [`snapshot`]: everything that was true at one moment, complete in itself;
//! * [`analysis`] filters and groups snapshots;
//! * [`report`] turns them into text, JSON and other formats.
//!
//! ```no_run
//! use loiter::{runtimes, process};
//!
//! let target = process::open_pid(4242)?;
//! let snapshot = runtimes::snapshot(target.as_ref(), &runtimes::ReadOptions::default())?;
//! println!("{} tasks", snapshot.task_count());
//! # Ok::<(), loiter::Error>(())
//! ```

pub mod analysis;
pub mod cli;
pub mod code;
pub mod dashboard;
mod ending;
mod error;
pub mod formats;
pub mod import;
pub mod process;
pub mod report;
pub mod runtimes;
pub mod snapshot;
pub mod symbols;

pub use error::{Error, Result};
