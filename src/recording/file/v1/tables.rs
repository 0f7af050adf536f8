//! The tables of format 1 and their columns, by name. Those of the code are the tables of snapshot files.
//!
//! The names are in the header of every file and in loiter-recording(5). A test compares the page with this list.

use crate::snapshot::file::v1::tables::{
    FUNCTIONS, IMAGES, LABEL_SETS, LOCATIONS, Listed, STACKS, STRINGS, Table,
};

pub(super) const THREADS: Table<2> = Table::new("threads", ["tid", "name"]);
pub(super) const TASKS: Table<6> =
    Table::new("tasks", ["flags", "runtime", "id", "address", "creator", "entry"]);
pub(super) const SAMPLES: Table<11> = Table::new(
    "samples",
    [
        "kind",
        "time",
        "task",
        "thread",
        "labels",
        "states",
        "reason",
        "wait_class",
        "stack",
        "count",
        "weight",
    ],
);

/// All tables of the format, in file order.
pub(super) fn all() -> Vec<Listed> {
    vec![
        STRINGS.listed(),
        FUNCTIONS.listed(),
        IMAGES.listed(),
        LOCATIONS.listed(),
        STACKS.listed(),
        LABEL_SETS.listed(),
        THREADS.listed(),
        TASKS.listed(),
        SAMPLES.listed(),
    ]
}
