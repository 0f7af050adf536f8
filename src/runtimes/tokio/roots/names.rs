//! What the functions on a stack mean for a future of `block_on`, by their names.
//!
//! Source: tokio 1.28 to 1.54, src/runtime/{runtime, handle, park}.rs, src/runtime/context/{blocking, runtime}.rs,
//! src/runtime/scheduler/{current_thread, multi_thread}, src/task/local.rs.

/// What a function means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// It pins the future that it is given.
    Pins,
    /// It is a way into these.
    Blocks,
    /// The thread waits, or it runs another task: nobody polls the future.
    Rests,
    /// The future is polled.
    Polls,
    /// It is on the way from one of these to another.
    Between,
    /// Something else.
    Other,
}

/// They pin the future that they are given, and poll it.
const PINS: [&str; 2] = [
    "tokio::runtime::park::CachedParkThread::block_on",
    "tokio::runtime::scheduler::current_thread::CurrentThread::block_on",
];
/// Functions that those which pin a future call while they do not poll it.
const RESTS: [&str; 6] = [
    "tokio::runtime::park::CachedParkThread::park",
    "tokio::runtime::park::Inner::park",
    "tokio::runtime::scheduler::current_thread::Context::park",
    "tokio::runtime::scheduler::current_thread::Context::park_yield",
    "tokio::runtime::scheduler::current_thread::Context::run_task",
    "tokio::runtime::driver::Driver::park",
];
/// Each future is polled with a budget.
const POLLS: [&str; 4] = [
    "tokio::task::coop::budget",
    "tokio::task::coop::with_budget",
    "tokio::runtime::coop::budget",
    "tokio::runtime::coop::with_budget",
];
/// What Tokio's runtime is made of.
const INSIDE: [&str; 5] = ["tokio::runtime::", "tokio::loom::", "tokio::util::", "std::", "core::"];

/// What a function means, by its name.
pub(super) fn role(name: &str) -> Role {
    let path = path(name);
    let is = |known: &[&str]| known.contains(&path.as_str());
    let blocks = || {
        let last = path.rsplit("::").next().unwrap_or_default();
        path.starts_with("tokio::") && matches!(last, "block_on" | "block_on_inner")
    };
    match () {
        () if is(&PINS) => Role::Pins,
        () if is(&RESTS) => Role::Rests,
        () if is(&POLLS) => Role::Polls,
        () if blocks() => Role::Blocks,
        // Futures and tasks of Tokio's own are polled, and an implementation of a trait may be anyone's.
        () if path.starts_with("tokio::runtime::task::") || path.contains("::poll") => Role::Other,
        () if INSIDE.iter().any(|inside| path.starts_with(inside)) => Role::Between,
        // Code of C libraries, at the end of every stack.
        () if !path.contains("::") => Role::Between,
        () => Role::Other,
    }
}

/// The path of a function, without types: `a::B::f` of `a::B<C>::f<D>` and of `<a::B<C>>::f::<D>`.
fn path(name: &str) -> String {
    let Some((own, method)) = name.strip_prefix('<').and_then(end_of_type) else { return plain(name) };
    let own = plain(own);
    // What implements a trait may be anyone's.
    if own.contains(" as ") { name.to_owned() } else { own + &plain(method) }
}

/// A path without what is between angle brackets.
fn plain(text: &str) -> String {
    let (mut depth, mut out, mut previous) = (0_usize, String::with_capacity(text.len()), ' ');
    for c in text.chars() {
        match c {
            '<' => {
                // "f::<T>"
                if depth == 0 && out.ends_with("::") {
                    out.truncate(out.len() - 2);
                }
                depth += 1;
            }
            '>' if previous != '-' => depth = depth.saturating_sub(1),
            _ if depth == 0 => out.push(c),
            _ => {}
        }
        previous = c;
    }
    out
}

/// The text before and after the bracket that closes the one before the text.
fn end_of_type(text: &str) -> Option<(&str, &str)> {
    let (mut depth, mut previous) = (0_usize, ' ');
    for (at, c) in text.char_indices() {
        match c {
            '<' => depth += 1,
            '>' if previous == '-' => {}
            '>' if depth == 0 => return Some((&text[..at], &text[at + 1..])),
            '>' => depth -= 1,
            _ => {}
        }
        previous = c;
    }
    None
}

/// The future in the name of a function that is generic over it alone: "F" of "a::B::block_on<F>" and "<a::B>::block_on::<F>".
pub(super) fn future(name: &str) -> Option<&str> {
    let (_, rest) = name.split_once("block_on<").or_else(|| name.split_once("block_on::<"))?;
    super::super::names::arguments(rest).into_iter().next()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn functions_by_their_names() {
        for (name, expected) in [
            ("tokio::runtime::park::CachedParkThread::block_on<api::main::{async_block_env#0}>", Role::Pins),
            ("<tokio::runtime::park::CachedParkThread>::block_on::<api::main::{closure#0}>", Role::Pins),
            ("tokio::runtime::park::CachedParkThread::block_on", Role::Pins),
            ("<tokio::runtime::scheduler::current_thread::CoreGuard>::block_on::<F>", Role::Blocks),
            ("tokio::runtime::runtime::Runtime::block_on_inner<F>", Role::Blocks),
            ("tokio::task::local::LocalSet::block_on<F>", Role::Blocks),
            ("tokio::runtime::park::CachedParkThread::park", Role::Rests),
            ("tokio::runtime::scheduler::current_thread::Context::run_task", Role::Rests),
            (
                "tokio::task::coop::budget<core::task::poll::Poll<()>, a::{closure_env#0}<fn() -> u8>>",
                Role::Polls,
            ),
            ("tokio::runtime::context::runtime::enter_runtime<F, R>", Role::Between),
            (
                "std::thread::local::LocalKey<core::cell::Cell<u8>>::with<a::{closure_env#0}, u8>",
                Role::Between,
            ),
            ("<std::thread::local::LocalKey<<a::B as c::D>::E>>::with::<f::G, ()>", Role::Between),
            ("syscall", Role::Between),
            ("api::main::{async_block#0}", Role::Other),
            ("<api::Never as core::future::future::Future>::poll", Role::Other),
            ("tokio::runtime::task::harness::poll_future", Role::Other),
            ("tokio::sync::notify::{impl#20}::poll", Role::Other),
            ("my_tokio::runtime::park::CachedParkThread::block_on", Role::Other),
            ("<", Role::Between),
            ("", Role::Between),
        ] {
            assert_eq!(role(name), expected, "{name}");
        }
        assert_eq!(future("a::B::block_on<c::D<E, F>>"), Some("c::D<E, F>"));
        assert_eq!(future("<a::B>::block_on::<c::{closure#0}>"), Some("c::{closure#0}"));
        assert_eq!(future("a::B::block_on"), None);
    }

    proptest! {
        #[test]
        fn any_name(name in "[a-z:<>{}#0-9, éA-Z(-]{0,80}") {
            let _ = (role(&name), future(&name));
        }
    }
}
