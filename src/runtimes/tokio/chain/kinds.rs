//! What types are to a chain, by their names and members.

use super::names;
use crate::symbols::types::Type;

/// Whether a type can lead to a future.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Lead {
    /// It has none.
    No,
    /// It refers to something else, which may be anything.
    Remote,
    /// It has something that can be waited for and that is no future itself: a connection, a channel's end.
    Resource,
    /// There may be futures that are not reached from here: in a collection, or deeper than is looked.
    Hidden,
    /// A future that awaits no other.
    Leaf,
    /// A future that may await others.
    Deep,
}

/// Whether it is the future of an async function or block.
pub(super) fn is_state_machine(found: &Type) -> bool {
    found.variants.as_ref().is_some_and(|variants| variants.discriminant_name == "__state")
}

/// Whether it is a pointer with a vtable.
pub(super) fn is_wide(found: &Type) -> bool {
    found.members.len() == 2 && found.members.iter().any(|member| member.name == "vtable")
}

/// Traits whose first method polls. Their functions come first in a vtable, those of the trait that they build on before them.
const POLLED: [&str; 5] = [
    "core::future::future::Future",
    "futures_core::stream::Stream",
    "futures_core::future::FusedFuture",
    "futures_core::stream::FusedStream",
    "hyper::rt::timer::Sleep",
];

/// Whether a pointer with a vtable points to a `dyn Future` itself, not to a value with one at its end.
pub(super) fn is_pointer_to_dyn(name: &str) -> bool {
    let to = ["alloc::boxed::Box<", "&mut "].iter().find_map(|pointer| name.strip_prefix(pointer));
    let to = to.and_then(|to| to.trim_start_matches('(').strip_prefix("dyn "));
    to.is_some_and(|to| POLLED.contains(&names::base(to)))
}

/// Whether a pointer may be used to poll: a box or an exclusive reference.
pub(super) fn is_exclusive(name: &str) -> bool {
    name.starts_with("alloc::boxed::Box<") || name.starts_with("&mut ")
}
