//! Snapshots in files.
//!
//! A file begins with eight bytes of magic and a format version. The module of that version defines the rest, with
//! its own structs and column lists: the model can change without making old files unreadable. Today there is
//! version 1. `v1` says how large its tables are; a benchmark compares them with JSON lines of the same rows. JSON
//! lines would explain themselves. Here the uncompressed JSON header does that for the facts that people and scripts
//! look at (what, when, how many), and `loiter stacks FILE --json` for the rest. loiter-snapshot(5) describes the
//! format for other programs.
//!
//! # Which loiter reads which file
//!
//! Nothing is released yet, so format 1 may still change. The first release freezes it. From then on:
//!
//! - Every loiter reads the files of all older loiters. A file of a newer version of the format is refused with
//!   [`FileError::Newer`].
//! - A version keeps its tables, its columns, their order and their meaning. Data without which the rest cannot
//!   be understood needs a new version: a module beside `v1`.
//! - Data that an older loiter may ignore does not need one. It is a new member of the header, a new column at
//!   the end of a table, or a new table. The reader must do without it, because older files do not have it.
//! - A reader ignores members of the header that it does not know. It skips tables and columns that it does
//!   not know, and says so in [`Header::warnings`].
//! - The files in `fixtures/snapshots` are such old files. A test reads them. They are never written anew after
//!   the release.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

use super::{Header, Invalid, Snapshot};
use crate::cause::{Cause, ErrorKind};

pub(crate) mod budget;
pub(crate) mod columns;
mod replace;
pub(crate) mod v1;

pub use replace::{PRIVATE, SHARED, replace};

/// The first bytes of every snapshot file. The first byte is neither ASCII nor UTF-8, and the last one is a line
/// feed: a transfer in text mode changes them, which the reader notices.
pub const MAGIC: [u8; 8] = *b"\x8bloiter\n";

/// The newest format that this loiter reads, and the one that it writes.
pub const VERSION: u16 = 1;

/// A file longer than this is refused: 1 GiB, ten times what [`budget`] has room for.
const MAX_FILE: u64 = 1 << 30;

/// Why a snapshot file could not be written or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FileError {
    /// The file could not be opened, read or written.
    #[error("{what}")]
    Io {
        /// What was tried, with the path.
        what: String,
        /// Why it failed.
        source: io::Error,
    },
    /// It does not begin like a snapshot.
    #[error("not a loiter snapshot")]
    NotASnapshot,
    /// A later loiter wrote it.
    #[error("written by a newer loiter (format {found}; this one reads up to {VERSION})")]
    Newer {
        /// The version that the file gives.
        found: u16,
    },
    /// A build from before the first release wrote it: its header does not list its tables.
    #[error("written by a build from before the first release, whose files are not read any more")]
    Prerelease,
    /// It ends too early.
    #[error("the snapshot is cut short: it ends in its {part}")]
    Truncated {
        /// Where: "header", "tables".
        part: &'static str,
    },
    /// It would cost more than a file of its size may.
    #[error("the snapshot is too large: {problem}")]
    TooLarge {
        /// What is too large, and what the limit is.
        problem: String,
    },
    /// Its contents make no sense.
    #[error("the snapshot is damaged")]
    Damaged {
        /// What makes no sense: a sentence, [`Invalid`], or a decoder's error.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl FileError {
    fn io(what: impl Into<String>, source: io::Error) -> Self {
        FileError::Io { what: what.into(), source }
    }

    fn damaged(source: impl Into<Cause>) -> Self {
        FileError::Damaged { source: source.into() }
    }

    /// What a caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            FileError::Io { source, .. } => ErrorKind::of_io(source),
            FileError::Newer { .. } | FileError::Prerelease => ErrorKind::Unsupported,
            FileError::TooLarge { .. } => ErrorKind::TooLarge,
            FileError::NotASnapshot | FileError::Truncated { .. } | FileError::Damaged { .. } => {
                ErrorKind::Corrupt
            }
        }
    }
}

impl From<io::Error> for FileError {
    fn from(source: io::Error) -> Self {
        // A caller that knows the path adds it.
        FileError::io("cannot write the file", source)
    }
}

impl From<Invalid> for FileError {
    fn from(invalid: Invalid) -> Self {
        FileError::damaged(invalid)
    }
}

/// The tables of the newest format, in file order, each with the names of its columns. The header of a file
/// lists them. The last one is left out if it would be empty.
pub fn tables() -> Vec<(String, Vec<String>)> {
    v1::tables()
}

/// The header of a snapshot as JSON, as it is in a file.
pub(crate) fn header_to_json(header: &Header) -> Result<String, FileError> {
    v1::header_to_json(header)
}

/// The header of a snapshot from [`header_to_json`].
pub(crate) fn header_from_json(json: &[u8]) -> Result<Header, FileError> {
    v1::header_from_json(json)
}

/// The facts in a file that need no decompression.
#[derive(Debug, Clone, PartialEq)]
pub struct Preview {
    /// The snapshot's header.
    pub header: Header,
    /// The number of tasks in it.
    pub tasks: u64,
}

/// Writes a snapshot to a file; see [`replace`]. Only its owner can read the file: it contains data from
/// another program's memory.
///
/// # Errors
/// [`FileError::Io`].
pub fn save(snapshot: &Snapshot, path: &Path) -> Result<(), FileError> {
    replace(path, PRIVATE, |file| write(snapshot, file))
}

/// Writes a snapshot in the newest format.
///
/// # Errors
/// [`FileError::Io`], and [`FileError::Damaged`] if the snapshot itself is inconsistent (a bug in its maker,
/// which is better noticed now than when the file is needed).
pub fn write(snapshot: &Snapshot, mut into: impl Write) -> Result<(), FileError> {
    snapshot.validate()?;
    let failed = |e| FileError::io("cannot write the snapshot", e);
    into.write_all(&MAGIC).map_err(failed)?;
    into.write_all(&VERSION.to_le_bytes()).map_err(failed)?;
    v1::write(snapshot, &mut into)?;
    into.flush().map_err(failed)
}

/// Reads a snapshot from a file.
///
/// # Errors
/// See [`FileError`].
pub fn load(path: &Path) -> Result<Snapshot, FileError> {
    let file = File::open(path).map_err(|e| FileError::io("cannot open the file", e))?;
    read(file)
}

/// Reads a snapshot.
///
/// # Errors
/// See [`FileError`].
pub fn read(from: impl Read) -> Result<Snapshot, FileError> {
    let mut from = from.take(MAX_FILE);
    check_version(&mut from)?;
    let snapshot = v1::read(&mut from);
    if from.limit() == 0 {
        return Err(FileError::TooLarge { problem: format!("it is longer than {} MiB", MAX_FILE >> 20) });
    }
    snapshot
}

/// Reads only the preview of a file; nothing is decompressed.
///
/// # Errors
/// See [`FileError`].
pub fn preview(from: impl Read) -> Result<Preview, FileError> {
    let mut from = from.take(MAX_FILE);
    check_version(&mut from)?;
    v1::preview(&mut from)
}

/// Reads magic and version. There is one version so far.
fn check_version(from: &mut impl Read) -> Result<(), FileError> {
    let mut magic = [0; MAGIC.len()];
    match from.read_exact(&mut magic) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Err(FileError::NotASnapshot),
        other => other.map_err(|e| FileError::io("cannot read the snapshot", e))?,
    }
    if magic != MAGIC {
        return Err(FileError::NotASnapshot);
    }
    let mut version = [0; 2];
    read_exact(from, &mut version, "header")?;
    match u16::from_le_bytes(version) {
        0 => Err(FileError::damaged("format 0 does not exist")),
        VERSION => Ok(()),
        found => Err(FileError::Newer { found }),
    }
}

/// Fills `buf`; an early end is [`FileError::Truncated`] in `part`.
fn read_exact(from: &mut impl Read, buf: &mut [u8], part: &'static str) -> Result<(), FileError> {
    from.read_exact(buf).map_err(|error| match error.kind() {
        io::ErrorKind::UnexpectedEof => FileError::Truncated { part },
        _ => FileError::io("cannot read the snapshot", error),
    })
}
