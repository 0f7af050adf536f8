//! Tokio tasks and await places, read back by the format.

#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::future::{Future, pending, poll_fn};
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use common::{Reader, TaskRead};
use loiter_registry::{AwaitExt, Registration, Registry, RuntimeKind, WaitReason, at, tokio as tasks, track};
use tokio::sync::{Mutex, Notify, oneshot};
use tokio::task::yield_now;

/// Lets all other tasks come to rest.
async fn settle() {
    for _ in 0..20 {
        yield_now().await;
    }
}

/// Polls a registered future by hand and says what the registry has of it after each poll.
struct Polled<F> {
    future: std::pin::Pin<Box<loiter_registry::Tracked<F>>>,
    id: u64,
    reader: Reader,
}

impl<F: Future> Polled<F> {
    fn new(future: F) -> Polled<F> {
        let future = Box::pin(Registration::new().track(future));
        Polled { id: future.id().unwrap(), future, reader: Reader::main() }
    }

    fn poll(&mut self) -> (bool, TaskRead) {
        let ready = self.future.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready();
        (ready, self.reader.task(self.id))
    }

    /// Polls, expecting to be pending with these stack and places.
    #[track_caller]
    fn stands_at(&mut self, stack: &[&str], places: &[&str]) {
        let (ready, read) = self.poll();
        assert!(!ready);
        assert_eq!((read.stack(), read.places()), (owned(stack), owned(places)));
    }
}

fn owned(names: &[&str]) -> Vec<String> {
    names.iter().map(ToString::to_string).collect()
}

/// Pending for so many polls.
fn turns(mut left: u32) -> impl Future<Output = ()> {
    poll_fn(move |_| {
        if left == 0 {
            return Poll::Ready(());
        }
        left -= 1;
        Poll::Pending
    })
}

#[tokio::test]
async fn tasks_have_parent_place_name_and_type() {
    let (sender, receiver) = oneshot::channel();
    let line = line!() + 1;
    let outer = tasks::spawn_named("outer", async move {
        let inner = tasks::spawn_named(String::from("inner"), async {
            receiver.await.unwrap();
        });
        inner.await.unwrap();
    });
    settle().await;
    let reader = Reader::main();
    let (outer_read, inner_read) = (reader.named("outer"), reader.named("inner"));
    assert_eq!((outer_read.place.file.as_str(), outer_read.place.line), (file!(), line));
    assert_eq!(inner_read.place.line, line + 1);
    assert_eq!((inner_read.parent, outer_read.parent), (outer_read.id, 0));
    assert_eq!((outer_read.state, inner_read.state), (3, 3));
    assert!(outer_read.type_name.contains("tasks_have_parent_place_name_and_type"), "{outer_read:?}");
    assert_eq!(reader.header_u32(204), 1, "the runtime is Tokio");
    sender.send(()).unwrap();
    outer.await.unwrap();
    settle().await;
    assert_eq!((reader.named("outer").id, reader.named("inner").id), (0, 0));
}

#[tokio::test]
async fn blocking_jobs_join_sets_and_local_tasks_are_registered() {
    let reader = Reader::main();
    let (go, wait) = std::sync::mpsc::channel::<()>();
    let (begun, running) = oneshot::channel();
    let job = tasks::Builder::new().name("a job").spawn_blocking(move || {
        begun.send(loiter_registry::current_id()).unwrap();
        wait.recv().unwrap_err();
        5
    });
    let id = running.await.unwrap();
    let read = reader.named("a job");
    assert_eq!((Some(read.id), read.state, read.kind), (id, 2, 1));
    drop(go);
    assert_eq!(job.await.unwrap(), 5);

    let mut set = tasks::JoinSet::new();
    let line = line!() + 1;
    set.spawn(async { Registration::new().name("set marker").register().id() });
    set.spawn_named("of a set", async { pending().await });
    settle().await;
    assert_eq!(reader.named("of a set").place.line, line + 1);
    assert!(set.join_next().await.unwrap().unwrap().is_some());
    set.abort_all();
    assert!(set.join_next().await.unwrap().unwrap_err().is_cancelled());
    assert_eq!(reader.named("of a set").id, 0, "aborted");

    let local = tokio::task::LocalSet::new();
    local
        .run_until(async {
            tasks::Builder::new().name("local").spawn_local(pending::<()>());
            assert_eq!((reader.named("local").kind, reader.named("local").state), (5, 1));
        })
        .await;
    drop(local);
    assert_eq!(reader.named("local").id, 0);
}

#[tokio::test]
async fn a_panicking_task_leaves_nothing() {
    let task = tasks::spawn_named("panics", async { async { panic!("on purpose") }.at("inside").await });
    assert!(task.await.unwrap_err().is_panic());
    assert_eq!(Reader::main().named("panics").id, 0);
    assert_eq!(loiter_registry::current_id(), None);
}

#[test]
fn nested_places_are_a_stack() {
    let mut task = Polled::new(async {
        async {
            turns(1).at("c").await;
            turns(1).at("d").await;
        }
        .at("b")
        .await;
        turns(1).await;
        turns(1).at("e").await;
    });
    task.stands_at(&["b", "c"], &["b", "c"]);
    task.stands_at(&["b", "d"], &["b", "d"]);
    task.stands_at(&[], &[]);
    task.stands_at(&["e"], &["e"]);
    assert!(task.poll().0);
}

#[test]
fn joined_futures_stand_at_all_their_places() {
    let mut task = Polled::new(
        async {
            tokio::join!(
                async {
                    turns(1).at("x1").await;
                    turns(2).at("x2").await;
                }
                .at("x"),
                turns(2).at("y"),
                turns(1).at("z"),
            )
        }
        .at("all"),
    );
    let first = task.poll().1;
    assert_eq!(first.places(), ["all", "x", "x1", "y", "z"]);
    assert_eq!(first.stack().len(), 2);
    let around: Vec<_> = first.slots.iter().map(|slot| slot.1).collect();
    assert_eq!(around.iter().filter(|slot| **slot == 255).count(), 1);
    assert_eq!(task.poll().1.places(), ["all", "x", "x2", "y"]);
    // y and z are over; what is left is a plain stack again.
    task.stands_at(&["all", "x", "x2"], &["all", "x", "x2"]);
    let (ready, read) = task.poll();
    assert!(ready && read.id == 0);
}

#[test]
fn the_losers_of_a_select_are_gone() {
    let mut task = Polled::new(async {
        tokio::select! {
            biased;
            () = async { pending::<()>().at("never inside").await }.at("never") => (),
            () = turns(1).at("once") => (),
        }
        turns(1).at("after").await;
    });
    assert_eq!(task.poll().1.places(), ["never", "never inside", "once"]);
    task.stands_at(&["after"], &["after"]);
    assert!(task.poll().0);
}

#[test]
fn a_cancelled_future_leaves_the_places_around_it() {
    let mut task = Polled::new(
        async {
            {
                let mut cancelled = pin!(async { turns(9).at("in").await }.at("out"));
                poll_fn(|cx| {
                    assert!(cancelled.as_mut().poll(cx).is_pending());
                    Poll::Ready(())
                })
                .await;
                turns(1).await;
            }
            turns(1).await;
        }
        .at("around"),
    );
    // Not polled, but still there: the task stands in it as well.
    let places = task.poll().1.places();
    assert_eq!(places, ["around", "in", "out"]);
    task.stands_at(&["around"], &["around"]);
    let Polled { future, id, reader } = task;
    drop(future);
    assert_eq!(reader.task(id).id, 0);
}

#[test]
fn a_future_that_moves_to_another_task_moves_its_place() {
    let mut moving = Some(Box::pin(turns(5).at("moving")));
    let (send, receive) = std::sync::mpsc::channel();
    let mut first = Polled::new(async move {
        let mut moving = moving.take().unwrap();
        assert!(poll_fn(|cx| Poll::Ready(moving.as_mut().poll(cx).is_pending())).await);
        turns(1).await;
        send.send(moving).unwrap();
        turns(1).await;
    });
    let mut second = Polled::new(async move {
        receive.recv().unwrap().await;
    });
    assert_eq!(first.poll().1.places(), ["moving"]);
    first.poll();
    second.stands_at(&["moving"], &["moving"]);
    assert_eq!(first.reader.task(first.id).places(), [""; 0]);
}

#[test]
fn forgotten_places_do_not_reach_the_next_task() {
    let mut task = Polled::new(async {
        let mut forgotten = Box::pin(turns(5).at("forgotten"));
        assert!(poll_fn(|cx| Poll::Ready(forgotten.as_mut().poll(cx).is_pending())).await);
        std::mem::forget(forgotten);
        turns(1).await;
    });
    assert_eq!(task.poll().1.places(), ["forgotten"]);
    assert!(task.poll().0);
    let mut next = Polled::new(turns(1).at("next"));
    assert_eq!(next.poll().1.places(), ["next"]);
}

#[test]
fn places_beyond_the_slots_are_counted() {
    fn deep(levels: u32) -> std::pin::Pin<Box<dyn Future<Output = ()>>> {
        Box::pin(async move {
            if levels == 0 {
                turns(1).await;
            } else {
                deep(levels - 1).at("level").await;
            }
        })
    }
    let mut task = Polled::new(async {
        deep(20).await;
        turns(1).at("after").await;
    });
    let read = task.poll().1;
    assert_eq!((read.slots.len(), read.lost), (13, 7));
    let read = task.poll().1;
    assert_eq!((read.places(), read.lost), (owned(&["after"]), 0));
}

async fn in_a_function() {
    at!(turns(1)).await;
}

#[test]
fn the_macro_takes_function_file_and_line() {
    let mut task = Polled::new(async {
        at!(in_a_function(), "by name").await;
    });
    let read = task.poll().1;
    let place = |name: &str| read.slots.iter().find(|slot| slot.2.name.ends_with(name)).unwrap().2.clone();
    assert_eq!((place("in_a_function").flags, place("by name").flags), (1, 0));
    assert_eq!(place("in_a_function").name, "tokio::in_a_function");
    assert_eq!(place("by name").file, file!());
    assert!(place("in_a_function").line < place("by name").line);
}

#[tokio::test]
async fn what_a_task_waits_for_is_known() {
    let lock = std::sync::Arc::new(Mutex::new(()));
    let held = lock.lock().await;
    let waiter = {
        let lock = lock.clone();
        tasks::spawn_named("waits for a lock", async move {
            let _held = lock.lock().waiting_for(WaitReason::Lock, &*lock).at("locking").await;
            turns(1).await;
        })
    };
    let notify = Notify::new();
    settle().await;
    let reader = Reader::main();
    let read = reader.named("waits for a lock");
    assert_eq!((read.state, read.wait_reason), (3, 3));
    assert_eq!(read.wait_address, std::ptr::from_ref(&*lock).addr() as u64);
    drop(held);
    settle().await;
    assert_eq!(reader.named("waits for a lock").wait_reason, 0);
    waiter.abort();

    let mut task = Polled::new(async {
        let _ = tokio::time::timeout(Duration::ZERO, async {
            notify.notified().waiting_because("the pipeline is empty", &notify).await;
        })
        .await;
        turns(1).await;
    });
    let mut other = Polled::new(notify.notified().waiting_because("the pipeline is empty", &notify));
    assert_eq!(other.poll().1.wait_text, "the pipeline is empty");
    // The wait was dropped in the poll that began it.
    tokio::time::sleep(Duration::from_millis(2)).await;
    let read = task.poll().1;
    assert!(read.wait_text.is_empty() || read.stack().is_empty());
}

#[tokio::test]
async fn never_polled_busy_and_unyielding_tasks_can_be_told() {
    static PRECISE: Registry = Registry::new("precise", RuntimeKind::Tokio);
    PRECISE.use_precise_clock();
    let reader = Reader::new(common::Memory::own(), PRECISE.address() as u64);
    let register = |name: &'static str| Registration::new().registry(&PRECISE).name(name);
    let never = register("never").track(pending::<()>());
    let mut busy = pin!(register("busy").track(turns(1000)));
    for _ in 0..500 {
        assert!(busy.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    }
    let slow = register("slow").track(async {
        std::thread::sleep(Duration::from_millis(20));
        let own = Reader::new(common::Memory::own(), PRECISE.address() as u64).named("slow");
        assert_eq!((own.state, own.polls, own.end), (2, 1, 0));
        turns(1).await;
    });
    let mut slow = pin!(slow);
    assert!(slow.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    assert_eq!((reader.named("never").polls, reader.named("never").state), (0, 1));
    assert_eq!(reader.named("busy").polls, 500);
    let slow = reader.named("slow");
    assert!(slow.end - slow.start >= 20_000_000);
    drop(never);
}

#[tokio::test]
async fn tracked_futures_inside_a_task_are_its_children() {
    let task = tasks::spawn_named("parent of tracked", async {
        track(async { pending::<()>().at("deep").await }).at("outside").await;
    });
    settle().await;
    let reader = Reader::main();
    let parent = reader.named("parent of tracked");
    let child = reader.tasks().into_iter().find(|task| task.parent == parent.id).unwrap();
    assert_eq!((parent.stack(), child.stack()), (owned(&["outside"]), owned(&["deep"])));
    task.abort();
    let _ = task.await;
    assert_eq!(reader.task(child.id).id, 0);
}
