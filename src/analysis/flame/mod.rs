//! Stacks with a weight, added up into a tree: what every flame graph is drawn from.
//!
//! Tasks are counted by what they have in common (stack, reason, root row) first; names are looked up once for
//! each distinct stack, and the tree is built from the sorted lists of names. A stack costs its length once,
//! however many tasks have it. Names are compared as text, so that the trees of two snapshots can be laid over
//! each other. The root has a row for each runtime, unless there is only one runtime.

use std::fmt;
use std::str::FromStr;

mod collect;
mod names;
mod reason;
mod tree;

pub use collect::Totals;
pub use names::{Name, NameId, NameKind};
pub use reason::{Doing, Reason};
pub use tree::{Figures, Flame, Node, NodeId, ReasonId};

use super::filter::{Filter, Selection};
use crate::analysis::parse_error::ParseError;
use crate::snapshot::Snapshot;

/// What stacks are grouped by, in a row between all tasks (or their runtimes) and the stacks.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Root {
    /// Nothing.
    #[default]
    None,
    /// The wait reason, or the state if there is none.
    State,
    /// The function that started them.
    Creator,
    /// The value of a label.
    Label(String),
    /// The thread that they are on.
    Thread,
}

impl fmt::Display for Root {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Root::None => f.write_str("none"),
            Root::State => f.write_str("state"),
            Root::Creator => f.write_str("creator"),
            Root::Label(key) => write!(f, "label:{key}"),
            Root::Thread => f.write_str("thread"),
        }
    }
}

impl FromStr for Root {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        Ok(match text {
            "none" => Root::None,
            "state" => Root::State,
            "creator" => Root::Creator,
            "thread" => Root::Thread,
            _ => match text.strip_prefix("label:") {
                Some(key) if !key.is_empty() => Root::Label(key.to_owned()),
                _ => return Err(ParseError::new("use none, state, creator, label:KEY or thread")),
            },
        })
    }
}

/// What the width of a frame means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Weight {
    /// Tasks; each weighs 1.
    #[default]
    Tasks,
    /// How long they have been in their state, milliseconds; tasks of unknown age weigh nothing.
    Seconds,
    /// The memory of their stacks, bytes; if it is unknown, it weighs nothing.
    Bytes,
    /// The time that the rows of a recording stand for, nanoseconds.
    Time,
}

/// How stacks become a tree.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FlameOptions {
    /// What stacks are grouped by, at the root.
    pub root: Root,
    /// What makes a frame wide.
    pub weight: Weight,
    /// Innermost frames first, so that stacks are merged by where they wait, not by where they begin.
    pub reverse: bool,
}

/// Adds up the tasks of a snapshot that pass `filter`.
pub fn flame(snapshot: &Snapshot, filter: &Filter, options: &FlameOptions) -> Flame {
    flame_selected((snapshot, &filter.select(snapshot)), None, filter.all_frames, options)
}

/// Lays the tasks of one snapshot over those of an earlier one. Stacks are matched by the names of
/// their functions.
pub fn difference(before: &Snapshot, now: &Snapshot, filter: &Filter, options: &FlameOptions) -> Flame {
    let was = filter.select(before);
    flame_selected((now, &filter.select(now)), Some((before, &was)), filter.all_frames, options)
}

/// The same for tasks that were picked already. It is a difference if `before` is given.
pub fn flame_selected(
    now: (&Snapshot, &Selection),
    before: Option<(&Snapshot, &Selection)>,
    all_frames: bool,
    options: &FlameOptions,
) -> Flame {
    let picked = |(snapshot, selection)| Picked { snapshot, selection, times: &[], roots: None };
    flame_picked(picked(now), before.map(picked), all_frames, options)
}

/// Tasks that were picked.
#[derive(Debug, Clone, Copy)]
pub struct Picked<'a> {
    /// The snapshot that they are in.
    pub snapshot: &'a Snapshot,
    /// Which tasks.
    pub selection: &'a Selection,
    /// What [`Weight::Time`] adds up: for each task of the snapshot its time, nanoseconds. Empty in a snapshot that has
    /// no times.
    pub times: &'a [u64],
    /// The rows at the root, if they are not what [`FlameOptions::root`] asks for.
    pub roots: Option<Roots<'a>>,
}

/// Rows at the root that are given by name.
#[derive(Debug, Clone, Copy)]
pub struct Roots<'a> {
    /// For each task of the snapshot, an index of `names`.
    pub of: &'a [u32],
    /// Their names. Raw from the target.
    pub names: &'a [String],
}

/// The same for tasks that may have times of their own.
pub fn flame_picked(
    now: Picked<'_>,
    before: Option<Picked<'_>>,
    all_frames: bool,
    options: &FlameOptions,
) -> Flame {
    let mut collector = collect::Collector::new(options);
    if let Some(before) = before {
        collector.add(before, all_frames, collect::Side::Was);
    }
    collector.add(now, all_frames, collect::Side::Now);
    tree::build(collector.finish(), options.weight, before.is_some())
}

#[cfg(test)]
pub(crate) mod tests;
