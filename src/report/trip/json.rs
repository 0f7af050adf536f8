//! For programs: one JSON object a line, described in loiter-gate-watch-json(5).

use std::io::{self, Write};

use serde::Serialize;

use super::words;
use super::{Begin, CommandEnd, Lesson};
use crate::analysis::trend::Trend;
use crate::analysis::trip::{Baseline, Event, Judged, Learned, Limit, Memory, Rules, Subject, Watch};
use crate::report::json::{self, VERSION};
use crate::report::text::task_noun;
use crate::snapshot::{Header, Snapshot};

const FORMAT: &str = "loiter-gate-watch";

/// Writes lines about one process.
#[derive(Debug)]
pub struct Lines {
    noun: String,
}

#[derive(Serialize)]
struct Line<T> {
    format: &'static str,
    version: u32,
    event: &'static str,
    #[serde(flatten)]
    rest: T,
}

fn line(event: &'static str, rest: impl Serialize, out: &mut dyn Write) -> io::Result<()> {
    json::write(&Line { format: FORMAT, version: VERSION, event, rest }, out)
}

#[derive(Serialize)]
struct ProcessOut<'a> {
    name: &'a str,
    pid: Option<u32>,
    build_id: Option<&'a str>,
    task_noun: &'a str,
}

impl<'a> ProcessOut<'a> {
    fn new(header: &'a Header, noun: &'a str) -> Self {
        let target = &header.target;
        ProcessOut {
            name: &target.name,
            pid: target.pid,
            build_id: target.build_id.as_deref(),
            task_noun: noun,
        }
    }
}

#[derive(Serialize)]
struct RulesOut {
    every_ns: u64,
    period_ns: u64,
    max_tasks: Option<u64>,
    max_growth_per_minute: Option<f64>,
    over_percent: u32,
    periods: u32,
}

impl From<&Rules> for RulesOut {
    fn from(rules: &Rules) -> Self {
        RulesOut {
            every_ns: rules.every_ns,
            period_ns: rules.period_ns,
            max_tasks: rules.max_tasks,
            max_growth_per_minute: rules.max_growth,
            over_percent: rules.over_percent,
            periods: rules.periods,
        }
    }
}

#[derive(Serialize)]
struct ThresholdOut {
    /// None: all tasks.
    group: Option<String>,
    p50: u64,
    p95: u64,
    max: u64,
    threshold: u64,
}

#[derive(Serialize)]
struct LearnedOut {
    readings: u64,
    from_ns: u64,
    to_ns: u64,
    thresholds: Vec<ThresholdOut>,
    other_groups: u64,
    other_threshold: u64,
    grew_per_minute: Option<f64>,
}

impl LearnedOut {
    fn new(baseline: &Baseline, rules: &Rules) -> Self {
        let row = |subject: Subject, Learned { p50, p95, max }: Learned| ThresholdOut {
            threshold: baseline.threshold(&subject, rules),
            group: group(&subject),
            p50,
            p95,
            max,
        };
        let groups = baseline.groups.iter().map(|(name, counts)| row(Subject::Group(name.clone()), *counts));
        LearnedOut {
            readings: baseline.readings,
            from_ns: baseline.from_ns,
            to_ns: baseline.to_ns,
            thresholds: [row(Subject::All, baseline.all)].into_iter().chain(groups).collect(),
            other_groups: baseline.others,
            other_threshold: baseline.threshold(&Subject::Group("".into()), rules),
            grew_per_minute: baseline.grew().map(|trend| trend.per_minute),
        }
    }
}

#[derive(Serialize)]
struct BeginOut<'a> {
    process: ProcessOut<'a>,
    at_ns: u64,
    tasks: u64,
    for_ns: u64,
    rules: RulesOut,
    learned: Option<LearnedOut>,
    tripped: Vec<Option<String>>,
}

#[derive(Serialize)]
struct TrendOut {
    per_minute: f64,
    plus_minus: Option<f64>,
}

#[derive(Serialize)]
struct EventOut<'a> {
    at_ns: u64,
    group: Option<String>,
    limit: &'static str,
    /// Tasks, or tasks per minute.
    allowed: serde_json::Number,
    text: String,
    #[serde(flatten)]
    trip: Option<TripOut<'a>>,
}

#[derive(Serialize)]
struct TripOut<'a> {
    because: String,
    counts: &'a [u64],
    growth: Option<TrendOut>,
    learned_p95: Option<u64>,
    report: Option<&'a str>,
}

#[derive(Serialize)]
struct CommandOut<'a> {
    command: &'a str,
    how: &'a str,
    succeeded: bool,
    took_ns: u64,
    output: &'a [String],
}

#[derive(Serialize)]
struct EndOut {
    took_ns: u64,
    readings: u64,
    periods: u64,
    missed_periods: u64,
    trips: u64,
    tripped: Vec<Option<String>>,
    undecided: Vec<String>,
    text: String,
}

#[derive(Serialize)]
struct LessonOut<'a> {
    process: ProcessOut<'a>,
    file: &'a str,
    rules: RulesOut,
    learned: LearnedOut,
}

fn group(subject: &Subject) -> Option<String> {
    match subject {
        Subject::All => None,
        Subject::Group(name) => Some(name.to_string()),
    }
}

fn tripped(memory: &Memory) -> Vec<Option<String>> {
    memory
        .courses
        .iter()
        .filter(|(_, course)| course.is_tripped())
        .map(|(subject, _)| group(subject))
        .collect()
}

/// A limit's name and value.
fn limit(limit: Limit) -> (&'static str, serde_json::Number) {
    match limit {
        Limit::Tasks(allowed) => ("tasks", allowed.into()),
        Limit::Learned(allowed) => ("learned", allowed.into()),
        Limit::Growth(allowed) => {
            ("growth", serde_json::Number::from_f64(allowed).unwrap_or_else(|| 0.into()))
        }
    }
}

impl Lines {
    /// For a process of which this is a reading.
    pub fn new(snapshot: &Snapshot) -> Self {
        Lines { noun: task_noun(snapshot).to_owned() }
    }

    /// What is watched.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn begin(&self, begin: &Begin<'_>, out: &mut dyn Write) -> io::Result<()> {
        let Begin { snapshot, now, watch, span_ns } = *begin;
        let learned = watch.baseline().map(|baseline| LearnedOut::new(baseline, watch.rules()));
        let rest = BeginOut {
            process: ProcessOut::new(&snapshot.header, &self.noun),
            at_ns: now.at_ns,
            tasks: now.tasks,
            for_ns: span_ns,
            rules: watch.rules().into(),
            learned,
            tripped: tripped(watch.memory()),
        };
        line("begin", rest, out)
    }

    /// A trip or a recovery.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn event(
        &self,
        event: &Event,
        rules: &Rules,
        report: Option<&str>,
        out: &mut dyn Write,
    ) -> io::Result<()> {
        match event {
            Event::Tripped(trip) => {
                let (name, allowed) = limit(trip.limit);
                let more = TripOut {
                    because: words::because(trip, rules),
                    counts: &trip.counts,
                    growth: trip
                        .trend
                        .map(|Trend { per_minute, plus_minus, .. }| TrendOut { per_minute, plus_minus }),
                    learned_p95: trip.learned.map(|learned| learned.p95),
                    report,
                };
                let text = words::tripped(trip, &self.noun);
                let (at_ns, group) = (trip.at_ns, group(&trip.subject));
                line("trip", EventOut { at_ns, group, limit: name, allowed, text, trip: Some(more) }, out)
            }
            Event::Recovered { subject, limit: of, at_ns } => {
                let (name, allowed) = limit(*of);
                let text = words::recovered(subject, *of, &self.noun);
                let group = group(subject);
                line(
                    "recovery",
                    EventOut { at_ns: *at_ns, group, limit: name, allowed, text, trip: None },
                    out,
                )
            }
        }
    }

    /// How a command ended.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn command(&self, end: &CommandEnd, out: &mut dyn Write) -> io::Result<()> {
        let CommandEnd { command, how, succeeded, took_ns, output } = end;
        line("command", CommandOut { command, how, succeeded: *succeeded, took_ns: *took_ns, output }, out)
    }

    /// How a watch ended.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn end(&self, watch: &Watch, took_ns: u64, out: &mut dyn Write) -> io::Result<()> {
        let (judged, rules): (Judged, _) = (watch.judged(), watch.rules());
        let rest = EndOut {
            took_ns,
            readings: judged.readings,
            periods: judged.periods,
            missed_periods: judged.missed,
            trips: judged.trips,
            tripped: tripped(watch.memory()),
            undecided: words::undecided(&judged, rules, watch.baseline().is_some()),
            text: words::end(&judged, rules, took_ns),
        };
        line("end", rest, out)
    }

    /// What was learned.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn learned(&self, lesson: &Lesson<'_>, out: &mut dyn Write) -> io::Result<()> {
        let rest = LessonOut {
            process: ProcessOut::new(&lesson.snapshot.header, &self.noun),
            file: lesson.file,
            rules: lesson.rules.into(),
            learned: LearnedOut::new(lesson.baseline, lesson.rules),
        };
        line("learned", rest, out)
    }
}
