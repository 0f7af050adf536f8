//! What the leak rules found, as JSON; described in loiter-leaks-json(5).

use std::io::{self, Write};

use serde::Serialize;

use super::baseline::LineOut;
use super::evidence::Fact;
use super::head::{ModuleOut, SnapshotOut};
use super::{AgeOut, PlaceOut, VERSION};
use crate::analysis::leaks::{
    BecauseOf, Culprit, Doing, Finding, Holder, Note, Part, RULES, Rest, SCHEDULER_RULES, Sample, Silenced,
};
use crate::analysis::rates::{Lifetime, Rates};
use crate::analysis::series::Matching;
use crate::analysis::signature::SignatureFrame;
use crate::report::evidence::{Tasks, rest_name};
use crate::report::finding::{Findings, SourceLines, no_lifetime, summary};

/// Name of the format.
const FORMAT: &str = "loiter-leaks";

/// Writes the findings in a series of readings.
///
/// # Errors
/// Those of `out`.
pub fn findings(findings: &Findings<'_>, out: &mut dyn Write) -> io::Result<()> {
    let Findings { report, rates, source } = *findings;
    let document = Document {
        format: FORMAT,
        version: VERSION,
        last: SnapshotOut::from(&report.header),
        readings: report.readings,
        span_ns: report.span_ns,
        matched_by: match report.matching {
            Matching::ById => "identity",
            Matching::ByIdOnly { .. } => "id",
            Matching::BySignature { .. } => "signature",
        },
        warning: report.matching.warning(),
        tasks: report.tasks,
        rates: RatesOut::new(rates),
        findings: report.findings.iter().map(|finding| FindingOut::new(finding, Some(source))).collect(),
        scheduler: report.scheduler.iter().map(|note| NoteOut::new(note, &report.noun)).collect(),
        undecided: report.undecided.iter().map(|rest| RestOut::new(rest, &report.noun)).collect(),
        healthy: report.healthy.iter().map(|rest| RestOut::new(rest, &report.noun)).collect(),
        ignored_tasks: all_ignored(report.ignored, report.silenced.as_ref()),
        ignore_file: SilencedOut::new(report.silenced.as_ref()),
        baseline_tasks: report.in_baseline.saturating_add(report.listed.tasks),
        stale: report.listed.stale.iter().map(LineOut::new).collect(),
        expired: report.listed.expired.iter().map(LineOut::new).collect(),
        rules: (RULES.iter().map(|rule| RuleOut { name: rule.name(), checks: rule.checks() }))
            .chain(SCHEDULER_RULES.iter().map(|rule| RuleOut { name: rule.name, checks: rule.checks }))
            .collect(),
    };
    super::write(&document, out)
}

#[derive(Serialize)]
struct Document<'a> {
    format: &'static str,
    version: u32,
    last: SnapshotOut<'a>,
    readings: u32,
    span_ns: Option<u64>,
    matched_by: &'static str,
    warning: Option<&'a str>,
    tasks: u64,
    rates: RatesOut,
    findings: Vec<FindingOut<'a>>,
    scheduler: Vec<NoteOut>,
    undecided: Vec<RestOut>,
    healthy: Vec<RestOut>,
    ignored_tasks: u64,
    ignore_file: Option<SilencedOut<'a>>,
    baseline_tasks: u64,
    stale: Vec<LineOut<'a>>,
    expired: Vec<LineOut<'a>>,
    rules: Vec<RuleOut>,
}

/// What the ignore file left out, as part of `ignored_tasks`.
#[derive(Serialize)]
pub(super) struct SilencedOut<'a> {
    path: &'a str,
    tasks: u64,
}

impl<'a> SilencedOut<'a> {
    pub(super) fn new(silenced: Option<&'a Silenced>) -> Option<Self> {
        silenced.map(|silenced| SilencedOut { path: &silenced.path, tasks: silenced.tasks })
    }
}

/// Tasks left out by patterns of any source.
pub(super) fn all_ignored(by_user: u64, silenced: Option<&Silenced>) -> u64 {
    by_user.saturating_add(silenced.map_or(0, |silenced| silenced.tasks))
}

#[derive(Serialize)]
struct RatesOut {
    born_per_second: Option<f64>,
    ended_per_second: Option<f64>,
    counted: bool,
    mean_lifetime_s: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mean_lifetime_unknown: Option<&'static str>,
    reuse_rate: Option<f64>,
    reuse_rate_ever: Option<f64>,
    spawns_per_request: Option<f64>,
}

#[derive(Serialize)]
struct RuleOut {
    name: &'static str,
    checks: &'static str,
}

#[derive(Serialize)]
pub(super) struct NoteOut {
    rule: &'static str,
    because: Vec<Fact>,
    cause: Fact,
    next: Fact,
}

#[derive(Serialize)]
pub(super) struct RestOut {
    what: String,
    count: u64,
    why: Fact,
}

#[derive(Serialize)]
pub(super) struct FindingOut<'a> {
    sureness: &'static str,
    summary: String,
    rules: Vec<HitOut>,
    now: u64,
    first: Option<u64>,
    stayed: Option<u64>,
    ended: Option<u64>,
    watched_ns: Option<u64>,
    growth: Option<GrowthOut>,
    age: AgeOut,
    stack_bytes: u64,
    module: Option<ModuleOut<'a>>,
    parts: Vec<PartOut<'a>>,
    samples: Vec<SampleOut>,
    holders: Vec<HolderOut<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    because_of: Option<BecauseOfOut<'a>>,
    cause: Option<Fact>,
    next: Option<Fact>,
}

/// What the tasks wait for: another finding, or a task.
#[derive(Serialize)]
struct BecauseOfOut<'a> {
    tasks: u64,
    finding: Option<usize>,
    task: Option<DoingOut<'a>>,
}

#[derive(Serialize)]
struct HitOut {
    rule: &'static str,
    sureness: &'static str,
    because: Vec<Fact>,
}

#[derive(Serialize)]
struct GrowthOut {
    per_minute: f64,
    plus_minus: Option<f64>,
    rising: f64,
}

#[derive(Serialize)]
pub(super) struct PartOut<'a> {
    count: u64,
    doing: &'a str,
    at: Option<SourcedPlace<'a>>,
    created_by: Option<SourcedPlace<'a>>,
    stack: Vec<SourcedPlace<'a>>,
}

/// A place, with its line of the source if that was found.
#[derive(Serialize)]
struct SourcedPlace<'a> {
    #[serde(flatten)]
    place: PlaceOut<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<String>,
}

#[derive(Serialize)]
struct SampleOut {
    id: Option<u64>,
    address: String,
}

#[derive(Serialize)]
struct HolderOut<'a> {
    #[serde(flatten)]
    task: DoingOut<'a>,
    how: &'static str,
    lock: Option<LockOut>,
    deadlocked: bool,
    unlocks_at: Option<SourcedPlace<'a>>,
    waits_for: Option<ChainOut<'a>>,
}

#[derive(Serialize)]
struct DoingOut<'a> {
    id: Option<u64>,
    address: String,
    doing: &'a str,
    age: AgeOut,
    at: Option<SourcedPlace<'a>>,
}

#[derive(Serialize)]
struct LockOut {
    kind: &'static str,
    address: String,
}

#[derive(Serialize)]
struct ChainOut<'a> {
    locks: u64,
    #[serde(flatten)]
    end: DoingOut<'a>,
}

impl RatesOut {
    fn new(rates: &Rates) -> Self {
        RatesOut {
            born_per_second: rates.born_per_second,
            ended_per_second: rates.ended_per_second,
            counted: rates.counted,
            mean_lifetime_s: match rates.lifetime {
                Some(Lifetime::Mean(seconds)) => Some(seconds),
                _ => None,
            },
            mean_lifetime_unknown: match rates.lifetime {
                Some(Lifetime::Unknown(why)) => Some(no_lifetime(why)),
                _ => None,
            },
            reuse_rate: rates.reuse,
            reuse_rate_ever: rates.reuse_ever,
            spawns_per_request: rates.spawns_per_request,
        }
    }
}

impl NoteOut {
    pub(super) fn new(note: &Note, noun: &str) -> Self {
        NoteOut {
            rule: note.rule,
            because: note
                .because
                .iter()
                .map(|one| Fact::evidence(one, Tasks { noun, is_one: false }))
                .collect(),
            cause: Fact::cause(note.cause),
            next: Fact::next(note.cause),
        }
    }
}

impl RestOut {
    pub(super) fn new(rest: &Rest, noun: &str) -> Self {
        RestOut { what: rest_name(rest, noun, true), count: rest.count, why: Fact::why(&rest.why, noun) }
    }
}

impl<'a> FindingOut<'a> {
    pub(super) fn new(finding: &'a Finding, source: Option<SourceLines<'_>>) -> Self {
        let hit = |hit: &crate::analysis::leaks::Hit| HitOut {
            rule: hit.rule,
            sureness: hit.sureness.name(),
            because: hit.because.iter().map(|one| Fact::evidence(one, Tasks::of(finding))).collect(),
        };
        FindingOut {
            sureness: finding.sureness.name(),
            summary: summary(finding),
            rules: finding.hits.iter().map(hit).collect(),
            now: finding.now,
            first: finding.first,
            stayed: finding.stayed,
            ended: finding.ended,
            watched_ns: finding.watched_ns,
            growth: finding.growth.map(|trend| GrowthOut {
                per_minute: trend.per_minute,
                plus_minus: trend.plus_minus,
                rising: trend.rising,
            }),
            age: finding.age.into(),
            stack_bytes: finding.stack_bytes,
            module: finding.module.as_ref().map(ModuleOut::from),
            parts: finding.parts.iter().map(|part| PartOut::new(part, source)).collect(),
            samples: finding.samples.iter().map(SampleOut::new).collect(),
            holders: finding.holders.iter().map(|holder| HolderOut::new(holder, source)).collect(),
            because_of: finding.because_of.as_ref().map(|because| BecauseOfOut::new(because, source)),
            cause: finding.cause.map(Fact::cause),
            next: finding.cause.map(Fact::next),
        }
    }
}

impl<'a> BecauseOfOut<'a> {
    fn new(because: &'a BecauseOf, source: Option<SourceLines<'_>>) -> Self {
        let (finding, task) = match &because.culprit {
            Culprit::Finding(nth) => (Some(*nth), None),
            Culprit::Task(task) => (None, Some(DoingOut::new(task, source))),
        };
        BecauseOfOut { tasks: because.tasks, finding, task }
    }
}

impl<'a> PartOut<'a> {
    pub(super) fn new(part: &'a Part, source: Option<SourceLines<'_>>) -> Self {
        PartOut {
            count: part.count,
            doing: &part.what,
            at: part.at.as_ref().map(|at| SourcedPlace::new(at, source)),
            created_by: part.creator.as_ref().map(|creator| SourcedPlace::new(creator, source)),
            stack: part.stack.iter().map(|frame| SourcedPlace::new(frame, None)).collect(),
        }
    }
}

impl<'a> SourcedPlace<'a> {
    fn new(place: &'a SignatureFrame, source: Option<SourceLines<'_>>) -> Self {
        SourcedPlace { place: PlaceOut::new(place), source: source.and_then(|source| source(place)) }
    }
}

impl<'a> HolderOut<'a> {
    fn new(holder: &'a Holder, source: Option<SourceLines<'_>>) -> Self {
        HolderOut {
            task: DoingOut::new(&holder.task, source),
            how: holder.how.name(),
            lock: holder
                .lock
                .map(|(kind, address)| LockOut { kind: kind.name(), address: format!("{address:#x}") }),
            deadlocked: holder.deadlocked,
            unlocks_at: holder.unlocks.as_ref().map(|at| SourcedPlace::new(at, source)),
            waits_for: (holder.chain.as_ref())
                .map(|(locks, end)| ChainOut { locks: *locks, end: DoingOut::new(end, source) }),
        }
    }
}

impl<'a> DoingOut<'a> {
    fn new(task: &'a Doing, source: Option<SourceLines<'_>>) -> Self {
        DoingOut {
            id: task.id,
            address: format!("{:#x}", task.address),
            doing: &task.what,
            age: task.age.into(),
            at: task.at.as_ref().map(|at| SourcedPlace::new(at, source)),
        }
    }
}

impl SampleOut {
    fn new(sample: &Sample) -> Self {
        SampleOut { id: sample.id, address: format!("{:#x}", sample.address) }
    }
}
