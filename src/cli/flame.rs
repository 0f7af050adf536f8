//! `loiter flame`: flame graphs.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::ValueEnum;

use super::error::{CliError, Result};
use super::exit;
use super::filter::FilterArgs;
use super::format::{by_name, names};
use super::output::{Output, save, tell};
use super::recorded::{self, ClockArg, RecordingFormat, RootBy, Shown};
use super::source::SourceArgs;
use crate::analysis::flame::{Flame, FlameOptions, Weight, difference, flame};
use crate::recording::Recording;
use crate::report::flame::picture::{self, PictureOptions};
use crate::report::flame::svg::{self, Cut, SvgOptions};
use crate::report::flame::{Caption, Colors, folded, notes, nothing, speedscope};
use crate::report::pprof;
use crate::report::units::{bytes, count};
use crate::snapshot::{Snapshot, file};
use crate::source::{Input, Source};

/// Draw the stacks of a process as a flame graph
///
/// Each function is a box on top of its caller; the more tasks are in it, the wider it is. Without -o and
/// --format the graph is drawn in the terminal. Filters of different kinds must all match. If a filter is
/// given more than once, any of its values may match.
#[derive(Debug, clap::Args)]
#[command(after_help = exit::HELP)]
pub(super) struct Args {
    #[command(flatten)]
    source: SourceArgs,

    /// Compare with this earlier snapshot, dump, process or recording: what was created, what ended
    ///
    /// Stacks are matched by the names of their functions. Orange has grown, blue has shrunk. The width of a
    /// stack is the larger of before and now, so that stacks that are gone are still visible.
    #[arg(long, value_name = "BASE")]
    diff: Option<Source>,

    /// What the width of a box stands for: tasks, seconds or bytes; of a recording time or samples
    ///
    /// tasks: the number of tasks. seconds: the sum of the times that they have been in their state; tasks
    /// of unknown age have no width. bytes: the memory of their stacks. Recordings have time, which is the
    /// default for them, and samples.
    #[arg(long, value_enum, value_name = "WHAT", hide_possible_values = true, help_heading = "Graph")]
    weight: Option<By>,

    /// The time that a recording's graph shows: cpu, off-cpu or wall [default: the first that there is]
    #[arg(long, value_name = "CLOCK", help_heading = "Graph")]
    clock: Option<ClockArg>,

    /// What to group stacks by at the root of the graph: none, state, creator, label:KEY or thread
    ///
    /// Recordings also have kind (the start function and the creator), task and function.
    #[arg(long, value_name = "KEY", default_value_t, help_heading = "Graph")]
    root: RootBy,

    /// Merge stacks from the innermost function, and draw from the top down (an icicle graph)
    ///
    /// This shows where tasks wait, with the callers below.
    #[arg(long, help_heading = "Graph")]
    reverse: bool,

    /// What colours stand for: reason or package
    ///
    /// reason: the wait reason of most of the tasks; the fewer they are, the paler the colour. package: the
    /// package of the function, in warm colours for the program's own. A name has the same colour in every
    /// graph.
    ///
    /// The default is reason, and package for a recording's time on CPU.
    #[arg(long, value_enum, value_name = "WHAT", hide_possible_values = true, help_heading = "Graph")]
    colors: Option<ColorsBy>,

    /// Leave out boxes that are narrower than this, in percent of the whole width
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

    /// The file to write; - means standard output
    #[arg(short, long, value_name = "FILE", help_heading = "Output")]
    output: Option<PathBuf>,

    /// Format: svg, folded, speedscope, pprof or text [default: by the name of the file]
    ///
    /// svg: for a browser, with zoom and search. folded: lines of "function;function weight"
    /// (milliseconds with --weight seconds; two weights with --diff), for other tools. speedscope: JSON
    /// for speedscope.app. pprof: the tasks, for go tool pprof, which draws its own graph. text: the graph as
    /// the terminal shows it. By name: .svg, .folded, .json (speedscope), .pb.gz (pprof) and .txt.
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

/// What file names end with, and the format that this means.
const ENDINGS: [(&str, Format); 7] = [
    (".svg", Format::Svg),
    (".folded", Format::Folded),
    (".collapsed", Format::Folded),
    (".json", Format::Speedscope),
    (".pb.gz", Format::Pprof),
    (".pprof", Format::Pprof),
    (".txt", Format::Text),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum By {
    Tasks,
    Seconds,
    Bytes,
    Time,
    Samples,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ColorsBy {
    Reason,
    Package,
}

pub(super) fn run(args: &Args, output: &Output) -> Result {
    let file = args.output.as_deref().filter(|path| path.as_os_str() != "-");
    let format = args.format(file, output.terminal)?;
    if format == Format::Pprof {
        args.check_pprof(file.is_none() && output.terminal)?;
    }
    let before = args.diff.as_ref().map(|base| args.source.how.open_any(base)).transpose()?;
    let (snapshot, before) = match (args.source.open_any()?, before) {
        (Input::Snapshot(now), None) => (now.snapshot, None),
        (Input::Snapshot(now), Some(Input::Snapshot(before))) => (now.snapshot, Some(before.snapshot)),
        (Input::Recording(now), None) => return args.draw(&now, None, format, file, output),
        (Input::Recording(now), Some(Input::Recording(before))) => {
            return args.draw(&now, Some(&before), format, file, output);
        }
        _ => {
            let problem = "a snapshot and a recording cannot be compared";
            return Err(CliError::Usage(problem.to_owned()));
        }
    };
    let (filter, options) = (args.filter.filter(), args.flame_options()?);
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
    fn flame_options(&self) -> Result<FlameOptions> {
        let weight = match self.weight {
            None | Some(By::Tasks) => Weight::Tasks,
            Some(By::Seconds) => Weight::Seconds,
            Some(By::Bytes) => Weight::Bytes,
            Some(By::Time | By::Samples) => {
                let problem = "--weight time and samples are for recordings: use tasks, seconds or bytes";
                return Err(CliError::Usage(problem.to_owned()));
            }
        };
        if self.clock.is_some() {
            return Err(CliError::Usage("--clock is for recordings, and this is a snapshot".to_owned()));
        }
        Ok(FlameOptions { root: self.root.of_snapshot()?, weight, reverse: self.reverse })
    }

    fn colors(&self) -> Colors {
        self.wanted_colors().unwrap_or_default()
    }

    fn wanted_colors(&self) -> Option<Colors> {
        self.colors.map(|colors| match colors {
            ColorsBy::Reason => Colors::Reason,
            ColorsBy::Package => Colors::Package,
        })
    }

    /// How a recording is drawn.
    fn shown(&self) -> Result<Shown> {
        let samples = match self.weight {
            None | Some(By::Time) => false,
            Some(By::Samples) => true,
            Some(By::Tasks | By::Seconds | By::Bytes) => {
                let problem = "this is a recording: use --weight time or samples";
                return Err(CliError::Usage(problem.to_owned()));
            }
        };
        Ok(Shown {
            filter: self.filter.filter(),
            clock: self.clock.map(|clock| clock.0),
            by: self.root.of_recording(),
            samples,
            reverse: self.reverse,
            colors: self.wanted_colors(),
            min_width: self.min_width,
            ..Shown::default()
        })
    }

    /// Draws a recording, over an earlier one if there is one.
    fn draw(
        &self,
        now: &Recording,
        before: Option<&Recording>,
        format: Format,
        file: Option<&Path>,
        output: &Output,
    ) -> Result {
        let format = match format {
            Format::Svg => RecordingFormat::Svg,
            Format::Folded => RecordingFormat::Folded,
            Format::Speedscope => RecordingFormat::Speedscope,
            Format::Pprof => RecordingFormat::Pprof,
            Format::Text => RecordingFormat::Picture,
        };
        recorded::draw(now, before, &self.shown()?, format, file, output)
    }

    /// Checks that no option is given that a pprof profile cannot express.
    fn check_pprof(&self, to_terminal: bool) -> Result {
        let usage = |text: &str| Err(CliError::Usage(text.to_owned()));
        if self.diff.is_some() {
            return usage(
                "a pprof file cannot hold a difference: write two files, and use go tool pprof -diff_base",
            );
        }
        if self.root != RootBy::default() || self.weight.is_some() || self.clock.is_some() || self.reverse {
            return usage(
                "a pprof file contains tasks or samples, not a graph: --root, --weight, --clock and --reverse do \
                 not apply",
            );
        }
        if to_terminal {
            return usage("a pprof profile is not text: redirect the output or use -o FILE");
        }
        Ok(())
    }

    /// The requested format, else the one of the file's name, else text on a terminal.
    fn format(&self, file: Option<&Path>, terminal: bool) -> Result<Format> {
        if let Some(format) = self.format {
            return Ok(format);
        }
        let Some(path) = file else {
            let usage = || {
                format!("standard output is not a terminal: use --format with one of {}", names::<Format>())
            };
            return if terminal { Ok(Format::Text) } else { Err(CliError::Usage(usage())) };
        };
        by_name(path, &ENDINGS).ok_or_else(|| {
            CliError::Usage(format!(
                "{}: cannot tell the format from this name: use --format with one of {}",
                path.display(),
                names::<Format>()
            ))
        })
    }
}

/// A graph to be written.
struct Graph<'a> {
    args: &'a Args,
    output: &'a Output,
    snapshot: &'a Snapshot,
    flame: &'a Flame,
    caption: &'a Caption,
    to_file: bool,
}

impl Graph<'_> {
    /// Writes the graph. A format that has room for notes takes them; the others leave them in `notes`.
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

/// Reads a percentage, with or without the sign.
fn percent(text: &str) -> Result<f64, String> {
    match text.trim_end_matches('%').trim_end().parse() {
        Ok(percent) if (0.0..=100.0).contains(&percent) => Ok(percent),
        _ => Err("use a number from 0 to 100, like 0.1".to_owned()),
    }
}
