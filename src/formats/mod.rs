//! What readers and writers of foreign formats share: how Go names functions, and the fields of pprof's profiles.

#[allow(unreachable_pub, reason = "its items are public to the rest of the crate")]
pub(crate) mod go_functions;
pub mod go_names;
#[allow(unreachable_pub, reason = "its items are public to the rest of the crate")]
pub(crate) mod pprof;
