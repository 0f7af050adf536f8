//! `loiter stacks`: print tasks and stacks.

use clap::ValueEnum;

use super::error::{CliError, Result};
use super::exit;
use super::filter::FilterArgs;
use super::format::{FormatArgs, PrintFormat};
use super::output::{Output, tell};
use super::recorded::{self, GroupBy, RecordingFormat, Shown};
use super::source::SourceArgs;
use crate::analysis::SortBy;
use crate::analysis::each::each;
use crate::analysis::group::group;
use crate::recording::Recording;
use crate::report::go::{self, GoOptions};
use crate::report::text::{self, Detail, TextOptions};
use crate::report::{json, pprof, profile};
use crate::source::{Input, Opened};

/// Print the tasks of a process with their stacks, grouped by equal stack
///
/// Of a recording, a report is printed: who took the time, and for what.
///
/// Filters of different kinds must all match. If a filter is given more than once, any of its values may
/// match. Patterns match anywhere in a name, and * stands for any characters.
#[derive(Debug, clap::Args)]
#[command(after_help = exit::HELP)]
pub(super) struct Args {
    #[command(flatten)]
    source: SourceArgs,

    /// Show every task on its own
    #[arg(long, conflicts_with = "group_by", help_heading = "Grouping")]
    each: bool,

    /// Group by stack, function, state, creator, label:KEY or waits-on
    ///
    /// stack: equal frames, wait reason and creator. function: the innermost function. state: the wait reason,
    /// or the state if there is none. creator: the place where the tasks were created. label:KEY: the value of
    /// that label. waits-on: the channel, mutex or other object that the tasks wait for. Recordings also have
    /// kind (the start function and the creator, the default), thread and task.
    #[arg(long, alias = "by", value_name = "KEY", default_value_t, help_heading = "Grouping")]
    group_by: GroupBy,

    /// Order: count, age, name or id [default: count; id with --each]
    ///
    /// count: the largest group first. age: the group with the oldest task first. name: by function, state,
    /// creator or label. id: by the lowest id. With --each, equal tasks that the source only counts come first,
    /// as one entry with their number.
    #[arg(long, value_enum, value_name = "BY", hide_possible_values = true, help_heading = "Grouping")]
    sort: Option<Sort>,

    /// Show at most N groups or tasks; 0 shows all [default: as many as fit on the terminal]
    ///
    /// If the output is not a terminal, or a pager is set, all are shown.
    #[arg(long, alias = "top", value_name = "N", help_heading = "Grouping")]
    limit: Option<usize>,

    #[command(flatten)]
    filter: FilterArgs,

    /// Show whole stacks, and all groups or tasks
    ///
    /// On a terminal, loiter shortens stacks to the program's own part and shows only what fits. If the output
    /// is not a terminal, everything is shown.
    #[arg(long, help_heading = "Output")]
    full: bool,

    /// Show one line per group or task
    #[arg(long, conflicts_with = "full", help_heading = "Output")]
    short: bool,

    #[command(flatten)]
    format: FormatArgs<Format>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
enum Format {
    #[default]
    Text,
    Json,
    Markdown,
    Go,
    Profile,
    Pprof,
}

impl PrintFormat for Format {
    const JSON: Self = Format::Json;
    const HELP: &'static str = "Format: text, json, markdown (of recordings), or one of Go's: go (debug=2), profile (debug=1), pprof (for go tool pprof)";
    const MORE: &'static str = "json is described in loiter-stacks-json(5). go prints tasks one by one; it prints labels only with \
         -v, because older parsers do not know them. profile prints each distinct stack with its count. pprof \
         is a compressed protocol buffer; ids, states and labels are labels of its samples.";
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Sort {
    Count,
    Age,
    Name,
    Id,
}

pub(super) fn run(args: &Args, output: &Output) -> Result {
    let format = args.format.format();
    if format == Format::Pprof && output.terminal {
        let problem = "a pprof profile is not text: redirect the output or use loiter convert";
        return Err(CliError::Usage(problem.to_owned()));
    }
    let Opened { snapshot, saved } = match args.source.open_any()? {
        Input::Snapshot(opened) => opened,
        Input::Recording(recording) => return args.report(&recording, format, output),
    };
    if format == Format::Markdown {
        let problem = "markdown is for recordings here: loiter leaks and loiter diff write it of snapshots";
        return Err(CliError::Usage(problem.to_owned()));
    }
    let filter = args.filter.filter();
    let limit = args.limit.filter(|&limit| limit > 0);
    let sort = match args.sort {
        None | Some(Sort::Count) => SortBy::Count,
        Some(Sort::Age) => SortBy::Age,
        Some(Sort::Name) => SortBy::Name,
        Some(Sort::Id) => SortBy::Id,
    };
    let fits = output.terminal && output.pager().is_none() && !args.full && args.limit.is_none();
    let text_options = TextOptions {
        time: saved,
        all_frames: args.filter.all_frames,
        detail: match (args.short, args.full || !output.terminal) {
            (true, _) => Detail::Line,
            (false, true) => Detail::Full,
            (false, false) => Detail::Shortened,
        },
        rows: fits.then(|| output.height()),
        cut: output.terminal,
        ..output.text_options()
    };
    if args.each || matches!(format, Format::Go | Format::Profile | Format::Pprof) {
        let each = each(&snapshot, &filter, sort, limit);
        output.page(|out| match format {
            Format::Text | Format::Markdown => text::each(&snapshot, &each, &text_options, out),
            Format::Json => json::each(&snapshot, &each, args.filter.all_frames, out),
            Format::Go => {
                let options = GoOptions { all_frames: args.filter.all_frames, labels: output.verbose > 0 };
                go::write(&snapshot, &each.tasks, options, out)
            }
            Format::Profile => profile::write(&snapshot, &each.tasks, out),
            Format::Pprof => pprof::write(&snapshot, &each.tasks, out),
        })?;
        args.filter.explain(&snapshot, each.total_tasks);
        if let Some(left_out) = go::left_out(&snapshot, &each.tasks).filter(|_| format == Format::Go) {
            tell(&format!("warning: {left_out}"));
        }
    } else {
        let key = &args.group_by.of_snapshot()?;
        let grouped = group(&snapshot, &filter, key, sort, limit);
        output.page(|out| match format {
            Format::Json => json::groups(&snapshot, &grouped, key, out),
            _ => text::groups(&snapshot, &grouped, key, &text_options, out),
        })?;
        args.filter.explain(&snapshot, grouped.total_tasks);
    }
    Ok(())
}

impl Args {
    /// Prints the report of a recording.
    fn report(&self, recording: &Recording, format: Format, output: &Output) -> Result {
        if self.each || self.sort.is_some() || self.short {
            let problem =
                "--each, --sort and --short are for tasks, and this is a recording (see --group-by)";
            return Err(CliError::Usage(problem.to_owned()));
        }
        let top = if self.full { Some(0) } else { self.limit };
        let shown = Shown {
            filter: self.filter.filter(),
            by: Some(self.group_by.of_recording()?),
            top: top.map(|top| if top == 0 { usize::MAX } else { top }),
            ..Shown::default()
        };
        match format {
            Format::Text => recorded::print(recording, &shown, output),
            Format::Json => recorded::print_json(recording, &shown, output),
            Format::Markdown => recorded::print_markdown(recording, &shown, output),
            Format::Pprof => recorded::draw(recording, None, &shown, RecordingFormat::Pprof, None, output),
            Format::Go | Format::Profile => {
                let problem = "Go's text formats are for tasks, and this is a recording: use text, json, markdown or pprof";
                Err(CliError::Usage(problem.to_owned()))
            }
        }
    }
}
