//! Version 1 of the state file: one JSON object.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{State, StateError, Who};
use crate::analysis::trend::Trend;
use crate::analysis::trip::{
    Baseline, Course, Excursion, GROUPS, LEARNED, Learned, Memory, PERIOD_READINGS, Period, Subject, WINDOW,
};

pub(super) const VERSION: u32 = 1;
const FORMAT: &str = "loiter-gate-state";

/// Longer names are not written, bytes: two names of 300 characters with up to 4 bytes each.
const NAME: usize = 3_000;

#[derive(Deserialize)]
struct Head {
    format: String,
    version: u32,
}

#[derive(Serialize, Deserialize)]
struct File {
    format: String,
    version: u32,
    learned: Option<LearnedFile>,
    watched: Option<WatchedFile>,
}

#[derive(Serialize, Deserialize)]
struct Program {
    name: String,
    build_id: Option<String>,
    runtime: String,
    pid: Option<u32>,
    start_ticks: Option<u64>,
}

#[derive(Serialize, Deserialize)]
struct LearnedFile {
    program: Program,
    readings: u64,
    from_ns: u64,
    to_ns: u64,
    all: Counts,
    groups: Vec<Group>,
    other_groups: u64,
    trend: Option<TrendFile>,
}

#[derive(Serialize, Deserialize, Clone, Copy)]
struct Counts {
    p50: u64,
    p95: u64,
    max: u64,
}

#[derive(Serialize, Deserialize)]
struct Group {
    group: String,
    #[serde(flatten)]
    counts: Counts,
}

#[derive(Serialize, Deserialize)]
struct TrendFile {
    per_minute: f64,
    plus_minus: Option<f64>,
    rising: f64,
}

#[derive(Serialize, Deserialize)]
struct WatchedFile {
    program: Option<Program>,
    start_ns: Option<u64>,
    first: u64,
    period_ns: u64,
    missed: u64,
    period: Option<PeriodFile>,
    courses: Vec<CourseFile>,
}

#[derive(Serialize, Deserialize)]
struct PeriodFile {
    number: u64,
    all: Vec<u64>,
    groups: BTreeMap<String, Vec<u64>>,
}

#[derive(Serialize, Deserialize)]
struct CourseFile {
    /// None: all tasks.
    group: Option<String>,
    medians: VecDeque<(u64, u64)>,
    tasks: ExcursionFile,
    growth: ExcursionFile,
    learned: ExcursionFile,
}

#[derive(Serialize, Deserialize, Clone, Copy)]
struct ExcursionFile {
    above: u32,
    within: u32,
    tripped: bool,
}

pub(super) fn read(text: &[u8]) -> Result<State, StateError> {
    let head: Head = serde_json::from_slice(text).map_err(StateError::NoState)?;
    if head.format != FORMAT {
        return Err(StateError::Wrong("it has another format"));
    }
    if head.version != VERSION {
        return Err(StateError::Version(head.version));
    }
    let file: File = serde_json::from_slice(text).map_err(StateError::NoState)?;
    file.check().map_err(StateError::Wrong)?;
    let (watched, memory) = file.watched.map_or_else(Default::default, WatchedFile::into_memory);
    Ok(State { learned: file.learned.map(LearnedFile::into_baseline), watched, memory })
}

pub(super) fn write(state: &State) -> io::Result<Vec<u8>> {
    let file = File {
        format: FORMAT.to_owned(),
        version: VERSION,
        learned: state.learned.as_ref().map(|(who, baseline)| LearnedFile::new(who, baseline)),
        watched: Some(WatchedFile::new(state.watched.as_ref(), &state.memory)),
    };
    let mut text = serde_json::to_vec(&file)?;
    text.push(b'\n');
    Ok(text)
}

impl File {
    /// Whether everything is within the bounds of what loiter writes.
    fn check(&self) -> Result<(), &'static str> {
        let within = |is: bool, what: &'static str| if is { Ok(()) } else { Err(what) };
        let name = |name: &String| name.len() <= NAME;
        if let Some(learned) = &self.learned {
            within(learned.groups.len() <= LEARNED, "it has too many learned groups")?;
            within(learned.groups.iter().all(|group| name(&group.group)), "the name of a group is too long")?;
        }
        let Some(watched) = &self.watched else { return Ok(()) };
        within(watched.courses.len() <= 2 * GROUPS, "it has too many groups")?;
        for course in &watched.courses {
            within(course.group.iter().all(name), "the name of a group is too long")?;
            within(course.medians.len() as u64 <= WINDOW, "a group has too many periods")?;
        }
        let Some(period) = &watched.period else { return Ok(()) };
        within(period.all.len() <= PERIOD_READINGS, "its period has too many readings")?;
        within(period.groups.len() <= 4 * GROUPS, "its period has too many groups")?;
        within(period.groups.keys().all(name), "the name of a group is too long")?;
        within(
            period.groups.values().all(|counts| counts.len() <= period.all.len()),
            "a group has more readings than its period",
        )
    }
}

impl From<&Who> for Program {
    fn from(who: &Who) -> Self {
        let Who { name, build_id, runtime, pid, start_ticks } = who.clone();
        Program { name, build_id, runtime, pid, start_ticks }
    }
}

impl From<Program> for Who {
    fn from(program: Program) -> Self {
        let Program { name, build_id, runtime, pid, start_ticks } = program;
        Who { name, build_id, runtime, pid, start_ticks }
    }
}

impl From<Learned> for Counts {
    fn from(Learned { p50, p95, max }: Learned) -> Self {
        Counts { p50, p95, max }
    }
}

impl From<Counts> for Learned {
    fn from(Counts { p50, p95, max }: Counts) -> Self {
        Learned { p50, p95, max }
    }
}

impl From<Excursion> for ExcursionFile {
    fn from(Excursion { above, within, tripped }: Excursion) -> Self {
        ExcursionFile { above, within, tripped }
    }
}

impl From<ExcursionFile> for Excursion {
    fn from(ExcursionFile { above, within, tripped }: ExcursionFile) -> Self {
        Excursion { above, within, tripped }
    }
}

impl LearnedFile {
    fn new(who: &Who, baseline: &Baseline) -> Self {
        let group = |(name, counts): &(Arc<str>, Learned)| Group {
            group: name.to_string(),
            counts: Counts::from(*counts),
        };
        LearnedFile {
            program: who.into(),
            readings: baseline.readings,
            from_ns: baseline.from_ns,
            to_ns: baseline.to_ns,
            all: baseline.all.into(),
            groups: baseline.groups.iter().map(group).collect(),
            other_groups: baseline.others,
            trend: baseline.trend.map(|Trend { per_minute, plus_minus, rising }| TrendFile {
                per_minute,
                plus_minus,
                rising,
            }),
        }
    }

    fn into_baseline(self) -> (Who, Baseline) {
        let group = |group: Group| (Arc::from(group.group), group.counts.into());
        let baseline = Baseline {
            readings: self.readings,
            from_ns: self.from_ns,
            to_ns: self.to_ns,
            all: self.all.into(),
            groups: self.groups.into_iter().map(group).collect(),
            others: self.other_groups,
            trend: self.trend.map(|TrendFile { per_minute, plus_minus, rising }| Trend {
                per_minute,
                plus_minus,
                rising,
            }),
        };
        (self.program.into(), baseline)
    }
}

impl WatchedFile {
    fn new(who: Option<&Who>, memory: &Memory) -> Self {
        let text = |(name, counts): (&Arc<str>, &Vec<u64>)| (name.to_string(), counts.clone());
        let period = memory.period.as_ref().map(|period| PeriodFile {
            number: period.number,
            all: period.all.clone(),
            groups: period.groups.iter().map(text).collect(),
        });
        let course = |(subject, course): (&Subject, &Course)| CourseFile {
            group: match subject {
                Subject::All => None,
                Subject::Group(name) => Some(name.to_string()),
            },
            medians: course.medians.clone(),
            tasks: course.tasks.into(),
            growth: course.growth.into(),
            learned: course.learned.into(),
        };
        WatchedFile {
            program: who.map(Program::from),
            start_ns: memory.start_ns,
            first: memory.first,
            period_ns: memory.period_ns,
            missed: memory.missed,
            period,
            courses: memory.courses.iter().map(course).collect(),
        }
    }

    fn into_memory(self) -> (Option<Who>, Memory) {
        let period = self.period.map(|period| Period {
            number: period.number,
            all: period.all,
            groups: period.groups.into_iter().map(|(name, counts)| (name.into(), counts)).collect(),
        });
        let course = |course: CourseFile| {
            let subject = course.group.map_or(Subject::All, |name| Subject::Group(name.into()));
            let (tasks, growth, learned) = (course.tasks.into(), course.growth.into(), course.learned.into());
            (subject, Course { medians: course.medians, tasks, growth, learned })
        };
        let memory = Memory {
            start_ns: self.start_ns,
            first: self.first,
            period_ns: self.period_ns,
            missed: self.missed,
            period,
            courses: self.courses.into_iter().map(course).collect(),
        };
        (self.program.map(Who::from), memory)
    }
}
