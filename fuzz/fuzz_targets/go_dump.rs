//! Go's dumps and profiles as text: whatever the bytes, no panic, nothing larger than its input.
#![no_main]

use libfuzzer_sys::fuzz_target;
use loiter::snapshot::dump::{GoDump, GoProfile};

fuzz_target!(|data: &[u8]| {
    let dump = GoDump::parse(data);
    let frames: usize = dump.goroutines.iter().map(|goroutine| goroutine.frames.len()).sum();
    assert!(dump.goroutines.len() + frames <= data.len() + 1);
    let profile = GoProfile::parse(data);
    assert!(profile.stacks.len() <= data.len() + 1);
});
