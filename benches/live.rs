//! Reading a live Go program with 100,000 and 1,000,000 parked goroutines, and attaching to one.
//!
//! Needs the newest Go toolchain (`scripts/toolchains`). `scripts/compare` sets the same work beside
//! what the runtime's own profile and Delve take.
#![allow(clippy::unwrap_used, missing_docs, reason = "a bench may panic")]

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use loiter::process;
use loiter::runtimes::{self, ReadOptions};
use loiter::snapshot::file;

#[path = "../tests/common/mod.rs"]
mod common;

use common::{Fixture, Flavour, Program, Toolchain, build};

fn parked(count: &str) -> Fixture {
    let program = build(&Toolchain::get("1.27"), Program::Fixtures, Flavour::Stripped);
    Fixture::start_with(&program, &["parked"], &[("COUNT", count)])
}

fn live(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("live");
    group.sample_size(10).measurement_time(Duration::from_secs(10));
    for (name, count) in [("100k", "100000"), ("1M", "1000000")] {
        let fixture = parked(count);
        if name == "100k" {
            group.bench_function("attach", |bencher| {
                bencher.iter(|| {
                    let target = process::open_pid(fixture.pid()).unwrap();
                    black_box(runtimes::attach(target.as_ref()).unwrap().runtimes.len())
                });
            });
        }
        group.bench_function(format!("snapshot {name}"), |bencher| {
            bencher.iter(|| {
                let target = process::open_pid(fixture.pid()).unwrap();
                black_box(runtimes::snapshot(target.as_ref(), &ReadOptions::default()).unwrap())
            });
        });
        group.bench_function(format!("snapshot {name} to a file"), |bencher| {
            let path = std::env::temp_dir().join(format!("loiter-bench-{}.loiter", std::process::id()));
            bencher.iter(|| {
                let target = process::open_pid(fixture.pid()).unwrap();
                let snapshot = runtimes::snapshot(target.as_ref(), &ReadOptions::default()).unwrap();
                file::save(&snapshot, &path).unwrap();
            });
            std::fs::remove_file(&path).unwrap();
        });
    }
    group.finish();
}

criterion_group!(benches, live);
criterion_main!(benches);
