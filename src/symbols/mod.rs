//! From addresses to frames: function, file, line, inlined calls.

pub mod go_names;
pub mod native;
pub mod pclntab;
