//! The Go runtime, 1.19 and later, read from outside.

pub mod dwarf;
pub mod layout;
pub mod layout_table;
pub mod types;
