//! Names of the futures that tasks run, as people read them.
//!
//! A name comes from the debug information, or from the symbol of the function that polls the task
//! (`tokio::runtime::task::raw::poll::<T, S>` in symbols of the newer kind).

use rustc_hash::FxHashMap;

use crate::symbols::native::NativeCode;

/// In programs with more types of tasks, none is named by symbols.
const MAX_NAMED: usize = 1 << 14;
/// Longer names lose the innermost types that they are generic over, bytes.
const MAX_NAME: usize = 160;
/// The types within types that are left at first.
const DEEP: u32 = 6;
/// The future of a job of the blocking pool.
const BLOCKING: &str = "tokio::runtime::blocking::task::BlockingTask<";
/// A worker of a multi-thread runtime is a job of its blocking pool.
pub(super) const WORKER: [&str; 2] = [
    "tokio::runtime::scheduler::multi_thread::worker::",
    "tokio::runtime::scheduler::multi_thread_alt::worker::",
];

/// The name of a task's future or closure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Name {
    /// As people read it.
    pub(super) text: String,
    /// It is Tokio's own: a worker.
    pub(super) is_worker: bool,
}

impl Name {
    /// From a type as a compiler writes it.
    pub(super) fn of_type(raw: &str) -> Name {
        let future =
            raw.strip_prefix(BLOCKING).and_then(|rest| arguments(rest).into_iter().next()).unwrap_or(raw);
        // `<tokio::...::Launch>::launch::{closure#0}` in symbols of the newer kind.
        let path = future.trim_start_matches('<');
        Name {
            text: shortened(readable(future)),
            is_worker: WORKER.iter().any(|worker| path.starts_with(worker)),
        }
    }
}

/// The types of the futures of all vtables, from symbols: each given by the function that polls a task.
///
/// A compiler makes one function of several with equal code, which then has the name of one of them. So a name counts only
/// where nothing shares the function: no other vtable and no other symbol. Symbols of the older kind do not name the type in
/// functions that poll: [`super::drops`] has what they say.
pub(super) fn of_symbols(code: &mut NativeCode, polls: &[u64]) -> Vec<Option<Name>> {
    if polls.len() > MAX_NAMED {
        return vec![None; polls.len()];
    }
    let mut counts: FxHashMap<u64, usize> = FxHashMap::default();
    polls.iter().for_each(|poll| *counts.entry(*poll).or_default() += 1);
    let is_own = |poll: &u64| counts.get(poll) == Some(&1);
    polls.iter().map(|poll| is_own(poll).then(|| of_poll(code, *poll)).flatten()).collect()
}

/// The type in the symbol of the function that polls a task.
fn of_poll(code: &mut NativeCode, poll: u64) -> Option<Name> {
    let function = code.function(poll).filter(|function| function.start == poll)?;
    let (_, rest) = function.name.split_once("::raw::poll::<")?;
    let future = arguments(rest).into_iter().next()?;
    (!code.is_shared(poll)).then(|| Name::of_type(future))
}

/// The generic arguments up to the bracket that closes them: "A", "B<C>" of "A, B<C>>::rest".
pub(super) fn arguments(text: &str) -> Vec<&str> {
    let (mut depth, mut from, mut found) = (0_u32, 0, Vec::new());
    let mut previous = ' ';
    for (at, c) in text.char_indices() {
        match c {
            '<' | '(' | '[' | '{' => depth += 1,
            // An arrow is no bracket.
            '>' if previous == '-' => {}
            '>' | ')' | ']' | '}' if depth > 0 => depth -= 1,
            '>' => {
                found.push(text[from..at].trim());
                return found;
            }
            ',' if depth == 0 => {
                found.push(text[from..at].trim());
                from = at + 1;
            }
            _ => {}
        }
        previous = c;
    }
    found
}

/// A type's name without what nobody reads: the modules of the standard library's types, and the compiler's names for the
/// bodies of async functions and closures.
///
/// This is the one place that decides how a future is called: `api::serve::{async fn}` where the compiler says what it is,
/// `api::serve::{async}` where it only says that it is the body of something.
pub(super) fn readable(raw: &str) -> String {
    let mut text = String::with_capacity(raw.len());
    let mut rest = raw;
    while let Some(c) = rest.chars().next() {
        let starts_path = !text.ends_with(|last: char| last.is_alphanumeric() || last == '_' || last == ':');
        let plain = if starts_path { without_modules(rest) } else { rest };
        if plain.len() < rest.len() {
            rest = plain;
            continue;
        }
        if c == '{'
            && let Some((body, len)) = body(rest)
        {
            text.push_str(&body);
            rest = &rest[len..];
            continue;
        }
        text.push(c);
        rest = &rest[c.len_utf8()..];
    }
    text
}

/// A name without the innermost types that it is generic over, if it is too long for a line: combinators of combinators have names
/// of thousands of letters.
fn shortened(text: String) -> String {
    if text.len() <= MAX_NAME {
        return text;
    }
    let cuts = (1..=DEEP).rev().map(|depth| cut(&text, depth));
    cuts.reduce(|longer, shorter| if longer.len() <= MAX_NAME { longer } else { shorter }).unwrap_or(text)
}

/// A name without what is in more than this many angle brackets.
fn cut(text: &str, most: u32) -> String {
    let (mut out, mut depth, mut previous) = (String::new(), 0_u32, ' ');
    for c in text.chars() {
        // An arrow is no bracket.
        if c == '>' && previous != '-' {
            depth = depth.saturating_sub(1);
        }
        if depth <= most {
            out.push(c);
        }
        if c == '<' {
            depth += 1;
            if depth == most + 1 {
                out.push('…');
            }
        }
        previous = c;
    }
    out
}

/// "Pin<...>" of "core::pin::Pin<...>": of the standard library, the last name is enough.
fn without_modules(path: &str) -> &str {
    let Some(mut rest) = ["core::", "alloc::", "std::"].iter().find_map(|root| path.strip_prefix(root))
    else {
        return path;
    };
    loop {
        let len = rest.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(rest.len());
        if rest.starts_with(|c: char| c.is_uppercase()) {
            return rest;
        }
        match rest[len..].strip_prefix("::") {
            Some(next) if len > 0 => rest = next,
            _ => return path,
        }
    }
}

/// The words for the body of a function or closure, and how much of the text stands for it.
fn body(text: &str) -> Option<(String, usize)> {
    if text.starts_with("{{closure}}") {
        return Some(("{async}".to_owned(), "{{closure}}".len()));
    }
    let len = text.find('}')? + 1;
    let (name, number) = text.get(1..len - 1)?.split_once('#')?;
    let words = match name {
        "closure" => "async",
        "async_fn_env" | "async_fn" => "async fn",
        "async_block_env" | "async_block" => "async block",
        "async_closure_env" | "async_closure" => "async closure",
        "closure_env" => "closure",
        _ => return None,
    };
    // The number distinguishes several bodies in one function; the first one needs none.
    let number = if number == "0" { String::new() } else { format!("#{number}") };
    Some((format!("{{{words}{number}}}"), len))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_as_people_read_them() {
        for (raw, text) in [
            ("api::serve::{{closure}}", "api::serve::{async}"),
            ("api::serve::{closure#0}", "api::serve::{async}"),
            ("api::serve::{closure#0}::{closure#2}", "api::serve::{async}::{async#2}"),
            ("api::serve::{async_fn_env#0}<u8>", "api::serve::{async fn}<u8>"),
            ("api::main::{async_block_env#1}", "api::main::{async block#1}"),
            (
                "tracing::A<api::run::{async_fn#0}::{async_block_env#3}>",
                "tracing::A<api::run::{async fn}::{async block#3}>",
            ),
            (
                "core::pin::Pin<alloc::boxed::Box<dyn core::future::future::Future<Output = ()> + core::marker::Send>>",
                "Pin<Box<dyn Future<Output = ()> + Send>>",
            ),
            ("api::serve<alloc::string::String, u8>::{{closure}}", "api::serve<String, u8>::{async}"),
            ("<api::Service as api::Job>::run::{{closure}}", "<api::Service as api::Job>::run::{async}"),
            ("my_core::Future", "my_core::Future"),
            ("std::thread::park", "std::thread::park"),
            ("", ""),
        ] {
            assert_eq!(readable(raw), text, "{raw}");
        }
    }

    #[test]
    fn long_names_lose_their_innermost_types() {
        assert_eq!(cut("a::Map<b::Join<C<u8>, fn(D) -> E<F>>, G>", 1), "a::Map<b::Join<…>, G>");
        assert_eq!(
            cut("a::Map<b::Join<C<u8>, fn(D) -> E<F>>, G>", 2),
            "a::Map<b::Join<C<…>, fn(D) -> E<…>>, G>"
        );
        let long = format!("a::Map<{}{}>", "b::Join<".repeat(80), ">".repeat(80));
        let name = Name::of_type(&long).text;
        assert!(name.starts_with("a::Map<b::Join<b::Join<") && name.contains("<…>"), "{name}");
        assert!(name.len() <= MAX_NAME, "{name}");
        assert_eq!(shortened("a::Map<B>".to_owned()), "a::Map<B>");
    }

    #[test]
    fn types_within_names() {
        assert_eq!(arguments("a::B<C, D>, fn(u8) -> E>::f"), ["a::B<C, D>", "fn(u8) -> E"]);
        let job = Name::of_type("tokio::runtime::blocking::task::BlockingTask<api::hash::{{closure}}>");
        assert_eq!((job.text.as_str(), job.is_worker), ("api::hash::{async}", false));
        let worker = "tokio::runtime::blocking::task::BlockingTask<tokio::runtime::scheduler::multi_thread::worker::\
                      Launch::launch::{{closure}}>";
        assert!(Name::of_type(worker).is_worker);
    }

    proptest! {
        #[test]
        fn any_name(raw in "[a-z:<>{}#0-9, éA-Z(-]{0,80}") {
            let _ = (readable(&raw), arguments(&raw), Name::of_type(&raw));
        }
    }
}
