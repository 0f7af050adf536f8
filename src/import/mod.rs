//! Readers of what Go writes about itself: stack dumps and goroutine profiles, alone or in a log; and of profiles of
//! time, which other profilers write, too.
//!
//! [`read`] makes a snapshot of a dump, [`read_any`] also a recording of a profile of time. The parsers take hostile bytes and never panic. The parsers of
//! text never fail: they skip and count the lines that make no sense. The size of the input bounds the size
//! of the result; the numbers of tasks in a profile have a separate limit.

mod colours;
mod encoding;
mod from_go_profile;
mod from_go_text;
mod go_call;
mod go_code;
mod go_dump;
mod go_header;
mod go_lines;
mod go_profile;
mod go_text;
mod log;
mod looks;
mod noise;
pub mod pprof;
mod quoted;
mod read;

pub use go_dump::{CreatedBy, Cut, DumpFrame, DumpGoroutine, Elided, GoDump};
pub use go_profile::{CountedStack, GoProfile, ProfileFrame};
pub use log::GoLog;
pub use read::{Imported, ReadDump, read, read_any};

use crate::cause::ErrorKind;

/// Why no snapshot can be made of what Go wrote.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DumpError {
    /// It is a pprof profile that cannot be read.
    #[error(transparent)]
    Pprof(#[from] pprof::PprofError),
    /// It counts more goroutines than a process can have.
    #[error("the profile counts {count} goroutines, more than the {most} that loiter accepts")]
    TooMany {
        /// The number that it counts.
        count: u64,
        /// The largest number that is believed.
        most: u64,
    },
    /// It is a profile of something else.
    #[error("a profile of {kind}, not of goroutines")]
    OtherProfile {
        /// Its subject, by its own name.
        kind: String,
    },
    /// It is a file of Linux's perf.
    #[error(
        "a perf.data file, which loiter does not read: `loiter record` samples a process itself, and perf_to_profile \
         (github.com/google/perf_data_converter) makes a pprof profile of the file, which loiter reads"
    )]
    PerfData,
    /// It contains no goroutine.
    #[error("no goroutine was found: {begins}")]
    NoGoroutine {
        /// What it is, judged by its beginning.
        begins: String,
    },
}

impl DumpError {
    /// What a caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            DumpError::Pprof(error) => error.kind(),
            DumpError::TooMany { .. } => ErrorKind::TooLarge,
            DumpError::OtherProfile { .. } | DumpError::PerfData => ErrorKind::Unsupported,
            DumpError::NoGoroutine { .. } => ErrorKind::Corrupt,
        }
    }
}
