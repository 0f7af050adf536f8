//! From addresses to frames: function, file, line, inlined calls.

pub mod native;
pub mod pclntab;
