//! Go's function names: how the linker writes them, and how the runtime prints them.

use std::borrow::Cow;

pub use crate::snapshot::go_names::package_of;

/// Takes the linker's escapes (`%2e` for a dot) out of a package path or a function name.
/// An escape that does not decode to text is left as it is.
pub fn unescape_package(path: &str) -> Cow<'_, str> {
    if !path.contains('%') {
        return Cow::Borrowed(path);
    }
    let bytes = path.as_bytes();
    let mut plain = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let escaped = (byte == b'%')
            .then(|| path.get(at + 1..at + 3))
            .flatten()
            .filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()))
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        plain.push(escaped.unwrap_or(byte));
        at += if escaped.is_some() { 3 } else { 1 };
    }
    String::from_utf8(plain).map_or(Cow::Borrowed(path), Cow::Owned)
}

/// How a version of Go shortens type arguments in what it prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TypeArguments {
    /// Up to 1.26: everything from the first `[` to the last `]` becomes `[...]`.
    OneGroup,
    /// From 1.27 on, where methods may have type parameters of their own: `T[...].M[...]`.
    #[default]
    TwoGroups,
}

/// A function's name as tracebacks print it: `pkg.F[...]` for `pkg.F[go.shape.int]`. Tables of 1.19
/// and 1.20 hold the short form already. (A traceback also prints `runtime.gopanic` as `panic`,
/// which is left to who writes one.)
pub fn display_name(name: &str, style: TypeArguments) -> Cow<'_, str> {
    let (Some(open), Some(close)) = (name.find('['), name.rfind(']')) else {
        return Cow::Borrowed(name);
    };
    if close <= open {
        return Cow::Borrowed(name);
    }
    let (head, inside, tail) = (&name[..open], &name[open + 1..close], &name[close + 1..]);
    if style == TypeArguments::OneGroup || !inside.contains('[') {
        return Cow::Owned(format!("{head}[...]{tail}"));
    }
    match between_groups(inside) {
        Groups::One => Cow::Owned(format!("{head}[...]{tail}")),
        Groups::Two(between) => Cow::Owned(format!("{head}[...]{between}[...]{tail}")),
        Groups::Malformed => Cow::Borrowed(name),
    }
}

enum Groups<'a> {
    One,
    Two(&'a str),
    Malformed,
}

/// Looks for `]between[` in what stands between a name's first `[` and its last `]`.
fn between_groups(inside: &str) -> Groups<'_> {
    let mut depth = 1;
    let mut closed = None;
    for (at, byte) in inside.bytes().enumerate() {
        match (byte, depth) {
            (b'[', 0) => {
                return closed.map_or(Groups::Malformed, |end: usize| Groups::Two(&inside[end + 1..at]));
            }
            (b'[', _) => depth += 1,
            (b']', 0) => return Groups::Malformed,
            (b']', _) => {
                depth -= 1;
                if depth == 0 {
                    closed = Some(at);
                }
            }
            _ => {}
        }
    }
    if depth == 1 && closed.is_none() { Groups::One } else { Groups::Malformed }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes() {
        assert_eq!(unescape_package("gopkg.in/yaml%2ev3"), "gopkg.in/yaml.v3");
        assert_eq!(unescape_package("a%c3%a4"), "aä");
        for odd in ["%", "a%2", "%+1", "%ff", "ä%ä", "plain"] {
            assert_eq!(unescape_package(odd), odd);
        }
    }

    #[test]
    fn names_as_printed_from_1_27_on() {
        for (name, printed) in [
            ("a", "a"),
            ("a[b]", "a[...]"),
            ("a[[b]]c", "a[...]c"),
            ("a[b]]c", "a[...]c"),
            ("a[[]b]c", "a[...]c"),
            ("a[b].c[d]e", "a[...].c[...]e"),
            ("a[[b]].c[[d]]e", "a[...].c[...]e"),
            ("a[b].c[d].e[f].g", "a[...].c[...].g"),
            ("a[b[[[].c[[d]]e", "a[b[[[].c[[d]]e"),
            ("a[[b].c[[d]]e", "a[[b].c[[d]]e"),
            ("a[[b]].c[d]]e", "a[...].c[...]e"),
            ("a]b[", "a]b["),
        ] {
            assert_eq!(display_name(name, TypeArguments::TwoGroups), printed, "{name}");
        }
    }

    #[test]
    fn names_as_printed_before() {
        assert_eq!(display_name("a[b].c[d]e", TypeArguments::OneGroup), "a[...]e");
        assert_eq!(display_name("main.F[...]", TypeArguments::OneGroup), "main.F[...]");
    }
}
