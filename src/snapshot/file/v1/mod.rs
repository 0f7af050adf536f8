//! Format 1.
//!
//! After magic and version (all integers little-endian):
//!
//! 1. the length of the next part, u32;
//! 2. JSON, not compressed: `{"format":"loiter-snapshot","version":1,"tasks":N,"snapshot":{...}}`
//!    where `snapshot` is the [`Header`]; whoever only wants a list of snapshots stops here;
//! 3. one LZ4 frame with a checksum of its content, to the end of the file: the tables, in the order of
//!    [`TABLES`]. A table is its number of rows (u64), then its columns, each with its length
//!    in bytes (u64) before it. See [`super::columns`] for what is in a column. A flag says where
//!    a value is missing; the column then has no entry for that row. The last table, of rows of tasks that
//!    stand for several, is there only if the number of tasks in the header is larger than that of rows.
//!
//! A program with 1,000,000 parked goroutines, each with a stack of its own, has 24 MB of tables, which
//! LZ4 makes 2.1 MB. `cargo bench --bench file` compares with JSON lines.
//!
//! What a damaged or hostile file can cost is bounded: what is decompressed by [`read::MAX_TABLES`] and by
//! [`read::MAX_RATIO`] times what the file really holds, a table's rows by the bytes of its columns, and what
//! all of it takes in memory by [`super::budget`].

use std::io::Read;

use serde::{Deserialize, Serialize};

use super::columns::BadColumn;
use super::{FileError, Preview, read_exact};
use crate::cause::About;
use crate::snapshot::*;

mod read;
mod write;

pub(super) use read::read;
pub(super) use write::write;

/// The JSON header is refused beyond this: 16 MiB.
const MAX_HEADER: u32 = 16 << 20;

/// The tables, in the order in which they stand in the file, for messages.
const TABLES: [&str; 10] = [
    "strings",
    "functions",
    "locations",
    "stacks",
    "label sets",
    "objects",
    "waits",
    "holds",
    "tasks",
    "twins",
];

#[derive(Serialize)]
struct HeaderOut<'a> {
    format: &'static str,
    version: u16,
    tasks: u64,
    snapshot: &'a Header,
}

#[derive(Deserialize)]
struct HeaderIn {
    tasks: u64,
    snapshot: Header,
}

/// Gives each value of an enumeration its number in the file, whatever order the model has.
macro_rules! codes {
    ($to:ident, $from:ident, $type:ident { $($name:ident = $code:literal),+ $(,)? }) => {
        fn $to(value: $type) -> u8 {
            match value { $($type::$name => $code),+ }
        }
        fn $from(code: u8) -> Result<$type, BadColumn> {
            match code { $($code => Ok($type::$name),)+ _ => Err(BadColumn) }
        }
    };
}

codes!(function_kind_code, function_kind, FunctionKind {
    Normal = 0, Internal = 1, Wrapper = 2, Panic = 3, Foreign = 4, Fault = 5,
});
codes!(state_code, state, TaskState {
    Running = 0, Runnable = 1, Waiting = 2, Syscall = 3, Preempted = 4, Finished = 5, Unknown = 6,
});
codes!(stack_status_code, stack_status, StackStatus {
    Complete = 0, Truncated = 1, Broken = 2, Torn = 3, Running = 4, Unknown = 5, Gaps = 6, Missing = 7,
});
codes!(wait_op_code, wait_op, WaitOp { Send = 0, Receive = 1, Lock = 2, ReadLock = 3, Wait = 4 });
codes!(object_kind_code, object_kind, ObjectKind {
    Channel = 0, Mutex = 1, RwMutex = 2, WaitGroup = 3, Cond = 4, Semaphore = 5, Other = 6,
});

codes!(hold_kind_code, hold_kind, HoldKind { Exclusive = 0, Shared = 1, Perhaps = 2 });

/// What a lock says of itself, in one number: the low three bits say what, the rest how many.
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

/// Flags of an object: its kind in the low three bits, then these.
mod object_flag {
    pub(super) const CHANNEL: u8 = 1 << 3;
    pub(super) const CLOSED: u8 = 1 << 4;
    pub(super) const MORE: u8 = 1 << 5;
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
fn read_header(from: &mut impl Read) -> Result<HeaderIn, FileError> {
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
    serde_json::from_slice(&json).map_err(|e| FileError::damaged(About::new("its header", e)))
}

/// Reads what can be read without decompressing anything.
pub(super) fn preview(from: &mut impl Read) -> Result<Preview, FileError> {
    let header = read_header(from)?;
    Ok(Preview { header: header.snapshot, tasks: header.tasks })
}
