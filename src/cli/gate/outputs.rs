//! What `loiter gate` compares with, and what it writes.

use std::io::{self, IsTerminal, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use clap::ValueEnum;

use crate::analysis::baseline::{Baseline, Date, Line};
use crate::analysis::gate::{Standing, Terms, Verdict};
use crate::analysis::leaks::{Ignore, IgnoreFile};
use crate::cli::baseline;
use crate::cli::error::{CliError, Result};
use crate::cli::format::{FormatArgs, PrintFormat};
use crate::cli::ignore;
use crate::cli::leaks::lines::Lines;
use crate::cli::output::{Output, save, tell};
use crate::cli::stderr::Stderr;
use crate::full_text;
use crate::report::file_name::file_name;
use crate::report::gate;
use crate::report::json;
use crate::report::roots::Roots;
use crate::report::text::TextOptions;
use crate::snapshot::{Snapshot, file};

mod github;
mod repository;

/// What tasks are compared with, and where the results go.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct OutputArgs {
    /// A file with kinds of tasks that are known: they are counted, and do not make the gate fail
    ///
    /// One kind a line: FUNCTION | CREATOR | REASON, then perhaps | until 2027-01-31, then perhaps # and a comment. *
    /// stands for any characters. Lines below [PROGRAM] count for that program only (for a test: the path of its
    /// package), so that one file serves many. After its last day a line no longer counts. Lines that nothing needs any
    /// more are listed. --write-baseline makes the file. With `go test`, which runs each package in its own folder, give
    /// an absolute path.
    #[arg(long, value_name = "FILE", help_heading = "Judging")]
    baseline: Option<PathBuf>,

    /// Write what is left now into this baseline, and do not fail because of it
    ///
    /// Lines that are still needed stay as they are, with their dates and comments; lines of this program that nothing
    /// needs any more go; lines of other programs stay. Several gates may write to one file at the same time. Without
    /// --baseline, this file is also what tasks are compared with, if it exists.
    #[arg(long, value_name = "FILE", help_heading = "Judging")]
    write_baseline: Option<PathBuf>,

    /// Leave out tasks with this function, creator or module
    ///
    /// Begin PATTERN with function:, creator: or module: to match only that. Patterns for functions match
    /// anywhere in a name, patterns for modules the whole path. * stands for any characters.
    #[arg(long, value_name = "PATTERN", help_heading = "Judging")]
    ignore: Vec<Ignore>,

    /// A file with patterns for --ignore, one per line; # begins a comment [default: .loiterignore, if it
    /// exists]
    ///
    /// The report says how much the file silenced. It must be a regular file of at most 1 MiB. .loiterignore is
    /// only read if you or root own it, because its owner decides what is reported.
    #[arg(long, value_name = "FILE", help_heading = "Judging")]
    ignore_file: Option<PathBuf>,

    /// Write a JUnit report: a case for each test that left tasks
    ///
    /// FILE may be a directory: then the report is a file in it, named after the program. `go test` runs a gate for each
    /// package, so that each needs a file of its own. A directory that ends with a slash is made.
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    junit: Option<PathBuf>,

    /// Write a SARIF 2.1.0 log, for code scanning: a result for each kind of task that was left
    ///
    /// FILE may be a directory, as for --junit. Kinds that the baseline knows are in it as suppressed results.
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    sarif: Option<PathBuf>,

    /// Keep the last reading in this directory if the gate fails, as a snapshot that every other command reads
    ///
    /// With --pid: a new folder for each trip, with a snapshot and a report.
    #[arg(long, value_name = "DIRECTORY", help_heading = "Output")]
    keep: Option<PathBuf>,

    /// Write the report to a file and not to standard error
    ///
    /// FILE may be a directory, as for --junit.
    #[arg(short, long, value_name = "FILE", help_heading = "Output")]
    output: Option<PathBuf>,

    #[command(flatten)]
    format: FormatArgs<Format>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
enum Format {
    #[default]
    Text,
    Json,
}

impl PrintFormat for Format {
    const JSON: Self = Format::Json;
    const HELP: &'static str = "Format of the report: text or json";
    const MORE: &'static str = "The report goes to standard error, because standard output belongs to the program. Text is written if there is \
        something to say, JSON always. json is described in loiter-gate-json(5). With --pid it goes to standard output, and json is one object a line, \
        described in loiter-gate-watch-json(5). On GitHub (GITHUB_ACTIONS is true), failures also \
        become annotations, at most ten, on standard error, and a summary in the file that GITHUB_STEP_SUMMARY names.";
}

/// What a report came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Reported {
    /// Tasks were left that are not known.
    pub(super) fails: bool,
    /// Everything that was asked for was written. Problems were told.
    pub(super) is_whole: bool,
}

/// The options, with the files that they name read.
pub(super) struct Outputs {
    args: OutputArgs,
    ignore_file: Option<IgnoreFile>,
    baseline: Option<Baseline>,
}

impl OutputArgs {
    /// Where snapshots and reports are kept.
    pub(super) fn keep(&self) -> Option<&Path> {
        self.keep.as_deref()
    }

    /// Whether JSON is asked for.
    pub(super) fn is_json(&self) -> bool {
        self.format.format() == Format::Json
    }

    /// Reads the files that the options name. Call it before the program starts, so that mistakes are told before.
    ///
    /// # Errors
    /// If a file cannot be read or makes no sense.
    pub(super) fn prepare(&self) -> Result<Outputs> {
        let ignore_file = ignore::read(self.ignore_file.as_deref())?;
        let baseline = match (&self.baseline, &self.write_baseline) {
            (Some(path), _) => Some(baseline::read(path)?),
            (None, Some(path)) => baseline::read_if_there(path)?,
            (None, None) => None,
        };
        Ok(Outputs { args: self.clone(), ignore_file, baseline })
    }
}

impl Outputs {
    /// What the tasks are judged by. `ending`: the thread that ends the program, if it is known.
    pub(super) fn terms(&self, ending: Option<u32>) -> Terms {
        Terms {
            ignore: self.args.ignore.clone(),
            ignore_file: self.ignore_file.clone(),
            baseline: self.baseline.clone(),
            today: Date::of(SystemTime::now()),
            ending,
            ..Terms::default()
        }
    }

    /// Writes everything that was asked for. `last` is the last reading. Problems are told, and do not keep the rest from
    /// being written: a program waits for its end meanwhile.
    pub(super) fn report(&self, mut verdict: Verdict, last: Option<&Snapshot>, output: &Output) -> Reported {
        let mut problems = Problems::default();
        if let Some(path) = &self.args.write_baseline {
            problems.take(self.write_baseline(path, &mut verdict));
        }
        let roots = repository::roots();
        problems.take(self.write_report(&verdict, &roots, output));
        if let Some(path) = &self.args.junit {
            let write = |out: &mut dyn Write| gate::junit(&verdict, &moment(&verdict), out);
            problems.take(write_file(path, &verdict, "xml", write));
        }
        if let Some(path) = &self.args.sarif {
            let write = |out: &mut dyn Write| gate::sarif(&verdict, &roots, env!("CARGO_PKG_VERSION"), out);
            problems.take(write_file(path, &verdict, "sarif", write));
        }
        if let (Some(directory), Some(snapshot), true) = (&self.args.keep, last, verdict.fails()) {
            problems.take(keep(directory, snapshot));
        }
        if github::is_there() {
            problems.take(github::annotate(&verdict, &roots));
            problems.take(github::summarize(&verdict, &roots));
        }
        Reported { fails: verdict.fails(), is_whole: problems.0 == 0 }
    }

    /// Renews the baseline. What is new is known from then on.
    fn write_baseline(&self, path: &Path, verdict: &mut Verdict) -> Result {
        let was_read =
            verdict.readings > 0 && verdict.header.as_ref().is_some_and(|it| !it.runtimes.is_empty());
        if !was_read {
            let problem = format!("{}: not changed, because the program could not be read", path.display());
            return Err(CliError::Usage(problem));
        }
        let renewed = baseline::renew(path, &[(verdict.program.clone(), verdict.kinds())])?;
        for leak in verdict.leaks.iter_mut().filter(|leak| leak.standing == Standing::New) {
            leak.standing = Standing::Known(Line::new(&leak.kind));
        }
        verdict.stale.clear();
        for one in renewed {
            tell(&format!("loiter gate: {} has {one}", path.display()));
        }
        Ok(())
    }

    fn write_report(&self, verdict: &Verdict, roots: &Roots, output: &Output) -> Result {
        let lines = Lines::default();
        let source = |place: &_| lines.at(place);
        let to_file = self.args.output.as_deref();
        let options = match to_file {
            Some(_) => TextOptions { color: false, width: 100, ..output.text_options() },
            None => options_of_stderr(output),
        };
        let is_json = self.args.format.format() == Format::Json;
        let says = |out: &mut dyn Write| match is_json {
            true => json::gate(verdict, &source, roots, out),
            false => gate::text(verdict, &source, &options, out),
        };
        match to_file {
            Some(path) => write_file(path, verdict, if is_json { "json" } else { "txt" }, says),
            None if is_json || options.verbose || has_something_to_say(verdict) => Ok(to_stderr(says)?),
            None => Ok(()),
        }
    }
}

/// Nothing is said of a program that left nothing, and was read as often as asked for.
fn has_something_to_say(verdict: &Verdict) -> bool {
    let is_whole =
        verdict.watched.as_ref().is_none_or(|watched| watched.failed == 0 && watched.left_out == 0);
    !verdict.leaks.is_empty() || !verdict.stale.is_empty() || !verdict.unjudged.is_empty() || !is_whole
}

/// Problems that were told.
#[derive(Default)]
struct Problems(usize);

impl Problems {
    fn take(&mut self, outcome: Result) {
        if let Err(error) = outcome {
            self.0 += 1;
            tell(&format!("loiter gate: {}", full_text(&error)));
        }
    }
}

/// One write, so that lines of other programs do not come in between.
fn to_stderr(says: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    let mut text = Vec::new();
    says(&mut text)?;
    Stderr.write_all(&text)
}

fn options_of_stderr(output: &Output) -> TextOptions {
    let stderr = io::stderr();
    let size = terminal_size::terminal_size_of(&stderr).filter(|_| stderr.is_terminal());
    let width = size.map_or(100, |(width, _)| usize::from(width.0).max(40));
    TextOptions { width, color: output.color_of_stderr(), ..output.text_options() }
}

/// Writes a file whole or not at all; in a directory, a file that is named after the program. A path that ends with a
/// slash is a directory, which is made.
fn write_file(
    path: &Path,
    verdict: &Verdict,
    ending: &str,
    says: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> Result {
    let is_directory = path.as_os_str().as_bytes().ends_with(b"/");
    if is_directory {
        make(path)?;
    }
    let path = match is_directory || path.is_dir() {
        true => path.join(plain_name(&verdict.program, ending)),
        false => path.to_owned(),
    };
    save(&path, file::SHARED, |out| says(out)).map(|_| ())
}

/// "ex.com_api.xml". The name comes from the target: characters that could make it a path or an option are replaced.
fn plain_name(program: &str, ending: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || "._+-".contains(c) { c } else { '_' };
    let name: String = program.chars().map(plain).take(128).collect();
    let name = name.trim_start_matches(['.', '-']);
    format!("{}.{ending}", if name.is_empty() { "program" } else { name })
}

fn make(directory: &Path) -> Result {
    let failed = |source| CliError::Io { what: format!("cannot make {}", directory.display()), source };
    std::fs::create_dir_all(directory).map_err(failed)
}

fn keep(directory: &Path, snapshot: &Snapshot) -> Result {
    make(directory)?;
    let path = directory.join(file_name(&snapshot.header, "loiter"));
    file::save(snapshot, &path)
        .map_err(|source| CliError::File { path: path.display().to_string(), source })?;
    tell(&format!("loiter gate: the last reading is in {}", path.display()));
    Ok(())
}

/// When the program was read, in UTC: "2026-11-26T23:53:14".
fn moment(verdict: &Verdict) -> String {
    let taken = verdict.header.as_ref().and_then(|header| header.taken_at_ns);
    let seconds = taken.and_then(|ns| i64::try_from(ns / 1_000_000_000).ok());
    let time = seconds.and_then(|seconds| jiff::Timestamp::from_second(seconds).ok());
    time.unwrap_or_else(jiff::Timestamp::now).strftime("%Y-%m-%dT%H:%M:%S").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_programs_are_harmless() {
        assert_eq!(plain_name("ex.com/api", "xml"), "ex.com_api.xml");
        assert_eq!(plain_name("../../etc/x y", "xml"), "_.._etc_x_y.xml");
        assert_eq!(plain_name("-o", "xml"), "o.xml");
        assert_eq!(plain_name("", "xml"), "program.xml");
    }
}
