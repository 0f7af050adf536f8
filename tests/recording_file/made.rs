//! Recordings made by hand.

use loiter::code::*;
use loiter::recording::*;
use loiter::snapshot::{RuntimeInfo, StackStatus, TaskState, WaitClass};

use crate::samples::{self, with};

const MS: u64 = 1_000_000;

/// A stack of these functions of package main, innermost first.
fn stack(builder: &mut RecordingBuilder, names: &[&str]) -> StackId {
    let locations = names.iter().zip(0x48_0000..).map(|(name, address)| {
        let function = builder.code.function(name, "main", FunctionKind::Normal);
        let frame = builder.code.frame(function, "/home/ci/api/main.go", 12);
        builder.code.location(Location::at(address, Some(0x1d), vec![frame]))
    });
    let locations: Vec<LocationId> = locations.collect();
    builder.code.stack(locations)
}

fn image(builder: &mut RecordingBuilder) {
    let (path, build_id) = (builder.code.string("/srv/api"), builder.code.string("abcdef"));
    let image = builder.code.image(Image::new(path, Some(build_id), 0x40_0000, 0x50_0000, 0x1000));
    builder.code.set_image(LocationId(0), image);
}

/// A recording of a server on all clocks, with something in every field.
pub(crate) fn server() -> Recording {
    let mut b = RecordingBuilder::new();
    header(&mut b);
    let (handle, flush) = (stack(&mut b, &["main.hash", "main.handle"]), stack(&mut b, &["main.flush"]));
    image(&mut b);
    let role = FunctionRole { layer: Layer::Machinery, begins: Begins::Task };
    let entry = b.code.function_with("main.handle", "main", FunctionKind::Internal, role);
    let name = b.code.string("api-server");
    let threads = [Some(name), None].map(|name| b.thread(SampledThread::new(4250, name)));
    let known = with!(SampledTask::default();
        id: Some(7), address: 0xc000_0010, creator: Some(LocationId(1)), entry: Some(entry));
    let task = b.task(known);
    let system = b.task(with!(SampledTask::default(); runtime: 1, system: true));
    let labels = b.code.labels([("route", "/orders")]);
    let futex = b.code.string("futex");
    let cpu = with!(Sample::default();
        at_ns: 10 * MS + 7, clock: Clock::Cpu, whose: Whose::Task(task), thread: threads[0], labels: Some(labels),
        state: TaskState::Running, wait_class: WaitClass::Nothing, stack: Some(handle),
        stack_status: StackStatus::Complete, count: 1, weight_ns: 10 * MS);
    b.sample(cpu);
    b.sample(with!(cpu; at_ns: 20 * MS, whose: Whose::Scheduler, labels: None, stack: None));
    b.sample(with!(cpu; at_ns: 21 * MS, whose: Whose::Native, thread: threads[1], labels: None));
    b.sample(with!(cpu; at_ns: 22 * MS, whose: Whose::Unknown, stack_status: StackStatus::Broken));
    b.sample(with!(cpu; at_ns: 5 * MS, clock: Clock::OffCpu, state: TaskState::Syscall, reason: Some(futex),
        wait_class: WaitClass::Call, weight_ns: 123_456_789));
    b.sample(with!(cpu; at_ns: 30 * MS, clock: Clock::Wall, whose: Whose::Task(system), thread: None,
        state: TaskState::Waiting, stack: Some(flush), count: 3, weight_ns: 30 * MS));
    b.finish()
}

fn header(b: &mut RecordingBuilder) {
    let mut header = samples::header();
    header.runtimes.push(RuntimeInfo::default());
    let clock = |clock, event: &str, wanted| {
        with!(ClockInfo::default();
            clock, event: event.to_owned(), period_ns: Some(10 * MS), wanted_period_ns: wanted,
            kernel: true, every_cpu: true)
    };
    b.header = with!(RecordingHeader::default();
        loiter: "0.1.0".to_owned(),
        started_at_ns: Some(1_795_000_000_000_000_000),
        duration_ns: 10_000 * MS,
        target: header.target,
        runtimes: header.runtimes,
        process: header.process,
        clocks: vec![
            clock(Clock::Cpu, "cpu-clock", None),
            clock(Clock::OffCpu, "switch records", None),
            clock(Clock::Wall, "readings", Some(5 * MS)),
        ],
        coverage: with!(Coverage::default();
            cpu_ns: Some(9_000 * MS), cpu_sampled_ns: 8_950 * MS, kernel_not_sampled_ns: Some(3), samples: 900,
            lost: 4, malformed: 1, readings: 50, readings_failed: 2, tasks_started: Some(12),
            tasks_ended: Some(11), started_seen: Some(9), lived_ns: Some(77_000 * MS), seen_ns: Some(76_000 * MS)),
        cost: with!(Cost::default(); cpu_ns: Some(45 * MS), threads_stopped: 3, longest_thread_stop_ns: 21_000),
        end: End::TargetEnded,
        time_step_ns: 0,
        warnings: vec!["a warning".to_owned()]);
}

/// A profile without times, threads and tasks.
pub(crate) fn profile() -> Recording {
    let mut b = RecordingBuilder::new();
    let stacks = [stack(&mut b, &["main.a", "main.main"]), stack(&mut b, &["main.b", "main.main"])];
    for stack in stacks {
        b.sample(with!(Sample::default(); stack: Some(stack), count: 40, weight_ns: 400 * MS));
    }
    b.finish()
}

/// A long recording of two CPUs at 99 Hz: tasks, stacks and times as irregular as in a busy server.
pub(crate) fn long(rows: u64) -> Recording {
    let mut b = RecordingBuilder::new();
    header(&mut b);
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = |below: u64| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random % below
    };
    let stacks: Vec<_> = (0..2000).map(|n| stack(&mut b, &["main.work", &format!("main.f{n}")])).collect();
    let threads: Vec<_> = (0..16).map(|tid| b.thread(SampledThread::new(5000 + tid, None))).collect();
    let labels: Vec<_> = (0..20).map(|n| b.code.labels([("route", format!("/v{n}").as_str())])).collect();
    let tasks: Vec<_> = (0..50_000)
        .map(|n| b.task(with!(SampledTask::default(); id: Some(n * 7), address: 0xc000_0000 + n)))
        .collect();
    for n in 0..rows {
        b.sample(with!(Sample::default();
            at_ns: n * 5_050_505 + next(400_000),
            whose: Whose::Task(tasks[next(tasks.len() as u64) as usize]),
            thread: threads[next(16) as usize],
            labels: Some(labels[next(20) as usize]),
            state: TaskState::Running,
            wait_class: WaitClass::Nothing,
            stack: Some(stacks[next(2000) as usize]),
            stack_status: StackStatus::Complete,
            count: 1,
            weight_ns: 10_101_010));
    }
    b.finish()
}

/// Many rows with one stack whose names are long.
pub(crate) fn shared_text() -> Recording {
    let mut b = RecordingBuilder::new();
    let stack = stack(&mut b, &["x".repeat(1 << 18).as_str()]);
    for n in 0..100_000 {
        b.sample(with!(Sample::default(); at_ns: n, stack: Some(stack), count: 1, weight_ns: 1));
    }
    b.finish()
}

/// A recording of whatever the numbers say.
pub(crate) fn from_numbers(seed: &[(u64, u64, u8)], texts: &[String]) -> Recording {
    let mut b = RecordingBuilder::new();
    b.header.runtimes = samples::header().runtimes;
    b.header.warnings = texts.to_vec();
    let states = TaskState::ALL;
    for &(first, second, third) in seed {
        let text = texts.get(first as usize % texts.len().max(1)).map_or("", String::as_str);
        let string = b.code.string(text);
        let stack = stack(&mut b, &[text, "main.main"]);
        let labels = b.code.labels([(text, "value")]);
        let thread = b.thread(SampledThread::new(first as u32, Some(string)));
        let task = with!(SampledTask::default();
            id: (third > 9).then_some(second), address: first, creator: Some(LocationId(0)), system: third == 7);
        let whose = match third % 4 {
            0 => Whose::Task(b.task(task)),
            1 => Whose::Scheduler,
            2 => Whose::Native,
            _ => Whose::Unknown,
        };
        let clock = Clock::ALL[usize::from(third) % 3];
        b.sample(with!(Sample::default();
            at_ns: second,
            clock,
            whose,
            thread: thread.filter(|_| third % 5 != 0),
            labels: Some(labels).filter(|_| third % 7 != 0),
            state: states[usize::from(third) % states.len()],
            reason: Some(string).filter(|_| third % 2 == 0),
            stack: Some(stack).filter(|_| third % 3 != 0),
            count: first,
            weight_ns: second ^ first));
    }
    b.finish()
}
