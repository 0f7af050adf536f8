//! What the name of a Go function tells.

use super::FunctionKind;

/// The import path of the package that a function belongs to, as it stands in the name: a dot in
/// the path's last element reads `%2e`. Empty for functions that the
/// compiler made and that belong to no package, and for names that are not Go's.
///
/// ```
/// # use loiter::snapshot::go_names::package_of;
/// assert_eq!(package_of("internal/poll.(*FD).Read"), "internal/poll");
/// assert_eq!(package_of("main.main.func1"), "main");
/// assert_eq!(package_of("gopkg.in/yaml%2ev3.Map[go.shape.int,net/http.Header]"), "gopkg.in/yaml%2ev3");
/// ```
pub fn package_of(function: &str) -> &str {
    // "type:.eq.T" and "go:struct {...}" from 1.20 on, "type..eq.T" before.
    if ["type:", "go:", "type.."].iter().any(|reserved| function.starts_with(reserved)) {
        return "";
    }
    // Type arguments, receivers and struct types hold paths of their own.
    let plain = function.find(['[', '(', '{']).map_or(function, |at| &function[..at]);
    let element = plain.rfind('/').map_or(0, |slash| slash + 1);
    plain[element..].find('.').map_or("", |dot| &function[..element + dot])
}

/// What kind of function has this name, where nothing but the name is known: a traceback at the usual
/// level shows everything but the runtime's own functions, of which it shows the exported ones
/// (`showfuncinfo` in `src/runtime/traceback.go`). Adapters made by the compiler do not show in a name.
pub fn kind_of(name: &str) -> FunctionKind {
    match name {
        "runtime.gopanic" => return FunctionKind::Panic,
        "runtime.sigpanic" | "runtime.panicwrap" => return FunctionKind::Fault,
        // Shown from 1.25 on, where they have these names.
        "runtime.runFinalizers" | "runtime.runCleanups" => return FunctionKind::Normal,
        _ => {}
    }
    let hidden = match name.strip_prefix("runtime.") {
        Some(rest) => !is_exported(rest),
        None => !name.contains('.'),
    };
    if hidden { FunctionKind::Internal } else { FunctionKind::Normal }
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
    fn kinds() {
        for (name, kind) in [
            ("main.main", FunctionKind::Normal),
            ("runtime.gopark", FunctionKind::Internal),
            ("runtime.Gosched", FunctionKind::Normal),
            ("runtime.(*Frames).Next", FunctionKind::Normal),
            ("runtime.(*mheap).alloc", FunctionKind::Internal),
            ("runtime/pprof.writeGoroutine", FunctionKind::Normal),
            ("runtime.gopanic", FunctionKind::Panic),
            ("runtime.sigpanic", FunctionKind::Fault),
            ("runtime.runCleanups", FunctionKind::Normal),
            ("_cgo_topofstack", FunctionKind::Internal),
        ] {
            assert_eq!(kind_of(name), kind, "{name}");
        }
    }
}
