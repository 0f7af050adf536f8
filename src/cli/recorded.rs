//! What the commands write of a recording: files by the ending of their names, and the report.

use std::io::{self, Write};
use std::path::Path;

use super::error::{CliError, Result};
use super::format::by_name;
use super::output::{Output, save, tell};
use crate::analysis::Filter;
use crate::analysis::recorded::{By, Recorded, Shape};
use crate::recording::{self, Clock, Recording};
use crate::report::flame::svg::{self, Cut, SvgOptions};
use crate::report::flame::{Caption, Colors, folded, notes, nothing, speedscope};
use crate::report::text::recording::{RecordingOptions, caption, recording as report};
use crate::report::text::who;
use crate::report::units::bytes;
use crate::report::{firefox, json, pprof};
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
    /// The report as text.
    Text,
}

/// What file names end with, and the format that this means. The longer ones come first.
const ENDINGS: [(&str, RecordingFormat); 10] = [
    (".loiter", RecordingFormat::Loiter),
    (".svg", RecordingFormat::Svg),
    (".folded", RecordingFormat::Folded),
    (".collapsed", RecordingFormat::Folded),
    (".speedscope.json", RecordingFormat::Speedscope),
    (".json.gz", RecordingFormat::Firefox),
    (".json", RecordingFormat::Json),
    (".pb.gz", RecordingFormat::Pprof),
    (".pprof", RecordingFormat::Pprof),
    (".txt", RecordingFormat::Text),
];

impl RecordingFormat {
    /// The format that a file's name ends with.
    pub(super) fn of(path: &Path) -> Result<RecordingFormat> {
        by_name(path, &ENDINGS).ok_or_else(|| {
            let endings = ENDINGS.map(|(ending, _)| ending).join(", ");
            CliError::Usage(format!(
                "{}: cannot tell the format from this name. Use a name that ends in one of {endings}",
                path.display()
            ))
        })
    }

    /// Whether it holds one clock only.
    fn has_one_clock(self) -> bool {
        matches!(self, RecordingFormat::Svg | RecordingFormat::Folded | RecordingFormat::Speedscope)
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
}

/// Prints the report of a recording.
pub(super) fn print(recording: &Recording, shown: &Shown, output: &Output) -> Result {
    let recorded = Recorded::new(recording);
    let text = output.text_options();
    let options = RecordingOptions {
        width: text.width,
        color: text.color,
        full_paths: text.full_paths,
        by: shown.by.clone().unwrap_or_default(),
        top: shown.top,
    };
    Ok(output.page(|out| report(&recorded, &shown.filter, &options, out))?)
}

/// Prints the report of a recording as JSON.
pub(super) fn print_json(recording: &Recording, shown: &Shown, output: &Output) -> Result {
    let recorded = Recorded::new(recording);
    let by = shown.by.clone().unwrap_or_default();
    Ok(output.page(|out| json::recording(&recorded, &shown.filter, &by, shown.top, out))?)
}

/// Writes a recording to a file, and says so.
pub(super) fn write(recording: &Recording, shown: &Shown, format: RecordingFormat, path: &Path) -> Result {
    let recorded = Recorded::new(recording);
    let writer = Writer { recording, recorded: &recorded, shown };
    let graph = format.has_one_clock().then(|| writer.graph()).transpose()?;
    let mut remarks = Vec::new();
    let size = save(path, format.permissions(), |out| match &graph {
        Some(graph) => graph.write(format, &mut remarks, out),
        None => writer.write(format, &mut remarks, out),
    })?;
    let all = || format!("{}: {}", who(&recorded.snapshot.header), caption(&recorded));
    let what = graph.as_ref().map_or_else(all, |graph| graph.caption.title.clone());
    tell(&format!("{what} -> {} ({})", path.display(), bytes(size)));
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
        remarks: &mut Vec<String>,
        out: &mut dyn Write,
    ) -> io::Result<()> {
        let Writer { recording, recorded, shown } = *self;
        let by = || shown.by.clone().unwrap_or_default();
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
            RecordingFormat::Json => json::recording(recorded, &shown.filter, &by(), shown.top, out),
            _ => {
                let options = RecordingOptions { by: by(), top: shown.top, ..RecordingOptions::default() };
                report(recorded, &shown.filter, &options, out)
            }
        }
    }

    /// The flame graph of one clock.
    fn graph(&self) -> Result<Graph<'_>> {
        let Writer { recorded, shown, .. } = *self;
        let clocks = recorded.clocks();
        let clock = shown.clock.or(clocks.first().copied()).unwrap_or_default();
        let shape = Shape { samples: shown.samples, reverse: false };
        let flame = recorded.flame(clock, &shown.filter, shown.by.as_ref(), shape);
        let caption = Caption::of_recording(recorded, None, clock);
        if let Some(why) = nothing(&flame, &caption.noun) {
            return Err(CliError::Usage(why));
        }
        let others = clocks.into_iter().filter(|&other| other != clock).map(Clock::name).collect();
        Ok(Graph { recorded, flame, caption, others })
    }
}

struct Graph<'a> {
    recorded: &'a Recorded,
    flame: crate::analysis::flame::Flame,
    caption: Caption,
    /// The clocks that it does not show.
    others: Vec<&'static str>,
}

impl Graph<'_> {
    fn write(
        &self,
        format: RecordingFormat,
        remarks: &mut Vec<String>,
        out: &mut dyn Write,
    ) -> io::Result<()> {
        let Graph { recorded, flame, caption, others } = self;
        remarks.extend(notes(flame, &recorded.snapshot, &caption.noun));
        if !others.is_empty() {
            remarks
                .push(format!("the graph has one clock; a .loiter file also keeps {}", others.join(" and ")));
        }
        match format {
            RecordingFormat::Svg => {
                let cut = Cut::new(flame, 0.01);
                remarks.extend(cut.note());
                let options = SvgOptions { colors: Colors::Package, inverted: false };
                svg::write(flame, &cut, caption, &options, out)
            }
            RecordingFormat::Folded => folded::write(flame, out),
            _ => speedscope::write(flame, caption, out),
        }
    }
}
