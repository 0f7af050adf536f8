//! Writing and reading a snapshot of 1,000,000 tasks, beside LZ4-compressed JSON lines of the same rows.
#![allow(clippy::unwrap_used, missing_docs, reason = "a bench may panic")]

use std::hint::black_box;
use std::io::Write;

use criterion::{Criterion, criterion_group, criterion_main};
use loiter::snapshot::{Snapshot, Wait, file};
use lz4_flex::frame::FrameEncoder;

#[path = "../tests/samples/mod.rs"]
mod samples;

const TASKS: u64 = 1_000_000;

/// The tasks and what they wait for as JSON lines, with ids for everything that is interned.
fn json_lines(snapshot: &Snapshot) -> Vec<u8> {
    let mut out = FrameEncoder::new(Vec::new());
    for task in &snapshot.tasks {
        let wait = |wait: &Wait| {
            let object = &snapshot.objects[wait.object.index()];
            let channel = object
                .channel
                .map(|c| (c.len, c.cap, c.closed, c.senders, c.receivers, c.element.map(|id| id.0)));
            (wait.op.name(), object.kind.name(), object.address, channel)
        };
        let waits: Vec<_> = snapshot.waits_of(task).iter().map(wait).collect();
        let (creator, labels) = (task.creator.map(|id| id.0), task.labels.map(|id| id.0));
        let (reason, stack) = (task.reason.map(|id| id.0), task.stack.map(|id| id.0));
        let row = (
            (task.id, task.address, task.state.name(), reason, task.age.nanos(), task.parent),
            (creator, labels, task.thread, stack, task.stack_status.name(), task.stack_bytes),
            waits,
        );
        serde_json::to_writer(&mut out, &row).unwrap();
        out.write_all(b"\n").unwrap();
    }
    out.finish().unwrap()
}

fn benches(c: &mut Criterion) {
    let snapshot = samples::many(TASKS);
    let mut bytes = Vec::new();
    file::write(&snapshot, &mut bytes).unwrap();
    eprintln!("{TASKS} tasks: {} bytes", bytes.len());
    eprintln!("as JSON lines: {} bytes", json_lines(&snapshot).len());

    let mut group = c.benchmark_group("file");
    group.sample_size(10);
    group.bench_function("write 1M", |b| {
        b.iter(|| {
            let mut out = Vec::with_capacity(bytes.len());
            file::write(black_box(&snapshot), &mut out).unwrap();
            out
        });
    });
    group.bench_function("read 1M", |b| b.iter(|| file::read(black_box(&bytes[..])).unwrap()));
    group.bench_function("write 1M as JSON lines", |b| b.iter(|| json_lines(black_box(&snapshot))));
    group.finish();
}

criterion_group!(all, benches);
criterion_main!(all);
