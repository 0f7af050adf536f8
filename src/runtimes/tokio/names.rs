//! Names of the futures that tasks run, as people read them.
//!
//! A name comes from the debug information, from the symbol of the function that polls the task
//! (`tokio::runtime::task::raw::poll::<T, S>` in symbols of the newer kind), or from what the function that frees it calls
//! (`drop_in_place<Cell<T, S>>`): symbols of the older kind name no types except there.

use std::collections::VecDeque;

use iced_x86::{Decoder, DecoderOptions, FlowControl, OpKind};
use rustc_hash::FxHashSet;

use crate::process::Memory;
use crate::symbols::native::NativeCode;

/// Functions examined for one name.
const MAX_FUNCTIONS: usize = 128;
/// Bytes of code examined of one function.
const MAX_CODE: usize = 1 << 10;
/// Types that hold a task's future and its scheduler.
const HOLDERS: [&str; 4] = ["Cell<", "Core<", "CoreStage<", "Stage<"];
const MODULE: &str = "tokio::runtime::task::core::";
/// Functions whose calls lead on to a task's own: those of all tasks, and those of the standard library that they call.
const LEADS: [&str; 5] =
    ["tokio::runtime::task::", "<tokio::runtime::task::", "core::", "alloc::", "std::panic"];
/// The future of a job of the blocking pool.
const BLOCKING: &str = "tokio::runtime::blocking::task::BlockingTask<";
/// A worker of a multi-thread runtime is a job of its blocking pool.
const WORKER: [&str; 2] = [
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
        Name { text: readable(future), is_worker: WORKER.iter().any(|worker| future.starts_with(worker)) }
    }
}

/// The type of the future, from symbols. None if the program has none.
pub(super) fn of_symbols(
    code: &mut NativeCode,
    memory: &dyn Memory,
    poll: u64,
    dealloc: u64,
) -> Option<Name> {
    let symbol = code.function(poll)?.name;
    let typed = symbol.split_once("::raw::poll::<").and_then(|(_, rest)| arguments(rest).into_iter().next());
    if let Some(future) = typed {
        return Some(Name::of_type(future));
    }
    called(code, memory, dealloc, |name| holder(name).map(str::to_owned))
        .or_else(|| called(code, memory, poll, |name| polled(name).map(str::to_owned)))
        .map(|future| Name::of_type(&future))
}

/// The future of the task that a `drop_in_place` drops.
fn holder(name: &str) -> Option<&str> {
    let dropped = name.split_once("drop_in_place")?.1;
    let (_, rest) = dropped.split_once(MODULE)?;
    let rest = HOLDERS.iter().find_map(|holder| rest.strip_prefix(holder))?;
    arguments(rest).into_iter().next()
}

/// The function that a future's code is in, if this may be one.
fn polled(name: &str) -> Option<&str> {
    let own = ["tokio::", "core::", "alloc::", "std::", "<"].iter().all(|other| !name.starts_with(other));
    (own && name.contains("::{{closure}}")).then_some(name)
}

/// The first name that `wanted` takes, of the functions that the one at `start` calls, the nearest first.
fn called(
    code: &mut NativeCode,
    memory: &dyn Memory,
    start: u64,
    wanted: impl Fn(&str) -> Option<String>,
) -> Option<String> {
    let mut queue = VecDeque::from([start]);
    let mut seen = FxHashSet::from_iter([start]);
    while let Some(at) = queue.pop_front() {
        let Some(function) = code.function(at).filter(|function| function.start == at) else { continue };
        if let Some(found) = wanted(&function.name) {
            return Some(found);
        }
        if at != start && !LEADS.iter().any(|lead| function.name.starts_with(lead)) {
            continue;
        }
        for callee in callees(code, memory, at) {
            if seen.len() < MAX_FUNCTIONS && seen.insert(callee) {
                queue.push_back(callee);
            }
        }
    }
    None
}

/// The functions that a function calls or jumps to, as far as its code names them.
fn callees(code: &mut NativeCode, memory: &dyn Memory, start: u64) -> Vec<u64> {
    let mut bytes = vec![0; MAX_CODE];
    let len =
        (1..=MAX_CODE).rev().step_by(MAX_CODE / 8).find(|&len| memory.read(start, &mut bytes[..len]).is_ok());
    let Some(bytes) = len.and_then(|len| bytes.get(..len)) else { return Vec::new() };
    let decoder = Decoder::with_ip(64, bytes, start, DecoderOptions::NONE);
    let mut found = Vec::new();
    for instruction in decoder {
        let near = instruction.op0_kind() == OpKind::NearBranch64;
        let flow = instruction.flow_control();
        if near && matches!(flow, FlowControl::Call | FlowControl::UnconditionalBranch) {
            found.push(instruction.near_branch_target());
        }
        let is_over =
            matches!(flow, FlowControl::Return | FlowControl::UnconditionalBranch | FlowControl::Exception);
        if is_over && code.function(instruction.next_ip()).is_none_or(|function| function.start != start) {
            break;
        }
    }
    found
}

/// The generic arguments up to the bracket that closes them: "A", "B<C>" of "A, B<C>>::rest".
fn arguments(text: &str) -> Vec<&str> {
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
        "async_fn_env" => "async fn",
        "async_block_env" => "async block",
        "async_closure_env" => "async closure",
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
    fn types_within_names() {
        assert_eq!(arguments("a::B<C, D>, fn(u8) -> E>::f"), ["a::B<C, D>", "fn(u8) -> E"]);
        let drop = "core::ptr::drop_in_place<tokio::runtime::task::core::Cell<api::run::{{closure}},alloc::sync::Arc<\
                    tokio::runtime::scheduler::current_thread::Handle>>>";
        assert_eq!(holder(drop), Some("api::run::{{closure}}"));
        assert_eq!(holder("core::ptr::drop_in_place<api::Thing>"), None);
        let job = Name::of_type("tokio::runtime::blocking::task::BlockingTask<api::hash::{{closure}}>");
        assert_eq!((job.text.as_str(), job.is_worker), ("api::hash::{async}", false));
        let worker = "tokio::runtime::blocking::task::BlockingTask<tokio::runtime::scheduler::multi_thread::worker::\
                      Launch::launch::{{closure}}>";
        assert!(Name::of_type(worker).is_worker);
    }

    proptest! {
        #[test]
        fn any_name(raw in "[a-z:<>{}#0-9, éA-Z(-]{0,80}") {
            let _ = (readable(&raw), arguments(&raw), Name::of_type(&raw), holder(&raw));
        }
    }
}
