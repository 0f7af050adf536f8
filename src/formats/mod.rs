//! Shared by readers and writers of foreign formats: Go's function names, and the fields of pprof profiles.

#[allow(unreachable_pub, reason = "its items are public to the rest of the crate")]
pub(crate) mod go_functions;
pub mod go_names;
#[allow(unreachable_pub, reason = "its items are public to the rest of the crate")]
pub(crate) mod pprof;
