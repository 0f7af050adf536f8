//! Snapshots in files.
//!
//! A file begins with eight bytes of magic and a format version; what follows is the business of
//! that version's own module, which has its own picture of the tables, so that the model can
//! change without making old files unreadable. Today there is version 1.
//!
//! Why not JSON lines? Measured with 1,000,000 parked tasks that each wait on a channel of their
//! own (`cargo bench --bench file`, two cores): see the table in `v1`. What JSON lines
//! would have given, a file that explains itself, the uncompressed JSON header gives for the part
//! that people and scripts look at (what, when, how many), and `loiter stacks FILE --json`
//! for the rest. The format is described for other programs in loiter-snapshot(5).

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

use super::{Header, Invalid, Snapshot};
use crate::cause::{Cause, ErrorKind};

mod budget;
mod columns;
mod replace;
mod v1;

pub use replace::{PRIVATE, SHARED, replace};

/// The first bytes of every snapshot file. The first of them is no ASCII and no UTF-8, and the last
/// is a line feed, so that a file mangled by a text-mode transfer is noticed.
pub const MAGIC: [u8; 8] = *b"\x8bloiter\n";

/// The newest format that this loiter reads, and the one that it writes.
pub const VERSION: u16 = 1;

/// A file longer than this is not read: 1 GiB, ten times what [`budget`] has room for.
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
    /// It begins with something else.
    #[error("not a loiter snapshot")]
    NotASnapshot,
    /// A later loiter wrote it.
    #[error("written by a newer loiter (format {found}; this one reads up to {VERSION})")]
    Newer {
        /// The version that the file gives.
        found: u16,
    },
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
        /// What makes no sense: a sentence, [`Invalid`], or the error of a decoder.
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
            FileError::Newer { .. } => ErrorKind::Unsupported,
            FileError::TooLarge { .. } => ErrorKind::TooLarge,
            FileError::NotASnapshot | FileError::Truncated { .. } | FileError::Damaged { .. } => {
                ErrorKind::Corrupt
            }
        }
    }
}

impl From<io::Error> for FileError {
    fn from(source: io::Error) -> Self {
        // Whoever knows the path says it.
        FileError::io("cannot write the file", source)
    }
}

impl From<Invalid> for FileError {
    fn from(invalid: Invalid) -> Self {
        FileError::damaged(invalid)
    }
}

/// What a file says of itself before anything has to be decompressed.
#[derive(Debug, Clone, PartialEq)]
pub struct Preview {
    /// The snapshot's header.
    pub header: Header,
    /// How many tasks it holds.
    pub tasks: u64,
}

/// Writes a snapshot to a file; see [`replace`]. The file can be read by its owner only: what it holds
/// comes out of another program's memory.
///
/// # Errors
/// [`FileError::Io`].
pub fn save(snapshot: &Snapshot, path: &Path) -> Result<(), FileError> {
    replace(path, PRIVATE, |file| write(snapshot, file))
}

/// Writes a snapshot in the newest format.
///
/// # Errors
/// [`FileError::Io`], and [`FileError::Damaged`] if the snapshot itself is inconsistent (that is a
/// bug in whoever made it; it is better noticed now than when the file is needed).
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
    let snapshot = snapshot?;
    snapshot.validate()?;
    Ok(snapshot)
}

/// Reads only what a file says of itself; nothing is decompressed.
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
