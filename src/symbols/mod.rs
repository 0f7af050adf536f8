//! From addresses to frames: function, file, line, inlined calls.

pub mod pclntab;
