//! A reader hammering writers sees no mixed entry. The reader is what another process is: copies
//! made by the kernel, judged by the format's rules.

#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use common::{Memory, Reader, u64_at};
use loiter_registry::{AwaitExt, Registration, Registry, RuntimeKind};

static HAMMERED: Registry = Registry::new("hammered", RuntimeKind::Other);
static STOP: AtomicBool = AtomicBool::new(false);

/// Registers and ends tasks whose header, parent and kind of name all follow from one number.
fn write(thread: u64) -> u64 {
    let names = ["even", "odd"];
    let mut number = thread << 40;
    // Once at least, however late this thread gets a CPU.
    loop {
        let batch: Vec<_> = (0..8)
            .map(|_| {
                number += 1;
                let mut task = Registration::new()
                    .registry(&HAMMERED)
                    .name(names[(number % 2) as usize])
                    .task_header(number)
                    .parent(Some(number ^ u64::MAX))
                    .register();
                task.waiting_for(loiter_registry::WaitReason::Lock, number as *const u8);
                task
            })
            .collect();
        drop(batch);
        if STOP.load(Ordering::Relaxed) {
            return number - (thread << 40);
        }
    }
}

#[test]
fn no_entry_is_mixed() {
    let reader = Reader::new(Memory::own(), HAMMERED.address() as u64);
    let seconds = std::env::var("LOITER_STRESS_SECONDS").ok().and_then(|s| s.parse().ok()).unwrap_or(1);
    let writers: Vec<_> = (0..2).map(|thread| std::thread::spawn(move || write(thread))).collect();
    let (mut accepted, mut moving) = (0_u64, 0_u64);
    let end = Instant::now() + Duration::from_secs(seconds);
    // On a slow machine it takes longer to find an entry that does not move.
    while Instant::now() < end || accepted == 0 {
        let first = reader.copy();
        std::sync::atomic::fence(Ordering::SeqCst);
        for (one, two) in first.iter().zip(reader.copy()) {
            // The fields that seq covers: the first line, header and kind.
            let covered = |e: &[u8]| [&e[..64], &e[128..140]].concat();
            let (seq, id) = (reader.field_u32(one, 0), reader.field_u64(one, 2));
            if seq % 2 != 0 || covered(one) != covered(&two) {
                moving += 1;
                continue;
            }
            if id == 0 {
                continue;
            }
            accepted += 1;
            let number = reader.field_u64(one, 20);
            assert_eq!(reader.field_u64(one, 3), number ^ u64::MAX, "parent of another task");
            let name = reader.memory.string(reader.field_u64(one, 7), reader.field_u32(one, 9));
            assert_eq!(name, ["even", "odd"][(number % 2) as usize], "name of another task");
        }
    }
    STOP.store(true, Ordering::Relaxed);
    let written: u64 = writers.into_iter().map(|writer| writer.join().unwrap()).sum();
    println!("{accepted} accepted, {moving} moving, {written} tasks written in {seconds} s");
    assert!(accepted > 0 && written > 0);
    assert_eq!(HAMMERED.spawned(), HAMMERED.finished());
    assert_eq!(HAMMERED.dropped(), 0);
}

/// Places come and go by rules: each copy that its version says is whole must keep them.
#[test]
fn no_chain_is_mixed() {
    static DONE: AtomicBool = AtomicBool::new(false);
    let (send, receive) = std::sync::mpsc::channel();
    let writer = std::thread::spawn(move || {
        let task = Registration::new().track(async {
            while !DONE.load(Ordering::Relaxed) {
                async {
                    async { step().at("c").await }.at("b").await;
                    async { step().at("e").await }.at("d").await;
                }
                .at("a")
                .await;
            }
        });
        send.send(task.id().unwrap()).unwrap();
        let mut task = std::pin::pin!(task);
        let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
        while task.as_mut().poll(&mut cx).is_pending() {}
    });
    let id = receive.recv().unwrap();
    let reader = Reader::main();
    let mut whole = 0;
    let end = Instant::now() + Duration::from_millis(500);
    while Instant::now() < end || whole == 0 {
        let (first, second) = (reader.copy(), reader.copy());
        let of = |copy: &[Vec<u8>]| copy.iter().find(|e| u64_at(e, 8) == id).unwrap().clone();
        let (one, two) = (of(&first), of(&second));
        if one[144..150] != two[144..150] || one[152..] != two[152..] {
            continue;
        }
        whole += 1;
        let mut names = reader.entry(&one).unwrap().places();
        names.insert(0, String::new());
        assert!(
            ["", "a", "ab", "abc", "ad", "ade"].contains(&names.concat().as_str()),
            "{names:?} never stood there together"
        );
    }
    DONE.store(true, Ordering::Relaxed);
    writer.join().unwrap();
    println!("{whole} whole chains");
    assert!(whole > 0);
}

fn step() -> impl Future<Output = ()> {
    let mut polled = false;
    std::future::poll_fn(move |_| {
        if std::mem::replace(&mut polled, true) {
            std::task::Poll::Ready(())
        } else {
            std::task::Poll::Pending
        }
    })
}
