//! Why tasks are not a finding: undecided, or healthy.

use super::{Flow, Outlived};

/// Why it is undecided whether tasks leak.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Doubt {
    /// Other tasks at the same place are blocked forever, so the readings do not count these separately.
    NotCountedApart,
    /// There is only one reading.
    OneReading,
    /// There are fewer than four readings.
    FewReadings,
    /// The readings do not say when they were taken.
    TimesUnknown,
    /// Many came at once, and the readings do not show whether more follow.
    CameAtOnce {
        /// How many more there are than at first.
        tasks: u64,
    },
    /// More came than went, which may be chance.
    PerhapsChance {
        /// How many came and went.
        flow: Flow,
        /// How long they were watched.
        watched_ns: u64,
    },
    /// They sleep or wait for timers, none woke up, and the process is young.
    NoneWoke {
        /// How old the process is.
        process_age_ns: u64,
    },
    /// They are old, but something speaks for them, or too little is known.
    Outlived(Outlived, Outlook),
}

/// Why old tasks are not a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outlook {
    /// Too few have ended to compare.
    TooFewEnded,
    /// How long they live depends on a peer outside of the program.
    UpToPeer,
    /// Old ones also end.
    OldOnesEnd,
}

/// Why the number of tasks is fine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Steady {
    /// It did not grow.
    NotGrowing {
        /// How long it was watched, nanoseconds; None if unknown.
        watched_ns: Option<u64>,
    },
    /// Tasks come and go, and the difference is within chance.
    Balanced,
    /// The number rose, but early tasks have ended.
    EarlyOnesEnded,
    /// The number rose, and then stopped rising.
    StoppedGrowing,
}

/// Why tasks are not a finding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Why {
    /// It is undecided whether they are.
    Undecided(Doubt),
    /// They are well known to be parked: why.
    UsuallyParked(&'static str),
    /// They were started once, when the program started. How their number changed, if there were enough readings.
    StartedOnce(Option<Steady>),
    /// They run or are ready to run.
    Runnable,
    /// They sleep or wait for timers.
    Timers(Steady),
    /// They wait for work on one channel.
    Pool(Steady),
    /// Their number is fine.
    Number(Steady),
    /// Their number is fine, and there is no other sign of a leak.
    NoOtherSign(Steady),
}

/// What kind of tasks these are that are not a finding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RestName {
    /// Well-known ones: the name of one of them, and of several.
    Known([&'static str; 2]),
    /// Started by the initialisation of a package.
    OfInit,
    /// Of unknown state.
    UnknownState,
    /// Running or ready to run.
    Running,
    /// Sleeping, or waiting for a timer.
    Timer,
    /// Waiting for work on one channel.
    PoolWorker,
    /// Named by what they do and where.
    Place {
        /// What they are called: "goroutine".
        noun: String,
        /// What they do, in the runtime's words.
        doing: String,
        /// The function; empty if unknown.
        function: String,
    },
    /// Anything else.
    Other,
}
