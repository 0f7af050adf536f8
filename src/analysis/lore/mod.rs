//! What must be known of runtimes as text: tasks that are parked for a good reason, and how packages are named.
//!
//! One file a runtime, chosen by the name of the runtime. Facts about a task or a function that are data are in
//! the snapshot, written by the reader of the runtime. A runtime without lore is judged by these alone.

use std::borrow::Cow;

use super::owner::{Code, Owner};
use crate::snapshot::WaitClass;

pub mod go;
pub mod tokio;

/// What is known of a runtime as text.
#[derive(Debug)]
pub struct Lore {
    /// The runtimes that it covers: [`RuntimeInfo::name`](crate::snapshot::RuntimeInfo::name).
    pub runtimes: &'static [&'static str],
    /// Well-known tasks that are parked for a good reason. The first one that fits counts.
    pub known: &'static [KnownTask],
    /// How connections look that wait until a body is read. None: there is no such library.
    pub http_bodies: Option<HttpBodies>,
    /// The element type of timer channels. None: timers have no channels.
    pub timer_element: Option<&'static str>,
    /// The element type of channels on which the runtime tells of signals. None: it has none.
    pub signal_element: Option<&'static str>,
    /// Start functions of the runtime's own tasks that collect garbage: patterns for whole names.
    pub collectors: &'static [&'static str],
    /// Functions that end the program, or that end it when they return: patterns for whole names. A task with one of
    /// them on its stack is the program's own end, and not left behind by it.
    pub endings: &'static [&'static str],
    /// How the functions of tests are named. None: a name does not tell.
    pub tests: Option<fn(&str) -> Option<&str>>,
    /// How packages are named.
    pub packages: Packages,
}

/// Everything that is known. The last entry is for every runtime that the others do not name.
pub static ALL: &[&Lore] = &[&go::LORE, &tokio::LORE, &NEUTRAL];

/// The lore for unknown runtimes.
pub static NEUTRAL: Lore = Lore {
    runtimes: &[],
    known: &[ACCEPT_LOOP],
    http_bodies: None,
    timer_element: None,
    signal_element: None,
    collectors: &[],
    endings: &[],
    tests: None,
    packages: Packages::NEUTRAL,
};

/// What is known of the runtime of this name.
pub fn of(runtime: &str) -> &'static Lore {
    ALL.iter().find(|lore| lore.runtimes.contains(&runtime)).unwrap_or(&&NEUTRAL)
}

/// A kind of task that is parked for a good reason.
#[derive(Debug, Clone, Copy)]
pub struct KnownTask {
    /// What it is: "accept loop", "accept loops".
    pub names: [&'static str; 2],
    /// Why it is parked.
    pub why: &'static str,
    /// Functions on its stack, which must all be there: patterns for whole names.
    pub frames: &'static [&'static str],
    /// The function that started it. Empty: any or none.
    pub creator: &'static str,
    /// What it waits for. Empty: anything.
    pub waits: &'static [WaitClass],
    /// There is one for each external thing (such as a connection), so their growth is significant.
    pub grows: bool,
    /// Nothing ends it before the program ends: by design, or because the code that started it is still running.
    /// What a program can close or shut down, and did not, is left behind at its end.
    pub lasts: bool,
}

/// There are a few for the life of the program.
const fn one(names: [&'static str; 2], frames: &'static [&'static str], why: &'static str) -> KnownTask {
    KnownTask { names, why, frames, creator: "", waits: &[], grows: false, lasts: false }
}

/// The same, and nothing ends them before the program ends.
const fn lasting(names: [&'static str; 2], frames: &'static [&'static str], why: &'static str) -> KnownTask {
    KnownTask { lasts: true, ..one(names, frames, why) }
}

/// There is one for each connection or the like.
const fn each(names: [&'static str; 2], frames: &'static [&'static str], why: &'static str) -> KnownTask {
    KnownTask { names, why, frames, creator: "", waits: &[], grows: true, lasts: false }
}

const ACCEPTS: [&str; 2] = ["accept loop", "accept loops"];
const MAIN: [&str; 2] = ["main function", "main functions"];

/// A task that accepts connections, in any runtime or library.
const ACCEPT_LOOP: KnownTask = KnownTask {
    waits: &[WaitClass::Accept],
    ..one(ACCEPTS, &[], "a server waits for the next connection for as long as it serves")
};

/// How connections look that wait until the body of a response is read or closed.
#[derive(Debug, Clone, Copy)]
pub struct HttpBodies {
    /// Innermost functions of such a connection: patterns for whole names.
    pub waiting: &'static [&'static str],
    /// The innermost function of the second task that each such connection has.
    pub beside: &'static str,
}

/// How packages are named.
#[derive(Debug, Clone, Copy)]
pub struct Packages {
    /// What separates the elements of a path.
    pub separators: &'static [&'static str],
    /// The package of the program itself, which belongs to its first module. Empty: it has no name of its own.
    pub main: &'static str,
    /// The name of a program that was built from files and not from a package.
    pub main_of_files: &'static str,
    /// The suffix of a test's main package, after the name of the tested package.
    pub main_of_test: &'static str,
    /// A package name without what tools add to it.
    pub plain: fn(&str) -> Cow<'_, str>,
    /// Who owns a package, if its name alone tells.
    pub owner: fn(&str) -> Option<Owner>,
    /// Who owns a function, if its source file tells.
    pub owner_by_file: fn(&Code<'_>) -> Option<Owner>,
    /// The most probable module of a main package.
    pub module_of_main: fn(&str) -> Option<&str>,
    /// The path of the main package, from its source file.
    pub main_by_source: fn(&str) -> Option<&str>,
}

impl Packages {
    /// No rules: a package name says nothing except by its leading elements.
    pub const NEUTRAL: Packages = Packages {
        separators: &["/", "::", "."],
        main: "",
        main_of_files: "",
        main_of_test: "",
        plain: |package| package.into(),
        owner: |_| None,
        owner_by_file: |_| None,
        module_of_main: |_| None,
        main_by_source: |_| None,
    };

    /// Whether a package is the one with this path, or below it.
    pub fn is_below(&self, package: &str, path: &str) -> bool {
        let rest = package.strip_prefix(path);
        let below = |rest: &str| rest.is_empty() || self.separators.iter().any(|s| rest.starts_with(s));
        !path.is_empty() && rest.is_some_and(below)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_known_task_says_why_and_matches_something() {
        for known in ALL.iter().flat_map(|lore| lore.known) {
            assert!(!known.why.is_empty() && !known.names[0].is_empty(), "{known:?}");
            let says = !known.frames.is_empty() || !known.creator.is_empty() || !known.waits.is_empty();
            assert!(says, "{known:?}");
        }
    }

    #[test]
    fn a_runtime_has_one_lore() {
        let names: Vec<_> = ALL.iter().flat_map(|lore| lore.runtimes).collect();
        assert_eq!(names.iter().collect::<std::collections::BTreeSet<_>>().len(), names.len());
        assert!(std::ptr::eq(of("go"), &raw const go::LORE));
        assert!(of("cilk").runtimes.is_empty());
    }

    #[test]
    fn packages_below_a_path() {
        let neutral = Packages::NEUTRAL;
        for below in ["ex.com/lib", "ex.com/lib/sub", "ex.com/lib::sub", "ex.com/lib.sub"] {
            assert!(neutral.is_below(below, "ex.com/lib"), "{below}");
        }
        assert!(!neutral.is_below("ex.com/library", "ex.com/lib"));
        assert!(!neutral.is_below("anything", ""));
        assert!(!go::LORE.packages.is_below("ex.com/lib.v2", "ex.com/lib"));
    }
}
