//! `loiter ps`: what can be read on this machine.

use std::io::{self, Write};
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use serde::Serialize;

use super::error::{CliError, Result};
use super::exit;
use super::output::Output;
use super::source::inspect;
use crate::report::escape;
use crate::report::json;
use crate::report::line::{DIM, HEAD, Line, PLAIN, STATE, width};
use crate::report::text::runtime_name;
use crate::report::units::{short_duration, thousands};
use crate::snapshot::RuntimeInfo;
use crate::target::{self, Candidate, TargetError};

/// List the processes that loiter can read
///
/// Each with its runtime and how many tasks it has now. Processes without such a runtime, and those
/// that cannot be read, are counted; --all lists them with the reason.
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
}

/// A process of the list.
#[derive(Debug)]
struct Process {
    who: Candidate,
    finding: Finding,
}

pub(super) fn run(args: &Args, output: &Output) -> Result {
    let candidates = target::processes()
        .map_err(|source| CliError::Io { what: "cannot list the processes".to_owned(), source })?;
    let own = std::process::id();
    let readable = |who: &Candidate| !who.is_kernel_thread && !who.is_zombie && who.pid != own;
    let processes = look_at_all(candidates.into_iter().filter(readable).collect());
    output.write(|out| {
        if args.json {
            write_json(&processes, args.all, out)
        } else {
            write_text(&processes, args.all, output, out)
        }
    })?;
    Ok(())
}

/// Finds out about many processes, on all cores. The order stays.
fn look_at_all(candidates: Vec<Candidate>) -> Vec<Process> {
    let next = AtomicUsize::new(0);
    let work = || {
        let mut found = Vec::new();
        while let Some((nth, who)) = {
            let nth = next.fetch_add(1, Ordering::Relaxed);
            candidates.get(nth).map(|who| (nth, who))
        } {
            found.extend(look_at(who.clone()).map(|process| (nth, process)));
        }
        found
    };
    let cores = thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let mut found: Vec<_> = thread::scope(|scope| {
        let workers: Vec<_> = (0..cores).map(|_| scope.spawn(work)).collect();
        // A worker that panics has been reported by the panic itself.
        workers.into_iter().filter_map(|worker| worker.join().ok()).flatten().collect()
    });
    found.sort_by_key(|&(nth, _)| nth);
    found.into_iter().map(|(_, process)| process).collect()
}

/// Finds out about a process; nothing if it has ended.
fn look_at(who: Candidate) -> Option<Process> {
    let found =
        target::open_pid(who.pid).map_err(crate::Error::from).and_then(|target| inspect(target.as_ref()));
    let finding = match found {
        Ok(runtimes) if runtimes.is_empty() => Finding::Native,
        Ok(runtimes) => Finding::Runtimes(runtimes),
        Err(crate::Error::Target(TargetError::NoProcess { .. } | TargetError::Ended { .. })) => return None,
        Err(error) => {
            let why = error.to_string();
            let remedy = match error {
                crate::Error::Target(TargetError::Permission { remedy, .. }) => remedy,
                _ => Vec::new(),
            };
            Finding::Unreadable { why, remedy }
        }
    };
    Some(Process { who, finding })
}

/// Right-aligned columns, then left-aligned ones.
const HEADINGS: [&str; 6] = ["PID", "RUNTIME", "TASKS", "THREADS", "AGE", "COMMAND"];

fn write_text(processes: &[Process], all: bool, output: &Output, out: &mut dyn Write) -> io::Result<()> {
    let shown = |process: &&Process| all || matches!(process.finding, Finding::Runtimes(_));
    let rows: Vec<[String; 6]> = processes.iter().filter(shown).map(row).collect();
    let mut widths = HEADINGS.map(str::len);
    for row in &rows {
        for (width_so_far, cell) in widths.iter_mut().zip(row) {
            *width_so_far = (*width_so_far).max(width(&escape(cell)));
        }
    }
    widths[0] = widths[0].max(6);
    let headings = HEADINGS.map(str::to_owned);
    if !rows.is_empty() {
        write_row(&headings, &widths, true, output, out)?;
    }
    for row in &rows {
        write_row(row, &widths, false, output, out)?;
    }
    if all { Ok(()) } else { write_rest(processes, output, out) }
}

fn row(process: &Process) -> [String; 6] {
    let who = &process.who;
    let command = if who.command.is_empty() { who.name.clone() } else { who.command.join(" ") };
    let (runtime, tasks, last) = match &process.finding {
        Finding::Runtimes(runtimes) => {
            let tasks = runtimes.iter().map(|(_, tasks)| tasks).sum();
            let names: Vec<_> = runtimes.iter().map(|(info, _)| runtime_name(info)).collect();
            (names.join(" + "), thousands(tasks), command)
        }
        Finding::Native => ("native".to_owned(), "-".to_owned(), command),
        Finding::Unreadable { why, .. } => ("?".to_owned(), "-".to_owned(), format!("{}: {why}", who.name)),
    };
    [who.pid.to_string(), runtime, tasks, thousands(who.threads.into()), short_duration(who.age_ns), last]
}

fn write_row(
    cells: &[String; 6],
    widths: &[usize; 6],
    heading: bool,
    output: &Output,
    out: &mut dyn Write,
) -> io::Result<()> {
    let mut line = Line::new(output.color);
    let mut column = 0;
    for (nth, (cell, width_of)) in cells.iter().zip(widths).enumerate() {
        let style = match (heading, nth) {
            (true, _) => DIM,
            (_, 0) => HEAD,
            (_, 1) => STATE,
            _ => PLAIN,
        };
        let last = nth + 1 == cells.len();
        if matches!(nth, 0 | 2 | 3) {
            line.right(style, cell, column + width_of);
        } else if last && output.terminal && output.verbose == 0 {
            line.push(style, &cut(cell, output.width.saturating_sub(column)));
        } else {
            line.push(style, cell);
        }
        column += width_of + 2;
        if !last {
            line.pad(column, 2);
        }
    }
    line.write(out)
}

/// The beginning of a command line that fits on the terminal (-v and --json give all of it).
fn cut(text: &str, columns: usize) -> String {
    let text = escape(text);
    if width(&text) <= columns {
        return text.into_owned();
    }
    let mut short = String::new();
    for c in text.chars() {
        short.push(c);
        if width(&short) + 1 > columns {
            short.pop();
            break;
        }
    }
    short.push('…');
    short
}

/// Says what is not in the list, and why.
fn write_rest(processes: &[Process], output: &Output, out: &mut dyn Write) -> io::Result<()> {
    let listed = processes.iter().filter(|p| matches!(p.finding, Finding::Runtimes(_))).count();
    let native = processes.iter().filter(|p| matches!(p.finding, Finding::Native)).count() as u64;
    let mut notes = Vec::new();
    if listed == 0 {
        notes.push("no process here has a runtime that loiter can read".to_owned());
    }
    if native > 0 {
        notes.push(format!("{} without such a runtime (--all lists them)", process_count(native)));
    }
    for (why, remedy, n) in reasons(processes) {
        notes.push(format!("{} that cannot be read: {why} (--all lists them)", process_count(n)));
        notes.extend(remedy.iter().map(|line| format!("  {line}")));
    }
    if listed > 0 && !notes.is_empty() {
        writeln!(out)?;
    }
    for note in notes {
        Line::new(output.color).push(DIM, &note).write(out)?;
    }
    Ok(())
}

/// Why processes cannot be read: each reason and its remedy once, with how many it is true of.
fn reasons(processes: &[Process]) -> Vec<(String, &[String], u64)> {
    let mut reasons: Vec<(String, &[String], u64)> = Vec::new();
    for process in processes {
        let Finding::Unreadable { why, remedy } = &process.finding else { continue };
        // The same for all of them but for the pid.
        let why = why.replace(&format!("/proc/{}/", process.who.pid), "/proc/PID/");
        match reasons.iter_mut().find(|(reason, remedies, _)| *reason == why && remedies == remedy) {
            Some((.., count)) => *count += 1,
            None => reasons.push((why, remedy, 1)),
        }
    }
    reasons
}

/// "1 process", "12 processes".
fn process_count(n: u64) -> String {
    if n == 1 { "1 process".to_owned() } else { format!("{} processes", thousands(n)) }
}

#[derive(Serialize)]
struct Document<'a> {
    format: &'static str,
    version: u32,
    processes: Vec<ProcessOut<'a>>,
}

#[derive(Serialize)]
struct ProcessOut<'a> {
    pid: u32,
    name: &'a str,
    command: &'a [String],
    user: String,
    age_ns: u64,
    threads: u32,
    readable: bool,
    error: Option<&'a str>,
    runtimes: Vec<RuntimeOut<'a>>,
}

#[derive(Serialize)]
struct RuntimeOut<'a> {
    name: &'a str,
    version: &'a str,
    flavour: &'a [String],
    task_noun: &'a str,
    tasks: u64,
}

fn write_json(processes: &[Process], all: bool, out: &mut dyn Write) -> io::Result<()> {
    let shown = |process: &&Process| all || matches!(process.finding, Finding::Runtimes(_));
    let processes = processes.iter().filter(shown).map(|process| {
        let who = &process.who;
        let (runtimes, error) = match &process.finding {
            Finding::Runtimes(runtimes) => (runtimes.as_slice(), None),
            Finding::Native => (&[][..], None),
            Finding::Unreadable { why, .. } => (&[][..], Some(why.as_str())),
        };
        ProcessOut {
            pid: who.pid,
            name: &who.name,
            command: &who.command,
            user: who.user(),
            age_ns: who.age_ns,
            threads: who.threads,
            readable: error.is_none(),
            error,
            runtimes: runtimes
                .iter()
                .map(|(info, tasks)| RuntimeOut {
                    name: &info.name,
                    version: &info.version,
                    flavour: &info.flavour,
                    task_noun: &info.task_noun,
                    tasks: *tasks,
                })
                .collect(),
        }
    });
    json::write(&Document { format: "loiter-ps", version: 1, processes: processes.collect() }, out)
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
            version: "go1.24.3".to_owned(),
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
        ]
    }

    fn text(all: bool, terminal: bool) -> String {
        let output = Output { color: false, width: 60, terminal, verbose: 0 };
        let mut out = Vec::new();
        write_text(&sample(), all, &output, &mut out).expect("memory can be written");
        String::from_utf8(out).expect("text is UTF-8")
    }

    #[test]
    fn what_is_not_listed_is_counted_with_its_reason() {
        assert_eq!(
            text(false, false),
            "   PID  RUNTIME            TASKS  THREADS  AGE  COMMAND
     7  go1.24.3 stripped  1,388        4  3s   ./a 東京

1 process without such a runtime (--all lists them)
2 processes that cannot be read: open /proc/PID/maps: EACCES (permission denied) (--all lists them)
  Try: sudo
"
        );
    }

    #[test]
    fn everything_is_listed_where_that_is_asked_for() {
        assert_eq!(
            text(true, true),
            "   PID  RUNTIME            TASKS  THREADS  AGE  COMMAND
     7  go1.24.3 stripped  1,388        4  3s   ./a 東京
     8  native                 -        4  3s   ./a 東京
     9  ?                      -        4  3s   a\\x1bb: ope…
    10  ?                      -        4  3s   a\\x1bb: ope…
"
        );
    }
}
