//! What one refresh of the dashboard costs with 100,000 tasks: reading them without attaching anew, making
//! the picture, working out the views, drawing them.
//!
//! Needs the newest Go toolchain (`scripts/toolchains`).
#![allow(clippy::unwrap_used, missing_docs, reason = "a bench may panic")]

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group, criterion_main};
use loiter::__test::dashboard::SessionView;
use loiter::__test::dashboard::query::{Query, View};
use loiter::__test::dashboard::tables::{Memory, compute};
use loiter::process;
use loiter::runtimes::{ReadOptions, Readable};

#[path = "../tests/common/mod.rs"]
mod common;
#[path = "../tests/samples/mod.rs"]
mod samples;
#[path = "../tests/watch_support/mod.rs"]
mod support;

use common::{Fixture, Flavour, Program, Toolchain, build};
use support::Dashboard;

const TASKS: u64 = 100_000;

fn watch(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("watch 100k");
    group.sample_size(10).measurement_time(Duration::from_secs(5));

    let program = build(&Toolchain::get("1.27"), Program::Fixtures, Flavour::Stripped);
    let fixture = Fixture::start_with(&program, &["parked"], &[("COUNT", "100000")]);
    let target = process::open_pid(fixture.pid()).unwrap();
    let readable = Readable::find(target.as_ref()).unwrap();
    let options = ReadOptions::default();
    group.bench_function("read", |bencher| {
        bencher.iter(|| black_box(readable.read(target.as_ref(), &options).unwrap()));
    });

    drop(fixture);

    for (name, count) in [("100k", "100000"), ("1M", "1000000")] {
        let program = build(&Toolchain::get("1.27"), Program::Fixtures, Flavour::Stripped);
        let mut fixture = Fixture::start_with(&program, &["stirred"], &[("COUNT", count)]);
        let target = process::open_pid(fixture.pid()).unwrap();
        let readable = Readable::find(target.as_ref()).unwrap();
        readable.read(target.as_ref(), &options).unwrap();
        group.bench_function(format!("read {name} again, 1 % changed"), |bencher| {
            bencher.iter_custom(|iterations| {
                let mut sum = Duration::ZERO;
                for _ in 0..iterations {
                    fixture.ask("stir");
                    let begin = Instant::now();
                    black_box(readable.read(target.as_ref(), &options).unwrap());
                    sum += begin.elapsed();
                }
                sum
            });
        });
    }

    // Half a second apart, as far as anybody can tell.
    let snapshot = samples::many(TASKS);
    let mut number = 0;
    let mut album = SessionView::new(false);
    let mut next = || {
        number += 1;
        let mut next = snapshot.clone();
        *next.header.taken_at_ns.as_mut().unwrap() += number * samples::SECOND / 2;
        *next.header.monotonic_ns.as_mut().unwrap() += number * samples::SECOND / 2;
        Arc::new(next)
    };
    album.add(next());
    group.bench_function("picture", |bencher| {
        bencher.iter_batched(
            &mut next,
            |snapshot| black_box(album.add(snapshot)),
            criterion::BatchSize::PerIteration,
        );
    });

    let picture = Arc::new(album.add(next()));
    for view in View::ALL {
        let query = Arc::new(Query { view, ..Query::default() });
        let mut memory = Memory::default();
        group.bench_function(format!("tables of {}", view.name()), |bencher| {
            bencher.iter(|| black_box(compute(&picture, &query, None, &mut memory)));
        });
    }

    let mut dashboard = Dashboard::new(160, 50);
    dashboard.read(snapshot.clone());
    for (key, view) in ('1'..).zip(View::ALL) {
        dashboard.press(&key.to_string());
        group.bench_function(format!("draw {}", view.name()), |bencher| {
            bencher.iter(|| black_box(dashboard.buffer()));
        });
    }
    group.finish();
}

criterion_group!(benches, watch);
criterion_main!(benches);
