//! Many runs of a short program while the machine is busy: nothing hangs, and nothing changes.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use crate::common::amount;
use crate::{gate, newest, plain, run, stderr};

/// Keeps all processors busy until it is dropped.
struct Load<'a>(&'a AtomicBool);

impl Drop for Load<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn short_programs_stay_what_they_are_under_load() {
    let (program, stop) = (newest(), AtomicBool::new(false));
    let mut alone = std::process::Command::new(&program);
    plain(alone.args(["output", "0"]));
    let alone = run(alone);
    let runs = amount("LOITER_GATE_RUNS", 20, 100);
    let processors = thread::available_parallelism().map_or(2, usize::from);
    thread::scope(|scope| {
        let _load = Load(&stop);
        for _ in 0..processors {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    std::hint::spin_loop()
                }
            });
        }
        for nth in 0..runs {
            let gated = run(gate(&[], &program, &["output", "0"]));
            assert_eq!(gated.status, alone.status, "run {nth}: {}", stderr(&gated));
            assert_eq!((&gated.stdout, stderr(&gated)), (&alone.stdout, stderr(&alone)), "run {nth}");
        }
    });
}
