//! Tokio's tasks: whatever the words in the memory of a real program become, reading ends, and gives a snapshot that holds
//! together; memory that is whole again is read as before.
//!
//! `LOITER_FUZZ_CORE` names a core file of a program that has tasks and debug information of types (`gcore PID`),
//! `LOITER_FUZZ_PROGRAM` the program, if it is no longer where it was.
#![no_main]

use std::env;
use std::path::Path;
use std::sync::{LazyLock, Mutex};

use libfuzzer_sys::fuzz_target;
use loiter::process;
use loiter::runtimes::Readable;

#[path = "../../tests/common/damaged.rs"]
mod damaged;

use damaged::Damaged;

/// Bytes of the input for one word.
const CHANGE: usize = 12;
/// The program is found anew in one of so many inputs: that takes longer than reading it.
const ANEW: u8 = 8;
/// How many words are changed at most.
const MOST: usize = 32;

struct Whole {
    target: Damaged,
    readable: Readable,
    used: Vec<u64>,
    said: Vec<String>,
}

static WHOLE: LazyLock<Mutex<Whole>> = LazyLock::new(|| {
    let core = env::var("LOITER_FUZZ_CORE").expect("LOITER_FUZZ_CORE names a core file");
    let program = env::var("LOITER_FUZZ_PROGRAM").ok();
    let core = process::open_core(Path::new(&core), program.as_deref().map(Path::new)).expect("a core file");
    let mut target = Damaged::new(core);
    let readable = Readable::find(&target).expect("a program with tasks");
    let (said, used) = (target.said(&readable), target.used(&readable));
    Mutex::new(Whole { target, readable, used, said })
});

fuzz_target!(|data: &[u8]| {
    let mut whole = WHOLE.lock().expect("no input failed before");
    let Whole { target, readable, used, said } = &mut *whole;
    let Some((first, data)) = data.split_first() else { return };
    let changes = data.chunks_exact(CHANGE).take(MOST).map(|change| {
        let [a, b, c, how, by @ ..] = change else { unreachable!("chunks have this length") };
        let nth = u32::from_le_bytes([*a, *b, *c, 0]) as usize;
        (nth, *how, by.iter().fold(0, |by, byte| by << 8 | u64::from(*byte)))
    });
    target.change(used, changes);
    target.read(readable);
    if first % ANEW == 0 {
        target.read_anew();
    }
    target.change(used, std::iter::empty());
    assert_eq!(&target.said(readable), said);
});
