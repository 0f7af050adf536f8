//! Profiles as protocol buffers, which `runtime/pprof` writes with debug=0 and loiter with `--format pprof`: goroutine
//! profiles become snapshots, profiles of time become recordings.
//!
//! A goroutine profile counts equal stacks, and so does the snapshot ([`crate::snapshot::Task::twins`]). In profiles that
//! loiter wrote, the labels of the samples identify the tasks (see `formats::pprof::fields::own`).

use std::borrow::Cow;
use std::io::{self, Read};

use flate2::read::MultiGzDecoder;

mod code;
mod go_whose;
mod head;
mod labels;
mod measures;
mod recorded;
mod samples;
mod tables;

use self::recorded::Recorded;
use self::samples::Samples;
use self::tables::Tables;
use crate::cause::{Cause, ErrorKind};
use crate::formats::pprof::fields::own::UnusualFunction;
use crate::formats::pprof::fields::profile;
use crate::formats::pprof::wire::{Fields, Malformed};
use crate::recording::Recording;
use crate::snapshot::{Invalid, Snapshot};

/// Limits on the contents of a profile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes without compression.
    pub bytes: usize,
    /// Total tasks.
    pub tasks: u64,
    /// Tasks that are distinguished by their ids, or samples of a profile of time; each takes a row.
    pub rows: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { bytes: 2 << 30, tasks: Snapshot::MOST_TASKS, rows: 33_000_000 }
    }
}

/// Why a profile could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PprofError {
    /// It cannot be decompressed.
    #[error("the compressed profile is damaged")]
    Gzip(#[source] io::Error),
    /// It is too large.
    #[error("the profile is larger than {} MiB uncompressed", limit >> 20)]
    TooLarge {
        /// The most that is read, bytes.
        limit: usize,
    },
    /// It is something else, or its contents make no sense.
    #[error("not a pprof profile, or a damaged one")]
    Damaged {
        /// What makes no sense: a sentence, [`Invalid`], or a decoder's error.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// It is not a profile of goroutines.
    #[error("a profile of {types}, not of goroutines and not of time")]
    OtherType {
        /// The sample types: "samples/count, cpu/nanoseconds".
        types: String,
    },
    /// It is Go's mutex profile.
    #[error(
        "a mutex profile: it has the time that other goroutines waited, at the place that released the lock; for \
         waiting goroutines read the block profile, or a recording"
    )]
    Unlocks,
    /// It is the difference of two profiles.
    #[error("the difference of two profiles: it has negative counts")]
    Difference,
    /// It has too many samples.
    #[error("the profile has more than {limit} samples")]
    TooManySamples {
        /// The limit.
        limit: usize,
    },
    /// It counts too many tasks.
    #[error("the profile counts more than {limit} tasks")]
    TooManyTasks {
        /// The limit.
        limit: u64,
    },
}

impl PprofError {
    fn damaged(source: impl Into<Cause>) -> Self {
        PprofError::Damaged { source: source.into() }
    }

    /// What a caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            PprofError::Gzip(_) | PprofError::Damaged { .. } => ErrorKind::Corrupt,
            PprofError::TooLarge { .. }
            | PprofError::TooManyTasks { .. }
            | PprofError::TooManySamples { .. } => ErrorKind::TooLarge,
            PprofError::OtherType { .. } | PprofError::Unlocks | PprofError::Difference => {
                ErrorKind::Unsupported
            }
        }
    }
}

impl From<Malformed> for PprofError {
    fn from(_: Malformed) -> Self {
        PprofError::damaged("it is not a protocol buffer")
    }
}

impl From<Invalid> for PprofError {
    fn from(invalid: Invalid) -> Self {
        PprofError::damaged(invalid)
    }
}

/// Do these uncompressed bytes look like a profile? There is no magic number. A profile consists entirely of
/// a profile's fields, and its table of strings begins with an empty string.
pub fn looks_like_pprof(raw: &[u8]) -> bool {
    /// The fields of `profile.proto` today, with room for more.
    const KNOWN: u32 = 31;
    let mut first_string = None;
    for field in Fields::of(raw) {
        match field {
            Ok((profile::STRING_TABLE, value)) => {
                first_string = first_string.or(Some(value.bytes() == Ok(b"")));
            }
            Ok((number, _)) if number <= KNOWN => {}
            _ => return false,
        }
    }
    first_string == Some(true)
}

/// What a profile is of.
#[derive(Debug, Clone, PartialEq)]
pub enum Profile {
    /// Of goroutines.
    Tasks(Snapshot),
    /// Of time: on a CPU, off CPU, or passed.
    Time(Recording),
}

/// Reads a profile of goroutines or of time, compressed with gzip or not, that must stay within `limits`.
///
/// # Errors
/// See [`PprofError`].
pub fn read_any(bytes: &[u8], limits: Limits) -> Result<Profile, PprofError> {
    let raw = decompressed(bytes, limits.bytes)?;
    let tables = Tables::read(&raw)?;
    if tables.header()?.is_none()
        && let Some(recording) = Recorded::read(&raw, &tables, limits)?
    {
        recording.validate()?;
        return Ok(Profile::Time(recording));
    }
    of_tasks(&raw, &tables, limits).map(Profile::Tasks)
}

fn of_tasks(raw: &[u8], tables: &Tables<'_>, limits: Limits) -> Result<Snapshot, PprofError> {
    let snapshot = Samples::read(raw, tables, limits)?;
    snapshot.validate()?;
    Ok(snapshot)
}

/// Reads a profile of goroutines, compressed with gzip or not.
///
/// # Errors
/// See [`PprofError`].
pub fn read(bytes: &[u8]) -> Result<Snapshot, PprofError> {
    read_within(bytes, Limits::default())
}

/// Reads a profile of goroutines that must stay within `limits`.
///
/// # Errors
/// See [`PprofError`].
pub fn read_within(bytes: &[u8], limits: Limits) -> Result<Snapshot, PprofError> {
    let raw = decompressed(bytes, limits.bytes)?;
    let tables = Tables::read(&raw)?;
    of_tasks(&raw, &tables, limits)
}

/// A text, cut to a message's size.
fn short(text: &str) -> String {
    text.chars().take(40).collect()
}

fn decompressed(bytes: &[u8], limit: usize) -> Result<Cow<'_, [u8]>, PprofError> {
    let raw = if bytes.starts_with(&[0x1f, 0x8b]) {
        let mut raw = Vec::new();
        let most = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
        MultiGzDecoder::new(bytes).take(most).read_to_end(&mut raw).map_err(PprofError::Gzip)?;
        Cow::Owned(raw)
    } else {
        Cow::Borrowed(bytes)
    };
    if raw.len() > limit { Err(PprofError::TooLarge { limit }) } else { Ok(raw) }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
#[path = "pprof/tests.rs"]
mod tests;
