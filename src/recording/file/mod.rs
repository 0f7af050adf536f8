//! Recordings in files.
//!
//! A file begins with eight bytes of magic, other ones than those of a [snapshot file](crate::snapshot::file), and a
//! format version. The module of that version defines the rest, with its own structs and column lists. The tables are
//! coded like those of snapshot files, and the same rules say which loiter reads which file: every loiter reads the
//! files of all older ones, refuses a newer version, and skips members, columns and tables that it does not know. The
//! first release freezes version 1. loiter-recording(5) describes the format for other programs; the files in
//! `fixtures/recordings` are read by a test.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

use super::{Recording, RecordingHeader};
use crate::snapshot::file::{PRIVATE, replace};

mod error;
mod v1;

pub use error::FileError;

/// The first bytes of every recording's file. The first byte is neither ASCII nor UTF-8, and the last one is a line
/// feed: a transfer in text mode changes them, which the reader notices.
pub const MAGIC: [u8; 8] = *b"\x8bloirec\n";

/// The newest format that this loiter reads, and the one that it writes.
pub const VERSION: u16 = 1;

/// A file longer than this is refused: 1 GiB.
const MAX_FILE: u64 = 1 << 30;

/// The tables of the newest format, in file order, each with the names of its columns. The header of a file lists
/// them.
pub fn tables() -> Vec<(String, Vec<String>)> {
    v1::tables()
}

/// The header of a recording as JSON, as it is in a file.
///
/// # Errors
/// [`FileError::Damaged`] if it has no JSON.
pub fn header_to_json(header: &RecordingHeader) -> Result<String, FileError> {
    v1::header_to_json(header)
}

/// The header of a recording from [`header_to_json`].
///
/// # Errors
/// [`FileError::Damaged`].
pub fn header_from_json(json: &[u8]) -> Result<RecordingHeader, FileError> {
    v1::header_from_json(json)
}

/// Writes a recording to a file; see [`replace`]. Only its owner can read the file: it contains data from another
/// program's memory.
///
/// # Errors
/// [`FileError::Io`].
pub fn save(recording: &Recording, path: &Path) -> Result<(), FileError> {
    replace(path, PRIVATE, |file| write(recording, file))
}

/// Writes a recording in the newest format.
///
/// # Errors
/// [`FileError::Io`], and [`FileError::Damaged`] if the recording itself is inconsistent (a bug in its maker).
pub fn write(recording: &Recording, mut into: impl Write) -> Result<(), FileError> {
    recording.validate()?;
    let failed = |error| FileError::io("cannot write the recording", error);
    into.write_all(&MAGIC).map_err(failed)?;
    into.write_all(&VERSION.to_le_bytes()).map_err(failed)?;
    v1::write(recording, &mut into)?;
    into.flush().map_err(failed)
}

/// Reads a recording from a file.
///
/// # Errors
/// See [`FileError`].
pub fn load(path: &Path) -> Result<Recording, FileError> {
    read(File::open(path).map_err(|error| FileError::io("cannot open the file", error))?)
}

/// Reads a recording.
///
/// # Errors
/// See [`FileError`].
pub fn read(from: impl Read) -> Result<Recording, FileError> {
    let mut from = from.take(MAX_FILE);
    check_version(&mut from)?;
    let recording = v1::read(&mut from);
    if from.limit() == 0 {
        return Err(FileError::TooLarge { problem: format!("it is longer than {} MiB", MAX_FILE >> 20) });
    }
    recording
}

/// Reads magic and version. There is one version so far.
fn check_version(from: &mut impl Read) -> Result<(), FileError> {
    let mut magic = [0; MAGIC.len()];
    match from.read_exact(&mut magic) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Err(FileError::NotARecording),
        other => other.map_err(|error| FileError::io("cannot read the recording", error))?,
    }
    if magic != MAGIC {
        return Err(FileError::NotARecording);
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
        _ => FileError::io("cannot read the recording", error),
    })
}
