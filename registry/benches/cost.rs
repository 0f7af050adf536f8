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

fn tokio_tasks(c: &mut Criterion) {
    const TASKS: u64 = 1000;
    let mut group = c.benchmark_group("tokio");
    group.throughput(Throughput::Elements(TASKS));
    for workers in [1, 2] {
        let built = tokio::runtime::Builder::new_multi_thread().worker_threads(workers).build();
        let Ok(runtime) = built else { return };
        group.bench_function(format!("spawn and join, plain, {workers} workers"), |b| {
            b.iter(|| {
                runtime.block_on(async {
                    let tasks: Vec<_> = (0..TASKS).map(|n| tokio::spawn(async move { n })).collect();
                    for task in tasks {
                        let _ = black_box(task.await);
                    }
                })
            });
        });
        group.bench_function(format!("spawn and join, registered, {workers} workers"), |b| {
            b.iter(|| {
                runtime.block_on(async {
                    let tasks: Vec<_> = (0..TASKS).map(|n| tasks::spawn(async move { n })).collect();
                    for task in tasks {
                        let _ = black_box(task.await);
                    }
                })
            });
        });
    }
    group.finish();
}

criterion_group!(benches, core, tokio_tasks);
criterion_main!(benches);
