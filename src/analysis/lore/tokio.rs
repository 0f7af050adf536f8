//! Rust: Tokio, other executors that export their tasks, and native code in any program.

use super::{ACCEPT_LOOP, KnownTask, Lore, Packages, each};
use crate::analysis::owner::{Code, Owner};

/// What is known of Rust's programs.
pub static LORE: Lore = Lore {
    runtimes: &["tokio", "registry"],
    known: KNOWN,
    http_bodies: None,
    timer_element: None,
    signal_element: None,
    collectors: &[],
    endings: &[],
    tests: None,
    packages: Packages { separators: &["::"], owner_by_file, ..Packages::NEUTRAL },
};

const KNOWN: &[KnownTask] = &[
    ACCEPT_LOOP,
    each(
        ["idle pool", "idle pools"],
        &["*hyper_util*::IdleTask*"],
        "closes connections that are idle for too long",
    ),
];

/// Crates are in the package manager's cache, and the standard library is where the compiler was built. A path
/// in neither is the program's own.
fn owner_by_file(code: &Code<'_>) -> Option<Owner> {
    if ["/.cargo/", "/vendor/"].iter().any(|part| code.file.contains(part)) {
        Some(Owner::ThirdParty)
    } else if code.file.starts_with("/rustc/") {
        Some(Owner::Below)
    } else {
        code.package.contains("::").then_some(Owner::Program)
    }
}
