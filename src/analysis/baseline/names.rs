//! Names as patterns that stay right when code moves.
//!
//! Compilers number what has no name of its own: Go's closures ("main.start.func1.2"), the functions around `go` and
//! `defer` statements ("gowrap1", "deferwrap2"), the bodies of ranges over functions ("-range1") and init functions
//! ("init.0"); Rust's closures ("{closure#0}"). A new closure above changes the number of the next one.

/// The parts of Go's names that end in a number.
const NUMBERED: [&str; 4] = ["func", "gowrap", "deferwrap", ""];
/// What follows the name of a function that has a range over a function.
const RANGE: &str = "-range";
const RUST: &str = "{closure#";

/// A pattern for the names that a function has when its closures are numbered anew: "main.start.func*".
pub fn tolerant(function: &str) -> String {
    let mut pattern = String::with_capacity(function.len());
    let mut rest = function;
    while !rest.is_empty() {
        let end = part_end(rest);
        let (part, after) = rest.split_at(end);
        rest = after;
        push(&mut pattern, part);
    }
    rust_closures(&pattern)
}

/// The end of the part that begins here: before the next dot that is not in brackets.
fn part_end(text: &str) -> usize {
    let mut depth = 0_u32;
    for (at, c) in text.char_indices() {
        match c {
            '[' => depth += 1,
            ']' => depth = depth.saturating_sub(1),
            '.' if depth == 0 && at > 0 => return at,
            _ => {}
        }
    }
    text.len()
}

/// Adds a part, which begins with a dot unless it is the first.
fn push(pattern: &mut String, part: &str) {
    let (name, range) = match part.rsplit_once(RANGE) {
        Some((name, number)) if is_number(number) => (name, true),
        _ => (part, false),
    };
    let numbered = name.strip_prefix('.').and_then(|name| {
        let prefix = NUMBERED.into_iter().find(|prefix| name.strip_prefix(prefix).is_some_and(is_number))?;
        Some(prefix)
    });
    match numbered {
        // The star before stands for this number, too.
        Some(_) if pattern.ends_with('*') => return,
        Some(prefix) => {
            pattern.push('.');
            pattern.push_str(prefix);
            pattern.push('*');
        }
        None => pattern.push_str(name),
    }
    if range && !pattern.ends_with('*') {
        pattern.push_str(RANGE);
        pattern.push('*');
    }
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// "{closure#*}" for "{closure#0}".
fn rust_closures(text: &str) -> String {
    let mut pieces = text.split(RUST);
    let mut pattern = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        pattern.push_str(RUST);
        let rest = piece.trim_start_matches(|c: char| c.is_ascii_digit());
        if rest.len() < piece.len() {
            pattern.push('*');
        }
        pattern.push_str(rest);
    }
    pattern
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::analysis::Pattern;

    #[test]
    fn numbers_of_the_compiler_become_stars() {
        for (name, pattern) in [
            ("main.worker", "main.worker"),
            ("main.start.func1", "main.start.func*"),
            ("main.start.func1.2", "main.start.func*"),
            ("main.start.func12.3.gowrap1", "main.start.func*"),
            ("ex.com/api.v2.TestX.gowrap1", "ex.com/api.v2.TestX.gowrap*"),
            ("main.(*T).Run.deferwrap2", "main.(*T).Run.deferwrap*"),
            ("main.init.0.func1", "main.init.*"),
            ("main.glob..func3", "main.glob..func*"),
            ("main.outer.func1.inner.func2", "main.outer.func*.inner.func*"),
            ("main.Map[go.shape.func1].func2", "main.Map[go.shape.func1].func*"),
            ("main.walk-range1", "main.walk-range*"),
            ("main.walk.func1-range2", "main.walk.func*"),
            ("main.func1x", "main.func1x"),
            ("app::run::{closure#0}::{closure#12}", "app::run::{closure#*}::{closure#*}"),
            ("app::run::{{closure}}", "app::run::{{closure}}"),
            ("", ""),
        ] {
            assert_eq!(tolerant(name), pattern, "{name}");
            assert!(Pattern::whole(pattern).matches(name), "{name}");
        }
    }

    proptest! {
        #[test]
        fn a_name_fits_its_own_pattern(name in "[a-z.0-9\\[\\]#{}-]{0,24}|(\\.func1|\\.2|-range1|a|\\{closure#7){0,6}") {
            let pattern = tolerant(&name);
            prop_assert!(Pattern::whole(&pattern).matches(&name), "{} {}", name, pattern);
            prop_assert_eq!(tolerant(&pattern), pattern.clone());
        }
    }
}
