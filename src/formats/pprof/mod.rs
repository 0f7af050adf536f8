//! pprof's profiles: protocol buffers, their fields, and what loiter adds to them.

pub mod fields;
pub mod wire;
