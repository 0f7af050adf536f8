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
}
