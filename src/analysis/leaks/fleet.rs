//! Snapshots of many processes: a leak in one process stands out against the others.

use std::cmp::Reverse;
use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::baseline::Baseline;
use super::context::Context;
use super::finding::{Culprit, Finding, Note, Report};
use super::ignore::Silenced;
use super::listed::Listed;
use super::{Options, finding::Part};
use crate::analysis::series::Series;
use crate::analysis::signature::SignatureFrame;
use crate::snapshot::WaitClass;
use crate::snapshot::{Header, Snapshot, SourceKind};

/// The snapshots of one process, in the order of their times.
#[derive(Debug)]
pub struct Process {
    /// Its name: "api-server (pid 4242) on web-1".
    pub name: String,
    /// Its snapshots. Never empty.
    pub snapshots: Vec<Snapshot>,
}

/// Groups the snapshots by process. Each comes with a name, for processes without an identity. `apart`: each
/// snapshot is a process of its own, even if its header says otherwise.
pub fn by_process(snapshots: Vec<(String, Snapshot)>, apart: bool) -> Vec<Process> {
    let mut processes: Vec<Process> = Vec::new();
    for (given, snapshot) in snapshots {
        let same = |process: &&mut Process| {
            !apart
                && process.snapshots.first().is_some_and(|first| may_be_one(&first.header, &snapshot.header))
        };
        match processes.iter_mut().find(same) {
            Some(process) => process.snapshots.push(snapshot),
            None => {
                processes.push(Process { name: name(&snapshot.header, given), snapshots: vec![snapshot] })
            }
        }
    }
    for process in &mut processes {
        // Snapshots without a time stay where they are.
        if process.snapshots.iter().all(|snapshot| snapshot.header.taken_at_ns.is_some()) {
            process.snapshots.sort_by_key(|snapshot| snapshot.header.taken_at_ns);
        }
    }
    number(&mut processes);
    processes
}

/// Whether two snapshots may be of one process: their headers do not contradict each other.
fn may_be_one(a: &Header, b: &Header) -> bool {
    let (a, b) = (&a.target, &b.target);
    /// They are the same, or one is not known.
    fn agree<T: PartialEq>(a: &Option<T>, b: &Option<T>) -> bool {
        a.is_none() || b.is_none() || a == b
    }
    let is_process = |kind| matches!(kind, SourceKind::Process | SourceKind::Core);
    is_process(a.source) == is_process(b.source)
        && agree(&a.host, &b.host)
        && agree(&a.build_id, &b.build_id)
        && agree(&a.pid, &b.pid)
        && agree(&a.start_ticks, &b.start_ticks)
        && (is_process(a.source) || a.name == b.name)
}

fn name(header: &Header, given: String) -> String {
    let target = &header.target;
    if target.pid.is_none() && target.host.is_none() {
        return given;
    }
    let mut text = if target.name.is_empty() { "unnamed".to_owned() } else { target.name.clone() };
    if let Some(pid) = target.pid {
        text.push_str(&format!(" (pid {pid})"));
    }
    if let Some(host) = &target.host {
        text.push_str(&format!(" on {host}"));
    }
    text
}

/// Numbers processes that have the same name.
fn number(processes: &mut [Process]) {
    let mut seen: FxHashMap<String, u64> = FxHashMap::default();
    for process in processes {
        let times = seen.entry(process.name.clone()).or_default();
        *times += 1;
        if *times > 1 {
            process.name.push_str(&format!(" #{times}"));
        }
    }
}

/// How many tasks of one kind each process has.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Spread {
    /// In all.
    pub total: u64,
    /// Processes that have any, with how many, the largest number first.
    pub processes: Counts,
    /// Root mean square over all processes, including those without any: single outliers raise it.
    pub rms: f64,
}

impl Spread {
    fn new(mut processes: Counts, of: u64) -> Self {
        processes.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        let squares: f64 = processes.iter().map(|&(_, n)| n as f64 * n as f64).sum();
        Spread {
            total: processes.iter().fold(0, |sum, &(_, n)| sum.saturating_add(n)),
            rms: (squares / of.max(1) as f64).sqrt(),
            processes,
        }
    }
}

/// A finding in one process or more.
#[derive(Debug, Clone, PartialEq)]
pub struct FleetFinding {
    /// The finding of the process in which it is surest and largest.
    pub finding: Finding,
    /// How many tasks each process with this finding has.
    pub spread: Spread,
}

/// Something about the scheduler of one process or more.
#[derive(Debug, Clone, PartialEq)]
pub struct FleetNote {
    /// The note about the first of them.
    pub note: Note,
    /// The processes.
    pub processes: Vec<Arc<str>>,
}

/// Tasks that wait at one place, in all processes.
#[derive(Debug, Clone, PartialEq)]
pub struct FleetGroup {
    /// Where they are and what they do; the count is that of all processes.
    pub part: Part,
    /// How many each process has.
    pub spread: Spread,
}

/// What was found in many processes.
#[derive(Debug, Clone, PartialEq)]
pub struct Fleet {
    /// How many processes there are.
    pub processes: u64,
    /// How many snapshots.
    pub snapshots: u64,
    /// Tasks in the last snapshot of each.
    pub tasks: u64,
    /// What one of the tasks is called.
    pub noun: String,
    /// A header, for the words of the runtime.
    pub header: Header,
    /// The findings: the surest first, then by root mean square.
    pub findings: Vec<FleetFinding>,
    /// Notes about schedulers, by rule.
    pub scheduler: Vec<FleetNote>,
    /// Where tasks wait that are not well known to be parked, by root mean square.
    pub groups: Vec<FleetGroup>,
    /// What the user should know: the process, and a sentence.
    pub warnings: Vec<(Arc<str>, String)>,
    /// Tasks left out because an ignore pattern of the user matches.
    pub ignored: u64,
    /// What the ignore file left out, if there is one.
    pub silenced: Option<Silenced>,
    /// Tasks left out because a snapshot, the baseline, has as many.
    pub in_baseline: u64,
    /// What a list of known kinds says, the other form of a baseline.
    pub listed: Listed,
}

/// Functions of the stack and of the creator: lines differ between builds.
type Key = (Vec<Arc<str>>, Option<Arc<str>>, String);

fn key(part: &Part) -> Key {
    let function = |place: &SignatureFrame| Arc::clone(&place.function);
    (part.stack.iter().map(function).collect(), part.creator.as_ref().map(function), part.what.clone())
}

/// Processes with how many tasks they have.
pub type Counts = Vec<(Arc<str>, u64)>;

/// Collects what was found in each process.
#[derive(Debug, Default)]
pub struct Collector {
    names: Vec<Arc<str>>,
    snapshots: u64,
    reports: Vec<(Arc<str>, Report)>,
    groups: FxHashMap<Key, (Part, Counts)>,
    baseline: Option<Baseline>,
}

impl Collector {
    /// Looks at the next process.
    pub fn add(&mut self, name: &str, series: &Series, options: &Options) {
        let Some(snapshot) = series.last() else { return };
        let name: Arc<str> = name.into();
        self.baseline = self.baseline.take().or_else(|| options.baseline.clone());
        let context = Context::new(series, snapshot, options);
        let mut own: FxHashMap<Key, (Part, u64)> = FxHashMap::default();
        let waiting = context.kinds.iter().filter(|kind| kind.is_open() && kind.waits != WaitClass::Nothing);
        for part in waiting.map(super::merge::part) {
            let entry = own.entry(key(&part));
            entry.and_modify(|(_, n)| *n += part.count).or_insert_with(|| (part.clone(), part.count));
        }
        for (key, (part, n)) in own {
            let (_, counts) = self.groups.entry(key).or_insert_with(|| (part, Vec::new()));
            counts.push((Arc::clone(&name), n));
        }
        self.snapshots += u64::from(series.readings());
        self.reports.push((Arc::clone(&name), super::merge::report(&context)));
        self.names.push(name);
    }

    /// Ranks everything.
    pub fn finish(self) -> Fleet {
        let processes = self.names.len() as u64;
        let mut by_key: FxHashMap<Key, Vec<(Arc<str>, Finding)>> = FxHashMap::default();
        let mut fleet = Fleet {
            processes,
            snapshots: self.snapshots,
            tasks: 0,
            noun: "task".to_owned(),
            header: Header::default(),
            findings: Vec::new(),
            scheduler: Vec::new(),
            groups: Vec::new(),
            warnings: Vec::new(),
            ignored: 0,
            silenced: None,
            in_baseline: 0,
            listed: Listed::default(),
        };
        for (name, report) in self.reports {
            fleet.tasks = fleet.tasks.saturating_add(report.tasks);
            fleet.noun = report.noun;
            fleet.ignored = fleet.ignored.saturating_add(report.ignored);
            fleet.in_baseline = fleet.in_baseline.saturating_add(report.in_baseline);
            fleet.listed.join(report.listed);
            if let Some(silenced) = report.silenced {
                let before = fleet.silenced.map_or(0, |before| before.tasks);
                fleet.silenced =
                    Some(Silenced { tasks: silenced.tasks.saturating_add(before), path: silenced.path });
            }
            let warnings = report
                .matching
                .warning()
                .map(str::to_owned)
                .into_iter()
                .chain(report.header.warnings.clone());
            fleet.warnings.extend(warnings.map(|warning| (Arc::clone(&name), warning)));
            fleet.header = report.header;
            for note in report.scheduler {
                match fleet.scheduler.iter_mut().find(|other| other.note.rule == note.rule) {
                    Some(other) => other.processes.push(Arc::clone(&name)),
                    None => fleet.scheduler.push(FleetNote { note, processes: vec![Arc::clone(&name)] }),
                }
            }
            for finding in report.findings {
                let Some(key) = finding.parts.first().map(key) else { continue };
                by_key.entry(key).or_default().push((Arc::clone(&name), finding));
            }
        }
        fleet.listed.look_for_stale(self.baseline.as_ref());
        fleet.findings = by_key.into_values().filter_map(|all| joined(all, processes)).collect();
        fleet.findings.sort_by(|a, b| {
            let sureness = b.finding.sureness.cmp(&a.finding.sureness);
            sureness
                .then_with(|| b.spread.rms.total_cmp(&a.spread.rms))
                .then_with(|| name_of(a).cmp(&name_of(b)))
        });
        fleet.groups = (self.groups.into_values())
            .map(|(part, counts)| {
                let spread = Spread::new(counts, processes);
                FleetGroup { part: Part { count: spread.total, ..part }, spread }
            })
            .collect();
        let function = |group: &FleetGroup| group.part.stack.first().map(|place| Arc::clone(&place.function));
        fleet.groups.sort_by(|a, b| {
            b.spread.rms.total_cmp(&a.spread.rms).then_with(|| function(a).cmp(&function(b)))
        });
        fleet
    }
}

fn name_of(found: &FleetFinding) -> Option<Arc<str>> {
    found.finding.parts.first()?.stack.first().map(|place| Arc::clone(&place.function))
}

/// Joins the same finding of several processes into one.
fn joined(all: Vec<(Arc<str>, Finding)>, of: u64) -> Option<FleetFinding> {
    let counts = all.iter().map(|(name, finding)| (Arc::clone(name), finding.now)).collect();
    let (_, mut finding) =
        all.into_iter().min_by_key(|(_, finding)| (Reverse(finding.sureness), Reverse(finding.now)))?;
    // Its position is one among the findings of its own process.
    finding.because_of = finding.because_of.filter(|because| matches!(because.culprit, Culprit::Task(_)));
    Some(FleetFinding { finding, spread: Spread::new(counts, of) })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    fn header(pid: u32, host: &str, at: u64) -> Header {
        let mut header = Header { taken_at_ns: Some(at), ..Header::default() };
        header.target.pid = Some(pid).filter(|&pid| pid != 0);
        header.target.host = Some(host.to_owned()).filter(|host| !host.is_empty());
        header.target.name = "api".to_owned();
        header
    }

    #[test]
    fn snapshots_are_put_together_by_process_and_time() {
        let snapshot = |pid, host, at| {
            ("a.file".to_owned(), Snapshot { header: header(pid, host, at), ..Snapshot::default() })
        };
        let all = || vec![snapshot(7, "a", 3), snapshot(7, "b", 1), snapshot(7, "a", 2), snapshot(8, "a", 1)];
        let processes = by_process(all(), false);
        let seen: Vec<_> = processes
            .iter()
            .map(|p| {
                (
                    p.name.as_str(),
                    p.snapshots.iter().map(|s| s.header.taken_at_ns.unwrap()).collect::<Vec<_>>(),
                )
            })
            .collect();
        assert_eq!(
            seen,
            [("api (pid 7) on a", vec![2, 3]), ("api (pid 7) on b", vec![1]), ("api (pid 8) on a", vec![1])]
        );
        let apart: Vec<_> = by_process(all(), true).into_iter().map(|p| p.name).collect();
        assert_eq!(apart.get(2).unwrap(), "api (pid 7) on a #2");
        let unnamed = by_process(vec![snapshot(0, "", 0), snapshot(0, "", 0)], true);
        assert_eq!(unnamed.iter().map(|p| p.name.as_str()).collect::<Vec<_>>(), ["a.file", "a.file #2"]);
    }

    #[test]
    fn one_outlier_weighs_more_than_many_small_ones() {
        let spread = |counts: &[u64]| Spread::new(counts.iter().map(|&n| ("p".into(), n)).collect(), 4);
        let (outlier, even) = (spread(&[100]), spread(&[25, 25, 25, 25]));
        assert_eq!((outlier.total, even.total), (100, 100));
        assert_eq!((outlier.rms, even.rms), (50.0, 25.0));
    }
}
