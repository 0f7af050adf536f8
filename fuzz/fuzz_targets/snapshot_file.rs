//! No bytes may make the reader of snapshot files panic or take memory without bound, and whatever
//! it accepts must be valid and survive being written again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use loiter::snapshot::file;

fuzz_target!(|data: &[u8]| {
    let _ = file::preview(data);
    if let Ok(snapshot) = file::read(data) {
        assert_eq!(snapshot.validate(), Ok(()));
        let mut again = Vec::new();
        file::write(&snapshot, &mut again).expect("a valid snapshot can be written");
        assert_eq!(file::read(&again[..]).expect("and read"), snapshot);
    }
});
