//! Go's goroutine profiles as text: whatever the bytes, no panic, no more tasks than are believed, and a
//! snapshot that holds together.
#![no_main]

use libfuzzer_sys::fuzz_target;
use loiter::import::GoProfile;
use loiter::snapshot::Snapshot;

fuzz_target!(|data: &[u8]| {
    let profile = GoProfile::parse(data);
    let frames: usize = profile.stacks.iter().map(|stack| stack.frames.len() + stack.pcs.len()).sum();
    assert!(profile.stacks.len() + frames <= data.len() + 1);
    if let Ok(snapshot) = Snapshot::try_from(&profile) {
        assert_eq!(snapshot.task_count(), profile.counted());
        snapshot.validate().expect("the snapshot holds together");
    }
});
