//! `loiter convert`: from any source to a file of another format.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::ValueEnum;

use super::error::{CliError, Result};
use super::format;
use super::output::{Output, is_stdout, save, tell};
use super::recorded::{self, RecordingFormat, Shown};
use super::source::{ProcessArg, ReadArgs};
use crate::analysis::each::each;
use crate::analysis::{Each, Filter, SortBy};
use crate::recording::Recording;
use crate::report::go::{self, GoOptions};
use crate::report::units::{bytes, count};
use crate::report::{json, pprof, profile, text};
use crate::snapshot::Snapshot;
use crate::snapshot::file::{self, FileError};
use crate::source::{Input, Source};

/// Convert a snapshot, recording, dump, profile or core file, or a live process, to another format
///
/// Only .loiter keeps everything; the other formats drop what they cannot represent. Go's formats (pprof,
/// profile, go) of a snapshot leave out the runtime's own goroutines, as Go does.
#[derive(Debug, clap::Args)]
#[command(after_help = super::exit::HELP)]
pub(super) struct Args {
    /// A pid, a process name, a file, an http address of Go's pprof, or - for standard input
    ///
    /// See loiter stacks --help. Leave it out if you use -p.
    #[arg(value_name = "SOURCE", required_unless_present = "pid")]
    source: Option<String>,

    /// The file to write; - is standard output, and needs --format
    ///
    /// The ending of its name chooses the format, unless --format does: .loiter is a snapshot or recording,
    /// .pb.gz or .pprof a profile for go tool pprof, .pb the same without compression, .txt the text that Go
    /// prints (debug=2), .json every task as JSON. Of a recording, .json is its report, .txt the same as text,
    /// .json.gz is for the Firefox Profiler, .speedscope.json for speedscope.app, and .svg and .folded are flame
    /// graphs. Only the owner of the file may read it, because it contains data
    /// from another program's memory.
    #[arg(value_name = "OUT", required_unless_present_any = ["pid", "output"])]
    out: Option<PathBuf>,

    /// The file to write, as with the other commands: the same as OUT
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,

    #[command(flatten)]
    process: ProcessArg,

    #[command(flatten)]
    how: ReadArgs,

    /// Format: snapshot, pprof, profile (debug=1), go (debug=2) or json
    ///
    /// The samples of pprof have labels, for go tool pprof -tagfocus: id, state, wait_reason, wait_class,
    /// wait_seconds (a lower bound), created_by, created_at, parent, stack (if it is incomplete) and is (leaked,
    /// locked to thread). The program's own labels are there, too; label: is put before a name that is in this
    /// list. A comment, which go tool pprof does not show, contains what a snapshot says about the process,
    /// including its command line. loiter reads all of this back.
    #[arg(long, alias = "to", value_enum, value_name = "FORMAT", hide_possible_values = true)]
    format: Option<Format>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Snapshot,
    Pprof,
    Profile,
    Go,
    Json,
}

/// Endings of file names, and their formats.
const EXTENSIONS: [(&str, Format); 6] = [
    (".loiter", Format::Snapshot),
    (".pb.gz", Format::Pprof),
    (".pprof", Format::Pprof),
    (".pb", Format::Pprof),
    (".txt", Format::Go),
    (".json", Format::Json),
];

impl Format {
    /// Whether the format is not text.
    fn is_binary(self) -> bool {
        matches!(self, Format::Snapshot | Format::Pprof)
    }

    /// Whether it is one of Go's formats, which leave out the runtime's own goroutines.
    fn is_go(self) -> bool {
        matches!(self, Format::Pprof | Format::Profile | Format::Go)
    }
}

pub(super) fn run(args: &Args, output: &Output) -> Result {
    let (source, path) = args.named()?;
    let snapshot = match args.input(&source, &path)? {
        Input::Snapshot(opened) => opened.snapshot,
        Input::Recording(recording) => return args.convert(&recording, &path, output),
    };
    let format = args.format(&path)?;
    let to_stdout = is_stdout(&path);
    if to_stdout && format.is_binary() && output.terminal {
        return Err(CliError::Usage(
            "this format is not text: redirect the output or name a file".to_owned(),
        ));
    }
    let filter = Filter { system: !format.is_go(), all_frames: true, ..Filter::default() };
    let chosen = each(&snapshot, &filter, SortBy::Id, None);
    let headline = text::headline(&snapshot);
    if to_stdout {
        output.write(|out| write(format, &path, &snapshot, &chosen, out))?;
        tell(&headline);
    } else {
        let size = save(&path, file::PRIVATE, |out| write(format, &path, &snapshot, &chosen, out))?;
        tell(&format!("{headline} -> {} ({})", path.display(), bytes(size)));
    }
    if chosen.hidden_system > 0 {
        let noun = format!("system {}", text::task_noun(&snapshot));
        tell(&format!("{} left out, as in Go's own output", count(chosen.hidden_system, &noun)));
    }
    if let Some(left_out) = go::left_out(&snapshot, &chosen.tasks).filter(|_| format == Format::Go) {
        tell(&format!("warning: {left_out}"));
    }
    if format == Format::Go && snapshot.tasks.iter().any(|task| task.id.is_none()) {
        tell("warning: some ids are unknown: goroutines without an id have the id 0");
    }
    snapshot.header.warnings.iter().for_each(|warning| tell(&format!("warning: {warning}")));
    Ok(())
}

impl Args {
    /// Reads the source. A format that no source has is an error before the source is read.
    fn input(&self, source: &Source, path: &Path) -> Result<Input> {
        if self.format.is_some() || RecordingFormat::by_ending(path).is_none() {
            self.format(path)?;
        }
        self.how.open_any(source)
    }

    /// Writes a recording.
    fn convert(&self, recording: &Recording, path: &Path, output: &Output) -> Result {
        let format = match self.format {
            None => RecordingFormat::of(path)?,
            Some(Format::Snapshot) => RecordingFormat::Loiter,
            Some(Format::Pprof) => RecordingFormat::Pprof,
            Some(Format::Json) => RecordingFormat::Json,
            Some(Format::Profile | Format::Go) => {
                let problem =
                    "Go's text formats are for tasks, and this is a recording: use snapshot, pprof or json";
                return Err(CliError::Usage(problem.to_owned()));
            }
        };
        let shown = Shown { top: Some(usize::MAX), ..Shown::default() };
        recorded::write(recording, &shown, format, path, output)?;
        recording.header.warnings.iter().for_each(|warning| tell(&format!("warning: {warning}")));
        Ok(())
    }

    /// What is read, and the file to write. With -p the only name is that of the file.
    fn named(&self) -> Result<(Source, PathBuf)> {
        let usage = |text: &str| Err(CliError::Usage(text.to_owned()));
        match (&self.process.pid, &self.source, &self.out, &self.output) {
            (None, Some(source), Some(out), None) | (None, Some(source), None, Some(out)) => {
                let Ok(source) = source.parse();
                Ok((source, out.clone()))
            }
            (Some(process), Some(out), None, None) => Ok((process.clone(), out.into())),
            (Some(process), None, None, Some(out)) => Ok((process.clone(), out.clone())),
            (None, Some(_), Some(_), Some(_)) => usage("give either OUT or -o, not both"),
            (Some(_), Some(_), ..) => usage("give either SOURCE or -p, not both"),
            _ => usage("OUT is missing: name the file to write"),
        }
    }

    fn format(&self, path: &Path) -> Result<Format> {
        if let Some(format) = self.format.or_else(|| format::by_name(path, &EXTENSIONS)) {
            return Ok(format);
        }
        let formats = format::names::<Format>();
        Err(CliError::Usage(if is_stdout(path) {
            format!("standard output needs --format with one of {formats}")
        } else {
            let endings = EXTENSIONS.map(|(ending, _)| ending).join(", ");
            format!(
                "{}: cannot tell the format from this name. Use a name that ends in one of {endings}, or --format \
                 with one of {formats}",
                path.display()
            )
        }))
    }
}

/// Writes the chosen tasks in a format; `path` says whether a profile is compressed.
fn write(
    format: Format,
    path: &Path,
    snapshot: &Snapshot,
    chosen: &Each,
    mut out: &mut dyn Write,
) -> io::Result<()> {
    let tasks = &chosen.tasks;
    match format {
        Format::Snapshot => file::write(snapshot, out).map_err(|error| match error {
            FileError::Io { source, .. } => source,
            other => io::Error::other(other),
        }),
        Format::Pprof if path.as_os_str().as_encoded_bytes().ends_with(b".pb") => {
            pprof::write_raw(snapshot, tasks, &mut out)
        }
        Format::Pprof => pprof::write(snapshot, tasks, &mut out),
        Format::Profile => profile::write(snapshot, tasks, out),
        Format::Go => go::write(snapshot, tasks, GoOptions { all_frames: false, labels: true }, out),
        Format::Json => json::each(snapshot, chosen, true, out),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ending_of_a_name_says_the_format() {
        for (name, format) in [
            ("a.loiter", Some(Format::Snapshot)),
            ("/x.json/a.pb.gz", Some(Format::Pprof)),
            ("a.pb", Some(Format::Pprof)),
            ("a.b.txt", Some(Format::Go)),
            ("a.gz", None),
            ("a", None),
            ("-", None),
        ] {
            assert_eq!(format::by_name(Path::new(name), &EXTENSIONS), format, "{name}");
        }
    }
}
