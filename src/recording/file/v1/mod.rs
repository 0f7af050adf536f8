//! Format 1.
//!
//! After magic and version (all integers little-endian):
//!
//! 1. the length of the next part, u32;
//! 2. the header, JSON, not compressed:
//!    `{"format":"loiter-recording","version":1,"samples":N,"tables":[...],"recording":{...}}`. [`head`] has its structs;
//! 3. one LZ4 frame to the end of the file: the tables, in the order in which the header lists them. [`tables`] has
//!    the names of tables and columns. They are coded as in snapshot files.
//!
//! A sample takes 10 to 16 bytes in its columns: its time takes four, because the time between two samples of a
//! program is not a round number; its weight takes one as long as it does not change.
//!
//! The cost of a damaged or hostile file is bounded as that of a snapshot file: by the file's real size.

use std::io::Read;

use super::{FileError, read_exact};
use crate::cause::About;
use crate::recording::{Clock, Recording, RecordingHeader, Whose};
use crate::snapshot::file::columns::BadColumn;
use crate::snapshot::file::v1::MAX_HEADER;

mod head;
mod read;
mod tables;
mod write;

use head::{HeadOfFile, HeadOfRecording};
pub(super) use read::read;
pub(super) use write::write;

/// The header's name for this kind of file.
const FORMAT: &str = "loiter-recording";

/// The names of all tables, in file order, and of their columns.
pub(super) fn tables() -> Vec<(String, Vec<String>)> {
    tables::all().into_iter().map(|table| (table.name, table.columns)).collect()
}

/// The header of a recording as JSON.
pub(super) fn header_to_json(header: &RecordingHeader) -> Result<String, FileError> {
    serde_json::to_string(&HeadOfRecording::from(header)).map_err(|e| FileError::damaged(e.to_string()))
}

/// The header of a recording from JSON.
pub(super) fn header_from_json(json: &[u8]) -> Result<RecordingHeader, FileError> {
    let head: HeadOfRecording = serde_json::from_slice(json).map_err(header_damaged)?;
    Ok(head.into())
}

fn header_damaged(error: serde_json::Error) -> FileError {
    FileError::damaged(About::new("its header", error))
}

/// Flags of a task.
mod task_flag {
    pub(super) const ID: u8 = 1 << 0;
    pub(super) const SYSTEM: u8 = 1 << 1;
}

/// The number of a clock in the file, independent of the model's order.
fn clock_code(clock: Clock) -> u8 {
    match clock {
        Clock::Cpu => 0,
        Clock::OffCpu => 1,
        Clock::Wall => 2,
    }
}

fn clock(code: u8) -> Result<Clock, BadColumn> {
    Clock::ALL.into_iter().find(|&clock| clock_code(clock) == code).ok_or(BadColumn)
}

/// Whose a sample is, as a number; the column of tasks has which task.
fn whose_code(whose: Whose) -> u8 {
    match whose {
        Whose::Task(_) => 0,
        Whose::Scheduler => 1,
        Whose::Native => 2,
        Whose::Unknown => 3,
    }
}

/// Reads the JSON header.
fn read_header(from: &mut impl Read) -> Result<HeadOfFile, FileError> {
    let mut len = [0; 4];
    read_exact(from, &mut len, "header")?;
    let len = u32::from_le_bytes(len);
    if len > MAX_HEADER {
        return Err(FileError::damaged("its header claims to be absurdly long"));
    }
    let mut json = Vec::new();
    let read = from.take(len.into()).read_to_end(&mut json);
    if read.map_err(|e| FileError::io("cannot read the recording", e))? < len as usize {
        return Err(FileError::Truncated { part: "header" });
    }
    let head: HeadOfFile = serde_json::from_slice(&json).map_err(header_damaged)?;
    if (head.format.as_str(), head.version) != (FORMAT, 1) {
        return Err(FileError::damaged("its header is that of something else"));
    }
    Ok(head)
}
