//! What the rules find.

use std::fmt;
use std::str::FromStr;

use super::evidence::{Cause, Evidence, RestName, Why};
use super::ignore::Silenced;
use super::listed::Listed;
use crate::analysis::parse_error::ParseError;
use crate::analysis::series::Matching;
use crate::analysis::signature::SignatureFrame;
use crate::analysis::trend::Trend;
use crate::snapshot::{Age, Header, Module, ObjectKind};

/// The confidence that tasks leak. Later ones are surer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Sureness {
    /// A single sign, which may have another reason.
    Suspect,
    /// Several signs agree.
    Likely,
    /// They are blocked, and no task that could unblock them was found.
    Stuck,
    /// They can never run again.
    Proven,
}

impl Sureness {
    /// All of them, the surest first.
    pub const ALL: [Sureness; 4] = [Sureness::Proven, Sureness::Stuck, Sureness::Likely, Sureness::Suspect];

    /// The word that commands and files use.
    pub fn name(self) -> &'static str {
        match self {
            Sureness::Suspect => "suspect",
            Sureness::Likely => "likely",
            Sureness::Stuck => "stuck",
            Sureness::Proven => "proven",
        }
    }
}

impl fmt::Display for Sureness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Sureness {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let named = Sureness::ALL.into_iter().find(|sureness| sureness.name().eq_ignore_ascii_case(text));
        named.ok_or(ParseError::new("use proven, stuck, likely or suspect"))
    }
}

/// A rule that a finding comes from.
#[derive(Debug, Clone, PartialEq)]
pub struct Hit {
    /// Its name: "send".
    pub rule: &'static str,
    /// Its confidence.
    pub sureness: Sureness,
    /// What it saw.
    pub because: Vec<Evidence>,
}

/// Tasks that are at one place.
#[derive(Debug, Clone, PartialEq)]
pub struct Part {
    /// How many there are now.
    pub count: u64,
    /// What they do, in the runtime's words: "chan send".
    pub what: String,
    /// The frame that the user looks for: the innermost one of the program's own code, if there is one.
    pub at: Option<SignatureFrame>,
    /// The frames that are shown, the innermost first.
    pub stack: Vec<SignatureFrame>,
    /// Where they were started.
    pub creator: Option<SignatureFrame>,
}

/// One task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sample {
    /// Its id.
    pub id: Option<u64>,
    /// Address of the runtime's structure for it; 0 if unknown.
    pub address: u64,
}

/// One task, and what it does.
#[derive(Debug, Clone, PartialEq)]
pub struct Doing {
    /// Its id.
    pub id: Option<u64>,
    /// Address of the runtime's structure for it; 0 if unknown.
    pub address: u64,
    /// What it does, in the runtime's words.
    pub what: String,
    /// How long it has been doing that: what the runtime says, or longer if the readings prove it.
    pub age: Age,
    /// Where it is.
    pub at: Option<SignatureFrame>,
}

/// How it is known that a task holds a lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum HowHeld {
    /// Its code will unlock it.
    Exclusive,
    /// The same, and it holds it for reading.
    Shared,
    /// A guess: the lock's address is on its stack.
    Perhaps,
    /// A guess: it is in a function in which others wait for the lock.
    Inferred,
}

impl HowHeld {
    /// The word that files use.
    pub fn name(self) -> &'static str {
        match self {
            HowHeld::Exclusive => "exclusive",
            HowHeld::Shared => "shared",
            HowHeld::Perhaps => "perhaps",
            HowHeld::Inferred => "inferred",
        }
    }
}

/// A task that holds the lock that others wait for, or may hold it.
#[derive(Debug, Clone, PartialEq)]
pub struct Holder {
    /// Which one, and what it does.
    pub task: Doing,
    /// How that is known.
    pub how: HowHeld,
    /// The lock: what it is, and its address. None if unknown.
    pub lock: Option<(ObjectKind, u64)>,
    /// It is part of a cycle; what it waits for is in the evidence.
    pub deadlocked: bool,
    /// The place from which it will unlock the lock, if known.
    pub unlocks: Option<SignatureFrame>,
    /// If it waits for a lock itself, whose holder may wait for another one, and so on: the number of these
    /// locks, and the task at the end. None if it waits for no lock, or the holder of that lock is not known.
    pub chain: Option<(u64, Doing)>,
}

/// A verdict with its evidence.
#[derive(Debug, Clone, PartialEq)]
pub struct Finding {
    /// How sure it is: that of the surest rule.
    pub sureness: Sureness,
    /// The rules that it comes from, the surest first. Never empty.
    pub hits: Vec<Hit>,
    /// What the tasks are called: "goroutine".
    pub noun: String,
    /// The tasks by place, the most important place first.
    pub parts: Vec<Part>,
    /// The module of the code that started them, or at least of the code where they are.
    pub module: Option<Module>,
    /// How many there are now.
    pub now: u64,
    /// How many there were in the first reading. None if there was only one.
    pub first: Option<u64>,
    /// How many of the first reading are still at the same place. None if unknown.
    pub stayed: Option<u64>,
    /// How many have ended or moved on since the first reading. None if unknown.
    pub ended: Option<u64>,
    /// How long they were watched, nanoseconds. None for a single reading, or if times are unknown.
    pub watched_ns: Option<u64>,
    /// How fast their number grows.
    pub growth: Option<Trend>,
    /// The longest time that any of them has been at its place.
    pub age: Age,
    /// Bytes of memory that their stacks take. 0 if unknown.
    pub stack_bytes: u64,
    /// Some of them, the oldest first.
    pub samples: Vec<Sample>,
    /// Who holds the locks that they wait for, or may hold them; the surest first.
    pub holders: Vec<Holder>,
    /// What it means. None if no rule knows.
    pub cause: Option<Cause>,
    /// What its tasks wait for in the end, if that is known and the same for nearly all of them.
    pub because_of: Option<BecauseOf>,
}

/// What keeps the tasks of a finding waiting.
#[derive(Debug, Clone, PartialEq)]
pub struct BecauseOf {
    /// How many of the tasks of the finding wait for it, also through others.
    pub tasks: u64,
    /// What it is.
    pub culprit: Culprit,
}

/// What keeps other tasks waiting.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Culprit {
    /// Tasks of another finding: its position in [`Report::findings`].
    Finding(usize),
    /// A task that is in no finding.
    Task(Doing),
}

impl Finding {
    /// The cost, which ranks equally sure findings: the bytes that the tasks hold, and the bytes that ten more
    /// minutes of growth will add. If stacks are unknown, each counts as the smallest of Go's.
    pub fn cost(&self) -> u64 {
        const SMALLEST: u64 = 2_048;
        const MINUTES: f64 = 10.0;
        let held = self.stack_bytes.max(self.now.saturating_mul(SMALLEST));
        let growth =
            self.growth.filter(|growth| growth.per_minute > growth.plus_minus.unwrap_or(f64::INFINITY));
        let each = held as f64 / self.now.max(1) as f64;
        let added = growth.map_or(0.0, |growth| growth.per_minute * MINUTES * each);
        held.saturating_add(added as u64)
    }
}

/// Something about the scheduler: no leak.
#[derive(Debug, Clone, PartialEq)]
pub struct Note {
    /// The rule that saw it: "run-queues".
    pub rule: &'static str,
    /// What it saw. Never empty.
    pub because: Vec<Evidence>,
    /// What it means.
    pub cause: Cause,
}

/// Tasks that are not a finding: they look healthy, or it is undecided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rest {
    /// What they are.
    pub name: RestName,
    /// Why they are no reason to worry, or why that is undecided.
    pub why: Why,
    /// How many there are.
    pub count: u64,
}

/// Everything that was found in a series.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// What was read last.
    pub header: Header,
    /// How many readings there were.
    pub readings: u32,
    /// The time from the first to the last, nanoseconds.
    pub span_ns: Option<u64>,
    /// How tasks were found again.
    pub matching: Matching,
    /// Threads that were stopped in all readings, one at a time.
    pub threads_stopped: u64,
    /// The longest stop of one thread, nanoseconds.
    pub longest_stop_ns: u64,
    /// What one of the tasks is called.
    pub noun: String,
    /// Tasks in the last reading, without those of the runtime.
    pub tasks: u64,
    /// The findings, the surest first, then by cost; behind each one those that are because of it.
    pub findings: Vec<Finding>,
    /// Notes about the scheduler: no leaks.
    pub scheduler: Vec<Note>,
    /// Tasks that are undecided, the largest number first.
    pub undecided: Vec<Rest>,
    /// The rest, which looks healthy, the largest number first.
    pub healthy: Vec<Rest>,
    /// Tasks left out because an ignore pattern of the user matches.
    pub ignored: u64,
    /// What the ignore file left out, if there is one.
    pub silenced: Option<Silenced>,
    /// Tasks left out because a snapshot, the baseline, has as many.
    pub in_baseline: u64,
    /// What a list of known kinds says, the other form of a baseline.
    pub listed: Listed,
}

impl Report {
    /// How sure the surest finding is.
    pub fn surest(&self) -> Option<Sureness> {
        self.findings.iter().map(|finding| finding.sureness).max()
    }
}
