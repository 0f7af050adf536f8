//! Reading a live Tokio program with 100,000 and 1,000,000 idle tasks with their await chains: the first reading, which reads
//! the debug information, and later ones.
//!
//! Builds the fixture: as `cargo build` does, and optimised.
#![allow(clippy::unwrap_used, missing_docs, reason = "a bench may panic")]

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use loiter::process;
use loiter::runtimes::{self, Pause, ReadOptions, Readable};

#[path = "../tests/common/mod.rs"]
mod common;

use common::{TokioFixture, TokioFlavour};

fn tokio(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("tokio");
    group.sample_size(10).measurement_time(Duration::from_secs(10));
    for flavour in [TokioFlavour::Dev, TokioFlavour::Full] {
        for (name, count) in [("100k", 100_000), ("1M", 1_000_000)] {
            let about = format!("{name} {flavour:?}");
            let mut fixture = TokioFixture::start("1.54.1", flavour, &[&format!("many={count}")]);
            assert_eq!(fixture.crowd().0.len(), count);
            let target = process::open_pid(fixture.pid()).unwrap();
            let options = ReadOptions::default();
            group.bench_function(format!("first reading {about}"), |bencher| {
                bencher.iter(|| black_box(runtimes::snapshot(target.as_ref(), &options).unwrap()));
            });
            let readable = Readable::find(target.as_ref()).unwrap();
            readable.read(target.as_ref(), &options).unwrap();
            for pause in [Pause::Nothing, Pause::Everything] {
                let options = ReadOptions { pause, ..options.clone() };
                group.bench_function(format!("again {about}, pause {pause:?}"), |bencher| {
                    bencher.iter(|| black_box(readable.read(target.as_ref(), &options).unwrap()));
                });
            }
        }
    }
    group.finish();
}

criterion_group!(benches, tokio);
criterion_main!(benches);
