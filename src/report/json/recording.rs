//! A recording as JSON, described in loiter-record-json(5): do not rename the members.

use std::borrow::Cow;
use std::io::{self, Write};

use serde::Serialize;

use super::VERSION;
use super::head::TargetOut;
use crate::analysis::Filter;
use crate::analysis::recorded::{
    Act, By, Functions, Recorded, RecordedGroup, Sum, by_clock, functions, group, label_times, share,
    splitting_label,
};
use crate::recording::{Clock, ClockInfo, Cost, Coverage, End};

/// Name of the format.
const FORMAT: &str = "loiter-record";

/// Writes what a recording's report shows, whole: groups, functions and labels of all clocks. `top`: at most this many
/// groups, and functions of each clock. None: all.
///
/// # Errors
/// Those of `out`.
pub fn recording(
    recorded: &Recorded,
    filter: &Filter,
    by: &By,
    top: Option<usize>,
    out: &mut dyn Write,
) -> io::Result<()> {
    let split = if *by == By::Kind { splitting_label(recorded, filter) } else { None };
    let groups = group(recorded, filter, by, split.as_deref());
    let most = top.unwrap_or(usize::MAX);
    let clocks = recorded.clocks();
    let total = |clock| recorded.sum(&recorded.select(clock, filter).tasks);
    let totals: Vec<(Clock, Sum)> = clocks.iter().map(|&clock| (clock, total(clock))).collect();
    let functions: Vec<_> = clocks.iter().map(|&clock| (clock, functions(recorded, clock, filter))).collect();
    let document = Document {
        format: FORMAT,
        version: VERSION,
        recording: HeadOut::new(recorded),
        totals: totals.iter().map(|&(clock, sum)| TotalOut::new(recorded, filter, clock, sum)).collect(),
        group_by: by.to_string(),
        split_by: split.as_deref(),
        total_groups: groups.len(),
        groups: groups.iter().take(most).map(|group| GroupOut::new(recorded, group, &totals)).collect(),
        labels: clocks.iter().flat_map(|&clock| labels(recorded, clock, filter)).collect(),
        functions: functions
            .iter()
            .flat_map(|(clock, times)| of_functions(recorded, *clock, times, most))
            .collect(),
    };
    super::write(&document, out)
}

#[derive(Serialize)]
struct Document<'a> {
    format: &'static str,
    version: u32,
    recording: HeadOut<'a>,
    totals: Vec<TotalOut>,
    group_by: String,
    split_by: Option<&'a str>,
    total_groups: usize,
    groups: Vec<GroupOut<'a>>,
    labels: Vec<LabelOut<'a>>,
    functions: Vec<FunctionOut<'a>>,
}

#[derive(Serialize)]
pub(super) struct HeadOut<'a> {
    loiter: &'a str,
    started_at_ns: Option<u64>,
    duration_ns: u64,
    target: TargetOut<'a>,
    clocks: Vec<ClockOut<'a>>,
    coverage: CoverageOut,
    cost: CostOut,
    end: &'static str,
    time_step_ns: u64,
    warnings: &'a [String],
}

#[derive(Serialize)]
struct ClockOut<'a> {
    clock: &'static str,
    event: &'a str,
    period_ns: Option<u64>,
    wanted_period_ns: Option<u64>,
    kernel: bool,
    every_cpu: bool,
}

#[derive(Serialize)]
struct CoverageOut {
    cpu_ns: Option<u64>,
    cpu_sampled_ns: u64,
    kernel_not_sampled_ns: Option<u64>,
    samples: u64,
    lost: u64,
    malformed: u64,
    readings: u64,
    readings_failed: u64,
    tasks_started: Option<u64>,
    tasks_ended: Option<u64>,
    started_seen: Option<u64>,
    lived_ns: Option<u64>,
    seen_ns: Option<u64>,
}

#[derive(Serialize)]
struct CostOut {
    cpu_ns: Option<u64>,
    threads_stopped: u64,
    longest_thread_stop_ns: u64,
}

#[derive(Serialize)]
struct TotalOut {
    clock: &'static str,
    samples: u64,
    ns: u64,
    independent_samples: f64,
}

#[derive(Serialize)]
struct GroupOut<'a> {
    name: String,
    label: Option<&'a str>,
    tasks: u64,
    tasks_without_id: bool,
    times: Vec<TimeOut<'a>>,
}

/// Time of one clock, and its share of all time of that clock.
#[derive(Serialize)]
struct TimeOut<'a> {
    clock: &'static str,
    samples: u64,
    ns: u64,
    share: f64,
    doing: Vec<ActOut<'a>>,
}

/// What was done in that time: a share of the group's time, and the interval that has the true share in 95 of 100 cases.
#[derive(Serialize)]
struct ActOut<'a> {
    state: &'static str,
    reason: Option<&'a str>,
    samples: u64,
    ns: u64,
    share: f64,
    low: f64,
    high: f64,
}

#[derive(Serialize)]
struct LabelOut<'a> {
    clock: &'static str,
    key: &'a str,
    value: &'a str,
    samples: u64,
    ns: u64,
}

#[derive(Serialize)]
struct FunctionOut<'a> {
    clock: &'static str,
    function: Cow<'a, str>,
    file: Option<&'a str>,
    line: Option<u32>,
    flat_ns: u64,
    flat_samples: u64,
    cumulative_ns: u64,
    cumulative_samples: u64,
}

impl<'a> HeadOut<'a> {
    pub(super) fn new(recorded: &'a Recorded) -> Self {
        let head = &recorded.header;
        HeadOut {
            loiter: &head.loiter,
            started_at_ns: head.started_at_ns,
            duration_ns: head.duration_ns,
            target: TargetOut::from(&head.target),
            clocks: head.clocks.iter().map(ClockOut::from).collect(),
            coverage: CoverageOut::from(&head.coverage),
            cost: CostOut::from(&head.cost),
            end: match head.end {
                End::Elapsed => "elapsed",
                End::Interrupted => "interrupted",
                End::TargetEnded => "target ended",
                End::Replaced => "replaced",
            },
            time_step_ns: head.time_step_ns,
            warnings: &head.warnings,
        }
    }
}

impl<'a> From<&'a ClockInfo> for ClockOut<'a> {
    fn from(info: &'a ClockInfo) -> Self {
        ClockOut {
            clock: info.clock.name(),
            event: &info.event,
            period_ns: info.period_ns,
            wanted_period_ns: info.wanted_period_ns,
            kernel: info.kernel,
            every_cpu: info.every_cpu,
        }
    }
}

impl From<&Coverage> for CoverageOut {
    fn from(coverage: &Coverage) -> Self {
        CoverageOut {
            cpu_ns: coverage.cpu_ns,
            cpu_sampled_ns: coverage.cpu_sampled_ns,
            kernel_not_sampled_ns: coverage.kernel_not_sampled_ns,
            samples: coverage.samples,
            lost: coverage.lost,
            malformed: coverage.malformed,
            readings: coverage.readings,
            readings_failed: coverage.readings_failed,
            tasks_started: coverage.tasks_started,
            tasks_ended: coverage.tasks_ended,
            started_seen: coverage.started_seen,
            lived_ns: coverage.lived_ns,
            seen_ns: coverage.seen_ns,
        }
    }
}

impl From<&Cost> for CostOut {
    fn from(cost: &Cost) -> Self {
        CostOut {
            cpu_ns: cost.cpu_ns,
            threads_stopped: cost.threads_stopped,
            longest_thread_stop_ns: cost.longest_thread_stop_ns,
        }
    }
}

impl TotalOut {
    fn new(recorded: &Recorded, filter: &Filter, clock: Clock, sum: Sum) -> Self {
        let independent_samples = recorded.sureness(clock, &recorded.select(clock, filter).tasks);
        TotalOut { clock: clock.name(), samples: sum.samples, ns: sum.ns, independent_samples }
    }
}

impl<'a> GroupOut<'a> {
    fn new(recorded: &'a Recorded, group: &RecordedGroup, totals: &[(Clock, Sum)]) -> Self {
        let time = |&(clock, all): &(Clock, Sum)| {
            let sum = group.sum(clock);
            (sum != Sum::default()).then(|| TimeOut {
                clock: clock.name(),
                samples: sum.samples,
                ns: sum.ns,
                share: part(sum.ns, all.ns),
                doing: acts(recorded, group, clock),
            })
        };
        GroupOut {
            name: recorded.name(group.subject),
            label: group.label.map(|id| recorded.snapshot.str(id)),
            tasks: group.tasks,
            tasks_without_id: group.more_tasks,
            times: totals.iter().filter_map(time).collect(),
        }
    }
}

fn acts<'a>(recorded: &'a Recorded, group: &RecordedGroup, clock: Clock) -> Vec<ActOut<'a>> {
    let (all, samples) = (group.sum(clock).ns, recorded.sureness(clock, &by_clock(&group.rows, clock)));
    let act = |(act, sum): (Act, Sum)| {
        let share = share(sum.ns, all, samples).unwrap_or_default();
        ActOut {
            state: act.state.name(),
            reason: act.reason.map(|id| recorded.snapshot.str(id)),
            samples: sum.samples,
            ns: sum.ns,
            share: share.value,
            low: share.low,
            high: share.high,
        }
    };
    by_clock(&group.acts, clock).into_iter().map(act).collect()
}

fn labels<'a>(recorded: &'a Recorded, clock: Clock, filter: &Filter) -> Vec<LabelOut<'a>> {
    let snapshot = &recorded.snapshot;
    let mut labels = Vec::new();
    for times in label_times(recorded, clock, filter) {
        labels.extend(times.values.iter().map(|&(value, sum)| LabelOut {
            clock: clock.name(),
            key: snapshot.str(times.key),
            value: snapshot.str(value),
            samples: sum.samples,
            ns: sum.ns,
        }));
    }
    labels
}

fn of_functions<'a>(
    recorded: &'a Recorded,
    clock: Clock,
    times: &Functions,
    most: usize,
) -> Vec<FunctionOut<'a>> {
    let snapshot = &recorded.snapshot;
    let out = |time: &crate::analysis::recorded::FunctionTime| FunctionOut {
        clock: clock.name(),
        function: snapshot.function_name(time.function).into(),
        file: Some(snapshot.str(time.frame.file)).filter(|file| !file.is_empty()),
        line: time.frame.known_line(),
        flat_ns: time.flat.ns,
        flat_samples: time.flat.samples,
        cumulative_ns: time.cumulative.ns,
        cumulative_samples: time.cumulative.samples,
    };
    times.functions.iter().take(most).map(out).collect()
}

fn part(ns: u64, all: u64) -> f64 {
    if all == 0 { 0.0 } else { ns as f64 / all as f64 }
}
