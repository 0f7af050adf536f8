//! The bytes that the format says, whoever writes them. A change here is a new version of the format.

#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use common::{Memory, Reader};
use loiter_registry::{Kind, Registration, Registry, RuntimeKind, WaitReason, place};

/// The header up to the pid.
const HEADER: &str = "
    4c4f495445525247 0100 0000 00030000 00010000 28000000 1b000000 07000000
    00000000 04000000 08000000 10000000 18000000 20000000 28000000 30000000
    38000000 3c000000 40000000 44000000 48000000 50000000 58000000 60000000
    68000000 70000000 74000000 78000000 80000000 88000000 8c000000 90000000
    94000000 96000000 98000000 ffffffff ffffffff ffffffff ffffffff ffffffff
    00000000 08000000 10000000 14000000 18000000 1c000000 20000000 ffffffff
    00040000 18000000 0d000000 01000000 06000000 06000000 00000000";

/// The second task in an entry, waiting: addresses, times and the thread's number as 0xee.
const ENTRY: &str = "
    04000000 01000000 0200000000000000 0700000000000000 eeeeeeeeeeeeeeee
    eeeeeeeeeeeeeeee eeeeeeeeeeeeeeee eeeeeeeeeeeeeeee 05000000 06000000
    0a000000 03000000 0100000000000000 eeeeeeeeeeeeeeee eeeeeeeeeeeeeeee
    3412000000000000 0000000000000000 06000000 eeeeeeee eeeeeeeeeeeeeeee
    cdab000000000000 03000000 eeeeeeee 00000000 0000 ff 00
    0000000000000000 0000000000000000 0000000000000000 0000000000000000 0000000000000000
    0000000000000000 0000000000000000 0000000000000000 0000000000000000 0000000000000000
    0000000000000000 0000000000000000 0000000000000000";

/// A location with a name of six bytes: addresses, length of the file's name and line as 0xee.
const LOCATION: &str = "
    eeeeeeeeeeeeeeee eeeeeeeeeeeeeeee eeeeeeee 06000000 eeeeeeee eeeeeeee 0000000000000000";

static GOLDEN: Registry = Registry::new("golden", RuntimeKind::Tokio);

/// Compares, leaving out 0xee; says which byte is another.
#[track_caller]
fn compare(bytes: &[u8], golden: &str) {
    let digits: String = golden.split_whitespace().collect();
    assert_eq!(digits.len(), bytes.len() * 2);
    for (at, byte) in bytes.iter().enumerate() {
        let golden = u8::from_str_radix(&digits[2 * at..2 * at + 2], 16).unwrap();
        assert!(golden == 0xee || golden == *byte, "byte {at}: {byte:02x} instead of {golden:02x}");
    }
}

#[test]
fn header_entry_and_location() {
    let memory = Memory::own();
    let at = GOLDEN.address() as u64;
    assert_eq!(at % 64, 0);
    compare(&memory.bytes(at, 220), HEADER);
    assert_eq!(memory.bytes(at + 220, 4), [0; 4], "no pid before the first task");

    let registration = || Registration::new().registry(&GOLDEN).type_name("types").name("golden");
    drop(registration().register());
    let registration = registration().parent(Some(7)).kind(Kind::Actor).task_header(0xabcd);
    let mut task = registration.register();
    task.running();
    task.waiting_for(WaitReason::Semaphore, 0x1234 as *const u8);
    let reader = Reader::new(Memory::own(), at);
    assert_eq!(reader.header_u64(512), 2);
    assert_eq!(reader.header_u64(576), 1);
    assert_eq!(reader.header_u32(656), 1);
    let entry = memory.bytes(reader.header_u64(264), 256);
    compare(&entry, ENTRY);

    let place = place!("golden");
    let bytes = memory.bytes(std::ptr::from_ref(place).addr() as u64, 40);
    compare(&bytes, LOCATION);
    let read = reader.place(std::ptr::from_ref(place).addr() as u64);
    assert_eq!((read.name.as_str(), read.file.as_str(), read.line), ("golden", file!(), place.line()));
}

#[test]
fn the_note_leads_to_the_main_registry() {
    drop(Registration::new().register());
    let found = common::registries(std::process::id());
    assert_eq!(found, [Registry::main().address() as u64]);
}
