//! Reading a live Tokio program with 100,000 and 1,000,000 idle tasks with their await chains: the first reading, which reads
//! the debug information, and later ones; beside Tokio's own task dump, which takes minutes for so many, with 10,000.
//!
//! Builds the fixture: as `cargo build` does, optimised, and with task dumps. `LOITER_BENCH_TASKS` chooses one number of tasks.
#![allow(clippy::unwrap_used, missing_docs, reason = "a bench may panic")]

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use loiter::process;
use loiter::runtimes::{self, Pause, ReadOptions, Readable};

#[path = "../tests/common/mod.rs"]
mod common;

use common::{TokioFixture, TokioFlavour};

/// Tasks beside Tokio's own dump.
const DUMPED: usize = 10_000;

fn tokio(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("tokio");
    group.sample_size(10).measurement_time(Duration::from_secs(5));
    let chosen = std::env::var("LOITER_BENCH_TASKS").ok();
    let is_chosen = |count: &usize| chosen.as_ref().is_none_or(|chosen| *chosen == count.to_string());
    let subjects = [(TokioFlavour::Dev, "many"), (TokioFlavour::Full, "many"), (TokioFlavour::Full, "deep")];
    let sizes = [100_000, 1_000_000].into_iter().filter(is_chosen);
    let all = sizes.flat_map(|count| subjects.map(|(flavour, subject)| (count, flavour, subject)));
    for (count, flavour, subject) in all.chain([(DUMPED, TokioFlavour::Dump, "deep")]) {
        let about = format!("{count} {subject} {flavour:?}");
        let mut fixture = TokioFixture::start("1.54.1", flavour, &[&format!("{subject}={count}")]);
        assert_eq!(fixture.crowd().0.len(), count);
        let target = process::open_pid(fixture.pid()).unwrap();
        let options = ReadOptions::default();
        group.bench_function(format!("first {about}"), |bencher| {
            bencher.iter(|| black_box(runtimes::snapshot(target.as_ref(), &options).unwrap()));
        });
        let readable = Readable::find(target.as_ref()).unwrap();
        readable.read(target.as_ref(), &options).unwrap();
        for pause in [Pause::Nothing, Pause::Everything] {
            let options = ReadOptions { pause, ..options.clone() };
            group.bench_function(format!("again {about} {pause:?}"), |bencher| {
                bencher.iter(|| black_box(readable.read(target.as_ref(), &options).unwrap()));
            });
        }
        if flavour == TokioFlavour::Dump {
            group.bench_function(format!("Handle::dump {about}"), |bencher| {
                bencher.iter_custom(|times| {
                    let ns = |_| fixture.fixture.ask("dump_time")["ns"].as_u64().unwrap();
                    Duration::from_nanos((0..times).map(ns).sum())
                });
            });
        }
    }
    group.finish();
}

criterion_group!(benches, tokio);
criterion_main!(benches);
