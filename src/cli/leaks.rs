//! `loiter leaks`: watch a process or read a series of snapshots, and look for leaks.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::SystemTime;

use clap::ValueEnum;

use super::baseline;
use super::error::{CliError, Result};
use super::format::{FormatArgs, PrintFormat};
use super::output::{Output, tell};
use super::source::{ProcessArg, ProgramArg, ReadArgs};
use super::{exit, ignore, parse};
use crate::analysis::Series;
use crate::analysis::baseline::Date;
use crate::analysis::leaks::{self, Baseline, Ignore, Listed, Options, Sureness, fleet};
use crate::analysis::rates::rates;
use crate::report::finding::Findings;
use crate::report::text;
use crate::report::text::findings;
use crate::report::units::count;
use crate::report::{json, markdown};
use crate::snapshot::Snapshot;
use crate::source::Source;

pub(in crate::cli) mod lines;
mod watch;

/// Find tasks that leak: watch a process for a while, or read a series of snapshots
///
/// Every finding has a confidence. proven: these tasks can never run again. stuck: blocked, and no task that
/// could unblock them was found. likely: several signs agree. suspect: a single sign. Tasks that are normally
/// parked, such as those of idle connections, are not reported. Groups that the readings could not judge,
/// because they were too few or too short, are listed as undecided. Notes about the scheduler are not leaks,
/// and are listed separately.
#[derive(Debug, clap::Args)]
#[command(after_help = exit::HELP)]
pub(super) struct Args {
    /// A pid, a name or an address to watch, or snapshots of one process or of many: files, a directory
    ///
    /// An address is that of a Go program that serves pprof; the program stops while it answers. Snapshots of
    /// one process are a series, in order of time. Snapshots of several processes are a fleet: findings and
    /// groups are ranked over all of them.
    #[arg(value_name = "SOURCE", required_unless_present_any = ["pid", "program"])]
    sources: Vec<Source>,

    #[command(flatten)]
    process: ProcessArg,

    #[command(flatten)]
    program: ProgramArg,

    #[command(flatten)]
    how: ReadArgs,

    /// Treat each snapshot as one of a different process
    ///
    /// Needed for dumps and profiles that do not name their process.
    #[arg(long)]
    fleet: bool,

    /// How long to watch a process
    #[arg(long = "for", value_name = "DURATION", value_parser = parse::duration, default_value = "30s", help_heading = "Watching")]
    span: u64,

    /// How often to read it [default: 5s, or often enough for seven readings]
    ///
    /// It takes four readings to see growth, and seven to be confident. With fewer, much stays undecided.
    #[arg(long, value_name = "DURATION", value_parser = parse::duration, help_heading = "Watching")]
    every: Option<u64>,

    /// Also report tasks that have been blocked for at least this long, even if their number is not growing
    #[arg(long, value_name = "DURATION", value_parser = parse::duration, default_value = "1m", help_heading = "Rules")]
    min_age: u64,

    /// Leave out tasks with this function, creator or module
    ///
    /// Begin PATTERN with function:, creator: or module: to match only that. Patterns for functions match
    /// anywhere in a name, patterns for modules the whole path. * stands for any characters.
    #[arg(long, value_name = "PATTERN", help_heading = "Rules")]
    ignore: Vec<Ignore>,

    /// A file with patterns for --ignore, one per line; # begins a comment [default: .loiterignore, if it
    /// exists]
    ///
    /// The report says how much the file silenced. It must be a regular file of at most 1 MiB. .loiterignore is
    /// only read if you or root own it, because its owner decides what is reported.
    #[arg(long, value_name = "FILE", help_heading = "Rules")]
    ignore_file: Option<PathBuf>,

    /// Ignore what is known: a snapshot, or a list of kinds of tasks
    ///
    /// Groups that are no larger than they were in the snapshot are not reported. A list is a file that
    /// --write-baseline made, here or of loiter gate: the kinds that it names are not reported in any number, until
    /// the last day of their line; lines that nothing needs any more are listed.
    #[arg(long, value_name = "FILE", help_heading = "Rules")]
    baseline: Option<Source>,

    /// Write what is found now into this list of known kinds, and do not fail because of it
    ///
    /// One kind a line: FUNCTION | CREATOR | REASON, then perhaps | until 2027-01-31, then perhaps # and a comment.
    /// Lines that are still needed stay as they are; lines of this program that no task needs any more go. Without
    /// --baseline, this file is also what tasks are compared with, if it exists.
    #[arg(long, value_name = "FILE", help_heading = "Rules")]
    write_baseline: Option<PathBuf>,

    /// Requests served per second; the report then says how many tasks each request creates
    #[arg(long, value_name = "N", value_parser = rate, help_heading = "Rules")]
    qps: Option<f64>,

    /// Exit with status 1 if there is a finding of at least this confidence: suspect, likely, stuck or proven;
    /// or a note about the scheduler: scheduler
    ///
    /// Several conditions are separated by commas: likely,scheduler. Notes about run queues and GOMAXPROCS are
    /// not leaks, and count only with scheduler.
    #[arg(long, value_name = "CONFIDENCE", value_delimiter = ',', help_heading = "Output")]
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
    const MORE: &'static str = "json is described in loiter-leaks-json(5). markdown puts everything into one file, to share with others.";
}

/// A condition for exit status 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum FailOn {
    /// A finding of at least this confidence.
    Finding(Sureness),
    /// A note about the scheduler.
    Scheduler,
}

impl FromStr for FailOn {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim().to_ascii_lowercase();
        if text == "scheduler" {
            return Ok(FailOn::Scheduler);
        }
        let sureness =
            text.parse().map_err(|_| "use proven, stuck, likely, suspect or scheduler".to_owned())?;
        Ok(FailOn::Finding(sureness))
    }
}

/// The parts of a report that --fail-on looks at.
#[derive(Debug, Clone, Copy)]
struct Outcome {
    /// The confidence of the most certain finding.
    surest: Option<Sureness>,
    /// The report has a note about the scheduler.
    scheduler: bool,
}

impl fmt::Display for FailOn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FailOn::Finding(limit) => write!(f, "{limit}"),
            FailOn::Scheduler => f.write_str("scheduler"),
        }
    }
}

impl FailOn {
    /// Why the condition holds, in words. None if it does not.
    fn met(self, outcome: Outcome) -> Option<String> {
        match self {
            FailOn::Finding(limit) => {
                let surest = outcome.surest.filter(|&surest| surest >= limit)?;
                Some(format!("{self}: the most certain finding is {surest}"))
            }
            FailOn::Scheduler => {
                outcome.scheduler.then(|| format!("{self}: the report has a note about the scheduler"))
            }
        }
    }
}

/// A positive number.
fn rate(text: &str) -> Result<f64, String> {
    let number: f64 = text.parse().map_err(|_| "use a number, like 250 or 0.5".to_owned())?;
    if number.is_finite() && number > 0.0 { Ok(number) } else { Err("use a number above 0".to_owned()) }
}

pub(super) fn run(args: &Args, output: &Output) -> Result {
    // Mistakes in the options are reported before the watch begins, not half a minute later.
    let options = args.options()?;
    let times = watch::Times::new(args.span, args.every)?;
    if args.program.is_given() && (!args.sources.is_empty() || args.process.pid.is_some()) {
        let problem = "give either a SOURCE or a program after --, not both";
        return Err(CliError::Usage(problem.to_owned()));
    }
    let program = args.program.start(false)?;
    let sources = args.sources();
    let watched = match (&program, sources.as_slice()) {
        (Some(program), _) => Some(watch::Watched::program(program, &args.how, times)?),
        (None, [source]) => watch::Watched::new(source, &args.how, times)?,
        _ => None,
    };
    let outcome = match watched {
        Some(mut watched) => {
            let series = watch::watch(&mut watched)?;
            program.iter().for_each(|program| tell(&program.end().to_string()));
            args.series(&series, &options, output)?
        }
        None => args.saved(&options, output)?,
    };
    match args.fail_on.iter().find_map(|condition| condition.met(outcome)) {
        Some(met) => Err(CliError::Found(met)),
        None => Ok(()),
    }
}

impl Args {
    /// The sources to read, the process of -p last.
    fn sources(&self) -> Vec<Source> {
        self.sources.iter().chain(&self.process.pid).cloned().collect()
    }

    fn options(&self) -> Result<Options> {
        let ignore_file = ignore::read(self.ignore_file.as_deref())?;
        let baseline = self.known()?;
        Ok(Options { min_age_ns: self.min_age, ignore: self.ignore.clone(), ignore_file, baseline })
    }

    /// What is known already.
    fn known(&self) -> Result<Option<Baseline>> {
        let list = match (&self.baseline, &self.write_baseline) {
            (Some(Source::File(path)), _) if baseline::is_list(path) => Some(baseline::read(path)?),
            (Some(source), _) => {
                return Ok(Some(Baseline::of_snapshot(&self.how.open(source)?.snapshot)));
            }
            (None, Some(path)) => baseline::read_if_there(path)?,
            (None, None) => None,
        };
        Ok(list.map(|list| Baseline::List { list, today: Date::of(SystemTime::now()) }))
    }

    /// What --fail-on is asked about. What is written into the list of known kinds does not count.
    fn outcome(&self, surest: Option<Sureness>, scheduler: bool, listed: &Listed) -> Result<Outcome> {
        let Some(path) = &self.write_baseline else { return Ok(Outcome { surest, scheduler }) };
        for one in baseline::renew(path, &listed.programs)? {
            tell(&format!("{} has {one}", path.display()));
        }
        Ok(Outcome { surest: None, scheduler })
    }

    /// Reports on one process.
    fn series(&self, series: &Series, options: &Options, output: &Output) -> Result<Outcome> {
        let Some(report) = leaks::find(series, options) else {
            return Err(CliError::Usage("there is no reading to analyse".to_owned()));
        };
        let rates = rates(series, self.qps).beside(&report);
        let source = lines::Lines::default();
        let line = |place: &_| source.at(place);
        let what = Findings { report: &report, rates: &rates, source: &line };
        output.page(|out| match self.format.format() {
            Format::Text => findings::findings(&what, &output.text_options(), out),
            Format::Json => json::findings(&what, out),
            Format::Markdown => markdown::findings(&what, out),
        })?;
        self.outcome(report.surest(), !report.scheduler.is_empty(), &report.listed)
    }

    /// Reports on snapshots of one process or of many.
    fn saved(&self, options: &Options, output: &Output) -> Result<Outcome> {
        let mut snapshots = Vec::new();
        for source in self.all_sources()? {
            let name = match &source {
                Source::File(path) => path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
                Source::Address(address) => address.clone(),
                Source::Name(name) => name.clone(),
                Source::Pid(_) | Source::Stdin => "unnamed".to_owned(),
            };
            snapshots.push((name, self.how.open(&source)?.snapshot));
        }
        let processes = fleet::by_process(snapshots, self.fleet);
        if let [_] = processes.as_slice() {
            let series = processes.into_iter().next().map(|process| make_series(process.snapshots));
            return self.series(&series.unwrap_or_else(|| make_series(Vec::new())), options, output);
        }
        let mut collector = fleet::Collector::default();
        for process in processes {
            collector.add(&process.name, &make_series(process.snapshots), options);
        }
        let fleet = collector.finish();
        let surest = fleet.findings.iter().map(|found| found.finding.sureness).max();
        output.page(|out| match self.format.format() {
            Format::Text => text::fleet::fleet(&fleet, &output.text_options(), out),
            Format::Json => json::fleet(&fleet, out),
            Format::Markdown => markdown::fleet(&fleet, out),
        })?;
        self.outcome(surest, !fleet.scheduler.is_empty(), &fleet.listed)
    }

    /// The sources, directories replaced by the files in them.
    fn all_sources(&self) -> Result<Vec<Source>> {
        let mut sources = Vec::new();
        for source in self.sources() {
            match source {
                Source::File(path) if path.is_dir() => {
                    sources.extend(files_in(&path)?.into_iter().map(Source::File));
                }
                other => sources.push(other),
            }
        }
        Ok(sources)
    }
}

fn make_series(snapshots: Vec<Snapshot>) -> Series {
    Series::of(leaks::series_options(), snapshots)
}

/// The files in a directory, by name; hidden ones and directories are left out.
fn files_in(directory: &Path) -> Result<Vec<PathBuf>> {
    let failed = |source| CliError::Io { what: directory.display().to_string(), source };
    let mut files = Vec::new();
    for entry in fs::read_dir(directory).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let hidden = entry.file_name().to_string_lossy().starts_with('.');
        if !hidden && entry.path().is_file() {
            files.push(entry.path());
        }
    }
    files.sort();
    if files.is_empty() {
        return Err(CliError::Usage(format!("{}: this directory contains no files", directory.display())));
    }
    tell(&format!("{} in {}", count(files.len() as u64, "file"), directory.display()));
    Ok(files)
}
