//! The list as JSON.

use std::io::{self, Write};

use serde::Serialize;

use super::{Finding, Process};
use crate::report::json;

#[derive(Serialize)]
struct Document<'a> {
    format: &'static str,
    version: u32,
    processes: Vec<ProcessOut<'a>>,
    counts: Counts,
}

/// How many processes there are of each kind, listed or not.
#[derive(Serialize)]
struct Counts {
    with_runtime: usize,
    native: usize,
    unreadable: usize,
    no_answer: usize,
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
    answered: bool,
    error: Option<&'a str>,
    runtimes: Vec<RuntimeOut<'a>>,
}

#[derive(Serialize)]
struct RuntimeOut<'a> {
    name: &'a str,
    version: Option<&'a str>,
    flavour: &'a [String],
    task_noun: &'a str,
    tasks: u64,
}

pub(super) fn write(processes: &[Process], all: bool, out: &mut dyn Write) -> io::Result<()> {
    let count = |is: fn(&Finding) -> bool| processes.iter().filter(|process| is(&process.finding)).count();
    let counts = Counts {
        with_runtime: count(|finding| matches!(finding, Finding::Runtimes(_))),
        native: count(|finding| matches!(finding, Finding::Native)),
        unreadable: count(|finding| matches!(finding, Finding::Unreadable { .. })),
        no_answer: count(|finding| matches!(finding, Finding::NoAnswer { .. })),
    };
    let shown = |process: &&Process| all || process.is_listed();
    let processes = processes.iter().filter(shown).map(|process| {
        let who = &process.who;
        let (runtimes, error) = match &process.finding {
            Finding::Runtimes(runtimes) => (runtimes.as_slice(), None),
            Finding::Native => (&[][..], None),
            Finding::Unreadable { why, .. } | Finding::NoAnswer { why } => (&[][..], Some(why.as_str())),
        };
        ProcessOut {
            pid: who.pid,
            name: &who.name,
            command: &who.command,
            user: who.user(),
            age_ns: who.age_ns,
            threads: who.threads,
            readable: error.is_none(),
            answered: !matches!(process.finding, Finding::NoAnswer { .. }),
            error,
            runtimes: runtimes
                .iter()
                .map(|(info, tasks)| RuntimeOut {
                    name: &info.name,
                    version: info.version.as_deref(),
                    flavour: &info.flavour,
                    task_noun: &info.task_noun,
                    tasks: *tasks,
                })
                .collect(),
        }
    });
    json::write(
        &Document { format: "loiter-ps", version: json::VERSION, processes: processes.collect(), counts },
        out,
    )
}
