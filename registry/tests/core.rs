//! The runtime-free core, read back by the format.

#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use common::Reader;
use loiter_registry::{Kind, Registration, Registry, RuntimeKind, WaitReason, current_id, place};

#[test]
fn a_task_is_read_as_it_was_registered() {
    let mut task = Registration::new().name("worker").type_of::<Vec<u8>>().kind(Kind::Thread).register();
    let line = line!() - 1;
    let reader = Reader::main();
    let id = task.id().unwrap();
    let read = reader.task(id);
    assert_eq!((read.name.as_str(), read.type_name.as_str()), ("worker", "alloc::vec::Vec<u8>"));
    assert_eq!((read.place.file.as_str(), read.place.line), (file!(), line));
    assert_eq!((read.state, read.kind, read.polls, read.parent), (1, 2, 0, 0));
    assert!(read.spawned_ns > 0);

    let object = 7_u64;
    task.run(|| {
        let running = reader.task(id);
        assert_eq!((running.state, running.polls), (2, 1));
        assert_ne!(running.thread, 0);
        assert_eq!(current_id(), Some(id));
        let child = Registration::new().name(format!("child of {id}")).register();
        let read = reader.task(child.id().unwrap());
        assert_eq!((read.parent, read.name), (id, format!("child of {id}")));
    });
    assert_eq!(current_id(), None);
    task.waiting_for(WaitReason::Lock, &object);
    let read = reader.task(id);
    assert_eq!((read.state, read.wait_reason), (3, 3));
    assert_eq!(read.wait_address, std::ptr::from_ref(&object).addr() as u64);
    assert!(read.end >= read.start && read.start > 0);
    task.waiting_at(place!("the moon"), &object);
    assert_eq!(reader.task(id).wait_text, "the moon");
    task.ready();
    assert_eq!(reader.task(id).state, 5);
    task.finished();
    assert_eq!(reader.task(id).state, 4);
    drop(task);
    assert_eq!(reader.task(id).id, 0);
}

#[test]
fn slots_are_reused_with_a_generation_and_memory_is_bounded() {
    static SMALL: Registry = Registry::new("small", RuntimeKind::ThreadPool);
    SMALL.set_limit(3);
    let reader = Reader::new(common::Memory::own(), SMALL.address() as u64);
    assert_eq!(reader.header_u32(220), 0, "no pid before the first task");
    let register = || Registration::new().registry(&SMALL).register();
    let mut tasks: Vec<_> = (0..5).map(|_| register()).collect();
    assert_eq!((SMALL.spawned(), SMALL.dropped(), SMALL.finished()), (3, 2, 0));
    assert_eq!(tasks.iter().filter(|task| task.id().is_none()).count(), 2);
    assert_eq!(reader.header_u32(656), 3, "high water");
    assert_eq!(reader.header_u32(220), std::process::id());
    for task in &mut tasks {
        task.running(); // those that were not registered too
    }
    drop(tasks);
    assert_eq!(SMALL.finished(), 3);
    let again = register();
    let read = reader.task(again.id().unwrap());
    assert_eq!((read.id, read.generation, read.state, read.polls), (4, 1, 1, 0));

    // It is found from the main registry.
    let main = Reader::main();
    let _task = Registration::new().register();
    let mut next = main.header_u64(256);
    while next != 0 && next != SMALL.address() as u64 {
        next = main.memory.u64(next + 256);
    }
    assert_ne!(next, 0);
    assert_eq!(main.memory.string(reader.header_u64(224), reader.header_u32(232)), "small");
}

#[test]
fn chunks_hold_what_the_format_says() {
    static BIG: Registry = Registry::new("big", RuntimeKind::Other);
    let tasks: Vec<_> = (0..10_000).map(|_| Registration::new().registry(&BIG).register()).collect();
    let reader = Reader::new(common::Memory::own(), BIG.address() as u64);
    let ids: Vec<_> = reader.copy().iter().map(|entry| reader.field_u64(entry, 2)).collect();
    assert_eq!(ids, (1..=10_000).collect::<Vec<_>>());
    drop(tasks);
    assert!(reader.tasks().is_empty());
}

#[test]
fn names_made_at_run_time_are_kept_once_and_bounded() {
    let first = Registration::new().name(String::from("twice")).register();
    let second = Registration::new().name(String::from("twice")).register();
    let reader = Reader::main();
    let address = |id| {
        let entries = reader.copy();
        let found = entries.iter().find(|entry| reader.field_u64(entry, 2) == id);
        reader.field_u64(found.unwrap(), 7)
    };
    assert_eq!(address(first.id().unwrap()), address(second.id().unwrap()));
}

#[test]
fn a_panic_in_a_part_leaves_the_thread_right() {
    let mut task = Registration::new().name("panics").register();
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| task.run(|| panic!("so"))));
    assert!(result.is_err());
    assert_eq!(current_id(), None);
}

#[test]
fn tasks_that_end_on_other_threads_give_their_entries_back() {
    static SHARED: Registry = Registry::new("shared", RuntimeKind::Other);
    std::thread::scope(|scope| {
        let (send, receive) = std::sync::mpsc::sync_channel(100);
        scope.spawn(move || receive.into_iter().for_each(drop::<loiter_registry::Task>));
        for _ in 0..20_000 {
            send.send(Registration::new().registry(&SHARED).register()).unwrap();
        }
    });
    assert_eq!((SHARED.spawned(), SHARED.finished(), SHARED.dropped()), (20_000, 20_000, 0));
    let reader = Reader::new(common::Memory::own(), SHARED.address() as u64);
    assert!(reader.header_u32(656) <= 110, "{} entries for 100 tasks at a time", reader.header_u32(656));
}

/// Ready at once; counts how often it is dropped, and panics then if it is told to.
struct Dropped(std::sync::Arc<std::sync::atomic::AtomicU32>, bool);

impl Future for Dropped {
    type Output = ();

    fn poll(self: std::pin::Pin<&mut Self>, _: &mut std::task::Context<'_>) -> std::task::Poll<()> {
        std::task::Poll::Ready(())
    }
}

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        assert!(!self.1, "told to");
    }
}

/// Finished, never polled, its drop panicking, without an entry: a future is dropped once.
#[test]
fn a_tracked_future_is_dropped_once() {
    static FULL: Registry = Registry::new("full", loiter_registry::RuntimeKind::Other);
    FULL.set_limit(0);
    for full in [false, true] {
        for (polled, panics) in [(false, false), (true, false), (true, true)] {
            let count = std::sync::Arc::default();
            let mut registration = Registration::new();
            if full {
                registration = registration.registry(&FULL);
            }
            let mut task = Box::pin(registration.track(Dropped(std::sync::Arc::clone(&count), panics)));
            assert_eq!(task.id().is_none(), full);
            if polled {
                let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
                let poll = std::panic::AssertUnwindSafe(|| task.as_mut().poll(&mut cx));
                assert_eq!(std::panic::catch_unwind(poll).is_err(), panics);
                assert_eq!((task.id(), loiter_registry::current_id()), (None, None));
            }
            drop(task);
            assert_eq!(count.load(std::sync::atomic::Ordering::Relaxed), 1);
        }
    }
    assert_eq!((FULL.spawned(), FULL.finished(), FULL.dropped()), (0, 0, 3));
}
