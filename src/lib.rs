//! loiter reads the tasks of a running program from outside: every goroutine with its stack, its creator and what it
//! waits for. The program does not help, and is not paused.
//!
//! This is the library behind the command `loiter`. It opens a process, a core file or a dump, makes a snapshot of it,
//! compares snapshots, finds leaks, and writes the result.
//!
//! # The nouns
//!
//! In the order in which data flows:
//!
//! * A [`process`] can be read: a live pid or a core file ([`process::Target`]).
//! * A [runtime](runtimes) schedules tasks in it: Go, or a task registry that the program exports. Its reader turns
//!   them into
//! * a [`snapshot`]: everything that was true of the tasks at one moment. It refers to the [`code`] tables, which have
//!   each function, code address and stack once. [`snapshot::file`] saves and loads it.
//! * A [`recording`] is what tasks did over a while: samples with weights. [`recording::file`] saves and loads it.
//! * [`import`] makes a snapshot of what Go writes itself (stack dumps, goroutine profiles, crashes in a log), and a
//!   recording of profiles of time.
//! * A [`source`] is whatever a user can name: a pid, a process name, a file, an address. It is opened once, or a
//!   [`session`] reads it again and again.
//! * [`analysis`] filters, groups and compares snapshots. A [`Series`](analysis::Series) is snapshots of one process
//!   in the order of time; [`analysis::leaks`] makes findings of it.
//! * [`report`] writes all of that as text, JSON, Markdown, pprof, or a flame graph.
//!
//! # Examples
//!
//! A snapshot of a process:
//!
//! ```no_run
//! use loiter::{process, runtimes};
//!
//! let target = process::open_pid(4242)?;
//! let snapshot = runtimes::snapshot(target.as_ref(), &runtimes::ReadOptions::default())?;
//! println!("{} tasks", snapshot.task_count());
//! # Ok::<(), loiter::Error>(())
//! ```
//!
//! The oldest tasks in a file, here a goroutine dump:
//!
//! ```
//! use loiter::analysis::{Filter, SortBy, each::each};
//! use loiter::source::{self, OpenOptions, Source};
//!
//! # let directory = tempfile::tempdir()?;
//! # let path = directory.path().join("dump.txt");
//! # std::fs::write(&path, "\
//! # goroutine 7 [chan receive, 2 minutes]:
//! # main.worker(0xc000012345)
//! # \t/src/main.go:12 +0x1d
//! #
//! # goroutine 8 [select, 10 minutes]:
//! # main.serve()
//! # \t/src/main.go:40 +0x25
//! # ".replace("\n# ", "\n"))?;
//! let snapshot = source::open(&Source::File(path), &OpenOptions::default())?.snapshot;
//! let oldest = each(&snapshot, &Filter::default(), SortBy::Age, Some(3));
//! let ids: Vec<Option<u64>> = oldest.tasks.iter().map(|&row| snapshot.tasks[row as usize].id).collect();
//! assert_eq!(ids, [Some(8), Some(7)]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! What changed between two snapshots:
//!
//! ```
//! use loiter::analysis::{Series, SeriesOptions, diff::diff};
//! # let dump = |ids: &[u64]| {
//! #     let task = |id| format!("goroutine {id} [select]:\nmain.serve()\n\t/src/main.go:40 +0x25\n\n");
//! #     let text: String = ids.iter().map(task).collect();
//! #     loiter::import::read(text.as_bytes()).map(|dump| dump.snapshot)
//! # };
//! # let (before, after) = (dump(&[1, 2])?, dump(&[2, 3, 4])?);
//!
//! let series = Series::of(SeriesOptions::default(), [before, after]);
//! let diff = diff(&series);
//! assert_eq!((diff.born, diff.gone, diff.stayed), (2, 1, 1));
//! assert_eq!(diff.rows[0].change(), 1);
//! # Ok::<(), loiter::Error>(())
//! ```
//!
//! # What it needs, and what it does to the process
//!
//! * **Platform**: Linux on x86-64, loiter and the process alike. The process may be in a container.
//! * **Permission**: to read another process needs what a debugger needs: the same user and a `kernel.yama.ptrace_scope`
//!   that allows it, or `CAP_SYS_PTRACE`. Where the kernel refuses, [`process::TargetError::Permission`] has the reason
//!   that was found and what helps. Files and dumps need no permission but to open them.
//! * **Stops**: parked tasks are read without a stop. [`runtimes::Pause`] says what may be stopped besides. The default
//!   is each thread that runs a task, one at a time, while its registers and its stack are read: microseconds, and one
//!   second at most. [`Pause::Everything`](runtimes::Pause::Everything) stops all threads for the whole reading, for
//!   [`freeze_limit`](runtimes::ReadOptions::freeze_limit) at most; [`Pause::Nothing`](runtimes::Pause::Nothing) stops
//!   none. A small process of its own holds the stops, so that the threads run on even if the reader is killed.
//!   loiter writes nothing into the process.
//! * **Time**: a read that does not come back (a page on a dead network file system) is given up after five seconds,
//!   with an error of [`ErrorKind::NoAnswer`].
//! * **Input is hostile**: whatever a process, a core file or a dump holds, every length and count is bounded. Texts in a
//!   snapshot are as the program has them: [`report::escape()`] makes them safe for a terminal.
//!
//! # Threads
//!
//! Every type of the library that holds data is [`Send`] and [`Sync`]: targets, readers of runtimes, snapshots, series,
//! errors. Reading blocks; it uses [`threads`](runtimes::ReadOptions::threads) threads of its own, which end with it,
//! and one that is left behind where a read hangs. Nothing here installs a signal handler; only the program does.
//!
//! # Errors
//!
//! [`Error`] holds the errors of processes, runtimes, snapshot files and dumps. [`source::SourceError`] adds what can be
//! wrong with a name or an address. The `kind` of each, an [`ErrorKind`], says what a caller can do. The text of an error does not
//! repeat its cause: [`full_text`] or `anyhow`'s `{:#}` prints the whole chain.
//!
//! # Features
//!
//! The default features make the whole program. A library user takes `default-features = false`:
//!
//! | feature | adds |
//! |---|---|
//! | `svg` | flame graphs as SVG |
//! | `http` | sources that are addresses of Go's `net/http/pprof` |
//! | `cli` | the command line, with `svg` |
//! | `dashboard` | `loiter watch`, with `cli` |
//! | `demo` | `loiter demo`, with `cli` and Tokio |
//!
//! # Stability
//!
//! None yet. This is version 0.x: names, fields and enums change from one minor version to the next. Match with `..` and
//! a `_` arm. The formats are stable where their man pages say so: loiter-snapshot(5),
//! loiter-recording(5) and loiter-json(5).

#![warn(clippy::print_stdout)]

#[cfg(not(all(target_os = "linux", target_arch = "x86_64")))]
compile_error!(
    "loiter runs on Linux on x86-64 only: it reads that kernel's interfaces and that machine's registers"
);

pub mod analysis;
#[cfg_attr(not(feature = "test-support"), allow(unreachable_pub))]
mod cache;
mod cause;
#[cfg(feature = "cli")]
#[doc(hidden)]
pub mod cli;
pub mod code;
#[cfg(feature = "dashboard")]
#[cfg_attr(not(feature = "test-support"), allow(unreachable_pub))]
mod dashboard;
#[cfg(feature = "cli")]
#[cfg_attr(
    not(all(feature = "dashboard", feature = "demo")),
    allow(dead_code, reason = "these use the rest")
)]
mod ending;
mod error;
#[cfg_attr(not(feature = "test-support"), allow(unreachable_pub))]
mod formats;
pub mod import;
pub mod process;
pub mod recording;
pub mod report;
pub mod runtimes;
pub mod sampler;
pub mod session;
pub mod snapshot;
pub mod source;
#[cfg_attr(not(feature = "test-support"), allow(unreachable_pub))]
mod symbols;
pub mod words;

pub use cause::{ErrorKind, full_text};
pub use error::{Error, Result};

/// What only the tests, benchmarks and fuzz targets of this repository use. It may change at any time.
#[cfg(feature = "test-support")]
#[doc(hidden)]
pub mod __test {
    /// The command line's man pages.
    #[cfg(feature = "cli")]
    pub mod man {
        pub use crate::cli::man::*;
    }

    /// What is kept in a folder.
    pub mod cache {
        pub use crate::cache::{answer_in, framed};
    }

    /// The dashboard.
    #[cfg(feature = "dashboard")]
    pub mod dashboard {
        pub use crate::dashboard::*;
    }

    /// Where the structs of Go's runtime are found.
    pub mod go {
        pub use crate::runtimes::go::{dwarf, layout, layout_table, structs, types};
    }

    /// Exported registries, wherever they are.
    pub mod registry {
        pub use crate::runtimes::registry::{Registries, Registry, attach_at};
    }

    /// Records of perf events.
    pub mod sampler {
        pub use crate::sampler::parse::{Body, Layout, Malformed, Stamp};
        pub use crate::sampler::ring::read;
    }

    /// What readers and writers of foreign formats share.
    pub mod formats {
        pub use crate::formats::*;
    }

    /// Line tables, symbols and names.
    pub mod symbols {
        pub use crate::symbols::*;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_holds_data_crosses_threads() {
        fn crosses<T: Send + Sync + ?Sized>() {}
        crosses::<dyn process::Target>();
        crosses::<dyn runtimes::Attached>();
        crosses::<runtimes::Readable>();
        crosses::<runtimes::ReadOptions>();
        crosses::<snapshot::Snapshot>();
        crosses::<snapshot::SnapshotBuilder>();
        crosses::<code::CodeTables>();
        crosses::<import::ReadDump>();
        crosses::<sampler::Sampler>();
        crosses::<sampler::off_cpu::OffCpu>();
        crosses::<analysis::Filter>();
        crosses::<analysis::Grouped>();
        crosses::<analysis::Series>();
        crosses::<analysis::diff::Diff>();
        crosses::<analysis::leaks::Report>();
        crosses::<analysis::flame::Flame>();
        crosses::<Error>();
    }
}
