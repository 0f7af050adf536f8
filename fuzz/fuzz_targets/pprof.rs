//! pprof profiles: whatever the bytes, no panic, no more than the limits allow; and what could be read
//! is written and read again as the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use loiter::import::pprof::{Limits, Profile, looks_like_pprof, read, read_any, read_within};
use loiter::report::pprof;

fuzz_target!(|data: &[u8]| {
    looks_like_pprof(data);
    let limits = Limits { bytes: 1 << 20, tasks: 1000, rows: 100 };
    if let Ok(Profile::Time(recording)) = read_any(data, limits) {
        assert_eq!(recording.validate(), Ok(()));
        assert!(recording.samples.len() <= limits.rows * 64);
    }
    let Ok(snapshot) = read_within(data, limits) else { return };
    assert_eq!(snapshot.validate(), Ok(()));
    assert!(snapshot.task_count() <= limits.tasks);
    let tasks: Vec<u32> = (0..snapshot.tasks.len() as u32).collect();
    let mut written = Vec::new();
    pprof::write_raw(&snapshot, &tasks, &mut written).expect("memory can be written");
    let again = read(&written).expect("what loiter writes it can read");
    assert_eq!(again.task_count(), snapshot.task_count());
});
