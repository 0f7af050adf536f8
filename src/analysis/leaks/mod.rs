//! Which tasks leak: rules look at a series of snapshots and say what they found, how sure it is, and why.
//!
//! `context` groups the tasks of the last reading, and knows how each group came and went. Each rule
//! (`rules`) makes claims about groups; `merge` joins claims of one cause into one finding, and `because_of` says
//! which finding keeps the tasks of another one waiting. Tasks that are normally parked (`analysis::known`) are not reported.
//!
//! Nothing here makes sentences: what a rule saw is [`Evidence`], what it means a [`Cause`], why tasks are no
//! finding a [`Why`](evidence::Why). `report::evidence` words them.

use super::series::{Series, SeriesOptions};
use super::signature::{By, SignatureOptions};
use crate::snapshot::Snapshot;

mod baseline;
mod because_of;
pub(in crate::analysis) mod context;
pub mod evidence;
mod finding;
pub mod fleet;
mod growth;
mod ignore;
pub(in crate::analysis) mod left;
mod listed;
mod merge;
mod naming;
mod rest;
mod rules;
pub(in crate::analysis) mod task_group;

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
pub(crate) mod tests;

pub use super::lore::KnownTask;
pub use crate::snapshot::WaitClass;
pub use baseline::{Baseline, Counts};
pub use evidence::{Cause, Evidence};
pub use finding::{
    BecauseOf, Culprit, Doing, Finding, Hit, Holder, HowHeld, Note, Part, Report, Rest, Sample, Sureness,
};
pub use ignore::{Ignore, IgnoreFile, IgnoreFileError, Silenced, parse_file};
pub use listed::Listed;
pub use rules::{RULES, SCHEDULER_RULES, SchedulerRule};

/// Tasks that are still for at least this long are worth a look, unless told otherwise, nanoseconds.
pub const MIN_AGE_NS: u64 = 60_000_000_000;

/// What rules are to look at.
#[derive(Debug, Clone)]
pub struct Options {
    /// Tasks that are still for at least this long are worth a look, nanoseconds.
    pub min_age_ns: u64,
    /// What the user does not want to see.
    pub ignore: Vec<Ignore>,
    /// The same from a file.
    pub ignore_file: Option<IgnoreFile>,
    /// What is known.
    pub baseline: Option<Baseline>,
}

impl Default for Options {
    fn default() -> Self {
        Options { min_age_ns: MIN_AGE_NS, ignore: Vec::new(), ignore_file: None, baseline: None }
    }
}

/// How to make a series for [`find`]: tasks are distinguished by the lines where they are and were started.
pub fn series_options() -> SeriesOptions {
    let signature = SignatureOptions { by: By::Line, ..SignatureOptions::default() };
    SeriesOptions { signature, ..SeriesOptions::default() }
}

/// Looks for leaks. None if the series is empty. A series of one snapshot gives what one snapshot can show.
pub fn find(series: &Series, options: &Options) -> Option<Report> {
    let snapshot: &Snapshot = series.last()?;
    let context = context::Context::new(series, snapshot, options);
    Some(merge::report(&context))
}
