//! Names of types in debug information, and as people read them.

/// A name without the types that it is generic over: `core::pin::Pin` of `core::pin::Pin<&mut T>`.
pub(super) fn base(name: &str) -> &str {
    let end = name.find('<').unwrap_or(name.len());
    name.get(..end).unwrap_or(name)
}

/// The last part of a path, without the types that it is generic over.
pub(super) fn last(name: &str) -> &str {
    let parts = split(name);
    base(parts.last().copied().unwrap_or(name))
}

/// The parts of a path. What is between angle brackets is not split.
fn split(name: &str) -> Vec<&str> {
    let (mut parts, mut depth, mut begin) = (Vec::new(), 0_usize, 0);
    let bytes = name.as_bytes();
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'<' | b'(' | b'[' => depth += 1,
            // Not the arrow of a function type.
            b'>' if at > 0 && bytes.get(at - 1) != Some(&b'-') => depth = depth.saturating_sub(1),
            b')' | b']' => depth = depth.saturating_sub(1),
            b':' if depth == 0 && bytes.get(at + 1) == Some(&b':') => {
                parts.extend(name.get(begin..at));
                begin = at + 2;
                at += 1;
            }
            _ => {}
        }
        at += 1;
    }
    parts.extend(name.get(begin..));
    parts
}

/// The name of an async function or block, by the name of its state: `server::handle::{async fn}` of
/// `server::handle::{async_fn_env#0}<T>`. `own` is the type that it is a method of, if that is known.
pub(super) fn function(name: &str, own: Option<&str>) -> String {
    let parts = split(name);
    let mut out: Vec<&str> = Vec::new();
    for part in parts {
        let word = match base(part) {
            part if part.starts_with("{impl#") => {
                if let Some(own) = own {
                    out = split(own);
                }
                continue;
            }
            part if part.starts_with("{async_fn") => "{async fn}",
            part if part.starts_with("{async_block") => "{async block}",
            part if part.starts_with("{async_closure") => "{async closure}",
            part if part.starts_with("{closure") => "{closure}",
            part => part,
        };
        out.push(word);
    }
    out.join("::")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_as_people_read_them() {
        for (name, own, read) in [
            ("books::outer::{async_fn_env#0}", None, "books::outer::{async fn}"),
            (
                "books::main::{async_block#0}::{async_block_env#2}",
                None,
                "books::main::{async block}::{async block}",
            ),
            (
                "tokio::time::interval::{impl#2}::tick::{async_fn_env#0}",
                Some("tokio::time::interval::Interval"),
                "tokio::time::interval::Interval::tick::{async fn}",
            ),
            ("a::{impl#2}::tick::{async_fn_env#0}<fn(u8) -> b::C<d::E>>", None, "a::tick::{async fn}"),
            ("", None, ""),
        ] {
            assert_eq!(function(name, own), read);
        }
        assert_eq!(last("a::B<c::D>::Suspend0"), "Suspend0");
        assert_eq!(last("a::B<c::D>"), "B");
        assert_eq!(base("a::B<c::D>"), "a::B");
    }
}
