//! Dumps in logs: whatever the bytes, no panic, nothing larger than its input, and a snapshot that holds
//! together.
#![no_main]

use libfuzzer_sys::fuzz_target;
use loiter::import::GoLog;
use loiter::snapshot::Snapshot;

fuzz_target!(|data: &[u8]| {
    let log = GoLog::parse(data);
    let frames: usize = log.dump.goroutines.iter().map(|goroutine| goroutine.frames.len()).sum();
    assert!(log.dump.goroutines.len() + frames <= data.len() + 1);
    assert!(log.dumps.iter().sum::<usize>() >= log.dump.goroutines.len());
    Snapshot::from(&log.dump).validate().expect("the snapshot holds together");
});
