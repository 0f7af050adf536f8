//! Function names of Rust, and of native code in general: those parts of a program that are not Go's.

use crate::snapshot::{FunctionRole, Layer};

/// Path prefixes of locks.
const LOCKS: &[&str] = &["tokio::sync", "std::sync", "parking_lot", "lock_api", "async_lock"];
/// The crates that programs are based on.
const BASE: &[&str] = &["std", "core", "alloc", "tokio"];

/// The purpose of a function with this name. A name without a path belongs to C code, or to no function at all.
pub fn role(name: &str) -> FunctionRole {
    // "<tokio::net::TcpStream as ...>::poll".
    let path = name.trim_start_matches(['<', '&', '(']);
    let layer = match path.split_once("::") {
        _ if LOCKS.iter().any(|lock| path.starts_with(lock)) => Layer::Lock,
        None => Layer::Base,
        Some((root, _)) if BASE.contains(&root) => Layer::Base,
        Some(_) => Layer::Application,
    };
    FunctionRole { layer, ..FunctionRole::default() }
}

/// Does a function of this name read or write a connection?
pub fn is_network(name: &str) -> bool {
    name.contains("::net::")
}

/// Does a function or location with this name accept connections?
pub fn accepts(name: &str) -> bool {
    name.ends_with(".accept") || name.ends_with(".Accept")
}

/// The module part of the path of a type or function: "api::fetch" of "api::fetch::get<T>" and of
/// "api::fetch::get::{{closure}}". Empty if there is none.
pub fn module(name: &str) -> &str {
    let mut depth = 0_u32;
    // The position of the last "::" but one, ignoring closures and text in brackets.
    let mut last = None;
    let mut previous = '\0';
    for (at, c) in name.char_indices() {
        match c {
            '<' | '(' | '[' => depth += 1,
            '>' if previous != '-' => depth = depth.saturating_sub(1),
            ')' | ']' => depth = depth.saturating_sub(1),
            ':' if depth == 0 && previous == ':' => {
                let rest = name.get(at + 1..).unwrap_or_default();
                if rest.starts_with('{') {
                    break;
                }
                last = Some(at - 1);
            }
            _ => {}
        }
        previous = c;
    }
    last.and_then(|at| name.get(..at)).filter(|package| !package.starts_with(['<', '(', '['])).unwrap_or("")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_of_names() {
        for (name, layer) in [
            ("api::fetch::get::{{closure}}", Layer::Application),
            ("tokio::sync::mutex::Mutex<T>::lock", Layer::Lock),
            ("<tokio::sync::mutex::Mutex<T> as api::Lock>::lock", Layer::Lock),
            ("<tokio::net::TcpStream as tokio::io::AsyncRead>::poll_read", Layer::Base),
            ("core::pin::Pin<P>::poll", Layer::Base),
            ("coreutils::run", Layer::Application),
            ("pthread_cond_wait", Layer::Base),
            ("", Layer::Base),
        ] {
            assert_eq!(role(name).layer, layer, "{name}");
        }
    }

    #[test]
    fn modules_of_names() {
        for (name, expected) in [
            ("api::fetch::get::{{closure}}", "api::fetch"),
            ("api::main::{{closure}}::{{closure}}", "api"),
            ("api::fetch::get<api::T>", "api::fetch"),
            ("api::fetch::get::{async fn}", "api::fetch"),
            ("core::pin::Pin<alloc::boxed::Box<dyn core::future::Future<Output = ()>>>", "core::pin"),
            ("api::Map<fn(a::B) -> c::D>", "api"),
            ("<T as a::B>::run", ""),
            ("(a::B, c::D)", ""),
            ("fetch", ""),
            ("", ""),
            ("::", ""),
        ] {
            assert_eq!(module(name), expected, "{name}");
        }
    }
}
