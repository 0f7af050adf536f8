//! `loiter watch`: the dashboard.

use std::path::PathBuf;
use std::time::Duration;

use super::error::{CliError, Result};
use super::output::Output;
use super::source::{Source, SourceArgs, describe, options};
use super::{exit, parse};
use crate::analysis::GroupKey;
use crate::dashboard::query::Query;
use crate::dashboard::reader::{Feed, Input, Trouble};
use crate::dashboard::record::Recorder;
use crate::dashboard::replay::snapshots;
use crate::dashboard::run::{self, Options};
use crate::dashboard::view::Theme;
use crate::runtimes::{ReadOptions, Readable};
use crate::snapshot::Snapshot;
use crate::target::{self, Target, TargetError};

/// Watch the tasks of a process in the terminal
///
/// Reads the process again and again and shows how its tasks change: over time, by group, one by
/// one, by who started whom, as a flame graph, and what looks like a leak. Press ? for the keys. The
/// process is not paused, unless --freeze asks for it.
///
/// SOURCE may also be a directory that --record has filled: [ and ] go back and forth in it.
#[derive(Debug, clap::Args)]
#[command(visible_alias = "top", after_help = exit::HELP)]
pub(super) struct Args {
    #[command(flatten)]
    source: SourceArgs,

    /// Read so often: 500ms, 2s, 1m [default: 500ms; 5s for an address, which stops the program]
    ///
    /// Whatever it is, loiter takes no more than a fifth of a processor: large programs are read less
    /// often then, and the dashboard says so.
    #[arg(long, value_name = "DURATION", value_parser = interval)]
    interval: Option<Duration>,

    /// What groups have in common at first: stack, function, state, creator, label:KEY or waits-on
    #[arg(long, value_name = "KEY", default_value_t, hide_default_value = true)]
    group_by: GroupKey,

    /// Count the runtime's own tasks, too
    #[arg(long)]
    system: bool,

    /// Draw with ASCII characters only
    #[arg(long)]
    ascii: bool,

    /// Keep the readings as snapshots in this directory, to be watched again later
    ///
    /// It is made if it is not there. The oldest ones are removed when --keep or --keep-size is reached.
    #[arg(long, value_name = "DIRECTORY", help_heading = "Recording")]
    record: Option<PathBuf>,

    /// Keep no more than so many readings
    #[arg(
        long,
        value_name = "N",
        default_value_t = 1000,
        value_parser = clap::value_parser!(u32).range(1..),
        requires = "record",
        help_heading = "Recording"
    )]
    keep: u32,

    /// Keep no more than so many bytes: 500MB, 2GiB
    #[arg(
        long,
        value_name = "SIZE",
        default_value = "1GiB",
        value_parser = size,
        requires = "record",
        help_heading = "Recording"
    )]
    keep_size: u64,
}

pub(super) fn run(args: &Args, output: &Output) -> Result {
    if !output.terminal {
        let text = "watch needs a terminal, and standard output is none (loiter stacks prints once)";
        return Err(CliError::Usage(text.to_owned()));
    }
    let feed = args.feed()?;
    let query = Query { key: args.group_by.clone(), system: args.system, ..Query::default() };
    let theme = Theme { color: output.color, ascii: args.ascii };
    run::run(feed, Options { query, system: args.system, theme })
        .map_err(|source| CliError::Io { what: "the terminal".to_owned(), source })
}

impl Args {
    fn feed(&self) -> Result<Feed> {
        let recorded = match &self.source.source {
            Source::Pid(pid) => return self.process(*pid),
            Source::Address(_) => return self.address(),
            Source::File(path) if path.is_dir() => Some(snapshots(path).map_err(CliError::Usage)?),
            _ => None,
        };
        if self.record.is_some() {
            return Err(CliError::Usage(
                "--record is for what can be read again: a pid or an address".to_owned(),
            ));
        }
        match recorded {
            Some(files) => Ok(Feed::Replay(files)),
            None => Ok(Feed::File(Box::new(self.source.open()?.snapshot))),
        }
    }

    fn process(&self, pid: u32) -> Result<Feed> {
        let pace = self.interval.unwrap_or(PROCESS);
        let mut process = Process::new(pid, options(&self.source.how).paced(pace));
        // What will not pass is said at once, and not on a screen that then disappears.
        match process.attach() {
            Ok(()) | Err(crate::Error::Starting { .. }) => {}
            Err(source) => return Err(CliError::Target { what: describe(pid), source }),
        }
        self.live(Box::new(process), PROCESS)
    }

    fn address(&self) -> Result<Feed> {
        let first = self.source.open()?.snapshot;
        self.live(Box::new(Address { source: self.source.clone(), first: Some(first) }), ADDRESS)
    }

    fn live(&self, input: Box<dyn Input>, interval: Duration) -> Result<Feed> {
        let recorder = self.record.as_deref().map(|directory| {
            Recorder::open(directory, self.keep as usize, self.keep_size)
                .map_err(|source| CliError::Io { what: directory.display().to_string(), source })
        });
        let interval = self.interval.unwrap_or(interval);
        Ok(Feed::Live { input, recorder: recorder.transpose()?, interval })
    }
}

/// How often a process is read, and an address of Go's pprof, unless told otherwise.
const PROCESS: Duration = Duration::from_millis(500);
const ADDRESS: Duration = Duration::from_secs(5);

/// An address that is asked again and again.
struct Address {
    source: SourceArgs,
    /// What it said when it was found out whether it answers.
    first: Option<Snapshot>,
}

impl Input for Address {
    fn read(&mut self) -> Result<Snapshot, Trouble> {
        match self.first.take() {
            Some(first) => Ok(first),
            // A program that ends and one that is started anew look the same from here.
            None => match self.source.open() {
                Ok(opened) => Ok(opened.snapshot),
                Err(error) => Err(Trouble::Passing(error.to_string())),
            },
        }
    }
}

/// A process that is read again and again.
struct Process {
    pid: u32,
    options: ReadOptions,
    /// When it was started: another process may get its pid.
    start_ticks: Option<u64>,
    attached: Option<(Box<dyn Target>, Readable)>,
}

impl Process {
    fn new(pid: u32, options: ReadOptions) -> Self {
        Process { pid, options, start_ticks: None, attached: None }
    }

    fn attach(&mut self) -> Result<(), crate::Error> {
        let target = target::open_pid(self.pid)?;
        let start_ticks = target.info().start_ticks;
        if *self.start_ticks.get_or_insert(start_ticks) != start_ticks {
            return Err(TargetError::NoProcess { pid: self.pid }.into());
        }
        let readable = Readable::find(target.as_ref())?;
        self.attached = Some((target, readable));
        Ok(())
    }
}

impl Input for Process {
    fn read(&mut self) -> Result<Snapshot, Trouble> {
        if self.attached.is_none() {
            self.attach().map_err(trouble)?;
        }
        let Some((target, readable)) = &self.attached else {
            return Err(Trouble::Passing("not attached".to_owned()));
        };
        readable.read(target.as_ref(), &self.options).map_err(|error| {
            // It may have become another program (execve): everything is looked for anew.
            self.attached = None;
            trouble(error)
        })
    }
}

fn trouble(error: crate::Error) -> Trouble {
    match &error {
        crate::Error::Target(
            TargetError::NoProcess { .. } | TargetError::Ended { .. } | TargetError::Zombie { .. },
        ) => Trouble::Final(error.to_string()),
        _ => Trouble::Passing(error.to_string()),
    }
}

/// How often to read: between a tenth of a second and an hour.
fn interval(text: &str) -> Result<Duration, String> {
    let interval = Duration::from_nanos(parse::duration(text)?);
    let range = Duration::from_millis(100)..=Duration::from_secs(3600);
    if range.contains(&interval) {
        Ok(interval)
    } else {
        Err("use something between 100ms and 1h".to_owned())
    }
}

/// "500MB", "2GiB", "1000": bytes.
fn size(text: &str) -> Result<u64, String> {
    let problem = || "use a number and a unit (B, kB, MB, GB, KiB, MiB, GiB), like 500MB".to_owned();
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let unit: u64 = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "kb" | "k" => 1_000,
        "mb" | "m" => 1_000_000,
        "gb" | "g" => 1_000_000_000,
        "kib" => 1 << 10,
        "mib" => 1 << 20,
        "gib" => 1 << 30,
        _ => return Err(problem()),
    };
    let number: u64 = number.parse().map_err(|_| problem())?;
    number.checked_mul(unit).filter(|&bytes| bytes > 0).ok_or_else(problem)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_and_sizes() {
        assert_eq!(interval("500ms"), Ok(Duration::from_millis(500)));
        assert!(interval("10ms").is_err());
        assert!(interval("2h").is_err());
        assert_eq!(size("500MB"), Ok(500_000_000));
        assert_eq!(size("2 GiB"), Ok(2 << 30));
        assert_eq!(size("12"), Ok(12));
        for wrong in ["", "0", "GiB", "5 parsecs", "-1"] {
            assert!(size(wrong).is_err(), "{wrong}");
        }
    }
}
