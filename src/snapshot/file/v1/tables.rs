//! The tables of format 1 and their columns, by name.
//!
//! The names are in the header of every file, so that a file describes its contents, and in
//! loiter-snapshot(5). A test compares the page with this list.

use serde::{Deserialize, Serialize};

/// A table with `N` columns.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Table<const N: usize> {
    pub(crate) name: &'static str,
    pub(crate) columns: [&'static str; N],
}

/// A table as the header of a file lists it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Listed {
    pub(crate) name: String,
    pub(crate) columns: Vec<String>,
}

impl<const N: usize> Table<N> {
    pub(crate) const fn new(name: &'static str, columns: [&'static str; N]) -> Self {
        Table { name, columns }
    }

    /// Its entry in the header.
    pub(crate) fn listed(&self) -> Listed {
        Listed { name: self.name.to_owned(), columns: self.columns.map(str::to_owned).to_vec() }
    }
}

pub(crate) const STRINGS: Table<2> = Table::new("strings", ["length", "text"]);
pub(crate) const FUNCTIONS: Table<4> = Table::new("functions", ["name", "package", "kind", "role"]);
pub(crate) const IMAGES: Table<5> = Table::new("images", ["path", "build_id", "start", "size", "offset"]);
pub(crate) const LOCATIONS: Table<8> = Table::new(
    "locations",
    ["has_address", "address", "image", "offset", "frame_count", "function", "file", "line"],
);
pub(crate) const STACKS: Table<2> = Table::new("stacks", ["depth", "location"]);
pub(crate) const LABEL_SETS: Table<3> = Table::new("label_sets", ["label_count", "key", "value"]);
pub(crate) const OBJECTS: Table<8> = Table::new(
    "objects",
    ["flags", "address", "length", "capacity", "senders", "receivers", "element", "lock"],
);
pub(crate) const WAITS: Table<2> = Table::new("waits", ["operation", "object"]);
pub(crate) const HOLDS: Table<3> = Table::new("holds", ["how", "object", "location"]);
pub(crate) const TASKS: Table<22> = Table::new(
    "tasks",
    [
        "flags",
        "states",
        "runtime",
        "id",
        "address",
        "age",
        "reason",
        "parent",
        "creator",
        "entry",
        "labels",
        "thread",
        "stack",
        "stack_bytes",
        "first_wait",
        "wait_count",
        "lifetime",
        "polls",
        "mark",
        "first_hold",
        "hold_count",
        "wait_class",
    ],
);
/// Present only if a row stands for several tasks.
pub(crate) const TWINS: Table<2> = Table::new("twins", ["task", "count"]);

// Each of these is there only if it has rows.
pub(crate) const DESCRIPTORS: Table<13> = Table::new(
    "descriptors",
    [
        "number",
        "kind",
        "flags",
        "name_length",
        "name",
        "device",
        "inode",
        "read_deadline",
        "read_time",
        "write_deadline",
        "write_time",
        "expires",
        "process",
    ],
);
pub(crate) const SOCKETS: Table<18> = Table::new(
    "sockets",
    [
        "descriptor",
        "flags",
        "protocol",
        "state",
        "local_kind",
        "local_length",
        "local",
        "peer_kind",
        "peer_length",
        "peer",
        "receive_queue",
        "send_queue",
        "idle_receive",
        "idle_send",
        "received",
        "sent",
        "peer_inode",
        "namespace",
    ],
);
pub(crate) const TIMERS: Table<5> = Table::new("timers", ["object", "kind", "state", "time", "period"]);
pub(crate) const CONTEXTS: Table<7> =
    Table::new("contexts", ["flags", "object", "address", "type", "deadline", "time", "parent"]);
pub(crate) const CALLS: Table<7> =
    Table::new("calls", ["task", "name", "number", "arguments", "kernel_function", "age_kind", "age"]);
pub(crate) const ACTORS: Table<7> =
    Table::new("actors", ["object", "task", "time", "action", "certainty", "location", "hops"]);
pub(crate) const ANCESTORS: Table<5> =
    Table::new("ancestors", ["task", "generation", "id", "stack", "creator"]);
pub(crate) const BRANCHES: Table<11> = Table::new(
    "branches",
    [
        "task",
        "number",
        "depth",
        "nth",
        "of",
        "stack",
        "status",
        "reason",
        "wait_class",
        "first_wait",
        "wait_count",
    ],
);
pub(crate) const HANDLES: Table<4> = Table::new("handles", ["flags", "object", "senders", "queued"]);
pub(crate) const SEARCHED: Table<2> = Table::new("searched", ["object", "flags"]);
pub(crate) const UNKNOWN: Table<2> = Table::new("unknown", ["length", "text"]);

/// All tables of the format, in file order.
pub(crate) fn all() -> Vec<Listed> {
    vec![
        STRINGS.listed(),
        FUNCTIONS.listed(),
        IMAGES.listed(),
        LOCATIONS.listed(),
        STACKS.listed(),
        LABEL_SETS.listed(),
        OBJECTS.listed(),
        WAITS.listed(),
        HOLDS.listed(),
        TASKS.listed(),
        TWINS.listed(),
        DESCRIPTORS.listed(),
        SOCKETS.listed(),
        TIMERS.listed(),
        CONTEXTS.listed(),
        CALLS.listed(),
        ACTORS.listed(),
        SEARCHED.listed(),
        UNKNOWN.listed(),
        ANCESTORS.listed(),
        BRANCHES.listed(),
        HANDLES.listed(),
    ]
}

/// The names of the tables that are there only if they have rows.
pub(crate) fn optional() -> [&'static str; 12] {
    [
        TWINS.name,
        DESCRIPTORS.name,
        SOCKETS.name,
        TIMERS.name,
        CONTEXTS.name,
        CALLS.name,
        ACTORS.name,
        SEARCHED.name,
        UNKNOWN.name,
        ANCESTORS.name,
        BRANCHES.name,
        HANDLES.name,
    ]
}
