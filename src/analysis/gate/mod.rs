//! What a program leaves behind at its end: tasks that nobody will end.
//!
//! At the end of a program it needs neither growth nor age to say so: all that is still there counts, unless it is
//! known to be fine. Fine are the task that ends the program, tasks of the runtime, tasks that packages start when they
//! are initialised, and the few that nothing can end before the program ends
//! ([`KnownTask::lasts`](super::lore::KnownTask::lasts)): signal delivery, log flushers. What a program can close or
//! shut down and did not (servers, idle connections, database handles) is left behind.
//!
//! [`judge`] looks at several readings of the held program. Tasks that end on their own while it is held are not left:
//! the last reading decides, and [`Verdict::has_left`] says whether another one may change the verdict.
//!
//! A [`Watch`] adds what the rules of `loiter leaks` find while the program runs.

mod charge;
mod listed;
mod sort;
mod watch;

use std::cmp::Reverse;
use std::sync::Arc;

pub use charge::{Charge, Way};
pub use watch::{Seen, Watch, Watched};

use super::baseline::{Baseline, Date, Kind, Line, Said};
use super::leaks::{Finding, Ignore, IgnoreFile, Rest, Silenced};
use crate::snapshot::{Header, Snapshot};

/// What a verdict is made by.
#[derive(Debug, Clone, Default)]
pub struct Terms {
    /// What the user does not want to see.
    pub ignore: Vec<Ignore>,
    /// The same from a file.
    pub ignore_file: Option<IgnoreFile>,
    /// Kinds of tasks that are known.
    pub baseline: Option<Baseline>,
    /// Today, for lines of the baseline that have a last day. None: no line has expired.
    pub today: Option<Date>,
    /// The thread that ends the program: its id as the target's own namespace has it. None: the functions on the
    /// stacks decide.
    pub ending: Option<u32>,
    /// The tests that the program lists, where the names of functions do not tell (Rust): "api::tests::it_closes".
    pub tests: Arc<[String]>,
    /// Only the memory of the program is left, and its threads are gone: nothing in it goes on. A task that ran or was
    /// about to run may have ended at the next moment, so it is not judged.
    pub is_frozen: bool,
}

/// What the baseline says of a kind of task that was left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// It is not in the baseline, or there is none.
    New,
    /// It is in the baseline.
    Known(Line),
    /// It was in the baseline until a day that is over.
    Expired(Line),
}

impl Standing {
    /// What the baseline says of a kind of task of this program.
    fn of(kind: &Kind, program: &str, terms: &Terms) -> Standing {
        match terms.baseline.as_ref().map_or(Said::New, |all| all.says(program, kind, terms.today)) {
            Said::New => Standing::New,
            Said::Known(line) => Standing::Known(line.clone()),
            Said::Expired(line) => Standing::Expired(line.clone()),
        }
    }
}

/// Tasks of one kind that were left, or that grew in number or were stuck while the program ran.
#[derive(Debug, Clone, PartialEq)]
pub struct Leak {
    /// What names the kind in a baseline.
    pub kind: Kind,
    /// What the baseline says of it.
    pub standing: Standing,
    /// They are left at the end.
    pub is_left: bool,
    /// When they grew or were stuck while the program ran. None if they did not, or it was not watched.
    pub seen: Option<Seen>,
    /// The tasks, as `loiter leaks` describes them.
    pub finding: Finding,
    /// Who started them, the largest number first. Never empty.
    pub charges: Vec<Charge>,
}

/// Something that could not be judged.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Unjudged {
    /// There is no reading.
    NoReading,
    /// The program was read while it ran, and not at its end.
    EndNotRead,
    /// The program has no runtime that can be read.
    NoRuntime,
    /// Tasks were listed, and their memory could not be read: this many.
    Missing(u64),
    /// Tasks are left whose stacks are not known, so what they are is told by their creator alone: this many.
    NoStack(u64),
    /// Tasks ran or were about to run when the program was frozen, so they could not settle: this many.
    Unsettled(u64),
    /// The readings are of different programs: the process became another one while it was read.
    Changed,
    /// A warning of the last reading, a sentence. Raw from the reader.
    Warning(String),
}

/// What a program left behind.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Verdict {
    /// What was read last. None without a reading.
    pub header: Option<Header>,
    /// The program, as sections of a baseline name it: a package path, or the name of the executable.
    pub program: String,
    /// It is the test binary of the package [`Verdict::program`].
    pub is_test: bool,
    /// How many readings there were at the end.
    pub readings: usize,
    /// The time from the first to the last, nanoseconds.
    pub span_ns: Option<u64>,
    /// What one of the tasks is called: "goroutine".
    pub noun: String,
    /// Tasks in the last reading, without those of the runtime.
    pub tasks: u64,
    /// Tasks of the program in the first reading that have ended since.
    pub ended: u64,
    /// The kinds that were left, the gravest first: those that make the gate fail come first.
    pub leaks: Vec<Leak>,
    /// Tasks that are fine, and why.
    pub fine: Vec<Rest>,
    /// Tasks left out because an ignore pattern of the user matches.
    pub ignored: u64,
    /// What the ignore file left out, if there is one.
    pub silenced: Option<Silenced>,
    /// Lines of the baseline that nothing needs any more.
    pub stale: Vec<Line>,
    /// What could not be judged.
    pub unjudged: Vec<Unjudged>,
    /// How it was watched while it ran. None: it was not.
    pub watched: Option<Watched>,
}

impl Verdict {
    /// The kinds that make the gate fail: new ones, and those whose last day in the baseline is over.
    pub fn failures(&self) -> impl Iterator<Item = &Leak> {
        self.leaks.iter().filter(|leak| !matches!(leak.standing, Standing::Known(_)))
    }

    /// The kinds that are in the baseline.
    pub fn known(&self) -> impl Iterator<Item = &Leak> {
        self.leaks.iter().filter(|leak| matches!(leak.standing, Standing::Known(_)))
    }

    /// The gate fails: tasks were left, or leaked while the program ran, that are not known.
    pub fn fails(&self) -> bool {
        self.failures().next().is_some()
    }

    /// Tasks were left that may still end on their own, and the gate fails because of them: another reading may change
    /// the verdict.
    pub fn has_left(&self) -> bool {
        self.failures().any(|leak| leak.finding.sureness < super::leaks::Sureness::Proven)
    }

    /// How many tasks that were left make the gate fail, and of how many kinds they are.
    pub fn failing_left(&self) -> (u64, u64) {
        let left = self.failures().filter(|leak| leak.is_left);
        left.fold((0, 0), |(tasks, kinds), leak| (tasks.saturating_add(leak.finding.now), kinds + 1))
    }

    /// How many kinds of tasks that were not left make the gate fail: they grew in number or were stuck before.
    pub fn failing_seen(&self) -> u64 {
        self.failures().filter(|leak| !leak.is_left).count() as u64
    }

    /// How many tasks ran or were about to run when the program was frozen, and are not judged.
    pub fn unsettled(&self) -> u64 {
        let count = |one: &Unjudged| if let Unjudged::Unsettled(n) = one { *n } else { 0 };
        self.unjudged.iter().map(count).max().unwrap_or(0)
    }

    /// The kinds that were left, as a baseline names them.
    pub fn kinds(&self) -> Vec<Kind> {
        self.leaks.iter().map(|leak| leak.kind.clone()).collect()
    }
}

/// Judges what a program left behind, from readings of it in order of time. All of them are of one program.
pub fn judge(readings: &[Arc<Snapshot>], terms: &Terms) -> Verdict {
    let Some(last) = readings.last() else {
        return Verdict { unjudged: vec![Unjudged::NoReading], ..Verdict::default() };
    };
    sort::sort(readings, last, terms)
}

/// The gravest first; those that make the gate fail before the others.
fn order(leaks: &mut [Leak]) {
    leaks.sort_by_key(|leak| {
        (matches!(leak.standing, Standing::Known(_)), Reverse((leak.finding.sureness, leak.finding.now)))
    });
}

/// Lines of the baseline that none of these leaks needs.
fn stale(program: &str, leaks: &[Leak], terms: &Terms) -> Vec<Line> {
    let there = [(program.to_owned(), leaks.iter().map(|leak| leak.kind.clone()).collect())];
    let stale = terms.baseline.as_ref().map(|baseline| baseline.stale(&there));
    stale.unwrap_or_default().into_iter().cloned().collect()
}

#[cfg(test)]
mod tests;
