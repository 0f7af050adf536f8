//! `loiter stacks`: print tasks and stacks.

use clap::ValueEnum;
use clap::builder::{PossibleValuesParser, TypedValueParser};

use super::error::{CliError, Result};
use super::output::Output;
use super::source::{Opened, SourceArgs};
use super::{exit, parse};
use crate::analysis::each::each;
use crate::analysis::group::group;
use crate::analysis::{Filter, GroupKey, Pattern, SortBy};
use crate::report::go::{self, GoOptions};
use crate::report::text::{self, TextOptions};
use crate::report::{json, pprof, profile};
use crate::snapshot::State;

/// Print the tasks of a process with their stacks, grouped by equal stack
///
/// Different filters must all match; of one filter given several times, one value is enough.
/// Patterns match anywhere in a name, and * stands for any characters.
#[derive(Debug, clap::Args)]
#[command(after_help = exit::HELP)]
pub(super) struct Args {
    #[command(flatten)]
    source: SourceArgs,

    /// Show every task by itself
    #[arg(long, conflicts_with = "group_by", help_heading = "Grouping")]
    each: bool,

    /// Group by stack, function, state, creator, label:KEY or waits-on
    ///
    /// stack: equal frames, reason of waiting and creator. function: the innermost function.
    /// state: the reason of waiting, else the state. creator: the place where they were started.
    /// label:KEY: the value of that label. waits-on: the channel, mutex or the like.
    #[arg(long, value_name = "KEY", default_value_t, help_heading = "Grouping")]
    group_by: GroupKey,

    /// Order: count, age, name or id [default: count]
    ///
    /// count: the largest group first. age: the one with the oldest task first. name: by function,
    /// state, creator or label. id: by the lowest id. Single tasks come by id unless told otherwise.
    #[arg(long, value_enum, value_name = "BY", hide_possible_values = true, help_heading = "Grouping")]
    sort: Option<Sort>,

    /// Show no more than this many groups or tasks; 0 shows all
    #[arg(long, value_name = "N", default_value_t = 0, help_heading = "Grouping")]
    limit: usize,

    /// What the task is doing
    #[arg(
        long,
        value_name = "STATE",
        value_delimiter = ',',
        value_parser = PossibleValuesParser::new(parse::STATES.map(State::name)).map(|name| parse::state(&name)),
        help_heading = "Filters"
    )]
    state: Vec<State>,

    /// Why it waits: a pattern, like "chan send"
    #[arg(long, value_name = "PATTERN", help_heading = "Filters")]
    reason: Vec<String>,

    /// A function among its frames that are shown: a pattern
    #[arg(long, value_name = "PATTERN", help_heading = "Filters")]
    function: Vec<String>,

    /// The package of such a function: net/http itself, net/* for those below net
    #[arg(long, value_name = "PACKAGE", help_heading = "Filters")]
    package: Vec<String>,

    /// The function that started it: a pattern
    #[arg(long, value_name = "PATTERN", help_heading = "Filters")]
    creator: Vec<String>,

    /// A label that it has, with any value or with this one
    #[arg(long, value_name = "KEY[=VALUE]", value_parser = parse::label, help_heading = "Filters")]
    label: Vec<(String, Option<String>)>,

    /// Its id
    #[arg(long, value_name = "ID", value_delimiter = ',', help_heading = "Filters")]
    id: Vec<u64>,

    /// How long it has been in its state, at least: 90s, 1h30m
    ///
    /// Where only a lower bound is known, that counts. Tasks of unknown age do not match.
    #[arg(long, value_name = "DURATION", value_parser = parse::duration, help_heading = "Filters")]
    min_age: Option<u64>,

    /// Show the runtime's own tasks, too
    #[arg(long, help_heading = "Filters")]
    system: bool,

    /// Show all frames: the runtime's machinery and all of very deep stacks
    #[arg(long, help_heading = "Output")]
    all_frames: bool,

    /// Format: text, json, or Go's own: go (debug=2), profile (debug=1), pprof (for go tool pprof)
    ///
    /// json is described in loiter-stacks-json(5). go prints single tasks, with labels only if -v is
    /// given, because older tools that parse it do not know them. profile prints equal stacks, counted.
    /// pprof is a compressed protocol buffer, with ids, states and labels as labels of the samples.
    #[arg(
        long,
        value_enum,
        value_name = "FORMAT",
        default_value_t,
        hide_possible_values = true,
        help_heading = "Output"
    )]
    format: Format,

    /// The same as --format json
    #[arg(long, conflicts_with = "format", help_heading = "Output")]
    json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
enum Format {
    #[default]
    Text,
    Json,
    Go,
    Profile,
    Pprof,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Sort {
    Count,
    Age,
    Name,
    Id,
}

pub(super) fn run(args: &Args, output: &Output) -> Result {
    let format = if args.json { Format::Json } else { args.format };
    if format == Format::Pprof && output.terminal {
        let problem = "a pprof profile is no text: redirect the output or use loiter convert";
        return Err(CliError::Usage(problem.to_owned()));
    }
    let Opened { snapshot, saved } = args.source.open()?;
    let filter = args.filter();
    let limit = (args.limit > 0).then_some(args.limit);
    let sort = match args.sort {
        None | Some(Sort::Count) => SortBy::Count,
        Some(Sort::Age) => SortBy::Age,
        Some(Sort::Name) => SortBy::Name,
        Some(Sort::Id) => SortBy::Id,
    };
    let text_options = TextOptions {
        width: output.width,
        color: output.color,
        full_paths: output.verbose > 0,
        verbose: output.verbose > 0,
        time: saved,
        all_frames: args.all_frames,
    };
    if args.each || matches!(format, Format::Go | Format::Profile | Format::Pprof) {
        let each = each(&snapshot, &filter, sort, limit);
        output.write(|out| match format {
            Format::Text => text::each(&snapshot, &each, &text_options, out),
            Format::Json => json::each(&snapshot, &each, args.all_frames, out),
            Format::Go => {
                let options = GoOptions { all_frames: args.all_frames, labels: output.verbose > 0 };
                go::write(&snapshot, &each.tasks, options, out)
            }
            Format::Profile => profile::write(&snapshot, &each.tasks, out),
            Format::Pprof => pprof::write(&snapshot, &each.tasks, out),
        })?;
    } else {
        let key = &args.group_by;
        let grouped = group(&snapshot, &filter, key, sort, limit);
        output.write(|out| match format {
            Format::Json => json::groups(&snapshot, &grouped, key, out),
            _ => text::groups(&snapshot, &grouped, key, &text_options, out),
        })?;
    }
    Ok(())
}

impl Args {
    fn filter(&self) -> Filter {
        let anywhere = |texts: &[String]| texts.iter().map(|text| Pattern::anywhere(text)).collect();
        Filter {
            states: self.state.clone(),
            reasons: anywhere(&self.reason),
            functions: anywhere(&self.function),
            packages: self.package.iter().map(|text| Pattern::whole(text)).collect(),
            creators: anywhere(&self.creator),
            labels: self.label.clone(),
            ids: self.id.clone(),
            min_age_ns: self.min_age,
            system: self.system,
            all_frames: self.all_frames,
        }
    }
}
