//! Two recordings compared, as JSON, described in loiter-record-json(5): do not rename the members.

use std::io::{self, Write};

use serde::Serialize;

use super::VERSION;
use super::recording::HeadOut;
use crate::analysis::recorded::diff::{Changed, Compared, RecordingDiff};
use crate::analysis::recorded::{Recorded, Sum};

/// Name of the format.
const FORMAT: &str = "loiter-record-diff";

/// Writes how the shares of functions or groups changed from `before` to `now`.
///
/// # Errors
/// Those of `out`.
pub fn recording_diff(
    before: &Recorded,
    now: &Recorded,
    diff: &RecordingDiff,
    out: &mut dyn Write,
) -> io::Result<()> {
    let side = |recorded, sum: Sum, independent_samples| SideOut {
        recording: HeadOut::new(recorded),
        samples: sum.samples,
        ns: sum.ns,
        independent_samples,
    };
    let document = Document {
        format: FORMAT,
        version: VERSION,
        clock: diff.clock.name(),
        by: match &diff.compared {
            Compared::Function => "function".to_owned(),
            Compared::Cumulative => "cumulative".to_owned(),
            Compared::Group(by) => by.to_string(),
        },
        before: side(before, diff.before, diff.sureness[0]),
        now: side(now, diff.now, diff.sureness[1]),
        rows: diff.rows.iter().map(RowOut::from).collect(),
    };
    super::write(&document, out)
}

#[derive(Serialize)]
struct Document<'a> {
    format: &'static str,
    version: u32,
    clock: &'static str,
    by: String,
    before: SideOut<'a>,
    now: SideOut<'a>,
    rows: Vec<RowOut<'a>>,
}

#[derive(Serialize)]
struct SideOut<'a> {
    recording: HeadOut<'a>,
    samples: u64,
    ns: u64,
    independent_samples: f64,
}

#[derive(Serialize)]
struct RowOut<'a> {
    name: &'a str,
    before_ns: u64,
    now_ns: u64,
    change: f64,
    low: f64,
    high: f64,
    real: bool,
}

impl<'a> From<&'a Changed> for RowOut<'a> {
    fn from(row: &'a Changed) -> Self {
        RowOut {
            name: &row.name,
            before_ns: row.before.ns,
            now_ns: row.now.ns,
            change: row.change.value,
            low: row.change.low,
            high: row.change.high,
            real: row.is_real(),
        }
    }
}
