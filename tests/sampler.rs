//! Sampling real processes: what is recorded, compared with what the kernel counts. Most of these tests need root,
//! because they sample every CPU or become another user.
#![allow(clippy::unwrap_used, missing_docs, reason = "a test may panic")]

#[path = "sampler/off_cpu.rs"]
mod off_cpu;
#[path = "sampler/program.rs"]
mod program;
#[path = "sampler/rights.rs"]
mod rights;
#[path = "sampler/roles.rs"]
mod roles;
#[path = "sampler/running.rs"]
mod running;

use std::time::Duration;

use loiter::sampler::{Hurry, Record, Sampler, SamplerOptions};

/// A rate at which a test does not take long.
const FAST: u32 = 999;

fn options(every_cpu: bool) -> SamplerOptions {
    assert!(nix::unistd::Uid::effective().is_root(), "this test samples every CPU: run it as root");
    SamplerOptions { rate_hz: FAST, every_cpu: Some(every_cpu), ..SamplerOptions::default() }
}

/// Reads until something is true.
fn read_until(
    sampler: &mut Sampler,
    with: &mut dyn FnMut(Record<'_>),
    is_enough: &mut dyn FnMut(&Sampler) -> bool,
) {
    while !is_enough(sampler) {
        sampler.wait(Duration::from_millis(10));
        sampler.drain(with);
    }
}

/// Reads until there are so many samples.
fn read_samples(sampler: &mut Sampler, count: u64, with: &mut dyn FnMut(Record<'_>)) {
    read_until(sampler, with, &mut |sampler| sampler.tally().samples >= count);
}

/// Reads in a thread until `done` has returned, and then the rest. The thread is not kept from it by what else runs here:
/// its rings would run full.
fn read_while(sampler: &mut Sampler, with: &mut (dyn FnMut(Record<'_>) + Send), done: impl FnOnce()) {
    let over = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let over = &over;
        scope.spawn(|| {
            let _hurry = Hurry::begin();
            read_until(sampler, with, &mut |_| over.load(std::sync::atomic::Ordering::Acquire));
            sampler.stop();
            sampler.drain(with);
        });
        let _end = End(over);
        done();
    });
}

/// Ends the reading even if a check fails.
struct End<'a>(&'a std::sync::atomic::AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, std::sync::atomic::Ordering::Release);
    }
}
