//! Flame graphs of 1,000,000 tasks in 100,000 distinct stacks.
#![allow(clippy::unwrap_used, missing_docs, reason = "a bench may panic")]

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use loiter::analysis::Filter;
use loiter::analysis::flame::{FlameOptions, difference, flame};
use loiter::report::flame::svg::{self, Cut, SvgOptions};
use loiter::report::flame::{Caption, Colors, folded};
use loiter::snapshot::*;

#[path = "../tests/samples/mod.rs"]
mod samples;

/// `stacks` distinct stacks of 24 frames that branch like those of a large program, `each` tasks in
/// every one.
fn wide(stacks: u32, each: u32) -> Snapshot {
    let mut m = samples::Maker::new();
    let b = &mut m.builder;
    let locations: Vec<LocationId> = (0..20_000)
        .map(|n| {
            let package = format!("example.com/api/internal/p{}", n % 200);
            let function = b.code.function(&format!("{package}.(*T).f{n}"), &package, FunctionKind::Normal);
            let frames = vec![b.code.frame(function, "/home/ci/api/x.go", n)];
            b.code.location(Location::at(u64::from(n), None, frames))
        })
        .collect();
    let reasons = ["select", "chan receive", "IO wait", "sleep"].map(|reason| b.code.string(reason));
    let mut id = 0;
    for n in 0..stacks {
        // The outer frames are few, the inner ones many.
        let frame = |depth: u32| locations[((n >> (24 - depth).min(17)) * 31 + depth) as usize % 20_000];
        let stack = b.code.stack((0..24).rev().map(frame).collect());
        for k in 0..each {
            id += 1;
            b.task(samples::with!(samples::task(id);
                state: TaskState::Waiting,
                reason: Some(reasons[((n + k) % 4) as usize]),
                age: Age::AtLeast(u64::from(n) * 1_000_000),
                stack: Some(stack),
                stack_status: StackStatus::Complete,
            ));
        }
    }
    m.finish()
}

fn benches(c: &mut Criterion) {
    let snapshot = wide(100_000, 10);
    let (everything, options) = (Filter::default(), FlameOptions::default());
    let tree = flame(&snapshot, &everything, &options);
    let mut g = c.benchmark_group("flame");
    g.sample_size(10);
    g.bench_function("tree of 1M tasks, 100k stacks", |b| {
        b.iter(|| flame(black_box(&snapshot), &everything, &options));
    });
    g.bench_function("difference of 1M and 1M tasks", |b| {
        b.iter(|| difference(black_box(&snapshot), &snapshot, &everything, &options));
    });
    let caption = Caption::new(&snapshot, None);
    g.bench_function("svg of it, cut to 20,000 frames", |b| {
        b.iter(|| {
            let cut = Cut::new(&tree, 0.0);
            let mut out = Vec::new();
            let options = SvgOptions { colors: Colors::Reason, inverted: false };
            svg::write(&tree, &cut, &caption, &options, &mut out).unwrap();
            out.len()
        });
    });
    g.bench_function("folded stacks of it", |b| {
        b.iter(|| folded::write(&tree, &mut std::io::sink()));
    });
    g.finish();
}

criterion_group!(all, benches);
criterion_main!(all);
