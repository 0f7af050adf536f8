//! `loiter ps`: what can be read on this machine.

use clap::ValueEnum;

use super::error::{CliError, Result};
use super::exit;
use super::format::{FormatArgs, PrintFormat};
use super::output::Output;
use crate::process::{self, Candidate};
use crate::snapshot::RuntimeInfo;

mod json;
mod look;
mod table;

use look::Event;
use table::Table;

/// List the processes that loiter can read
///
/// Each process is listed with its runtime and its current number of tasks. Processes without a runtime that
/// loiter can read, and processes that loiter may not read, are counted; --all lists them with the reason. If
/// a process does not answer within 2 seconds, because a file system that it uses hangs, it is listed as "no
/// answer".
#[derive(Debug, clap::Args)]
#[command(after_help = exit::HELP)]
pub(super) struct Args {
    /// Also list the processes without a runtime, and those that cannot be read
    #[arg(long)]
    all: bool,

    #[command(flatten)]
    format: FormatArgs<Format>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
enum Format {
    #[default]
    Text,
    Json,
}

impl PrintFormat for Format {
    const JSON: Self = Format::Json;
    const HELP: &'static str = "Format: text or json";
    const MORE: &'static str =
        "json lists the processes with their runtimes, and counts those that are not listed.";
}

/// What is known about a process.
#[derive(Debug)]
enum Finding {
    /// Its runtimes, each with the number of its tasks.
    Runtimes(Vec<(RuntimeInfo, u64)>),
    /// It can be read, but has no runtime that loiter knows.
    Native,
    /// It cannot be read: the reason, and a remedy.
    Unreadable { why: String, remedy: Vec<String> },
    /// It did not answer in time: the reason.
    NoAnswer { why: String },
}

/// A process of the list.
#[derive(Debug)]
struct Process {
    who: Candidate,
    finding: Finding,
}

impl Process {
    /// Whether it is listed even without --all: it has a runtime, or may have one.
    fn is_listed(&self) -> bool {
        matches!(self.finding, Finding::Runtimes(_) | Finding::NoAnswer { .. })
    }
}

pub(super) fn run(args: &Args, output: &Output) -> Result {
    let failed = |source| CliError::Io { what: "cannot list the processes".to_owned(), source };
    let pids = process::pids().map_err(failed)?;
    output.write(|out| {
        let mut processes = Vec::new();
        let mut table = Table::new(output, args.all, pids.last().copied());
        let json = args.format.format() == Format::Json;
        look::look_at_all(&pids, |event| {
            match event {
                Event::Process(process) => processes.push(process),
                // On a terminal, known rows are shown early if the rest takes long.
                Event::Tick if output.terminal && !json => table.show_early(&processes, out)?,
                Event::Tick => {}
            }
            Ok(())
        })?;
        if json { json::write(&processes, args.all, out) } else { table.finish(&processes, out) }?;
        out.flush()
    })?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::output::Color;

    fn process(pid: u32, finding: Finding) -> Process {
        let who = Candidate {
            pid,
            name: "a\x1bb".to_owned(),
            program: "a".to_owned(),
            command: vec!["./a".to_owned(), "東京".to_owned()],
            age_ns: 3_000_000_000,
            threads: 4,
            uid: 0,
            is_kernel_thread: false,
            is_zombie: false,
        };
        Process { who, finding }
    }

    fn sample() -> Vec<Process> {
        let info = RuntimeInfo {
            name: "go".to_owned(),
            version: Some("go1.24.3".to_owned()),
            flavour: vec!["stripped".to_owned()],
            ..RuntimeInfo::default()
        };
        let unreadable = |pid| Finding::Unreadable {
            why: format!("open /proc/{pid}/maps: EACCES (permission denied)"),
            remedy: vec!["Try: sudo".to_owned()],
        };
        vec![
            process(7, Finding::Runtimes(vec![(info, 1388)])),
            process(8, Finding::Native),
            process(9, unreadable(9)),
            process(10, unreadable(10)),
            process(11, Finding::NoAnswer { why: "no answer within 2 s: /proc/11 hangs".to_owned() }),
        ]
    }

    fn text(all: bool, terminal: bool) -> String {
        let output = Output { color: false, choice: Color::Never, width: 60, terminal, verbose: 0 };
        let mut out = Vec::new();
        let table = Table::new(&output, all, Some(10));
        table.finish(&sample(), &mut out).expect("memory can be written");
        String::from_utf8(out).expect("text is UTF-8")
    }

    #[test]
    fn what_is_not_listed_is_counted_with_its_reason() {
        assert_eq!(
            text(false, false),
            "   PID  RUNTIME            TASKS  THREADS  AGE  COMMAND
     7  go1.24.3 stripped  1,388        4  3s   ./a 東京
    11  no answer              -        4  3s   a\\x1bb: no answer within 2 s: /proc/11 hangs

1 process without a runtime that loiter can read (--all lists them)
2 processes cannot be read: open /proc/PID/maps: EACCES (permission denied) (--all lists them)
  Try: sudo
1 process did not answer
"
        );
    }

    #[test]
    fn everything_is_listed_where_that_is_asked_for() {
        assert_eq!(
            text(true, true),
            "   PID  RUNTIME    TASKS  THREADS  AGE  COMMAND
     7  go1.24.3   1,388        4  3s   ./a 東京
     8  native         -        4  3s   ./a 東京
     9  ?              -        4  3s   a\\x1bb: open /proc/…
    10  ?              -        4  3s   a\\x1bb: open /proc/…
    11  no answer      -        4  3s   a\\x1bb: no answer w…
"
        );
    }
}
