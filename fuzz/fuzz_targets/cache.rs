//! What is kept of debug information: whatever the bytes, looking for answers in them ends without a panic.
#![no_main]

use libfuzzer_sys::fuzz_target;
use loiter::__test::cache;
use loiter::__test::symbols::types::{Machine, read_as_each};

struct Registers;

impl Machine for Registers {
    fn register(&self, number: u16) -> Option<u64> {
        (number < 17).then(|| u64::from(number) << 4)
    }

    fn word(&self, address: u64) -> Option<u64> {
        address.checked_add(8)
    }
}

fuzz_target!(|data: &[u8]| {
    let (question, rest) = data.split_at(data.len().min(3));
    for bytes in [rest.to_vec(), cache::framed(rest)] {
        let key_len = rest.len().min(2);
        for key in [&[][..], &rest[..key_len], &rest[rest.len() - key_len..]] {
            if let Some(answer) = cache::answer_in(bytes.clone(), key, question) {
                read_as_each(&answer, &Registers);
            }
        }
    }
    assert!(read_as_each(data, &Registers) <= 5);
});
