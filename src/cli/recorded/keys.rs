//! Keys that options name: those of snapshots, of recordings, or of both.

use std::fmt;
use std::str::FromStr;

use crate::analysis::flame::Root;
use crate::analysis::recorded::By;
use crate::analysis::recorded::diff::Compared;
use crate::analysis::signature;
use crate::analysis::{GroupKey, ParseError};
use crate::cli::error::{CliError, Result};
use crate::recording::Clock;

/// What time is of, as options name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cli) struct ClockArg(pub(in crate::cli) Clock);

impl FromStr for ClockArg {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        Clock::from_name(text).map(ClockArg).ok_or(ParseError::new("use cpu, off-cpu or wall"))
    }
}

impl fmt::Display for ClockArg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.name())
    }
}

/// What --group-by names: keys of snapshots, of recordings, or of both.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(in crate::cli) enum GroupBy {
    /// What groups usually are: equal stacks of a snapshot, kinds of tasks of a recording.
    #[default]
    Usual,
    /// A key, as the user wrote it.
    Key(String),
}

impl FromStr for GroupBy {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let known = text.parse::<GroupKey>().is_ok() || text.parse::<By>().is_ok();
        let hint = "use stack, function, state, creator, label:KEY or waits-on; of a recording kind, thread or task, too";
        match text {
            "stack" => Ok(GroupBy::Usual),
            key if known => Ok(GroupBy::Key(key.to_owned())),
            _ => Err(ParseError::new(hint)),
        }
    }
}

impl fmt::Display for GroupBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            GroupBy::Usual => f.write_str("stack"),
            GroupBy::Key(key) => f.write_str(key),
        }
    }
}

impl GroupBy {
    /// The key for a snapshot.
    pub(in crate::cli) fn of_snapshot(&self) -> Result<GroupKey> {
        match self {
            GroupBy::Usual => Ok(GroupKey::Stack),
            GroupBy::Key(key) => key
                .parse()
                .map_err(|hint| CliError::Usage(format!("--group-by {key} is for recordings: {hint}"))),
        }
    }

    /// The key for a recording.
    pub(in crate::cli) fn of_recording(&self) -> Result<By> {
        match self {
            GroupBy::Usual => Ok(By::Kind),
            GroupBy::Key(key) => key
                .parse()
                .map_err(|hint| CliError::Usage(format!("--group-by {key} is for snapshots: {hint}"))),
        }
    }
}

/// What --root names: keys of snapshots' graphs, or of recordings'.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::cli) enum RootBy {
    /// A key that both have.
    Both(Root),
    /// A key that only recordings have.
    Recording(By),
}

impl Default for RootBy {
    fn default() -> Self {
        RootBy::Both(Root::None)
    }
}

impl FromStr for RootBy {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        if let Ok(root) = text.parse() {
            return Ok(RootBy::Both(root));
        }
        let hint =
            "use none, state, creator, label:KEY or thread; of a recording kind, task or function, too";
        text.parse().map(RootBy::Recording).map_err(|_| ParseError::new(hint))
    }
}

impl fmt::Display for RootBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RootBy::Both(root) => root.fmt(f),
            RootBy::Recording(by) => by.fmt(f),
        }
    }
}

impl RootBy {
    /// The key for a snapshot.
    pub(in crate::cli) fn of_snapshot(&self) -> Result<Root> {
        match self {
            RootBy::Both(root) => Ok(root.clone()),
            RootBy::Recording(by) => {
                Err(CliError::Usage(format!("--root {by} is for recordings, and this is a snapshot")))
            }
        }
    }

    /// The key for a recording.
    pub(in crate::cli) fn of_recording(&self) -> Option<By> {
        match self {
            RootBy::Both(Root::None) => None,
            RootBy::Both(Root::State) => Some(By::State),
            RootBy::Both(Root::Creator) => Some(By::Creator),
            RootBy::Both(Root::Label(key)) => Some(By::Label(key.clone())),
            RootBy::Both(Root::Thread) => Some(By::Thread),
            RootBy::Recording(by) => Some(by.clone()),
        }
    }
}

/// What --group-by of a comparison names: keys of snapshots, or of recordings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::cli) enum DiffBy {
    /// A key of snapshots; recordings have some of them.
    Snapshots(signature::By),
    /// Functions with what they call.
    Cumulative,
    /// A key that only recordings have.
    Recordings(By),
}

impl Default for DiffBy {
    fn default() -> Self {
        DiffBy::Snapshots(signature::By::Function)
    }
}

impl FromStr for DiffBy {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        if let Ok(by) = text.to_lowercase().parse() {
            return Ok(DiffBy::Snapshots(by));
        }
        let hint = "use function, line or creator; of recordings function, cumulative, kind, label:KEY, creator, \
                    state, thread or task";
        match text.parse() {
            _ if text == "cumulative" => Ok(DiffBy::Cumulative),
            Ok(by) => Ok(DiffBy::Recordings(by)),
            Err(_) => Err(ParseError::new(hint)),
        }
    }
}

impl fmt::Display for DiffBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DiffBy::Snapshots(by) => by.fmt(f),
            DiffBy::Cumulative => f.write_str("cumulative"),
            DiffBy::Recordings(by) => by.fmt(f),
        }
    }
}

impl DiffBy {
    /// The key for snapshots.
    pub(in crate::cli) fn of_snapshots(&self) -> Result<signature::By> {
        match self {
            DiffBy::Snapshots(by) => Ok(*by),
            by => Err(CliError::Usage(format!("--group-by {by} is for recordings, and these are snapshots"))),
        }
    }

    /// The key for recordings.
    pub(in crate::cli) fn of_recordings(&self) -> Result<Compared> {
        match self {
            DiffBy::Snapshots(signature::By::Function) => Ok(Compared::Function),
            DiffBy::Snapshots(signature::By::Creator) => Ok(Compared::Group(By::Creator)),
            DiffBy::Snapshots(by) => {
                Err(CliError::Usage(format!("--group-by {by} is for snapshots, and these are recordings")))
            }
            DiffBy::Cumulative => Ok(Compared::Cumulative),
            DiffBy::Recordings(by) => Ok(Compared::Group(by.clone())),
        }
    }
}
