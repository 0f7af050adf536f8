//! What `loiter why` finds in systems of processes that know who waits for whom.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;
#[path = "why/plan.rs"]
mod plan;
#[path = "why/registered.rs"]
mod registered;
#[path = "why/running.rs"]
mod running;

use common::random::Random;
use plan::Plan;
use running::System;

#[test]
fn systems_come_up() {
    for seed in 0..10 {
        let mut random = Random::new(seed);
        let plan = Plan::random(2 + seed as usize % 5, &mut random);
        eprintln!("{seed}: {} edges", plan.edges.len());
        let system = System::start(plan);
        assert!(system.pid(0) > 0);
    }
}
