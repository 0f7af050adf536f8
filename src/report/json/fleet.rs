//! What the leak rules found in a fleet, as JSON; described in loiter-leaks-json(5).

use std::io::{self, Write};

use serde::Serialize;

use super::VERSION;
use super::baseline::LineOut;
use super::findings::{FindingOut, NoteOut, PartOut, SilencedOut, all_ignored};
use crate::analysis::leaks::fleet::{Fleet, Spread};

/// Name of the format.
const FORMAT: &str = "loiter-leaks-fleet";

/// Writes the findings of a fleet.
///
/// # Errors
/// Those of `out`.
pub fn fleet(fleet: &Fleet, out: &mut dyn Write) -> io::Result<()> {
    let document = Document {
        format: FORMAT,
        version: VERSION,
        processes: fleet.processes,
        snapshots: fleet.snapshots,
        tasks: fleet.tasks,
        warnings: fleet.warnings.iter().map(|(process, text)| format!("{process}: {text}")).collect(),
        ignored_tasks: all_ignored(fleet.ignored, fleet.silenced.as_ref()),
        ignore_file: SilencedOut::new(fleet.silenced.as_ref()),
        baseline_tasks: fleet.in_baseline.saturating_add(fleet.listed.tasks),
        stale: fleet.listed.stale.iter().map(LineOut::new).collect(),
        expired: fleet.listed.expired.iter().map(LineOut::new).collect(),
        findings: (fleet.findings.iter())
            .map(|found| FleetFindingOut {
                finding: FindingOut::new(&found.finding, None),
                spread: SpreadOut::new(&found.spread),
            })
            .collect(),
        scheduler: (fleet.scheduler.iter())
            .map(|found| FleetNoteOut {
                note: NoteOut::new(&found.note, &fleet.noun),
                processes: found.processes.iter().map(|name| &**name).collect(),
            })
            .collect(),
        groups: (fleet.groups.iter())
            .map(|group| GroupOut {
                part: PartOut::new(&group.part, None),
                spread: SpreadOut::new(&group.spread),
            })
            .collect(),
    };
    super::write(&document, out)
}

#[derive(Serialize)]
struct Document<'a> {
    format: &'static str,
    version: u32,
    processes: u64,
    snapshots: u64,
    tasks: u64,
    warnings: Vec<String>,
    ignored_tasks: u64,
    ignore_file: Option<SilencedOut<'a>>,
    baseline_tasks: u64,
    stale: Vec<LineOut<'a>>,
    expired: Vec<LineOut<'a>>,
    findings: Vec<FleetFindingOut<'a>>,
    scheduler: Vec<FleetNoteOut<'a>>,
    groups: Vec<GroupOut<'a>>,
}

#[derive(Serialize)]
struct FleetFindingOut<'a> {
    #[serde(flatten)]
    finding: FindingOut<'a>,
    spread: SpreadOut<'a>,
}

#[derive(Serialize)]
struct FleetNoteOut<'a> {
    #[serde(flatten)]
    note: NoteOut,
    processes: Vec<&'a str>,
}

#[derive(Serialize)]
struct GroupOut<'a> {
    #[serde(flatten)]
    part: PartOut<'a>,
    spread: SpreadOut<'a>,
}

#[derive(Serialize)]
struct SpreadOut<'a> {
    total: u64,
    largest: u64,
    root_mean_square: f64,
    processes: Vec<ProcessOut<'a>>,
}

#[derive(Serialize)]
struct ProcessOut<'a> {
    process: &'a str,
    count: u64,
}

impl<'a> SpreadOut<'a> {
    fn new(spread: &'a Spread) -> Self {
        SpreadOut {
            total: spread.total,
            largest: spread.processes.first().map_or(0, |&(_, n)| n),
            root_mean_square: spread.rms,
            processes: spread
                .processes
                .iter()
                .map(|(process, count)| ProcessOut { process, count: *count })
                .collect(),
        }
    }
}
