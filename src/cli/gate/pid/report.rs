//! The report of a trip: a folder with the text, and a snapshot for all other commands.

use std::fs::{self, DirBuilder};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use crate::analysis::group::group;
use crate::analysis::trip::{Event, Sample, Watch};
use crate::analysis::{Filter, GroupKey, SortBy};
use crate::full_text;
use crate::report::file_name::file_name;
use crate::report::text::{self, TextOptions, task_noun};
use crate::report::trip::{self, Begin};
use crate::runtimes::ReadOptions;
use crate::snapshot::Snapshot;
use crate::snapshot::file::{self, PRIVATE};
use crate::source::{self, OpenOptions, Source};

/// The text has this many groups.
const GROUPS: usize = 50;
/// Several trips in one second get names of their own, up to this number.
const NAMES: u32 = 1_000;
const SNAPSHOT: &str = "snapshot.loiter";
const TEXT: &str = "report.txt";

/// What has tripped.
pub(super) struct Trips<'a> {
    /// The reading with which that was known.
    pub(super) snapshot: &'a Snapshot,
    pub(super) watch: &'a Watch,
    pub(super) now: &'a Sample,
    pub(super) events: &'a [Event],
    pub(super) span_ns: u64,
}

/// Writes the report to a new folder in `directory`, or a temporary one, and returns its path.
///
/// # Errors
/// What could not be written, in words.
pub(super) fn write(directory: Option<&Path>, trips: &Trips<'_>) -> Result<PathBuf, String> {
    let folder = new_folder(directory, trips.snapshot).map_err(|error| match directory {
        Some(directory) => format!("cannot make a folder in {}: {error}", directory.display()),
        None => format!("cannot make a temporary folder: {error}"),
    })?;
    // A thorough reading, which also says who holds locks. If that fails, the one that is there.
    let again = again(trips.snapshot);
    let snapshot = again.as_ref().unwrap_or(trips.snapshot);
    let path = folder.join(SNAPSHOT);
    file::save(snapshot, &path).map_err(|error| format!("{}: {}", path.display(), full_text(&error)))?;
    let path = folder.join(TEXT);
    let text = |out: &mut fs::File| {
        let mut out = io::BufWriter::new(out);
        report(trips, snapshot, &mut out).and_then(|()| out.flush())
    };
    file::replace(&path, PRIVATE, text).map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(fs::canonicalize(&folder).unwrap_or(folder))
}

fn again(snapshot: &Snapshot) -> Option<Snapshot> {
    let source = Source::Pid(snapshot.header.target.pid?);
    let options = OpenOptions { read: ReadOptions::default().once(), exe: None };
    let read = source::open(&source, &options).ok()?.snapshot;
    // Its pid may be that of another process by now.
    (read.header.target.start_ticks == snapshot.header.target.start_ticks).then_some(read)
}

/// Makes a folder that only the user can read.
fn new_folder(directory: Option<&Path>, snapshot: &Snapshot) -> io::Result<PathBuf> {
    let Some(directory) = directory else {
        return Ok(tempfile::Builder::new().prefix("loiter-trip-").tempdir()?.keep());
    };
    fs::create_dir_all(directory)?;
    let name = file_name(&snapshot.header, "trip");
    for number in 1..=NAMES {
        let folder = directory.join(if number == 1 { name.clone() } else { format!("{name}-{number}") });
        match DirBuilder::new().mode(0o700).create(&folder) {
            Ok(()) => return Ok(folder),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
    Err(ErrorKind::AlreadyExists.into())
}

fn report(trips: &Trips<'_>, snapshot: &Snapshot, out: &mut dyn Write) -> io::Result<()> {
    let options = TextOptions { time: true, ..TextOptions::default() };
    for event in trips.events {
        trip::event(event, trips.watch.rules(), task_noun(snapshot), None, &options, out)?;
    }
    writeln!(out)?;
    let begin =
        Begin { snapshot: trips.snapshot, now: trips.now, watch: trips.watch, span_ns: trips.span_ns };
    trip::begin(&begin, &TextOptions { verbose: true, ..options }, out)?;
    let grouped = group(snapshot, &Filter::default(), &GroupKey::default(), SortBy::Count, Some(GROUPS));
    text::groups(snapshot, &grouped, &GroupKey::default(), &options, out)?;
    writeln!(
        out,
        "\nloiter stacks, loiter leaks, loiter flame and loiter watch read {SNAPSHOT}, which has everything."
    )
}
