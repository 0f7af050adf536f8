//! What registering costs, beside plain Tokio, in one run.

use std::future::{Future, poll_fn};
use std::hint::black_box;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use loiter_registry::{AwaitExt, Registration, tokio as tasks, track};

/// Pending for ever, counting.
fn pending(polls: &mut u64) -> impl Future<Output = ()> {
    poll_fn(move |_| {
        *polls += 1;
        Poll::Pending
    })
}

fn core(c: &mut Criterion) {
    let mut group = c.benchmark_group("core");
    group.bench_function("register and drop", |b| {
        b.iter(|| drop(black_box(Registration::new().name("bench").register())));
    });
    let mut cx = Context::from_waker(Waker::noop());
    let (mut one, mut two, mut three) = (0, 0, 0);
    let mut plain = pin!(pending(&mut one));
    group.bench_function("poll, plain", |b| b.iter(|| black_box(plain.as_mut().poll(&mut cx))));
    let mut tracked = pin!(track(pending(&mut two)));
    group.bench_function("poll, tracked", |b| b.iter(|| black_box(tracked.as_mut().poll(&mut cx))));
    let mut places = pin!(track(pending(&mut three).at("one").at("two").at("three")));
    group.bench_function("poll, tracked, three places", |b| {
        b.iter(|| black_box(places.as_mut().poll(&mut cx)));
    });
    group.bench_function("a place: made, polled, dropped", |b| {
        let mut polls = 0;
        let mut task = pin!(track(poll_fn(|cx| {
            let mut at = pin!(pending(&mut polls).at("here"));
            assert!(at.as_mut().poll(cx).is_pending());
            Poll::<()>::Pending
        })));
        b.iter(|| black_box(task.as_mut().poll(&mut cx)));
    });
    group.finish();
}

const TASKS: u64 = 1000;

async fn plain() {
    let tasks: Vec<_> = (0..TASKS).map(|n| tokio::spawn(async move { n })).collect();
    for task in tasks {
        let _ = black_box(task.await);
    }
}

async fn registered() {
    let tasks: Vec<_> = (0..TASKS).map(|n| tasks::spawn(async move { n })).collect();
    for task in tasks {
        let _ = black_box(task.await);
    }
}

/// Spawned by a task, as servers do, and from outside of the workers, each spawn then a wake-up.
fn tokio_tasks(c: &mut Criterion) {
    use tokio::runtime::Builder;
    let mut group = c.benchmark_group("tokio");
    group.throughput(Throughput::Elements(TASKS));
    for (workers, built) in [
        ("current thread", Builder::new_current_thread().build()),
        ("1 worker", Builder::new_multi_thread().worker_threads(1).build()),
        ("2 workers", Builder::new_multi_thread().worker_threads(2).build()),
    ] {
        let Ok(runtime) = built else { return };
        group.bench_function(format!("{workers}, by a task, plain"), |b| {
            b.iter(|| runtime.block_on(async { tokio::spawn(plain()).await }));
        });
        group.bench_function(format!("{workers}, by a task, registered"), |b| {
            b.iter(|| runtime.block_on(async { tokio::spawn(registered()).await }));
        });
        group.bench_function(format!("{workers}, from outside, plain"), |b| {
            b.iter(|| runtime.block_on(plain()));
        });
        group.bench_function(format!("{workers}, from outside, registered"), |b| {
            b.iter(|| runtime.block_on(registered()));
        });
    }
    group.finish();
}

criterion_group!(benches, core, tokio_tasks);
criterion_main!(benches);
