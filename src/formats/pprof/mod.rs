//! pprof profiles: protocol buffers, their fields, and loiter's additions.

pub mod fields;
pub mod wire;
