//! `loiter ps`: what can be read on this machine.

use super::error::{CliError, Result};
use super::exit;
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
/// Each with its runtime and how many tasks it has now. Processes without such a runtime, and those
/// that cannot be read, are counted; --all lists them with the reason. One that keeps loiter waiting, because
/// a file system that it uses hangs, is given up after 2 seconds and listed as "no answer".
#[derive(Debug, clap::Args)]
#[command(after_help = exit::HELP)]
pub(super) struct Args {
    /// List the processes without a runtime and those that cannot be read, too
    #[arg(long)]
    all: bool,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What was found out about a process.
#[derive(Debug)]
enum Finding {
    /// Its runtimes, each with the number of its tasks.
    Runtimes(Vec<(RuntimeInfo, u64)>),
    /// It can be read, but there is nothing that loiter knows.
    Native,
    /// It cannot be read: why, and what helps.
    Unreadable { why: String, remedy: Vec<String> },
    /// It was given up before anything was known: why.
    NoAnswer { why: String },
}

/// A process of the list.
#[derive(Debug)]
struct Process {
    who: Candidate,
    finding: Finding,
}

impl Process {
    /// It stands in the list even without --all: it has a runtime, or may well have one.
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
        look::look_at_all(&pids, |event| {
            match event {
                Event::Process(process) => processes.push(process),
                // On a terminal somebody waits: what is known is shown when it takes long.
                Event::Tick if output.terminal && !args.json => table.show_early(&processes, out)?,
                Event::Tick => {}
            }
            Ok(())
        })?;
        if args.json { json::write(&processes, args.all, out) } else { table.finish(&processes, out) }?;
        out.flush()
    })?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(pid: u32, finding: Finding) -> Process {
        let who = Candidate {
            pid,
            name: "a\x1bb".to_owned(),
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
        let output = Output { color: false, width: 60, terminal, verbose: 0 };
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

1 process without such a runtime (--all lists them)
2 processes that cannot be read: open /proc/PID/maps: EACCES (permission denied) (--all lists them)
  Try: sudo
1 process that gave no answer
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
