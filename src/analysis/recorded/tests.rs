#![allow(clippy::unwrap_used, reason = "a test may panic")]

use proptest::prelude::*;

use super::*;
use crate::analysis::flame::NodeId;
use crate::recording::{RecordingBuilder, SampledTask};
use crate::snapshot::{FunctionKind, Location, RuntimeInfo, TaskState};

/// Clock, task, labels, stack, state and weight, as small numbers.
type Draw = (u8, u8, u8, u8, u8, u32);

/// A recording with a sample for each draw. Tasks 0 to 5; 6 is the scheduler, 7 a native thread, 8 unknown.
fn recording(draws: &[Draw]) -> Recording {
    let mut builder = RecordingBuilder::new();
    builder.header.runtimes.push(RuntimeInfo { name: "go".to_owned(), ..RuntimeInfo::default() });
    let code = &mut builder.code;
    let functions: Vec<_> = ["main.a", "main.b", "runtime.gcBgMarkWorker", "runtime.goexit"]
        .map(|name| {
            let kind =
                if name.starts_with("runtime") { FunctionKind::Internal } else { FunctionKind::Normal };
            let package = name.split('.').next().unwrap();
            code.function_with(name, package, kind, crate::words::go::role(name, package))
        })
        .into();
    let locations: Vec<_> = functions
        .iter()
        .map(|&function| {
            let frames = vec![code.frame(function, "a.go", 7)];
            code.location(Location::in_source(frames))
        })
        .collect();
    let stacks = [vec![0, 1, 0, 3], vec![1, 3], vec![3], vec![2, 3]];
    let stacks = stacks.map(|stack| code.stack(stack.into_iter().map(|nth: usize| locations[nth]).collect()));
    let labels = [("route", "/a"), ("route", "/b"), ("tenant", "x")].map(|pair| code.labels([pair]));
    let reason = code.string("select");
    let tasks: Vec<_> = (0..6_u64)
        .map(|n| SampledTask {
            id: (n < 4).then_some(n),
            entry: functions.get(n as usize / 2).copied(),
            system: n / 2 == 2,
            ..SampledTask::default()
        })
        .map(|task| builder.task(task))
        .collect();
    for (nth, &(clock, task, label, stack, state, weight)) in draws.iter().enumerate() {
        builder.sample(Sample {
            at_ns: nth as u64 * 1000,
            clock: Clock::ALL[usize::from(clock % 3)],
            whose: match task % 9 {
                6 => Whose::Scheduler,
                7 => Whose::Native,
                8 => Whose::Unknown,
                task => Whose::Task(tasks[usize::from(task)]),
            },
            labels: labels.get(usize::from(label % 4)).copied(),
            state: TaskState::ALL[usize::from(state % 3)],
            reason: (state % 3 == 2).then_some(reason),
            stack: stacks.get(usize::from(stack % 5)).copied(),
            count: 1 + u64::from(weight % 3),
            weight_ns: weight.into(),
            ..Sample::default()
        });
    }
    builder.finish()
}

fn added(sums: impl IntoIterator<Item = Sum>) -> Sum {
    sums.into_iter().fold(Sum::default(), |mut all, sum| {
        all.add(sum);
        all
    })
}

fn all_by() -> Vec<By> {
    ["kind", "label:route", "creator", "function", "state", "thread", "task"]
        .map(|by| by.parse().unwrap())
        .into()
}

/// Everything, with what belongs to the runtime.
fn whole() -> Filter {
    Filter { system: true, ..Filter::default() }
}

#[test]
fn kinds_are_named_by_what_tasks_do() {
    let recorded = Recorded::new(&recording(&[
        (0, 0, 0, 0, 0, 90),
        (0, 4, 3, 3, 0, 80),
        (0, 6, 3, 2, 0, 70),
        (0, 7, 3, 4, 0, 60),
        (0, 8, 3, 4, 0, 50),
        (1, 0, 0, 0, 2, 40),
    ]));
    let groups = group(&recorded, &whole(), &By::Kind, Some("route"));
    let names: Vec<_> = groups.iter().map(|group| recorded.name(group.subject)).collect();
    let known =
        ["main.a", "garbage collection", "scheduler", "native threads without a name", "not known whose"];
    assert_eq!(names, known);
    assert_eq!(groups[0].label.map(|id| recorded.snapshot.str(id)), Some("/a"));
    assert_eq!((groups[0].tasks, groups[0].more_tasks), (1, false));
    assert_eq!((groups[1].tasks, groups[1].more_tasks), (0, true));
    // The frame that every goroutine begins with is only there where it is all there is.
    let times = functions(&recorded, Clock::Cpu, &Filter::default());
    let time = |name: &str| {
        let is = |time: &&FunctionTime| recorded.snapshot.function_name(time.function) == name;
        times.functions.iter().find(is).map(|time| (time.flat.ns, time.cumulative.ns))
    };
    assert_eq!(time("main.a"), Some((90, 90)));
    assert_eq!(time("main.b"), Some((0, 90)));
    assert_eq!(time("runtime.goexit"), Some((70, 70)));
    assert_eq!(times.without_stack.ns, 110);
}

#[test]
fn readings_of_one_task_are_no_surer_than_their_number() {
    let draws: Vec<Draw> = (0..100).map(|nth| (2, nth % 6, 0, 0, nth, 10)).collect();
    let mut recording = recording(&draws);
    recording.header.coverage.readings = 20;
    let recorded = Recorded::new(&recording);
    let rows = recorded.select(Clock::Wall, &whole()).tasks;
    assert!((recorded.sureness(Clock::Wall, &rows) - 20.0).abs() < 1e-9);
    assert_eq!(recorded.sureness(Clock::Cpu, &[]), 0.0);
}

proptest! {
    #[test]
    fn every_view_adds_up_to_the_samples(draws in prop::collection::vec(any::<Draw>(), 0..60)) {
        let recording = recording(&draws);
        let recorded = Recorded::new(&recording);
        let filter = whole();
        for clock in Clock::ALL {
            let samples = recording.samples.iter().filter(|sample| sample.clock == clock);
            let all = added(samples.map(|sample| Sum { samples: sample.count, ns: sample.weight_ns }));
            let selection = recorded.select(clock, &filter);
            prop_assert_eq!(recorded.sum(&selection.tasks), all);
            prop_assert_eq!((selection.count, selection.considered), (all.samples, all.samples));
            let times = functions(&recorded, clock, &filter);
            let flat = added(times.functions.iter().map(|time| time.flat).chain([times.without_stack]));
            prop_assert_eq!((flat, times.total), (all, all));
            prop_assert!(times.functions.iter().all(|time| time.cumulative.ns <= all.ns));
            for by in all_by() {
                for split in [None, Some("route")] {
                    let groups = group(&recorded, &filter, &by, split);
                    prop_assert_eq!(added(groups.iter().map(|group| group.sum(clock))), all);
                    for group in &groups {
                        let acts = added(by_clock(&group.acts, clock).into_iter().map(|(_, sum)| sum));
                        prop_assert_eq!(acts, group.sum(clock));
                        prop_assert_eq!(recorded.sum(&by_clock(&group.rows, clock)), group.sum(clock));
                    }
                }
                for shape in [Shape::default(), Shape { samples: true, reverse: true }] {
                    let flame = recorded.flame(clock, &filter, Some(&by), shape);
                    let figures = flame.node(NodeId::ALL).now;
                    let weight = if shape.samples { all.samples } else { all.ns };
                    prop_assert_eq!((figures.count, figures.weight), (all.samples, weight));
                    prop_assert_eq!(flame.totals.without_weight, 0);
                }
            }
            for labels in label_times(&recorded, clock, &filter) {
                let values = labels.values.iter().map(|&(_, sum)| sum);
                prop_assert_eq!(added(values), labels.with);
            }
            if let Some(diff) = diff::diff(&recorded, &recorded, clock, &filter, &diff::Compared::Function) {
                prop_assert_eq!(added(diff.rows.iter().map(|row| row.now)), all);
                prop_assert!(diff.rows.iter().all(|row| row.before == row.now && !row.is_real()));
            }
        }
    }

    #[test]
    fn a_filter_takes_rows_as_they_are(draws in prop::collection::vec(any::<Draw>(), 0..60)) {
        let recorded = Recorded::new(&recording(&draws));
        let parts = TaskState::ALL.map(|state| {
            let filter = Filter { states: vec![state], ..whole() };
            recorded.sum(&recorded.select(Clock::Wall, &filter).tasks)
        });
        let all = recorded.sum(&recorded.select(Clock::Wall, &whole()).tasks);
        prop_assert_eq!(added(parts), all);
    }
}
