//! No bytes may make the reader of recordings panic or take memory without bound, and whatever it accepts must be
//! valid and survive being written again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use loiter::recording::file;

fuzz_target!(|data: &[u8]| {
    if let Ok(recording) = file::read(data) {
        assert_eq!(recording.validate(), Ok(()));
        let mut again = Vec::new();
        file::write(&recording, &mut again).expect("a valid recording can be written");
        assert_eq!(file::read(&again[..]).expect("and read"), recording);
    }
});
