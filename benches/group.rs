//! Grouping and filtering 1,000,000 tasks.
#![allow(clippy::unwrap_used, missing_docs, reason = "a bench may panic")]

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use loiter::analysis::group::group;
use loiter::analysis::{Filter, GroupKey, Pattern, SortBy};

#[path = "../tests/samples/mod.rs"]
mod samples;

fn benches(c: &mut Criterion) {
    let snapshot = samples::many(1_000_000);
    let everything = Filter::default();
    let narrow = Filter {
        functions: vec![Pattern::anywhere("main.loop")],
        min_age_ns: Some(3 * samples::MINUTE),
        ..Filter::default()
    };
    let mut g = c.benchmark_group("group");
    g.sample_size(10);
    for key in ["stack", "function", "state", "creator", "waits-on"] {
        let key: GroupKey = key.parse().unwrap();
        g.bench_function(format!("1M by {key}"), |b| {
            b.iter(|| group(black_box(&snapshot), &everything, &key, SortBy::Count, Some(30)));
        });
    }
    g.bench_function("1M filtered, by stack", |b| {
        b.iter(|| group(black_box(&snapshot), &narrow, &GroupKey::Stack, SortBy::Count, Some(30)));
    });
    g.finish();
}

criterion_group!(all, benches);
criterion_main!(all);
