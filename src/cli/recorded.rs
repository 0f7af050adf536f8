//! What the commands write of a recording: files by the ending of their names, and the report.

use std::io::{self, Write};
use std::path::Path;

mod keys;

pub(super) use keys::{ClockArg, DiffBy, GroupBy, RootBy};

use super::error::{CliError, Result};
use super::format::by_name;
use super::output::{Output, is_stdout, save, tell};
use crate::analysis::Filter;
use crate::analysis::flame::Flame;
use crate::analysis::recorded::diff::{Compared, diff};
use crate::analysis::recorded::{By, Recorded, Shape};
use crate::recording::{self, Clock, Recording};
use crate::report::flame::picture::{self, PictureOptions};
use crate::report::flame::svg::{self, Cut, SvgOptions};
use crate::report::flame::{Caption, Colors, folded, notes, nothing, speedscope};
use crate::report::text::recording::{RecordingOptions, caption, diff as write_diff, recording as report};
use crate::report::text::who;
use crate::report::units::bytes;
use crate::report::{firefox, json, markdown, pprof};
use crate::snapshot::file::{PRIVATE, SHARED};

/// The format of a file with a recording.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RecordingFormat {
    /// loiter's own, which keeps everything.
    Loiter,
    /// A flame graph.
    Svg,
    /// Lines of "function;function nanoseconds".
    Folded,
    /// For speedscope.app.
    Speedscope,
    /// For go tool pprof.
    Pprof,
    /// For profiler.firefox.com.
    Firefox,
    /// The report as JSON.
    Json,
    /// The report as Markdown.
    Markdown,
    /// The report as text.
    Text,
    /// A flame graph as a terminal shows it.
    Picture,
}

/// What file names end with, and the format that this means. The longer ones come first.
const ENDINGS: [(&str, RecordingFormat); 11] = [
    (".loiter", RecordingFormat::Loiter),
    (".svg", RecordingFormat::Svg),
    (".folded", RecordingFormat::Folded),
    (".collapsed", RecordingFormat::Folded),
    (".speedscope.json", RecordingFormat::Speedscope),
    (".json.gz", RecordingFormat::Firefox),
    (".json", RecordingFormat::Json),
    (".pb.gz", RecordingFormat::Pprof),
    (".pprof", RecordingFormat::Pprof),
    (".md", RecordingFormat::Markdown),
    (".txt", RecordingFormat::Text),
];

impl RecordingFormat {
    /// The format that a file's name ends with.
    pub(super) fn of(path: &Path) -> Result<RecordingFormat> {
        Self::by_ending(path).ok_or_else(|| {
            let endings = ENDINGS.map(|(ending, _)| ending).join(", ");
            CliError::Usage(format!(
                "{}: cannot tell the format from this name. Use a name that ends in one of {endings}",
                path.display()
            ))
        })
    }

    /// The same, or None.
    pub(super) fn by_ending(path: &Path) -> Option<RecordingFormat> {
        by_name(path, &ENDINGS)
    }

    /// Whether it is not text.
    pub(super) fn is_binary(self) -> bool {
        matches!(self, RecordingFormat::Loiter | RecordingFormat::Pprof | RecordingFormat::Firefox)
    }

    /// Whether it is a graph, which holds one clock only.
    fn has_one_clock(self) -> bool {
        use RecordingFormat::{Folded, Picture, Speedscope, Svg};
        matches!(self, Svg | Folded | Speedscope | Picture)
    }

    /// Permissions of the file: what has raw data of the target is for its owner only.
    fn permissions(self) -> u32 {
        if self.has_one_clock() { SHARED } else { PRIVATE }
    }
}

/// What of a recording is shown, and how.
#[derive(Debug, Clone)]
pub(super) struct Shown {
    /// Which samples.
    pub(super) filter: Filter,
    /// What time is grouped by. None: by kind in reports, and by nothing in graphs.
    pub(super) by: Option<By>,
    /// Rows of each table.
    pub(super) top: Option<usize>,
    /// The width of graphs is the number of samples.
    pub(super) samples: bool,
    /// The clock of a graph. None: the first one that has samples.
    pub(super) clock: Option<Clock>,
    /// Graphs have the innermost functions first.
    pub(super) reverse: bool,
    /// What colours of a graph stand for. None: packages for time on CPU, else reasons.
    pub(super) colors: Option<Colors>,
    /// Boxes of a graph that are narrower are left out, percent.
    pub(super) min_width: f64,
}

impl Default for Shown {
    fn default() -> Self {
        Shown {
            filter: Filter::default(),
            by: None,
            top: None,
            samples: false,
            clock: None,
            reverse: false,
            colors: None,
            min_width: 0.01,
        }
    }
}

/// Prints the report of a recording.
pub(super) fn print(recording: &Recording, shown: &Shown, output: &Output) -> Result {
    let recorded = Recorded::new(recording);
    Ok(output.page(|out| report(&recorded, &shown.filter, &shown.text_options(output), out))?)
}

/// Prints the report of a recording as JSON.
pub(super) fn print_json(recording: &Recording, shown: &Shown, output: &Output) -> Result {
    let recorded = Recorded::new(recording);
    let by = shown.by.clone().unwrap_or_default();
    Ok(output.page(|out| json::recording(&recorded, &shown.filter, &by, shown.top, out))?)
}

/// Prints the report of a recording as Markdown.
pub(super) fn print_markdown(recording: &Recording, shown: &Shown, output: &Output) -> Result {
    let recorded = Recorded::new(recording);
    let by = shown.by.clone().unwrap_or_default();
    Ok(output.page(|out| markdown::recording(&recorded, &shown.filter, &by, shown.top, out))?)
}

/// How the difference of two recordings is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DifferenceFormat {
    Text,
    Json,
    Markdown,
}

/// Prints how the shares of two recordings differ.
pub(super) fn print_difference(
    (before, now): (&Recording, &Recording),
    compared: &Compared,
    shown: &Shown,
    format: DifferenceFormat,
    output: &Output,
) -> Result {
    let (before, now) = (Recorded::new(before), Recorded::new(now));
    let clocks = now.clocks();
    let both = |clock: &Clock| clocks.contains(clock) && before.clocks().contains(clock);
    let first = [Clock::Cpu, Clock::Wall, Clock::OffCpu].into_iter().find(both);
    let clock = shown.clock.or(first).unwrap_or_default();
    let Some(difference) = diff(&before, &now, clock, &shown.filter, compared) else {
        let clock = clock.name();
        let problem = format!("nothing to compare: one of the recordings has no {clock} samples that match");
        return Err(CliError::Usage(problem));
    };
    Ok(output.page(|out| match format {
        DifferenceFormat::Json => json::recording_diff(&before, &now, &difference, out),
        DifferenceFormat::Markdown => markdown::recording_diff(&before, &now, &difference, shown.top, out),
        DifferenceFormat::Text => write_diff(&before, &now, &difference, &shown.text_options(output), out),
    })?)
}

/// Writes a recording to a file, and says so; - is standard output.
pub(super) fn write(
    recording: &Recording,
    shown: &Shown,
    format: RecordingFormat,
    path: &Path,
    output: &Output,
) -> Result {
    draw(recording, None, shown, format, (!is_stdout(path)).then_some(path), output)
}

/// The same; a graph may lie over that of an earlier recording. Without `path` it goes to standard output.
pub(super) fn draw(
    recording: &Recording,
    before: Option<&Recording>,
    shown: &Shown,
    format: RecordingFormat,
    path: Option<&Path>,
    output: &Output,
) -> Result {
    if path.is_none() && format.is_binary() && output.terminal {
        let problem = "this format is not text: redirect the output or name a file";
        return Err(CliError::Usage(problem.to_owned()));
    }
    let (recorded, before) = (Recorded::new(recording), before.map(Recorded::new));
    let writer = Writer { recording, recorded: &recorded, shown };
    let graph = format.has_one_clock().then(|| writer.graph(before.as_ref())).transpose()?;
    let mut remarks = Vec::new();
    let color = output.color && path.is_none();
    let look = Output { color, ..*output };
    let mut with = |out: &mut dyn Write| match &graph {
        Some(graph) => graph.write(format, &look, &mut remarks, out),
        None => writer.write(format, &look, &mut remarks, out),
    };
    match path {
        None => output.write(|out| with(out))?,
        Some(path) => {
            let size = save(path, format.permissions(), |out| with(out))?;
            let all = || format!("{}: {}", who(&recorded.snapshot.header), caption(&recorded));
            let what = graph.as_ref().map_or_else(all, |graph| graph.caption.title.clone());
            tell(&format!("{what} -> {} ({})", path.display(), bytes(size)));
        }
    }
    remarks.iter().for_each(|remark| tell(remark));
    Ok(())
}

struct Writer<'a> {
    recording: &'a Recording,
    recorded: &'a Recorded,
    shown: &'a Shown,
}

impl Writer<'_> {
    /// Writes a format that holds all clocks.
    fn write(
        &self,
        format: RecordingFormat,
        look: &Output,
        remarks: &mut Vec<String>,
        out: &mut dyn Write,
    ) -> io::Result<()> {
        let Writer { recording, recorded, shown } = *self;
        match format {
            RecordingFormat::Loiter => recording::file::write(recording, out).map_err(io::Error::other),
            RecordingFormat::Pprof => pprof::write_recording(recorded, &shown.filter, out),
            RecordingFormat::Firefox => {
                let left_out = firefox::write(recording, recorded, &shown.filter, out)?;
                if left_out > 0 {
                    remarks.push(format!("{left_out} waits are left out: there were too many to look at"));
                }
                Ok(())
            }
            RecordingFormat::Json => {
                let by = shown.by.clone().unwrap_or_default();
                json::recording(recorded, &shown.filter, &by, shown.top, out)
            }
            RecordingFormat::Markdown => {
                let by = shown.by.clone().unwrap_or_default();
                markdown::recording(recorded, &shown.filter, &by, shown.top, out)
            }
            _ => report(recorded, &shown.filter, &shown.text_options(look), out),
        }
    }

    /// The flame graph of one clock.
    fn graph(&self, before: Option<&Recorded>) -> Result<Graph<'_>> {
        let Writer { recorded, shown, .. } = *self;
        let clocks = recorded.clocks();
        let clock = shown.clock.or(clocks.first().copied()).unwrap_or_default();
        if !clocks.is_empty() && !clocks.contains(&clock) {
            let known: Vec<_> = clocks.into_iter().map(Clock::name).collect();
            let (clock, known) = (clock.name(), known.join(", "));
            let problem = format!("nothing to draw: the recording has no {clock} samples (it has {known})");
            return Err(CliError::Usage(problem));
        }
        let shape = Shape { samples: shown.samples, reverse: shown.reverse };
        let flame = match before {
            None => recorded.flame(clock, &shown.filter, shown.by.as_ref(), shape),
            Some(before) => recorded.flame_difference(before, clock, &shown.filter, shown.by.as_ref(), shape),
        };
        let caption = Caption::of_recording(recorded, before, clock);
        if let Some(why) = nothing(&flame, &caption.noun) {
            return Err(CliError::Usage(why));
        }
        let others = clocks.into_iter().filter(|&other| other != clock).map(Clock::name).collect();
        let colors = shown.colors.unwrap_or(match clock {
            Clock::Cpu => Colors::Package,
            _ => Colors::Reason,
        });
        Ok(Graph { recorded, shown, flame, caption, colors, others })
    }
}

impl Shown {
    /// The appearance of a report.
    fn text_options(&self, look: &Output) -> RecordingOptions {
        let text = look.text_options();
        RecordingOptions {
            width: text.width,
            color: text.color,
            full_paths: text.full_paths,
            by: self.by.clone().unwrap_or_default(),
            top: self.top,
        }
    }
}

struct Graph<'a> {
    recorded: &'a Recorded,
    shown: &'a Shown,
    flame: Flame,
    caption: Caption,
    colors: Colors,
    /// The clocks that it does not show.
    others: Vec<&'static str>,
}

impl Graph<'_> {
    fn write(
        &self,
        format: RecordingFormat,
        look: &Output,
        remarks: &mut Vec<String>,
        out: &mut dyn Write,
    ) -> io::Result<()> {
        let Graph { recorded, shown, flame, caption, colors, others } = self;
        let colors = *colors;
        remarks.extend(notes(flame, &recorded.snapshot, &caption.noun));
        if !others.is_empty() {
            let others = others.join(" and ");
            remarks.push(format!("the graph shows one clock; a .loiter file keeps {others}, too"));
        }
        match format {
            RecordingFormat::Svg => {
                let cut = Cut::new(flame, shown.min_width);
                remarks.extend(cut.note());
                svg::write(flame, &cut, caption, &SvgOptions { colors, inverted: shown.reverse }, out)
            }
            RecordingFormat::Folded => folded::write(flame, out),
            RecordingFormat::Speedscope => speedscope::write(flame, caption, out),
            _ => {
                let (width, color, min_width) = (look.width, look.color, shown.min_width);
                let options = PictureOptions { width, color, colors, min_width };
                picture::write(flame, caption, &options, &std::mem::take(remarks), out)
            }
        }
    }
}
