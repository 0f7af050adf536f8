//! Tests that a program itself lists, where the name of a function does not say that it is a test: Rust's harness.

use rustc_hash::FxHashSet;

use crate::analysis::baseline::without_number;
use crate::snapshot::Header;

/// Options of the harness that are followed by a value: `library/test/src/cli.rs` of Rust.
const WITH_VALUE: &[&str] =
    &["--skip", "--logfile", "--test-threads", "--color", "--format", "--shuffle-seed", "-Z"];

/// The tests of a program.
#[derive(Debug)]
pub(super) struct Listed<'a> {
    /// By their paths without the crate: "api::tests::it_closes".
    tests: FxHashSet<&'a str>,
    /// The crate that was compiled as the program.
    crate_name: String,
    /// The one test that the program was told to run.
    only: Option<&'a str>,
}

impl<'a> Listed<'a> {
    pub(super) fn new(tests: &'a [String], header: &Header) -> Listed<'a> {
        let tests: FxHashSet<&str> = tests.iter().map(String::as_str).collect();
        Listed { only: only(&tests, &header.target.command), crate_name: crate_name(header), tests }
    }

    /// The only test that ran, whatever tasks look like.
    pub(super) fn only(&self) -> Option<&'a str> {
        self.only
    }

    /// The test whose code a function or a future is, from its name: that of `api::tests::it_closes::{closure#0}` and of
    /// everything that is made of it, like `Pin<Box<api::tests::it_closes::{async block}>>`.
    pub(super) fn test_of(&self, function: &str) -> Option<&'a str> {
        if self.tests.is_empty() {
            return None;
        }
        let is_of_path = |c: char| c == '_' || c == ':' || c == '#' || c.is_alphanumeric();
        let mut rest = function;
        loop {
            rest = rest.get(rest.find(is_of_path)?..)?;
            let len = rest.find(|c: char| !is_of_path(c)).unwrap_or(rest.len());
            let (path, after) = rest.split_at(len);
            if let Some(test) = self.by_path(path, after) {
                return Some(test);
            }
            rest = after;
        }
    }

    /// A module may be called like a function: only what the compiler named is sure to be the function's.
    fn by_path(&self, path: &str, after: &str) -> Option<&'a str> {
        let inside = path.strip_suffix("::").filter(|_| after.starts_with('{'));
        let (crate_name, test) = inside.unwrap_or(path).split_once("::")?;
        self.tests.get(test).copied().filter(|_| crate_name == self.crate_name)
    }
}

/// The test that `--exact NAME` names, if that is one.
fn only<'a>(tests: &FxHashSet<&'a str>, command: &[String]) -> Option<&'a str> {
    let (mut named, mut is_exact, mut is_value) = (Vec::new(), false, false);
    for word in command.iter().skip(1) {
        let is_option = word.starts_with('-');
        if !is_option && !is_value {
            named.push(word.as_str());
        }
        is_exact |= word == "--exact" && !is_value;
        is_value = !is_value && WITH_VALUE.contains(&word.as_str());
    }
    match named.as_slice() {
        [name] if is_exact => tests.get(*name).copied(),
        _ => None,
    }
}

/// Cargo calls the program `NAME-0123456789abcdef`, and the crate NAME without dashes.
fn crate_name(header: &Header) -> String {
    let name = header.target.name.as_str();
    without_number(name).unwrap_or(name).replace('-', "_")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(name: &str, command: &[&str]) -> Header {
        let mut header = Header::default();
        header.target.name = name.to_owned();
        header.target.command = command.iter().map(|word| (*word).to_owned()).collect();
        header
    }

    #[test]
    fn functions_of_tests() {
        let tests = ["closes", "tests::closes", "tests::closes_twice", "closes::once"].map(str::to_owned);
        let listed = Listed::new(&tests, &header("my-api-8642f442a8c10f1f", &[]));
        for (function, test) in [
            ("my_api::closes", Some("closes")),
            ("my_api::tests::closes::{async block}", Some("tests::closes")),
            ("my_api::tests::closes::{{closure}}::{{closure}}", Some("tests::closes")),
            ("my_api::tests::closes_twice::{closure#0}", Some("tests::closes_twice")),
            ("Pin<Box<my_api::tests::closes::{async block#1}, Global>>", Some("tests::closes")),
            ("<my_api::tests::closes::{closure#0} as FnOnce<()>>::call_once", Some("tests::closes")),
            ("tokio::spawn<my_api::helper::{async fn}, my_api::closes::{async block}>", Some("closes")),
            // A module that is called like a test.
            ("my_api::closes::once::{closure#0}", Some("closes::once")),
            ("my_api::closes::helper::{closure#0}", None),
            // Of other crates.
            ("api::tests::closes::{async block}", None),
            ("other::my_api::closes::{async block}", None),
            ("my_api::tests::helper::{async fn}", None),
            ("my_api::tests::{closure#0}", None),
            ("my_api::::{", None),
            ("my_api", None),
            ("closes", None),
            ("::", None),
            ("", None),
        ] {
            assert_eq!(listed.test_of(function), test, "{function}");
        }
        assert_eq!(Listed::new(&[], &header("my-api", &[])).test_of("my_api::closes"), None);
    }

    #[test]
    fn the_only_test() {
        let tests = ["a", "b", "m::a"].map(str::to_owned);
        for (command, only) in [
            ("x --exact m::a --nocapture", Some("m::a")),
            ("x m::a --exact --test-threads 1", Some("m::a")),
            ("x --skip b --exact a", Some("a")),
            ("x a", None),
            ("x --exact a b", None),
            ("x --exact other", None),
            ("x --exact", None),
            ("x --skip --exact a", None),
            ("a --exact", None),
            ("", None),
        ] {
            let command: Vec<&str> = command.split(' ').collect();
            assert_eq!(Listed::new(&tests, &header("x", &command)).only(), only, "{command:?}");
        }
    }
}
