//! What `loiter record` costs: a sample of a running Go program from the ring to the recording, the records of the kernel
//! alone, and the recording alone.
//!
//! Needs the newest Go toolchain (`scripts/toolchains`). `scripts/compare-sampling` says what it costs the program.
#![allow(clippy::unwrap_used, missing_docs, reason = "a bench may panic")]

use std::hint::black_box;
use std::time::Duration;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use loiter::__test::sampler::{Body, Layout, read};
use loiter::code::LocationId;
use loiter::process;
use loiter::recording::{RecordingBuilder, Sample, SampledTask, SampledThread, Whose};
use loiter::runtimes::Readable;
use loiter::session::record::Batches;
use nix::time::{ClockId, clock_gettime};

#[path = "../tests/common/mod.rs"]
mod common;

use common::{Fixture, Flavour, Program, Toolchain, build};

/// CPU time of this thread: other load on the machine does not count.
fn cpu_time() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).unwrap().into()
}

/// An iteration is a sample. What is drained is as warm as it is in a recording.
fn samples(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("sample");
    group.sample_size(10).warm_up_time(Duration::from_secs(2)).measurement_time(Duration::from_secs(10));
    group.throughput(Throughput::Elements(1));
    let program = build(&Toolchain::get("1.27"), Program::Burners, Flavour::Stripped);
    let fixture = Fixture::start_with(&program, &[], &[]);
    let target = process::open_pid(fixture.pid()).unwrap();
    let readable = Readable::find(target.as_ref()).unwrap();
    for rate in [99, 999] {
        let mut batches = Batches::begin(target.as_ref(), &readable, rate).unwrap();
        let mut all = 0;
        group.bench_function(format!("read, attributed and unwound, {rate} Hz"), |bencher| {
            bencher.iter_custom(|iterations| {
                let (mut samples, mut spent) = (0, Duration::ZERO);
                while samples < iterations {
                    batches.wait();
                    let begin = cpu_time();
                    samples += batches.take().unwrap() as u64;
                    spent += cpu_time() - begin;
                }
                all += samples;
                spent.mul_f64(iterations as f64 / samples as f64)
            });
        });
        let recording = batches.finish();
        let of_tasks = recording.samples.iter().filter(|sample| matches!(sample.whose, Whose::Task(_)));
        let of_tasks: u64 = of_tasks.map(|sample| sample.count).sum();
        assert!(of_tasks * 10 >= all * 9, "only {of_tasks} of {all} samples have a goroutine");
    }
    group.finish();
}

/// The records of samples with 30 frames and 4 KiB of stack, as the kernel writes them.
fn ring(samples: u64, pid: u32) -> Vec<u8> {
    const PERF_RECORD_SAMPLE: u32 = 9;
    const USER_MODE: u16 = 2;
    const CONTEXT_USER: u64 = -512_i64 as u64;
    const ABI_64: u64 = 2;
    const STACK: u64 = 4 << 10;
    let mut ring = Vec::new();
    for nth in 0..samples {
        let mut words: Vec<u64> =
            vec![1, 0x40_1000, u64::from(pid) << 32 | u64::from(pid), 1_000 * nth, 0, 1_000_000];
        words.extend([31, CONTEXT_USER]);
        words.extend((0..30).map(|frame| 0x40_1000 + 16 * frame));
        words.push(ABI_64);
        words.extend(0..17);
        words.push(STACK);
        words.extend((0..STACK / 8).map(|word| word ^ nth));
        words.push(STACK);
        let size = (8 + 8 * words.len()) as u16;
        ring.extend(PERF_RECORD_SAMPLE.to_le_bytes());
        ring.extend(USER_MODE.to_le_bytes());
        ring.extend(size.to_le_bytes());
        ring.extend(words.iter().flat_map(|word| word.to_le_bytes()));
    }
    ring
}

fn records(criterion: &mut Criterion) {
    const SAMPLES: u64 = 1_000;
    let ring = ring(SAMPLES, 7);
    let layout = Layout { moments: true, stack: true };
    let mut group = criterion.benchmark_group("records");
    group.throughput(Throughput::Elements(SAMPLES));
    group.bench_function("1,000 samples", |bencher| {
        bencher.iter(|| {
            let mut frames = 0;
            let malformed = read(black_box(&ring), &[], 7, layout, &mut |_, body| {
                if let Body::Sample { chain, stack, .. } = body {
                    frames += chain.len() + stack.len() / 4096;
                }
            });
            assert_eq!((frames as u64, malformed), (31 * SAMPLES, 0));
        });
    });
    group.finish();
}

/// Ten minutes of two busy threads at 99 Hz: 1,000 goroutines at 1,000 places.
fn recording(criterion: &mut Criterion) {
    const SAMPLES: u64 = 118_800;
    let mut group = criterion.benchmark_group("recording");
    group.sample_size(10).throughput(Throughput::Elements(SAMPLES));
    group.bench_function("ten minutes at 99 Hz", |bencher| {
        bencher.iter_batched(
            RecordingBuilder::new,
            |mut builder| {
                for nth in 0..SAMPLES {
                    let id = nth * 7919 % 1_000;
                    let mut task = SampledTask::default();
                    (task.id, task.address) = (Some(id), 0x1000 + id);
                    let mut sample = Sample::default();
                    (sample.at_ns, sample.weight_ns, sample.count) = (nth * 5_000_000, 10_101_010, 1);
                    sample.whose = Whose::Task(builder.task(task));
                    sample.thread = builder.thread(SampledThread::new((nth % 8) as u32, None));
                    let frames = (0..30).map(|frame| LocationId((id * 7 + frame) as u32));
                    sample.stack = builder.stack(frames.collect());
                    builder.sample(sample);
                }
                builder.finish()
            },
            BatchSize::PerIteration,
        );
    });
    group.finish();
}

criterion_group!(benches, samples, records, recording);
criterion_main!(benches);
