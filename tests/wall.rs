//! Readings at a steady rate: shares of time equal those that the program knows of itself, and births and ends
//! balance.

#![allow(clippy::unwrap_used)]

mod common;

use std::thread;

use common::{Fixture, Flavour, Program, QUICK_VERSIONS, Toolchain, build, matrix, measured};
use loiter::process::{self, Target};
use loiter::recording::{Recording, RecordingBuilder, Sample};
use loiter::runtimes::Readable;
use loiter::session::record::{Wall, WallOptions};
use loiter::snapshot::{TaskState, WaitClass};

fn start(version: &str, subjects: &[&str], variables: &[(&str, &str)]) -> Fixture {
    let program = build(&Toolchain::get(version), Program::Fixtures, Flavour::Stripped);
    Fixture::start_with(&program, subjects, variables)
}

/// Readings that are made one after another.
struct Readings<'t> {
    target: &'t dyn Target,
    readable: Readable,
    wall: Wall,
    builder: RecordingBuilder,
}

impl<'t> Readings<'t> {
    fn begin(target: &'t dyn Target) -> Self {
        let begin = now(target);
        let wall = Wall::new(WallOptions::default(), begin, begin);
        let readable = Readable::find(target).unwrap();
        Readings { target, readable, wall, builder: RecordingBuilder::new() }
    }

    /// Makes readings until there are this many.
    fn until(&mut self, readings: u64) {
        while self.wall.readings() < readings {
            thread::sleep(self.wall.due(now(self.target)));
            self.wall
                .read(self.target, &self.readable, &mut self.builder, now(self.target), || true)
                .unwrap();
        }
    }

    fn finish(mut self) -> Recording {
        self.wall.finish(&mut self.builder, now(self.target));
        self.builder.finish()
    }
}

fn now(target: &dyn Target) -> u64 {
    target.monotonic_ns().unwrap()
}

/// The time of all samples that are meant, nanoseconds.
fn time(recording: &Recording, is_meant: impl Fn(&Sample) -> bool) -> f64 {
    recording.samples.iter().filter(|sample| is_meant(sample)).map(|sample| sample.weight_ns as f64).sum()
}

fn label(recording: &Recording, sample: &Sample) -> Option<String> {
    let pairs = &recording.code.label_sets[sample.labels?.index()].pairs;
    pairs.first().map(|(_, value)| recording.code.str(*value).to_owned())
}

/// What share of the time goroutines slept equals the program's own books, within the interval that the number of
/// readings gives. It is outside by chance once in 16,000 measurements.
fn check_shares(version: &str) {
    measured(3, || check_shares_once(version));
}

fn check_shares_once(version: &str) -> Result<(), String> {
    const READINGS: u64 = 120;
    let mut fixture = start(version, &["phases"], &[]);
    let target = process::open_pid(fixture.pid()).unwrap();
    let books = |fixture: &mut Fixture| (fixture.counter("asleep_us"), fixture.counter("blocked_us"));
    let before = books(&mut fixture);
    let mut readings = Readings::begin(target.as_ref());
    readings.until(READINGS);
    let after = books(&mut fixture);
    let recording = readings.finish();
    let (asleep, blocked) = ((after.0 - before.0) as f64, (after.1 - before.1) as f64);
    let expected = asleep / (asleep + blocked);
    let of = |phase: &str| time(&recording, |sample| label(&recording, sample).as_deref() == Some(phase));
    let found = of("asleep") / (of("asleep") + of("blocked"));
    // 20 goroutines whose phases are about as long as the time between two readings: a tenth of what is seen counts
    // as independent. Four standard deviations.
    let independent = (READINGS * 20 / 10) as f64;
    let interval = 4.0 * (expected * (1.0 - expected) / independent).sqrt();
    if (found - expected).abs() >= interval {
        return Err(format!("{version}: {found:.3}, {expected:.3} +- {interval:.3}"));
    }
    // What goroutines with a label do is what the label says, but for the moments in between.
    let waiting = |phase: &str, class: WaitClass| {
        let is = |s: &Sample| label(&recording, s).as_deref() == Some(phase) && s.wait_class == class;
        time(&recording, is) / of(phase)
    };
    for (phase, class) in [("asleep", WaitClass::Sleep), ("blocked", WaitClass::Lock)] {
        let share = waiting(phase, class);
        if share <= 0.8 {
            return Err(format!("{version}: {share} of {phase} is {class:?}"));
        }
    }
    let header = &recording.header;
    assert_eq!((header.coverage.readings, header.coverage.readings_failed), (READINGS, 0), "{version}");
    assert!(header.coverage.seen_ns <= header.coverage.lived_ns, "{version}: {:?}", header.coverage);
    Ok(())
}

matrix!(shares_equal_the_books_of_the_program, check_shares);

/// Every goroutine of a program at rest has the whole time of the recording, in its state.
#[test]
fn all_time_of_tasks_that_stay_is_there() {
    let subjects = ["channels", "locks", "timers", "syscalls", "spinners", "labels"];
    let fixture = start(QUICK_VERSIONS[1], &subjects, &[]);
    let target = process::open_pid(fixture.pid()).unwrap();
    let mut readings = Readings::begin(target.as_ref());
    readings.until(10);
    let recording = readings.finish();
    let span = recording.samples.iter().map(|sample| sample.at_ns + sample.weight_ns).max().unwrap();
    let mut by_task = vec![0; recording.tasks.len()];
    for sample in &recording.samples {
        let loiter::recording::Whose::Task(row) = sample.whose else { panic!("{sample:?}") };
        by_task[row.index()] += sample.weight_ns;
    }
    assert!(by_task.iter().all(|time| *time <= span));
    let of_program = recording.tasks.iter().zip(&by_task).filter(|(task, _)| !task.system);
    let whole = of_program.filter(|(_, time)| **time == span).count();
    assert!(whole > 20, "{whole}");
    for state in [TaskState::Waiting, TaskState::Syscall, TaskState::Running] {
        assert!(time(&recording, |sample| sample.state == state) > 0.0, "{state:?}");
    }
}

/// A program that starts and ends a thousand goroutines a second, and counts them.
fn check_books(version: &str) {
    let mut fixture = start(version, &["churn"], &[("RATE", "1000")]);
    let target = process::open_pid(fixture.pid()).unwrap();
    let counts = |fixture: &mut Fixture| (fixture.counter("created"), fixture.counter("ended"));
    let mut readings = Readings::begin(target.as_ref());
    let first = counts(&mut fixture);
    readings.until(1);
    let second = counts(&mut fixture);
    readings.until(40);
    let third = counts(&mut fixture);
    readings.until(41);
    let last = counts(&mut fixture);
    let coverage = readings.finish().header.coverage;
    let (started, ended) = (coverage.tasks_started.unwrap(), coverage.tasks_ended.unwrap());
    // A goroutine counts itself a little before it is there, and a little before it is gone. The runtime starts some of
    // its own.
    const FEW: u64 = 200;
    assert!(
        (third.0 - second.0..=last.0 - first.0 + FEW).contains(&(started + FEW / 2)),
        "{version}: {coverage:?}"
    );
    assert!(ended + FEW >= third.1 - second.1 && ended <= last.1 - first.1 + FEW, "{version}: {coverage:?}");
    let seen = coverage.started_seen.unwrap();
    assert!(seen > 0 && seen <= started + FEW, "{version}: {coverage:?}");
    assert!(coverage.seen_ns.unwrap() <= coverage.lived_ns.unwrap(), "{version}: {coverage:?}");
}

matrix!(births_and_ends_equal_the_books_of_the_program, check_books);

/// Many goroutines: the rate falls, and the recording says so.
#[test]
fn many_tasks_are_read_less_often() {
    let fixture = start(QUICK_VERSIONS[1], &["parked"], &[("COUNT", "100000")]);
    let target = process::open_pid(fixture.pid()).unwrap();
    let mut readings = Readings::begin(target.as_ref());
    readings.until(4);
    let recording = readings.finish();
    // One row for each goroutine that stays where it is.
    assert!(recording.tasks.len() > 100_000 && recording.samples.len() < 110_000);
    assert!(recording.code.stacks.len() < 100, "{}", recording.code.stacks.len());
    let clock = &recording.header.clocks[0];
    if let Some(wanted) = clock.wanted_period_ns {
        assert!(clock.period_ns.unwrap() > wanted);
    }
}

/// What is read of a process that became another program meanwhile may be of both.
#[test]
fn a_reading_of_another_program_does_not_count() {
    let fixture = start(QUICK_VERSIONS[1], &["parked"], &[("COUNT", "5")]);
    let target = process::open_pid(fixture.pid()).unwrap();
    let mut readings = Readings::begin(target.as_ref());
    let Readings { readable, wall, builder, .. } = &mut readings;
    wall.read(target.as_ref(), readable, builder, now(target.as_ref()), || false).unwrap();
    assert_eq!(wall.readings(), 0);
    let recording = readings.finish();
    assert_eq!((recording.samples.len(), recording.tasks.len()), (0, 0));
    assert_eq!(recording.header.coverage.readings_failed, 1);
}
