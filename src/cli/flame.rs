//! `loiter flame`: flame graphs.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::ValueEnum;

use super::error::{CliError, Result};
use super::exit;
use super::filter::FilterArgs;
use super::output::{Output, save, tell};
use super::source::SourceArgs;
use crate::analysis::flame::{Flame, FlameOptions, Root, Weight, difference, flame};
use crate::report::flame::picture::{self, PictureOptions};
use crate::report::flame::svg::{self, Cut, SvgOptions};
use crate::report::flame::{Caption, Colors, folded, notes, nothing, speedscope};
use crate::report::pprof;
use crate::report::units::{bytes, count};
use crate::snapshot::{Snapshot, file};
use crate::source::{Opened, Source};

/// Draw the stacks of a process as a flame graph
///
/// Each function is a box on top of its caller, as wide as there are tasks in it. Without -o and
/// --format the picture is drawn in the terminal. Different filters must all match; of one filter
/// given several times, one value is enough.
#[derive(Debug, clap::Args)]
#[command(after_help = exit::HELP)]
pub(super) struct Args {
    #[command(flatten)]
    source: SourceArgs,

    /// Compare with this earlier snapshot, dump or process: what was born, what is gone
    ///
    /// Stacks are matched by the names of their functions. Orange has grown, blue has shrunk; every
    /// stack is as wide as the larger of before and now, so that what is gone can be seen.
    #[arg(long, value_name = "BASE")]
    diff: Option<Source>,

    /// What makes a box wide: tasks, seconds or bytes
    ///
    /// tasks: how many. seconds: how long they have been in their state, added up; tasks of unknown
    /// age have no width. bytes: the memory of their stacks.
    #[arg(
        long,
        value_enum,
        value_name = "WHAT",
        default_value_t,
        hide_possible_values = true,
        help_heading = "Graph"
    )]
    weight: By,

    /// The row between runtimes and stacks: none, state, creator, label:KEY or thread
    #[arg(long, value_name = "KEY", default_value_t, help_heading = "Graph")]
    root: Root,

    /// Innermost functions first, drawn from the top down (an icicle graph)
    ///
    /// Stacks are merged by where they wait, with their callers below.
    #[arg(long, help_heading = "Graph")]
    reverse: bool,

    /// What colours stand for: reason or package
    ///
    /// reason: what most of the tasks wait for, the paler the fewer they are. package: that of the
    /// function, in warm colours for the program's own. A name has the same colour in every graph.
    #[arg(
        long,
        value_enum,
        value_name = "WHAT",
        default_value_t,
        hide_possible_values = true,
        help_heading = "Graph"
    )]
    colors: ColorsBy,

    /// Leave out what is narrower than this, percent of the whole width
    #[arg(
        long,
        value_name = "PERCENT",
        default_value_t = 0.01,
        value_parser = percent,
        help_heading = "Graph"
    )]
    min_width: f64,

    #[command(flatten)]
    filter: FilterArgs,

    /// The file to write; - is standard output
    #[arg(short, long, value_name = "FILE", help_heading = "Output")]
    output: Option<PathBuf>,

    /// Format: svg, folded, speedscope or text [default: by the name of the file]
    ///
    /// svg: for a browser, with zoom and search. folded: lines of "function;function weight"
    /// (milliseconds for --weight seconds; with --diff two weights), for other tools. speedscope: JSON
    /// for speedscope.app. pprof: the tasks themselves for go tool pprof, which draws them its own way.
    /// text: the picture as the terminal shows it. By name: .svg, .folded, .json (speedscope), .pb.gz
    /// (pprof) and .txt.
    #[arg(long, value_enum, value_name = "FORMAT", hide_possible_values = true, help_heading = "Output")]
    format: Option<Format>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Svg,
    Folded,
    Speedscope,
    Pprof,
    Text,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
enum By {
    #[default]
    Tasks,
    Seconds,
    Bytes,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
enum ColorsBy {
    #[default]
    Reason,
    Package,
}

pub(super) fn run(args: &Args, output: &Output) -> Result {
    let file = args.output.as_deref().filter(|path| path.as_os_str() != "-");
    let format = args.format(file, output.terminal)?;
    if format == Format::Pprof {
        args.check_pprof(file.is_none() && output.terminal)?;
    }
    let (Opened { snapshot, .. }, before) = match &args.diff {
        Some(base) => {
            let before = args.source.how.open(base)?;
            (args.source.open()?, Some(before.snapshot))
        }
        None => (args.source.open()?, None),
    };
    let (filter, options) = (args.filter.filter(), args.flame_options());
    let flame = match &before {
        Some(before) => difference(before, &snapshot, &filter, &options),
        None => flame(&snapshot, &filter, &options),
    };
    let caption = Caption::new(&snapshot, before.as_ref());
    if let Some(why) = nothing(&flame, &caption.noun) {
        args.filter.explain(&snapshot, filter.select(&snapshot).tasks.len() as u64);
        return Err(CliError::Usage(why));
    }
    let to_file = file.is_some();
    let graph = Graph { args, output, snapshot: &snapshot, flame: &flame, caption: &caption, to_file };
    let mut notes = notes(&flame, &snapshot, &caption.noun);
    match file {
        None => output.write(|out| graph.write(format, &mut notes, out))?,
        Some(path) => {
            let size = save(path, file::SHARED, |out| graph.write(format, &mut notes, out))?;
            let tasks = count(flame.totals.tasks, &caption.noun);
            tell(&format!("{}: {tasks} -> {} ({})", caption.title, path.display(), bytes(size)));
        }
    }
    notes.iter().for_each(|note| tell(note));
    Ok(())
}

impl Args {
    fn flame_options(&self) -> FlameOptions {
        let weight = match self.weight {
            By::Tasks => Weight::Tasks,
            By::Seconds => Weight::Seconds,
            By::Bytes => Weight::Bytes,
        };
        FlameOptions { root: self.root.clone(), weight, reverse: self.reverse }
    }

    fn colors(&self) -> Colors {
        match self.colors {
            ColorsBy::Reason => Colors::Reason,
            ColorsBy::Package => Colors::Package,
        }
    }

    /// A profile has the tasks and nothing of how they would be drawn.
    fn check_pprof(&self, to_terminal: bool) -> Result {
        let usage = |text: &str| Err(CliError::Usage(text.to_owned()));
        if self.diff.is_some() {
            return usage(
                "a pprof file has no difference: write two of them, and use go tool pprof -diff_base",
            );
        }
        if self.root != Root::None || self.weight != By::Tasks || self.reverse {
            return usage(
                "a pprof file has the tasks alone: --root, --weight and --reverse are for pictures",
            );
        }
        if to_terminal {
            return usage("a pprof profile is no text: redirect the output or give -o FILE");
        }
        Ok(())
    }

    /// What was asked for, or what the name of the file says, or the picture on a terminal.
    fn format(&self, file: Option<&Path>, terminal: bool) -> Result<Format> {
        if let Some(format) = self.format {
            return Ok(format);
        }
        let Some(path) = file else {
            let usage =
                "standard output is no terminal: choose --format svg, folded, speedscope, pprof or text";
            return if terminal { Ok(Format::Text) } else { Err(CliError::Usage(usage.to_owned())) };
        };
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("svg") => Ok(Format::Svg),
            Some("folded" | "collapsed") => Ok(Format::Folded),
            Some("json") => Ok(Format::Speedscope),
            Some("txt") => Ok(Format::Text),
            Some("pprof") => Ok(Format::Pprof),
            Some("gz") if path.to_string_lossy().ends_with(".pb.gz") => Ok(Format::Pprof),
            _ => Err(CliError::Usage(format!(
                "{}: the name does not say which format: choose --format svg, folded, speedscope, pprof or text",
                path.display()
            ))),
        }
    }
}

/// What is to be written.
struct Graph<'a> {
    args: &'a Args,
    output: &'a Output,
    snapshot: &'a Snapshot,
    flame: &'a Flame,
    caption: &'a Caption,
    to_file: bool,
}

impl Graph<'_> {
    /// Writes the graph; what there is left to be said stays in `notes`.
    fn write(&self, format: Format, notes: &mut Vec<String>, out: &mut dyn Write) -> io::Result<()> {
        let Graph { args, flame, caption, .. } = *self;
        match format {
            Format::Svg => {
                let cut = Cut::new(flame, args.min_width);
                notes.extend(cut.note());
                let options = SvgOptions { colors: args.colors(), inverted: args.reverse };
                svg::write(flame, &cut, caption, &options, out)
            }
            Format::Folded => folded::write(flame, out),
            Format::Speedscope => speedscope::write(flame, caption, out),
            Format::Pprof => {
                let tasks = args.filter.filter().select(self.snapshot).tasks;
                pprof::write(self.snapshot, &tasks, out)
            }
            Format::Text => {
                let options = PictureOptions {
                    width: self.output.width,
                    color: self.output.color && !self.to_file,
                    colors: args.colors(),
                    min_width: args.min_width,
                };
                picture::write(flame, caption, &options, &std::mem::take(notes), out)
            }
        }
    }
}

/// A part of the whole width.
fn percent(text: &str) -> Result<f64, String> {
    match text.trim_end_matches('%').trim_end().parse() {
        Ok(percent) if (0.0..=100.0).contains(&percent) => Ok(percent),
        _ => Err("use a number from 0 to 100, like 0.1".to_owned()),
    }
}
