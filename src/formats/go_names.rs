//! Go's function names: their package, and their printed form.

use std::borrow::Cow;

/// The import path of a function's package, as it is in the name: a dot in the path's last element reads
/// `%2e` (see [`unescape_package`]). Empty for functions that the compiler made and that belong to no
/// package, and for names that are not Go's.
///
/// ```
/// # use loiter::__test::formats::go_names::package_of;
/// assert_eq!(package_of("internal/poll.(*FD).Read"), "internal/poll");
/// assert_eq!(package_of("main.main.func1"), "main");
/// assert_eq!(package_of("gopkg.in/yaml%2ev3.Map[go.shape.int,net/http.Header]"), "gopkg.in/yaml%2ev3");
/// ```
pub fn package_of(function: &str) -> &str {
    // "type:.eq.T" and "go:struct {...}" from 1.20 on, "type..eq.T" before.
    if ["type:", "go:", "type.."].iter().any(|reserved| function.starts_with(reserved)) {
        return "";
    }
    // Type arguments, receivers and struct types contain paths of their own.
    let plain = function.find(['[', '(', '{']).map_or(function, |at| &function[..at]);
    let element = plain.rfind('/').map_or(0, |slash| slash + 1);
    plain[element..].find('.').map_or("", |dot| &function[..element + dot])
}

/// Decodes the linker's escapes (`%2e` for a dot) in a package path or a function name.
/// An escape that does not decode to text is left as it is.
#[cfg(any(test, feature = "test-support"))]
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

/// Does a traceback at the usual level show a function of this name? It shows everything except the runtime's
/// unexported functions (`showfuncinfo` in `src/runtime/traceback.go`).
pub fn is_shown(name: &str) -> bool {
    // Shown from 1.25 on, which introduced these names.
    if matches!(name, "runtime.runFinalizers" | "runtime.runCleanups") {
        return true;
    }
    match name.strip_prefix("runtime.") {
        Some(rest) => is_exported(rest),
        None => name.contains('.'),
    }
}

/// `isExportedRuntime`: an exported function, or an exported method of an exported type.
fn is_exported(name: &str) -> bool {
    let capital = |name: &str| name.bytes().next().is_some_and(|b| b.is_ascii_uppercase());
    match name.rsplit_once('.') {
        Some((receiver, method)) => {
            let receiver = receiver.strip_prefix("(*").and_then(|r| r.strip_suffix(')')).unwrap_or(receiver);
            capital(method) && capital(receiver)
        }
        None => capital(name),
    }
}

/// How a version of Go shortens type arguments in its output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TypeArguments {
    /// Up to 1.26: everything from the first `[` to the last `]` becomes `[...]`.
    OneGroup,
    /// From 1.27 on, where methods may have type parameters of their own: `T[...].M[...]`.
    #[default]
    TwoGroups,
}

/// A function's name as tracebacks print it: `pkg.F[...]` for `pkg.F[go.shape.int]`. Tables of 1.19 and 1.20
/// already contain the short form. (A traceback also prints `runtime.gopanic` as `panic`; the code that
/// writes a traceback does that.)
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

/// Looks for `]between[` in the text between a name's first `[` and last `]`.
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
    fn packages() {
        for (name, package) in [
            ("main.main", "main"),
            ("main.glob..func1", "main"),
            ("net/http.(*conn).serve-fm", "net/http"),
            ("example.com/a.b/c.F", "example.com/a.b/c"),
            ("example.com/a%2eb.F[go.shape.struct { net/http.X int }]", "example.com/a%2eb"),
            ("sync/atomic.(*Pointer[go.shape.struct { a/b.c }]).Load", "sync/atomic"),
            ("type:.eq.net/http.Header", ""),
            ("type..hash.main.T", ""),
            ("go:struct { a.b }.F", ""),
            ("_cgo_topofstack", ""),
            ("", ""),
        ] {
            assert_eq!(package_of(name), package, "{name}");
        }
    }

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
