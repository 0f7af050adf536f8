//! `loiter why`: from waiting tasks to the cause.

use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};

use clap::ValueEnum;

use super::error::{CliError, Result};
use super::exit::{self, Exit};
use super::filter::FilterArgs;
use super::format::{by_name, names};
use super::output::{Output, is_stdout, save, tell};
use super::source::{ProcessArg, ReadArgs, or_a_process};
use crate::analysis::group::group;
use crate::analysis::why::{Chain, Why};
use crate::analysis::{GroupKey, SortBy};
use crate::report::text::task_noun;
use crate::report::units::count;
use crate::report::{dot, escape, json, svg, text};
use crate::session::why::{Inquiry, InquiryOptions, InquiryStep, Outcome};
use crate::snapshot::{Snapshot, file};
use crate::source::Source;

/// How many ids are named if the wanted one does not exist.
const NEAREST: usize = 4;

/// Follow waiting tasks to their cause, through locks, channels, timers, sockets and other processes
///
/// Without TASK, everything that waits is followed, and each cause is shown with the number of tasks that depend on
/// it. The processes at the other ends of connections and pipes are read, too, one after the other; then all of them are
/// read again, and only what has not moved in between is shown. Nothing is stopped for that. A process without a known
/// runtime is shown by its threads.
#[derive(Debug, clap::Args)]
#[command(after_help = exit::HELP)]
pub(super) struct Args {
    /// A pid, a process name, a snapshot or a core file
    ///
    /// A file holds one process at one moment: what leads to other processes ends there. Other sources do not say
    /// enough to follow tasks far.
    #[arg(value_name = "SOURCE", required_unless_present_any = ["pid", "all"])]
    source: Option<String>,

    /// Follow only the task with this id
    #[arg(value_name = "TASK")]
    task: Option<u64>,

    #[command(flatten)]
    process: ProcessArg,

    /// Follow the tasks of the Nth group that loiter stacks lists, from 1
    #[arg(long, value_name = "N", conflicts_with_all = ["task", "all"])]
    group: Option<usize>,

    /// Begin with every process of this machine that can be read
    #[arg(long, conflicts_with_all = ["source", "pid", "task"])]
    all: bool,

    /// Follow at most this many steps from process to process
    #[arg(long, value_name = "N", default_value_t = 16)]
    depth: u32,

    /// Do not read other processes
    #[arg(long, conflicts_with = "all")]
    no_other_processes: bool,

    #[command(flatten)]
    how: ReadArgs,

    #[command(flatten)]
    filter: FilterArgs,

    /// The file to write; - means standard output
    #[arg(short, long, value_name = "FILE", help_heading = "Output")]
    output: Option<PathBuf>,

    /// Format: text, json, dot or svg [default: by the name of the file]
    ///
    /// json is described in loiter-why-json(5). dot: the graph, for Graphviz. svg: the graph, for a browser. By name:
    /// .json, .dot, .gv, .svg and .txt.
    #[arg(long, value_enum, value_name = "FORMAT", hide_possible_values = true, help_heading = "Output")]
    format: Option<Format>,

    /// The same as --format json
    #[arg(long, conflicts_with = "format", help_heading = "Output")]
    json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Text,
    Json,
    Dot,
    Svg,
}

/// What file names end with, and the format that this means.
const ENDINGS: [(&str, Format); 5] = [
    (".json", Format::Json),
    (".dot", Format::Dot),
    (".gv", Format::Dot),
    (".svg", Format::Svg),
    (".txt", Format::Text),
];

pub(super) fn run(args: &Args, output: &Output) -> Result {
    let format = args.format()?;
    let mut line = ProgressLine::new(output.verbose == 0);
    let (some, outcome) = args.inquire(&mut line)?;
    drop(line);
    let why = Why::new(&outcome.system);
    let file = args.output.as_deref().filter(|path| !is_stdout(path));
    let Some(path) = file else {
        let write = |out: &mut dyn Write| args.write(format, &why, &outcome, some, output, out);
        match format {
            Format::Text => output.page(write)?,
            _ => output.write(write)?,
        }
        return Ok(());
    };
    save(path, file::SHARED, |out| args.write(format, &why, &outcome, some, output, out))?;
    let processes = match outcome.system.processes.len() {
        1 => "1 process".to_owned(),
        n => format!("{n} processes"),
    };
    tell(&format!("{processes} -> {}", path.display()));
    Ok(())
}

impl Args {
    fn format(&self) -> Result<Format> {
        if self.json {
            return Ok(Format::Json);
        }
        let file = self.output.as_deref().filter(|path| !is_stdout(path));
        match (self.format, file) {
            (Some(format), _) => Ok(format),
            (None, None) => Ok(Format::Text),
            (None, Some(path)) => by_name(path, &ENDINGS).ok_or_else(|| unknown_format(path)),
        }
    }

    /// The source and the task: with -p, the only word is the task.
    fn source(&self) -> Result<(Source, Option<u64>)> {
        let parse = |text: &String| match text.parse::<Source>() {
            Ok(source) => source,
            Err(never) => match never {},
        };
        match (&self.process.pid, &self.source, self.task) {
            (None, Some(source), task) => Ok((parse(source), task)),
            (Some(process), None, None) => Ok((process.clone(), None)),
            (Some(process), Some(task), None) => match task.parse() {
                Ok(task) => Ok((process.clone(), Some(task))),
                Err(_) => Err(CliError::Usage(format!("with -p, TASK is a number, not {task}"))),
            },
            _ => Err(CliError::Usage("name a SOURCE, or a process with -p".to_owned())),
        }
    }

    /// Reads everything. Returns whether only some tasks are followed.
    fn inquire(&self, line: &mut ProgressLine) -> Result<(bool, Outcome)> {
        let open = self.how.options();
        let options = InquiryOptions {
            read: open.read.clone(),
            others: !self.no_other_processes,
            depth: self.depth,
            ..InquiryOptions::default()
        };
        if self.all {
            let inquiry = Inquiry::of_all(options, &mut |step| line.show(step))?;
            return Ok((false, inquiry.follow(None, &mut |step| line.show(step))?));
        }
        let (source, task) = self.source()?;
        self.how.check(&source)?;
        let inquiry = Inquiry::of(&source, &open, options).map_err(|error| match &source {
            Source::File(path) => or_a_process(path, error),
            _ => error.into(),
        })?;
        let rows = match inquiry.first() {
            Some(snapshot) => self.rows(snapshot, task)?,
            None => None,
        };
        let outcome = inquiry.follow(rows.as_deref(), &mut |step| line.show(step))?;
        Ok((rows.is_some(), outcome))
    }

    /// `some`: only some tasks were asked for.
    fn write(
        &self,
        format: Format,
        why: &Why<'_>,
        outcome: &Outcome,
        some: bool,
        output: &Output,
        out: &mut dyn Write,
    ) -> io::Result<()> {
        let options = output.text_options();
        if some {
            let chains = why.of_tasks(0, &outcome.from);
            return match format {
                Format::Text => text::why::chains(why, &chains, &options, out),
                Format::Json => json::why_chains(why, &chains, out),
                Format::Dot => dot::write(why, &chains.iter().collect::<Vec<_>>(), out),
                Format::Svg => svg::write(why, &chains.iter().collect::<Vec<_>>(), out),
            };
        }
        let answer = why.causes();
        let chains: Vec<&Chain> = answer.causes.iter().map(|found| &found.chain).collect();
        match format {
            Format::Text => text::why::causes(why, &answer, &options, out),
            Format::Json => json::why_causes(why, &answer, out),
            Format::Dot => dot::write(why, &chains, out),
            Format::Svg => svg::write(why, &chains, out),
        }
    }

    /// The rows of the tasks that are followed. None: all.
    fn rows(&self, snapshot: &Snapshot, task: Option<u64>) -> Result<Option<Vec<u32>>> {
        if let Some(id) = task {
            let row = snapshot.tasks.iter().position(|task| task.id == Some(id));
            let row = row.ok_or_else(|| no_such_task(snapshot, id))?;
            return Ok(Some(vec![row as u32]));
        }
        let filter = self.filter.filter();
        if let Some(number) = self.group {
            let key = GroupKey::default();
            let groups = group(snapshot, &filter, &key, SortBy::Count, None).groups;
            let tasks = number.checked_sub(1).and_then(|nth| Some(groups.get(nth)?.tasks.clone()));
            return tasks.map(Some).ok_or_else(|| {
                CliError::Usage(format!(
                    "there is no group {number}: {}",
                    count(groups.len() as u64, "group")
                ))
            });
        }
        if !filter.has_conditions() {
            return Ok(None);
        }
        let tasks = filter.select(snapshot).tasks;
        self.filter.explain(snapshot, tasks.len() as u64);
        Ok(Some(tasks))
    }
}

fn unknown_format(path: &Path) -> CliError {
    CliError::Usage(format!(
        "the name of {} does not say which format is meant: use --format with {}",
        path.display(),
        names::<Format>()
    ))
}

/// There is no task with this id: which ones are close.
fn no_such_task(snapshot: &Snapshot, id: u64) -> CliError {
    let noun = task_noun(snapshot);
    let mut ids: Vec<u64> = snapshot.tasks.iter().filter_map(|task| task.id).collect();
    ids.sort_unstable_by_key(|&other| (other.abs_diff(id), other));
    ids.truncate(NEAREST);
    ids.sort_unstable();
    let near: Vec<String> = ids.iter().map(u64::to_string).collect();
    let hint = match near.as_slice() {
        [] => format!("No {noun} has an id"),
        near => format!("The closest ids are {}", near.join(", ")),
    };
    let problem = format!("there is no {noun} {id}");
    CliError::Message { problem, remedy: vec![hint], exit: Exit::Error }
}

/// One line on stderr while the user waits, if stderr is a terminal.
struct ProgressLine {
    shown: bool,
    written: bool,
}

impl ProgressLine {
    fn new(allowed: bool) -> Self {
        ProgressLine { shown: allowed && io::stderr().is_terminal(), written: false }
    }

    fn show(&mut self, step: InquiryStep<'_>) {
        if self.shown {
            // Progress that cannot be shown is no loss.
            let _ = write!(io::stderr(), "\r\x1b[K{} ...", escape(&step.to_string()));
            let _ = io::stderr().flush();
            self.written = true;
        }
    }
}

impl Drop for ProgressLine {
    fn drop(&mut self) {
        if self.written {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}
