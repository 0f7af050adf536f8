//! Lists of processes, for users who have not named a readable one.

use std::sync::mpsc::RecvTimeoutError;
use std::time::{Duration, Instant};

use crate::process::Candidate;
use crate::report::text::runtime_name;
use crate::report::units::{short_duration, thousands};
use crate::source::{Answer, Found, ask};

/// Processes that have not answered by then are left out of a list.
const PATIENCE: Duration = Duration::from_secs(3);
/// A list has at most this many readable processes. The number of others is mentioned.
const LISTED: usize = 20;
/// The same for processes of one name.
const NAMED: usize = 12;
/// Columns of a command line in a list.
const COMMAND: usize = 100;

/// "go1.24.3 stripped".
pub(in crate::cli) fn runtime_names(found: &Found) -> String {
    let names: Vec<_> = found.runtimes.iter().map(|(info, _)| runtime_name(info)).collect();
    names.join(" + ")
}

/// The processes that can be read, and how many there are of others.
#[derive(Debug, Default)]
pub(in crate::cli) struct List {
    found: Vec<Found>,
    refused: usize,
    silent: usize,
}

/// Asks all of them, and waits as long as that makes sense.
pub(in crate::cli) fn list(all: Vec<Candidate>) -> List {
    let (mut list, mut left) = (List::default(), all.len());
    let (begin, answers) = (Instant::now(), ask(all));
    while left > 0 {
        match answers.recv_timeout(PATIENCE.saturating_sub(begin.elapsed())) {
            Ok(Answer::Readable(found)) => list.found.push(found),
            Ok(Answer::Nothing) => {}
            Ok(Answer::Refused) => list.refused += 1,
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => break,
        }
        left -= 1;
    }
    list.silent = left;
    list.found.sort_by_key(|found| found.who.pid);
    list
}

impl List {
    /// One line each, and a note about the ones that are not listed.
    pub(in crate::cli) fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        let runtimes = || self.found.iter().map(runtime_names);
        let wide = runtimes().map(|names| names.chars().count()).max().unwrap_or(0).clamp(7, 32);
        if self.found.is_empty() {
            lines.push("there is no process that loiter can read".to_owned());
        } else {
            lines.push("processes that can be read:".to_owned());
            lines.push(format!("{:>7}  {:<8}  {:<wide$}  {:>9}  COMMAND", "PID", "AGE", "RUNTIME", "TASKS"));
        }
        lines.extend(self.found.iter().zip(runtimes()).take(LISTED).map(|(found, runtime)| {
            let who = &found.who;
            let (pid, age, tasks) = (who.pid, short_duration(who.age_ns), thousands(found.tasks()));
            format!("{pid:>7}  {age:<8}  {runtime:<wide$}  {tasks:>9}  {}", command(who))
        }));
        let rest = [
            (self.found.len().saturating_sub(LISTED), "more"),
            (self.refused, "that cannot be read (loiter ps says why)"),
            (self.silent, "that did not answer in time"),
        ];
        lines.extend(rest.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{n} {what}")));
        lines
    }
}

/// Pid, age and command of each, one line each.
pub(super) fn table(of: &[Candidate]) -> Vec<String> {
    let mut lines = vec![format!("{:>7}  {:<8}  COMMAND", "PID", "AGE")];
    lines.extend(of.iter().take(NAMED).map(line));
    if of.len() > NAMED {
        lines.push(format!("and {} more", of.len() - NAMED));
    }
    lines
}

/// "   4242  3h 12m    prometheus --config.file=a.yml".
fn line(who: &Candidate) -> String {
    format!("{:>7}  {:<8}  {}", who.pid, short_duration(who.age_ns), command(who))
}

/// The command line of a process, cut to fit.
fn command(who: &Candidate) -> String {
    let whole = if who.command.is_empty() { who.name.clone() } else { who.command.join(" ") };
    let short: String = whole.chars().take(COMMAND).collect();
    if short.len() < whole.len() { short + "…" } else { short }
}
