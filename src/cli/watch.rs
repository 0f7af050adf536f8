//! `loiter watch`: the dashboard.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::error::{CliError, Result};
use super::output::{Output, tell};
use super::source::{ProcessArg, ProgramArg, ReadArgs, list, runtime_names, warn_of_stop};
use super::{exit, parse};
use crate::analysis::GroupKey;
use crate::dashboard::keys::{BINDINGS, CLIPBOARD};
use crate::dashboard::pick::{self, Asked, Picked, Row};
use crate::dashboard::query::Query;
use crate::dashboard::reader::Feed;
use crate::dashboard::run::{self, Options};
use crate::dashboard::view::Theme;
use crate::ending;
use crate::full_text;
use crate::session::why::InquiryOptions;
use crate::session::{Album, Pacing, Session, SessionOptions, recorded};
use crate::source::{Answer, Program, Source, ask, running_processes};

/// Watch the tasks of a process in the terminal
///
/// Reads the process repeatedly and shows how its tasks change: over time, by group, one by one, by creator,
/// as a flame graph, and which groups look like leaks. Press ? for the keys. The process is not paused, unless
/// --freeze is given.
///
/// It also shows how long tasks were in which state, by the readings alone. c samples the CPU time of every task and
/// group, 99 times a second, until c is pressed again; this takes the rights that loiter record needs. A frozen screen
/// keeps its figures, while reading and sampling go on.
///
/// w on a task or a group says why it waits: the chain of causes that loiter why shows, through other processes, too.
/// Enter leads along it. A saved reading is followed as far as it goes.
///
/// Without SOURCE, loiter lists the processes that it can read, to choose from. If the process ends and is
/// restarted, from the same executable with the same arguments or under the name that was given, loiter finds
/// it again. SOURCE may also be a directory that was written with --record: [ and ] move through the readings.
#[derive(Debug, clap::Args)]
#[command(visible_alias = "top", after_help = exit::HELP)]
pub(super) struct Args {
    /// A pid, a process name, a file, an http address of Go's pprof, or - for standard input
    ///
    /// See loiter stacks --help.
    #[arg(value_name = "SOURCE", conflicts_with = "pid")]
    source: Option<Source>,

    #[command(flatten)]
    process: ProcessArg,

    #[command(flatten)]
    program: ProgramArg,

    #[command(flatten)]
    how: ReadArgs,

    /// How often to read the process: 500ms, 2s, 1m [default: 500ms; 5s for an address, because each reading
    /// stops the program]
    ///
    /// loiter never uses more than a fifth of a processor. If that is not enough, it reads the process less
    /// often, and the dashboard says so.
    #[arg(long, value_name = "DURATION", value_parser = interval)]
    interval: Option<Duration>,

    /// How to group tasks initially: stack, function, state, creator, label:KEY or waits-on
    #[arg(long, value_name = "KEY", default_value_t, hide_default_value = true)]
    group_by: GroupKey,

    /// Include the runtime's own tasks
    #[arg(long)]
    system: bool,

    /// Draw with ASCII characters only
    #[arg(long)]
    ascii: bool,

    /// Do not use the mouse, so that the terminal can select text with it
    #[arg(long)]
    no_mouse: bool,

    /// Save the readings as snapshots in this directory, to watch them again later
    ///
    /// The directory is created if it does not exist. The oldest readings are removed when --keep or --keep-size
    /// is reached.
    #[arg(long, value_name = "DIRECTORY", help_heading = "Recording")]
    record: Option<PathBuf>,

    /// Keep at most N readings
    #[arg(
        long,
        value_name = "N",
        default_value_t = 1000,
        value_parser = clap::value_parser!(u32).range(1..),
        requires = "record",
        help_heading = "Recording"
    )]
    keep: u32,

    /// Keep at most this much on disk: 500MB, 2GiB
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
    let theme = Theme { color: output.color, ascii: args.ascii };
    if args.program.is_given() && args.source().is_some() {
        let problem = "give either a SOURCE or a program after --, not both";
        return Err(CliError::Usage(problem.to_owned()));
    }
    if !output.terminal {
        return Err(args.no_terminal());
    }
    let program = args.program.start(true)?;
    let feed = match (&program, args.source()) {
        (Some(program), _) => args.started(program)?,
        (None, Some(source)) => args.feed(source)?,
        (None, None) => match pick(theme, !args.no_mouse)? {
            Some(pid) => args.live(&Source::Pid(pid))?,
            None => return Ok(()),
        },
    };
    let query = Query { key: args.group_by.clone(), system: args.system, ..Query::default() };
    let why = InquiryOptions { read: args.how.options().read, ..InquiryOptions::default() };
    let outcome = run::run(feed, Options { query, system: args.system, theme, mouse: !args.no_mouse, why });
    // The reading thread may still hold the program: it is ended here, not when the last reference is dropped.
    if let Some(program) = program {
        let end = program.end();
        program.last_lines().iter().for_each(|line| tell(line));
        tell(&end.to_string());
    }
    end_by(outcome.map_err(terminal)?);
    Ok(())
}

fn terminal(source: io::Error) -> CliError {
    CliError::Io { what: "the terminal".to_owned(), source }
}

/// Ends loiter by a caught signal, as if it had never been caught: the sender sees what it expects.
fn end_by(signal: Option<i32>) {
    if let Some(signal) = signal {
        ending::end_by(signal);
    }
}

/// Lets the user choose a process. None: nothing was chosen.
fn pick(theme: Theme, mouse: bool) -> Result<Option<u32>> {
    let all = running_processes()?;
    let of = all.len();
    let answers = ask(all);
    let next = || match answers.try_recv().ok()? {
        Answer::Readable(found) => Some(Asked::Readable(Row {
            pid: found.who.pid,
            age_ns: found.who.age_ns,
            runtime: runtime_names(&found),
            tasks: found.tasks(),
            command: if found.who.command.is_empty() { found.who.name } else { found.who.command.join(" ") },
        })),
        Answer::Nothing => Some(Asked::Nothing),
        Answer::Refused => Some(Asked::Refused),
    };
    match pick::pick(of, next, theme, mouse).map_err(terminal)? {
        Picked::Process(pid) => Ok(Some(pid)),
        Picked::Nothing => Ok(None),
        Picked::Signal(signal) => {
            end_by(Some(signal));
            Ok(None)
        }
    }
}

impl Args {
    /// The target to watch. None: it is to be chosen, or started.
    fn source(&self) -> Option<&Source> {
        self.process.pid.as_ref().or(self.source.as_ref())
    }

    /// The error if standard output is not a terminal.
    fn no_terminal(&self) -> CliError {
        let text = "watch needs a terminal, but standard output is not one; use loiter stacks to print once";
        let remedy = match self.source() {
            None if !self.program.is_given() => {
                running_processes().map(|all| list(all).lines()).unwrap_or_default()
            }
            _ => Vec::new(),
        };
        CliError::Message { problem: text.to_owned(), remedy, exit: exit::Exit::Error }
    }

    fn feed(&self, source: &Source) -> Result<Feed> {
        let recorded = match source {
            Source::Pid(_) | Source::Name(_) | Source::Address(_) => return self.live(source),
            Source::File(path) if path.is_dir() => {
                Some(recorded(path).map_err(|error| CliError::Usage(full_text(&error)))?)
            }
            Source::File(_) | Source::Stdin => None,
        };
        if self.record.is_some() {
            return Err(CliError::Usage(
                "--record is for what can be read again: a process or an address".to_owned(),
            ));
        }
        match recorded {
            Some(files) => Ok(Feed::Replay(files)),
            None => Ok(Feed::File(Box::new(self.how.open(source)?.snapshot))),
        }
    }

    fn options(&self) -> SessionOptions {
        SessionOptions {
            read: self.how.options().read,
            interval: self.interval,
            pacing: Pacing::Sparing,
            restart: true,
        }
    }

    /// A process or an address. Permanent problems are reported at once, and not on a screen that then disappears.
    fn live(&self, source: &Source) -> Result<Feed> {
        self.how.check(source)?;
        warn_of_stop(source);
        self.recorded(Session::open(source, self.options())?)
    }

    /// A program that was just started.
    fn started(&self, program: &Arc<Program>) -> Result<Feed> {
        self.recorded(Session::of_program(program, self.options())?)
    }

    fn recorded(&self, session: Session) -> Result<Feed> {
        let album = self.record.as_deref().map(|directory| {
            Album::open(directory, self.keep as usize, self.keep_size)
                .map_err(|source| CliError::Io { what: directory.display().to_string(), source })
        });
        Ok(Feed::Live { session: Box::new(session), album: album.transpose()? })
    }
}

/// The keys, for the long help.
pub(super) fn keys() -> String {
    let keys = BINDINGS.iter().map(|binding| format!("  {:<12}{}\n", binding.shown, binding.what));
    format!("Keys:\n{}\n{CLIPBOARD}\n", keys.collect::<String>())
}

/// How often to read: between a tenth of a second and an hour.
fn interval(text: &str) -> Result<Duration, String> {
    let interval = Duration::from_nanos(parse::duration(text)?);
    let range = Duration::from_millis(100)..=Duration::from_secs(3600);
    if range.contains(&interval) { Ok(interval) } else { Err("use a duration from 100ms to 1h".to_owned()) }
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
