//! What readers and writers of foreign formats share: how Go names functions, and the fields of pprof's profiles.

pub mod go_functions;
pub mod go_names;
pub mod pprof;
