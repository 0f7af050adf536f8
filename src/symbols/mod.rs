//! From addresses to frames: function, file, line, inlined calls.

pub(crate) mod demangle;
mod kept;
pub mod kernel;
pub mod lines;
pub mod native;
pub mod pclntab;
pub mod types;
