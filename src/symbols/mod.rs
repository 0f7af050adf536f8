//! From addresses to frames: function, file, line, inlined calls.

pub mod kernel;
pub mod native;
pub mod pclntab;
