//! Comparing two snapshots of 1,000,000 tasks, from files: a tenth of the tasks came meanwhile, as many
//! have ended.
#![allow(clippy::unwrap_used, missing_docs, reason = "a bench may panic")]

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use loiter::analysis::diff::diff;
use loiter::analysis::{Series, SeriesOptions};
use loiter::snapshot::file;

#[path = "../tests/samples/mod.rs"]
mod samples;

const TASKS: u64 = 1_000_000;

fn benches(c: &mut Criterion) {
    let whole = samples::many(TASKS + TASKS / 10);
    let (mut before, mut after) = (whole.clone(), whole);
    before.tasks.truncate(TASKS as usize);
    after.tasks.drain(..(TASKS / 10) as usize);
    *after.header.taken_at_ns.as_mut().unwrap() += 60_000_000_000;
    *after.header.monotonic_ns.as_mut().unwrap() += 60_000_000_000;
    let bytes = [&before, &after].map(|snapshot| {
        let mut bytes = Vec::new();
        file::write(snapshot, &mut bytes).unwrap();
        bytes
    });
    let mut group = c.benchmark_group("diff");
    group.sample_size(10);
    group.bench_function("1M and 1M, from files", |b| {
        b.iter(|| {
            let snapshots = bytes.iter().map(|bytes| file::read(black_box(&bytes[..])).unwrap());
            let series = Series::of(SeriesOptions::default(), snapshots);
            let changes = diff(&series);
            assert_eq!((changes.born, changes.gone), (TASKS / 10, TASKS / 10));
            changes
        });
    });
    group.bench_function("1M and 1M, read", |b| {
        b.iter_batched(
            || [before.clone(), after.clone()],
            |snapshots| diff(&Series::of(SeriesOptions::default(), snapshots)),
            criterion::BatchSize::PerIteration,
        );
    });
    group.finish();
}

criterion_group!(all, benches);
criterion_main!(all);
