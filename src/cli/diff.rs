//! `loiter diff`: what changed between snapshots.

use std::str::FromStr;
use std::sync::Arc;

use clap::ValueEnum;

use super::error::{CliError, Result};
use super::exit;
use super::filter::FilterArgs;
use super::format::{FormatArgs, PrintFormat};
use super::output::Output;
use super::recorded::{self, ClockArg, DiffBy, DifferenceFormat, Shown};
use super::source::{ProcessArg, ReadArgs};
use crate::analysis::diff::{Diff, diff};
use crate::analysis::leaks::{self, Sureness};
use crate::analysis::signature::SignatureOptions;
use crate::analysis::{Series, SeriesOptions};
use crate::recording::Recording;
use crate::report::text::{self, TextOptions};
use crate::report::units::thousands;
use crate::report::{json, markdown};
use crate::snapshot::{Snapshot, SourceKind};
use crate::source::{Input, Source};

/// Show which tasks were created, ended or stayed between snapshots, or how two recordings differ
///
/// Tasks are matched by their identity, so that a group that has kept its size but consists of other tasks is
/// recognised. A group is the tasks with the same functions on their stack and the same creator. Give the
/// snapshots in order of time; the last one may be a live process. Two recordings are compared by the share of
/// time that functions or groups took, and changes that may be chance are left out.
#[derive(Debug, clap::Args)]
#[command(after_help = exit::HELP)]
pub(super) struct Args {
    /// Two or more sources, the earliest first: files, http addresses of Go's pprof, or a process
    ///
    /// A file is a saved snapshot, a core file, or output of Go: a goroutine profile, or a log that contains a
    /// dump, compressed or not. The process of -p comes last.
    #[arg(value_name = "SOURCE", required = true)]
    sources: Vec<Source>,

    #[command(flatten)]
    process: ProcessArg,

    #[command(flatten)]
    how: ReadArgs,

    /// Group by function, line or creator
    ///
    /// function: the functions of the stack and the creating function. line: their lines, too. creator: only
    /// the creating function. Recordings are compared by function (its own time), cumulative (a function with
    /// what it calls), kind (start function and creator), label:KEY, creator, state, thread or task.
    #[arg(long, alias = "by", value_name = "KEY", default_value_t, help_heading = "Grouping")]
    group_by: DiffBy,

    /// The time of recordings that is compared: cpu, off-cpu or wall [default: the first that both have]
    #[arg(long, value_name = "CLOCK", help_heading = "Grouping")]
    clock: Option<ClockArg>,

    /// Compare only the N innermost frames of a stack
    #[arg(long, alias = "top", value_name = "N", help_heading = "Grouping")]
    frames: Option<usize>,

    #[command(flatten)]
    filter: FilterArgs,

    /// Also show groups that did not change
    #[arg(long, help_heading = "Output")]
    all: bool,

    /// Show at most N groups; 0 shows all
    #[arg(long, value_name = "N", default_value_t = 0, help_heading = "Output")]
    limit: usize,

    /// Exit with status 1 if one of these conditions holds: leak, growth, count>N
    ///
    /// leak: loiter leaks reports a finding that is likely, stuck or proven in these snapshots. growth: a
    /// group grows by more than chance explains. count>N: the last snapshot has more than N tasks.
    #[arg(long, value_name = "CONDITION", value_delimiter = ',', help_heading = "Output")]
    fail_on: Vec<FailOn>,

    #[command(flatten)]
    format: FormatArgs<Format>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
enum Format {
    #[default]
    Text,
    Json,
    Markdown,
}

impl PrintFormat for Format {
    const JSON: Self = Format::Json;
    const HELP: &'static str = "Format: text, json or markdown";
    const MORE: &'static str = "json is described in loiter-diff-json(5).";
}

/// What makes the command fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum FailOn {
    /// A finding that is likely, stuck or proven.
    Leak,
    /// A group that grows.
    Growth,
    /// More tasks than this in the last snapshot.
    Count(u64),
}

impl FromStr for FailOn {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.to_lowercase();
        let count = text.strip_prefix("count>").and_then(|n| n.parse().ok());
        match (text.as_str(), count) {
            ("leak", _) => Ok(FailOn::Leak),
            ("growth", _) => Ok(FailOn::Growth),
            (_, Some(n)) => Ok(FailOn::Count(n)),
            _ => Err("use leak, growth or count>N".to_owned()),
        }
    }
}

impl FailOn {
    /// Why the condition holds, in words. None if it does not.
    fn check(self, diff: &Diff, leaks: Option<&leaks::Report>) -> Option<String> {
        match self {
            FailOn::Leak => {
                let surest = leaks?.findings.iter().map(|finding| finding.sureness).max()?;
                (surest >= Sureness::Likely).then(|| format!("leak: the most certain finding is {surest}"))
            }
            FailOn::Growth => {
                let growing = diff.rows.iter().filter(|row| row.grows()).count();
                (growing > 0).then(|| {
                    format!(
                        "growth: {} of {} changed groups grow",
                        thousands(growing as u64),
                        thousands(diff.rows.len() as u64)
                    )
                })
            }
            FailOn::Count(n) => (diff.after > n)
                .then(|| format!("count>{n}: the last snapshot has {} tasks", thousands(diff.after))),
        }
    }
}

pub(super) fn run(args: &Args, output: &Output) -> Result {
    let filter = args.filter.filter();
    let sources: Vec<&Source> = args.sources.iter().chain(&args.process.pid).collect();
    if sources.len() < 2 {
        let problem = "diff needs two sources: add a later one, or a process with -p";
        return Err(CliError::Usage(problem.to_owned()));
    }
    let (mut snapshots, mut recordings, mut passed) = (Vec::new(), Vec::new(), 0);
    for (nth, source) in sources.iter().enumerate() {
        let mut snapshot = match args.how.open_any(source)? {
            Input::Snapshot(opened) => opened.snapshot,
            Input::Recording(recording) => {
                recordings.push(recording);
                continue;
            }
        };
        if filter.has_conditions() {
            let chosen = filter.select(&snapshot).tasks;
            passed += chosen.len() as u64;
            if nth + 1 == sources.len() {
                args.filter.explain(&snapshot, passed);
            }
            keep(&mut snapshot, &chosen);
        }
        snapshots.push(Arc::new(snapshot));
    }
    match (recordings.as_slice(), snapshots.is_empty()) {
        ([], _) => {}
        ([before, now], true) => return args.recordings(before, now, output),
        (_, true) => return Err(CliError::Usage("two recordings can be compared, not more".to_owned())),
        (_, false) => {
            return Err(CliError::Usage("snapshots and recordings cannot be compared".to_owned()));
        }
    }
    if args.clock.is_some() {
        return Err(CliError::Usage("--clock is for recordings, and these are snapshots".to_owned()));
    }
    let series = Series::of(args.options(&snapshots)?, snapshots.iter().cloned());
    let mut changes = diff(&series);
    if filter.has_conditions() {
        // The runtime's counters cover all tasks, not only those that pass the filter.
        changes.counted = None;
    }
    let leaks = args.fail_on.contains(&FailOn::Leak).then(|| {
        let series = Series::of(leaks::series_options(), snapshots);
        leaks::find(&series, &leaks::Options::default())
    });
    let limit = (args.limit > 0).then_some(args.limit);
    output.page(|out| match args.format.format() {
        Format::Text => {
            let options =
                TextOptions { time: true, all_frames: args.filter.all_frames, ..output.text_options() };
            text::diff(&series, &changes, limit, args.all, &options, out)
        }
        Format::Json => json::diff(&series, &changes, limit, args.all, out),
        Format::Markdown => markdown::diff(&series, &changes, limit, out),
    })?;
    let failed: Vec<_> = (args.fail_on.iter())
        .filter_map(|condition| condition.check(&changes, leaks.as_ref().and_then(Option::as_ref)))
        .collect();
    if failed.is_empty() { Ok(()) } else { Err(CliError::Found(failed.join("; "))) }
}

/// Removes the tasks that were not chosen.
fn keep(snapshot: &mut Snapshot, chosen: &[u32]) {
    snapshot.tasks = chosen.iter().filter_map(|&at| snapshot.tasks.get(at as usize).copied()).collect();
}

impl Args {
    /// Compares two recordings.
    fn recordings(&self, before: &Recording, now: &Recording, output: &Output) -> Result {
        if !self.fail_on.is_empty() || self.frames.is_some() {
            let problem = "--fail-on and --frames are for snapshots, and these are recordings";
            return Err(CliError::Usage(problem.to_owned()));
        }
        let format = match self.format.format() {
            Format::Text => DifferenceFormat::Text,
            Format::Json => DifferenceFormat::Json,
            Format::Markdown => DifferenceFormat::Markdown,
        };
        let shown = Shown {
            filter: self.filter.filter(),
            clock: self.clock.map(|clock| clock.0),
            top: (self.limit > 0).then_some(self.limit),
            ..Shown::default()
        };
        recorded::print_difference((before, now), &self.group_by.of_recordings()?, &shown, format, output)
    }

    fn options(&self, snapshots: &[Arc<Snapshot>]) -> Result<SeriesOptions> {
        // Snapshots without creators cannot be compared by creator.
        let knows_none = |s: &Snapshot| s.tasks.len() > 1 && s.tasks.iter().all(|t| t.creator.is_none());
        let ignore_creator =
            snapshots.iter().any(|s| s.header.target.source == SourceKind::Profile || knows_none(s));
        let signature = SignatureOptions {
            by: self.group_by.of_snapshots()?,
            top: self.frames,
            ignore_creator,
            all_frames: self.filter.all_frames,
        };
        Ok(SeriesOptions { signature, system: self.filter.filter().system, keep: None })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions() {
        assert_eq!("growth".parse(), Ok(FailOn::Growth));
        assert_eq!("LEAK".parse(), Ok(FailOn::Leak));
        assert_eq!("count>1000".parse(), Ok(FailOn::Count(1000)));
        assert!("count>".parse::<FailOn>().is_err());
        assert_eq!("leak".parse(), Ok(FailOn::Leak));
        assert!("leaks".parse::<FailOn>().is_err());
    }
}
