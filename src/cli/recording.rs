//! What commands do with recordings: the options for them, and every format that they are written in.

use std::fmt;
use std::io::{self, Write};
use std::str::FromStr;

use clap::ValueEnum;

use super::error::{CliError, Result};
use super::output::Output;
use crate::analysis::flame::Flame;
use crate::analysis::recorded::{By, Recorded, Shape};
use crate::analysis::{Filter, ParseError};
use crate::recording::{self, Clock, Recording};
use crate::report::flame::picture::{self, PictureOptions};
use crate::report::flame::svg::{self, Cut, SvgOptions};
use crate::report::flame::{Caption, Colors, folded, nothing, speedscope};
use crate::report::text::recording::{RecordingOptions, recording as report};
use crate::report::units::thousands;
use crate::report::{firefox, json, pprof};

/// The formats of recordings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// A recording's own file.
    Recording,
    /// The report.
    Text,
    Json,
    Svg,
    Folded,
    Speedscope,
    Pprof,
    /// The Firefox Profiler's.
    Firefox,
    /// A flame graph as the terminal shows it.
    Picture,
}

/// What file names end with, and the format that this means.
pub(super) const ENDINGS: [(&str, Format); 10] = [
    (".loiter", Format::Recording),
    (".svg", Format::Svg),
    (".folded", Format::Folded),
    (".collapsed", Format::Folded),
    (".speedscope.json", Format::Speedscope),
    (".json.gz", Format::Firefox),
    (".json", Format::Json),
    (".pb.gz", Format::Pprof),
    (".pprof", Format::Pprof),
    (".txt", Format::Text),
];

impl Format {
    /// The format is not text.
    pub(super) fn is_binary(self) -> bool {
        matches!(self, Format::Recording | Format::Pprof | Format::Firefox)
    }
}

/// Whose time it is and what it is time of, as options name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ClockArg(pub(super) Clock);

impl FromStr for ClockArg {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        Clock::from_name(text).map(ClockArg).ok_or(ParseError::new("use cpu, off-cpu or wall"))
    }
}

impl fmt::Display for ClockArg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.name())
    }
}

/// How a recording is shown.
#[derive(Debug, Clone)]
pub(super) struct How {
    /// Which samples.
    pub(super) filter: Filter,
    /// What reports are grouped by.
    pub(super) by: By,
    /// How many rows each table of a report has. None: as many as fit on a screen.
    pub(super) top: Option<usize>,
    /// Whose time a graph shows. None: the first clock that the recording has.
    pub(super) clock: Option<Clock>,
    /// What a graph is grouped by, at the root.
    pub(super) root: Option<By>,
    /// What a graph is made of.
    pub(super) shape: Shape,
    /// What colours of a graph stand for. None: packages for time on CPU, else reasons.
    pub(super) colors: Option<Colors>,
    /// Boxes of a graph that are narrower are left out, percent.
    pub(super) min_width: f64,
}

impl Default for How {
    fn default() -> Self {
        How {
            filter: Filter::default(),
            by: By::Kind,
            top: None,
            clock: None,
            root: None,
            shape: Shape::default(),
            colors: None,
            min_width: 0.01,
        }
    }
}

/// A recording to be shown.
pub(super) struct Shown<'a> {
    recording: &'a Recording,
    recorded: Recorded,
    how: &'a How,
}

impl<'a> Shown<'a> {
    pub(super) fn new(recording: &'a Recording, how: &'a How) -> Self {
        Shown { recording, recorded: Recorded::new(recording), how }
    }

    /// Writes the recording. `plain`: without colours, because it goes to a file. Remarks for stderr go to `notes`.
    pub(super) fn write(
        &self,
        format: Format,
        output: &Output,
        plain: bool,
        notes: &mut Vec<String>,
        out: &mut dyn Write,
    ) -> io::Result<()> {
        let (recorded, how) = (&self.recorded, self.how);
        match format {
            Format::Recording => recording::file::write(self.recording, out).map_err(io::Error::other),
            Format::Text => report(recorded, &how.filter, &self.text_options(output, plain), out),
            Format::Json => json::recording(recorded, &how.filter, &how.by, how.top, out),
            Format::Pprof => pprof::write_recording(recorded, &how.filter, out),
            Format::Firefox => {
                let left_out = firefox::write(self.recording, recorded, &how.filter, out)?;
                if left_out > 0 {
                    notes.push(format!("{} short waits left out: there are too many", thousands(left_out)));
                }
                Ok(())
            }
            Format::Svg | Format::Folded | Format::Speedscope | Format::Picture => {
                self.write_graph(format, output, plain, None, notes, out)
            }
        }
    }

    /// Writes a flame graph; over that of an earlier recording if there is one.
    pub(super) fn write_graph(
        &self,
        format: Format,
        output: &Output,
        plain: bool,
        before: Option<&Recorded>,
        notes: &mut Vec<String>,
        out: &mut dyn Write,
    ) -> io::Result<()> {
        let flame = self.flame(before);
        let caption = Caption::of_recording(&self.recorded, before, self.clock());
        if let Some(why) = nothing(&flame, &caption.noun) {
            return Err(io::Error::other(why));
        }
        let colors = self.colors();
        match format {
            Format::Svg => {
                let cut = Cut::new(&flame, self.how.min_width);
                notes.extend(cut.note());
                let options = SvgOptions { colors, inverted: self.how.shape.reverse };
                svg::write(&flame, &cut, &caption, &options, out)
            }
            Format::Folded => folded::write(&flame, out),
            Format::Speedscope => speedscope::write(&flame, &caption, out),
            _ => {
                let options = PictureOptions {
                    width: output.width,
                    color: output.color && !plain,
                    colors,
                    min_width: self.how.min_width,
                };
                picture::write(&flame, &caption, &options, &std::mem::take(notes), out)
            }
        }
    }

    /// Why a graph would show nothing, if so.
    ///
    /// # Errors
    /// The recording has no samples of the wanted clock, or none passes the filter.
    pub(super) fn check_graph(&self, before: Option<&Recorded>) -> Result {
        let clock = self.clock();
        if !self.recorded.clocks().contains(&clock) {
            let known: Vec<_> = self.recorded.clocks().into_iter().map(Clock::name).collect();
            let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            let clock = clock.name();
            let problem = format!("nothing to draw: no samples of {clock} in this recording (it has: {known})");
            return Err(CliError::Usage(problem));
        }
        match nothing(&self.flame(before), "sample") {
            Some(why) => Err(CliError::Usage(why)),
            None => Ok(()),
        }
    }

    /// The tree of a graph.
    fn flame(&self, before: Option<&Recorded>) -> Flame {
        let (how, root) = (self.how, self.how.root.as_ref());
        match before {
            None => self.recorded.flame(self.clock(), &how.filter, root, how.shape),
            Some(before) => {
                self.recorded.flame_difference(before, self.clock(), &how.filter, root, how.shape)
            }
        }
    }

    /// The rows of the recording.
    pub(super) fn recorded(&self) -> &Recorded {
        &self.recorded
    }

    /// The clock of a graph.
    pub(super) fn clock(&self) -> Clock {
        let first = [Clock::Cpu, Clock::Wall, Clock::OffCpu];
        let known = self.recorded.clocks();
        let first = first.into_iter().find(|clock| known.contains(clock));
        self.how.clock.or(first).unwrap_or_default()
    }

    fn colors(&self) -> Colors {
        let usual = if self.clock() == Clock::Cpu { Colors::Package } else { Colors::Reason };
        self.how.colors.unwrap_or(usual)
    }

    /// The appearance of a report.
    pub(super) fn text_options(&self, output: &Output, plain: bool) -> RecordingOptions {
        RecordingOptions {
            width: output.width,
            color: output.color && !plain,
            full_paths: output.verbose > 0,
            by: self.how.by.clone(),
            top: self.how.top,
        }
    }
}
