//! Tokio programs without a registry.

use crate::common::{TokioFlavour, build_tokio};
use crate::{gate, run, stderr};

#[test]
fn tasks_of_tokio_that_are_left_fail_the_gate() {
    let program = build_tokio("1.54.1", TokioFlavour::Dev);
    // It ends with its input.
    let gated = run(gate(&[], &program, &["waits"]));
    assert_eq!(gated.status.code(), Some(1), "{}", stderr(&gated));
    for said in ["LEFT", "tokio/waits.rs", "in place of 0"] {
        assert!(stderr(&gated).contains(said), "{said}: {}", stderr(&gated));
    }
}

#[test]
fn a_runtime_of_tokio_without_tasks_leaves_nothing() {
    for (version, flavour) in [("1.28.2", TokioFlavour::Symbols), ("1.44.2", TokioFlavour::Stripped)] {
        let program = build_tokio(version, flavour);
        // Its workers may need a while to begin.
        let gated = run(gate(&["--settle", "60s"], &program, &[]));
        assert_eq!((gated.status.code(), stderr(&gated).as_str()), (Some(0), ""), "{version} {flavour:?}");
    }
}
