//! Tokio's tasks in memory that is not as Tokio left it: headers, schedulers, futures, what they point to.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use loiter::process;
use loiter::runtimes::Readable;

mod common;
#[path = "common/damaged.rs"]
mod damaged;

use common::random::Random;
use common::{TokioFixture, TokioFlavour};
use damaged::Damaged;

/// Words changed at a time.
const MOST: u32 = 12;
/// In one of so many rounds the program is found anew.
const ANEW: usize = 10;

/// Whatever memory says, reading ends with a snapshot that holds together. It says the same whatever was read before: of memory
/// that is like this by the ways that were learned from other memory, and again of memory that is whole.
#[test]
fn damaged_memory() {
    let program = common::build_tokio("1.54.1", TokioFlavour::Dev);
    let fixture =
        TokioFixture::start_program(&program, &["waits", "chains", "locks", "states", "roots", "many=20"]);
    let file = tempfile::NamedTempFile::new_in(program.parent().unwrap()).unwrap();
    common::write_core(fixture.pid(), file.path());
    drop(fixture);
    let mut target = Damaged::new(process::open_core(file.path(), Some(&program)).unwrap());
    let readers = [Readable::find(&target).unwrap(), Readable::find(&target).unwrap()];
    let whole = target.said(&readers[0]);
    assert!(whole.len() > 100, "{} tasks", whole.len());
    let used = target.used(&readers[0]);
    let mut random = Random::new(0x0070_6b69_6f21);
    let rounds = common::amount("LOITER_DAMAGED", 100, 300);
    let changes: Vec<Vec<(usize, u8, u64)>> = (0..rounds)
        .map(|round| {
            let count = 1 + round % MOST;
            (0..count).map(|_| (random.next() as usize >> 8, random.next() as u8, random.next())).collect()
        })
        .collect();
    let mut said = Vec::new();
    for (nth, changes) in changes.iter().enumerate() {
        target.change(&used, changes.iter().copied());
        said.push(target.said(&readers[0]));
        if nth % ANEW == 0 {
            target.read_anew();
        }
    }
    for (nth, changes) in changes.iter().enumerate().rev() {
        target.change(&used, changes.iter().copied());
        compare(&target.said(&readers[1]), &said[nth], &format!("round {nth}"));
    }
    target.change(&used, std::iter::empty());
    for readable in &readers {
        compare(&target.said(readable), &whole, "whole again");
    }
}

fn compare(one: &[String], other: &[String], about: &str) {
    for (one, other) in one.iter().zip(other) {
        assert_eq!(one, other, "{about}");
    }
    assert_eq!(one.len(), other.len(), "{about}");
}
