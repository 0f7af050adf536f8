//! What changed between snapshots, as JSON; described in loiter-diff-json(5).

use std::io::{self, Write};

use serde::Serialize;

use super::head::{ModuleOut, SnapshotOut};
use super::{AgeOut, PlaceOut, VERSION};
use crate::analysis::diff::{Diff, DiffRow};
use crate::analysis::modules::{Owners, module_of, modules};
use crate::analysis::series::{Matching, Series};
use crate::analysis::trend::Trend;
use crate::snapshot::Snapshot;

/// Name of the format.
const FORMAT: &str = "loiter-diff";

/// Writes what changed. At most `limit` groups are written; `all` includes unchanged groups.
///
/// # Errors
/// Those of `out`.
pub fn diff(
    series: &Series,
    diff: &Diff,
    limit: Option<usize>,
    all: bool,
    out: &mut dyn Write,
) -> io::Result<()> {
    let rows = diff.rows.iter().chain(diff.unchanged.iter().filter(|_| all));
    let owners = series.last().map(Owners::new).unwrap_or_default();
    let document = Document {
        format: FORMAT,
        version: VERSION,
        first: series.first().map(SnapshotOut::from),
        last: series.last().map(|snapshot| SnapshotOut::from(&snapshot.header)),
        by: series.options().signature.by.to_string(),
        matched_by: match series.matching() {
            Matching::ById => "identity",
            Matching::ByIdOnly { .. } => "id",
            Matching::BySignature { .. } => "signature",
        },
        warning: series.warning(),
        readings: diff.readings,
        span_ns: diff.span_ns,
        before: diff.before,
        after: diff.after,
        seen: series.matching().by_id().then_some(Seen {
            born: diff.born,
            ended: diff.gone,
            stayed: diff.stayed,
        }),
        counted: diff.counted.map(|counted| CountedOut {
            created: counted.created,
            ended: counted.ended,
            reuse_rate: counted.reuse_rate(),
        }),
        changed_groups: diff.rows.len(),
        unchanged_groups: diff.unchanged.len(),
        groups: rows
            .take(limit.unwrap_or(usize::MAX))
            .filter_map(|row| RowOut::new(series, row, &owners))
            .collect(),
    };
    super::write(&document, out)
}

#[derive(Serialize)]
struct Document<'a> {
    format: &'static str,
    version: u32,
    first: Option<SnapshotOut<'a>>,
    last: Option<SnapshotOut<'a>>,
    by: String,
    matched_by: &'static str,
    warning: Option<String>,
    readings: u32,
    span_ns: Option<u64>,
    before: u64,
    after: u64,
    seen: Option<Seen>,
    counted: Option<CountedOut>,
    changed_groups: usize,
    unchanged_groups: usize,
    groups: Vec<RowOut<'a>>,
}

#[derive(Serialize)]
struct Seen {
    born: u64,
    ended: u64,
    stayed: u64,
}

#[derive(Serialize)]
struct CountedOut {
    created: u64,
    ended: u64,
    reuse_rate: Option<f64>,
}

#[derive(Serialize)]
struct RowOut<'a> {
    runtime: &'a str,
    before: u64,
    after: u64,
    change: i64,
    counts: Vec<u64>,
    seen: Option<RowSeen>,
    growth: Option<Growth>,
    oldest: AgeOut,
    stack_bytes: u64,
    states: Vec<Doing<'a>>,
    module: Option<ModuleOut<'a>>,
    created_by: Option<PlaceOut<'a>>,
    at: Option<PlaceOut<'a>>,
    stack: Vec<PlaceOut<'a>>,
}

#[derive(Serialize)]
struct RowSeen {
    born: u64,
    ended: u64,
    arrived: u64,
    left: u64,
    stayed: u64,
}

#[derive(Serialize)]
struct Growth {
    per_minute: f64,
    plus_minus: Option<f64>,
    rising: f64,
}

#[derive(Serialize)]
struct Doing<'a> {
    reason: Option<&'a str>,
    count: u64,
}

/// A function and its place.
impl From<Trend> for Growth {
    fn from(trend: Trend) -> Self {
        Growth { per_minute: trend.per_minute, plus_minus: trend.plus_minus, rising: trend.rising }
    }
}

impl<'a> RowOut<'a> {
    fn new(series: &'a Series, row: &DiffRow, owners: &Owners) -> Option<Self> {
        let (signature, track) = series.track(row.signature)?;
        let snapshot: &'a Snapshot = series.last()?;
        let origin = signature.creator.as_ref().or(signature.frames.last());
        let modules = modules(snapshot, &signature.runtime);
        Some(RowOut {
            runtime: &signature.runtime,
            before: row.before,
            after: row.after,
            change: row.change(),
            counts: track.steps.iter().map(|step| step.count).collect(),
            seen: series.matching().by_id().then_some(RowSeen {
                born: row.born,
                ended: row.gone,
                arrived: row.arrived,
                left: row.left,
                stayed: row.group.stayed,
            }),
            growth: row.trend.map(Growth::from),
            oldest: row.group.oldest.into(),
            stack_bytes: row.group.stack_bytes,
            states: (row.group.reasons.entries.iter())
                .map(|&(id, count)| Doing { reason: id.map(|id| snapshot.str(id)), count })
                .collect(),
            module: origin.and_then(|place| module_of(modules, &place.package)).map(ModuleOut::from),
            created_by: signature.creator.as_ref().map(PlaceOut::new),
            at: signature.user_frame(owners).map(PlaceOut::new),
            stack: signature.frames.iter().map(PlaceOut::new).collect(),
        })
    }
}
