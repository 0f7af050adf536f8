use proptest::prelude::*;

use super::*;
use crate::process::{Range, Result};

/// Memory in which nothing is.
struct Nothing;

impl Memory for Nothing {
    fn read(&self, address: u64, buf: &mut [u8]) -> Result<()> {
        Err(TargetError::Unmapped { address, len: buf.len() })
    }

    fn read_many(&self, _: &[Range], _: &mut [u8], ok: &mut [bool]) -> Result<()> {
        ok.fill(false);
        Ok(())
    }
}

fn vtable(address: u64, scheduler: u64, id: u64) -> Vtable {
    Vtable { address, poll: 1, schedule: 2, dealloc: 3, trailer: 128, scheduler, id, spawned_at: None }
}

fn known() -> Known {
    Known::new(vec![vtable(0x8000, 32, 40), vtable(0x9000, 32, 48)])
}

fn found(words: &[u64]) -> Vec<Header> {
    let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    let mut found = Vec::new();
    parse(&Nothing, &known(), 0x10000, &bytes, bytes.len(), &mut found);
    found
}

/// State, link, vtable, owner, scheduler, id.
const TASK: [u64; 6] = [2 << 6 | 8, 0, 0x8000, 7, 0x20000, 41];

fn with(place: usize, word: u64) -> Vec<Header> {
    let mut words = TASK;
    words[place] = word;
    found(&words)
}

#[test]
fn a_live_task() {
    let [task] = found(&[&[0, 0], &TASK[..], &[0]].concat())[..] else { panic!("one task") };
    assert_eq!((task.address, task.id, task.owner, task.scheduler), (0x10010, 41, 7, 0x20000));
    assert!(task.has_no_waker(), "the list and the handle hold all references");
    assert!(!with(0, 3 << 6 | 8)[0].has_no_waker(), "a third reference may be a waker");
    assert!(!with(0, 2 << 6 | 8 | 4)[0].has_no_waker(), "it is going to run");
}

#[test]
fn what_is_no_live_task() {
    assert_eq!(with(0, 8), [], "no references: freed");
    assert_eq!(with(0, 0x7f12_3456_7890), [], "an allocator's link");
    assert_eq!(with(1, 0x1234_5678_9abc_def1), [], "an allocator's key");
    assert_eq!(with(3, 0), [], "a copy from before the task was in a list");
    assert_eq!(with(4, 1), [], "no scheduler");
    assert_eq!(with(5, 0), [], "no id");
    assert_eq!(with(2, 0x8008), [], "not a vtable");
    assert_eq!(found(&TASK[..5]), [], "cut");
}

#[test]
fn a_blocking_job_has_no_owner() {
    let job = [3 << 6 | 8 | 4, 0, 0x9000, 0, 0, 0, 12];
    assert_eq!(found(&job).len(), 1);
    assert_eq!(found(&[&job[..3], &[7], &job[4..]].concat()), []);
}

#[test]
fn only_headers_that_begin_in_the_piece() {
    let bytes: Vec<u8> = TASK.iter().flat_map(|word| word.to_le_bytes()).collect();
    let mut headers = Vec::new();
    parse(&Nothing, &known(), 0x10000, &bytes, 0, &mut headers);
    assert_eq!(headers, []);
}

proptest! {
    #[test]
    fn any_memory(
        words in proptest::collection::vec(
            prop_oneof![Just(0x8000), Just(0x9000), 0_u64..1024, any::<u64>()], 0..128),
        base: u64,
        own in 0_usize..2048,
    ) {
        let bytes: Vec<u8> = words.iter().flat_map(|word: &u64| word.to_le_bytes()).collect();
        let mut headers = Vec::new();
        parse(&Nothing, &known(), base, &bytes, own, &mut headers);
        prop_assert!(headers.len() <= words.len());
    }
}
