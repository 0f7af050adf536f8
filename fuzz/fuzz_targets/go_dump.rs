//! Go's dumps as text: whatever the bytes, no panic, nothing larger than its input, and a snapshot that
//! holds together.
#![no_main]

use libfuzzer_sys::fuzz_target;
use loiter::import::GoDump;
use loiter::snapshot::Snapshot;

fuzz_target!(|data: &[u8]| {
    let dump = GoDump::parse(data);
    let frames: usize = dump.goroutines.iter().map(|goroutine| goroutine.frames.len()).sum();
    assert!(dump.goroutines.len() + frames <= data.len() + 1);
    let snapshot = Snapshot::from(&dump);
    assert_eq!(snapshot.tasks.len(), dump.goroutines.len());
    snapshot.validate().expect("the snapshot holds together");
});
