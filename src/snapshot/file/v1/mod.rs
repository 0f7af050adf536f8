//! Format 1.
//!
//! After magic and version (all integers little-endian):
//!
//! 1. the length of the next part, u32;
//! 2. the header, JSON, not compressed:
//!    `{"format":"loiter-snapshot","version":1,"tasks":N,"tables":[...],"snapshot":{...}}`. [`head`] has its
//!    structs. A program that only wants a list of snapshots stops here;
//! 3. one LZ4 frame with checksums of its blocks, to the end of the file: the tables, in the order in which
//!    the header lists them. [`tables`] has the names of tables and columns. A table is its number of rows
//!    (u64), then its columns, each preceded by its length in bytes (u64). [`super::columns`] describes a
//!    column. A flag marks a missing value; the column then has no entry for that row.
//!
//! Every table must be there except [`tables::optional`] ones, such as `twins`, for rows of several equal tasks: they
//! are there only if there are such rows. Because the header lists tables and columns, a reader can skip unknown ones: they
//! follow the known ones. It says so in a warning of the snapshot.
//!
//! A program with 1,000,000 parked goroutines, each with its own stack, has 24 MB of tables, which LZ4
//! reduces to 2.1 MB. `cargo bench --bench file` compares with JSON lines.
//!
//! The cost of a damaged or hostile file is bounded: decompressed data by [`table_reader::MAX_TABLES`] and by
//! [`table_reader::MAX_RATIO`] times the file's real size, a table's rows by the bytes of its columns, and
//! the total memory by [`super::budget`].

use std::io::Read;

use super::columns::BadColumn;
use super::{FileError, Preview, read_exact};
use crate::cause::About;
use crate::snapshot::*;

pub(crate) mod head;
pub(crate) mod read;
pub(crate) mod rows;
pub(crate) mod table_reader;
pub(crate) mod tables;
pub(crate) mod write;

use head::{HeadOfFile, HeadOfSnapshot};
pub(super) use read::read;
pub(super) use write::write;

/// A longer JSON header is refused: 16 MiB.
pub(crate) const MAX_HEADER: u32 = 16 << 20;

/// The header's name for this kind of file.
const FORMAT: &str = "loiter-snapshot";

/// The names of all tables, in file order, and of their columns.
pub(super) fn tables() -> Vec<(String, Vec<String>)> {
    tables::all().into_iter().map(|table| (table.name, table.columns)).collect()
}

/// The header of a snapshot as JSON.
pub(super) fn header_to_json(header: &Header) -> Result<String, FileError> {
    serde_json::to_string(&HeadOfSnapshot::from(header)).map_err(|e| FileError::damaged(e.to_string()))
}

/// The header of a snapshot from JSON.
pub(super) fn header_from_json(json: &[u8]) -> Result<Header, FileError> {
    let head: HeadOfSnapshot = serde_json::from_slice(json).map_err(header_damaged)?;
    Ok(head.into())
}

fn header_damaged(error: serde_json::Error) -> FileError {
    FileError::damaged(About::new("its header", error))
}

/// Gives each value of an enum its number in the file, independent of the model's order.
macro_rules! codes {
    ($to:ident, $from:ident, $type:ident { $($name:ident = $code:literal),+ $(,)? }) => {
        pub(crate) fn $to(value: $type) -> u8 {
            match value { $($type::$name => $code),+ }
        }
        pub(crate) fn $from(code: u8) -> Result<$type, BadColumn> {
            match code { $($code => Ok($type::$name),)+ _ => Err(BadColumn) }
        }
    };
}

mod links;

codes!(function_kind_code, function_kind, FunctionKind {
    Normal = 0, Internal = 1, Wrapper = 2, Panic = 3, Foreign = 4, Fault = 5,
});
codes!(layer_code, layer, Layer { Application = 0, Standard = 1, Base = 2, Lock = 3, Machinery = 4 });
codes!(begins_code, begins, Begins { Nothing = 0, Task = 1, Program = 2, Package = 3 });
codes!(wait_class_code, wait_class, WaitClass {
    Unknown = 0, Nothing = 1, NilChannel = 2, NoCases = 3, Leaked = 4, Send = 5, Range = 6, Receive = 7,
    Signal = 8, Select = 9, Timer = 10, Sleep = 11, Lock = 12, WaitGroup = 13, Cond = 14, Semaphore = 15,
    Join = 16, Accept = 17, Network = 18, Io = 19, Call = 20, Runtime = 21, Other = 22,
});
codes!(state_code, state, TaskState {
    Running = 0, Runnable = 1, Waiting = 2, Syscall = 3, Preempted = 4, Finished = 5, Unknown = 6,
});
codes!(stack_status_code, stack_status, StackStatus {
    Complete = 0, Truncated = 1, Broken = 2, Torn = 3, Running = 4, Unknown = 5, Gaps = 6, Missing = 7,
    Guessed = 8,
});
codes!(wait_op_code, wait_op, WaitOp {
    Send = 0, Receive = 1, Lock = 2, ReadLock = 3, Wait = 4, Read = 5, Write = 6, Accept = 7, Connect = 8,
    Resume = 9,
});
codes!(object_kind_code, object_kind, ObjectKind {
    Channel = 0, Mutex = 1, RwMutex = 2, WaitGroup = 3, Cond = 4, Semaphore = 5, Other = 6, Descriptor = 7,
    Timer = 8, Futex = 9, Process = 10, Task = 11, Coroutine = 12,
});

codes!(hold_kind_code, hold_kind, HoldKind { Exclusive = 0, Shared = 1, Perhaps = 2 });

/// A lock's state as one number: the low three bits are the kind, the rest the count.
fn lock_code(state: Option<LockState>) -> u64 {
    match state {
        None => 0,
        Some(LockState::Free) => 1,
        Some(LockState::Exclusive) => 2,
        Some(LockState::Shared(count)) => 3 | u64::from(count) << 3,
        Some(LockState::Outstanding(count)) => 4 | u64::from(count) << 3,
    }
}

fn lock_state(code: u64) -> Result<Option<LockState>, BadColumn> {
    let count = u32::try_from(code >> 3).map_err(|_| BadColumn)?;
    match (code & 7, count) {
        (0, 0) => Ok(None),
        (1, 0) => Ok(Some(LockState::Free)),
        (2, 0) => Ok(Some(LockState::Exclusive)),
        (3, _) => Ok(Some(LockState::Shared(count))),
        (4, _) => Ok(Some(LockState::Outstanding(count))),
        _ => Err(BadColumn),
    }
}

/// Flags of an object: its kind is in the low three bits, below these, and in one above them.
mod object_flag {
    pub(super) const CHANNEL: u8 = 1 << 3;
    pub(super) const CLOSED: u8 = 1 << 4;
    pub(super) const MORE: u8 = 1 << 5;
    /// The kind is 8 more.
    pub(super) const KIND_8: u8 = 1 << 6;
}

/// Flags of a task.
mod task_flag {
    pub(super) const LOCKED: u16 = 1 << 0;
    pub(super) const SYSTEM: u16 = 1 << 1;
    pub(super) const LEAKED: u16 = 1 << 2;
    pub(super) const ID: u16 = 1 << 3;
    pub(super) const PARENT: u16 = 1 << 4;
    pub(super) const AGE_AT_LEAST: u16 = 1 << 5;
    pub(super) const AGE_EXACTLY: u16 = 1 << 6;
    pub(super) const LIFETIME: u16 = 1 << 7;
    pub(super) const POLLS: u16 = 1 << 8;
    pub(super) const MARK: u16 = 1 << 9;
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
    let read = read.map_err(|e| FileError::io("cannot read the snapshot", e))?;
    if read < len as usize {
        return Err(FileError::Truncated { part: "header" });
    }
    let head: HeadOfFile = serde_json::from_slice(&json)
        .map_err(|error| if is_prerelease(&json) { FileError::Prerelease } else { header_damaged(error) })?;
    if (head.format.as_str(), head.version) != (FORMAT, 1) {
        return Err(FileError::damaged("its header is that of something else"));
    }
    Ok(head)
}

/// Builds from before the first release used version 1 as well, but did not list the tables.
fn is_prerelease(json: &[u8]) -> bool {
    let head: serde_json::Value = serde_json::from_slice(json).unwrap_or_default();
    head.get("format").is_some_and(|format| format == FORMAT) && head.get("tables").is_none()
}

/// Reads the part that is not compressed.
pub(super) fn preview(from: &mut impl Read) -> Result<Preview, FileError> {
    let header = read_header(from)?;
    Ok(Preview { header: header.snapshot.into(), tasks: header.tasks })
}
