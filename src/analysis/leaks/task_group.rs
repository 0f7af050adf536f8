//! Tasks that the rules look at together.

use super::evidence::{Doubt, Evidence, Steady};
use super::finding::Sureness;
use crate::analysis::baseline::{Kind, tolerant};
use crate::analysis::lore::KnownTask;
use crate::analysis::series::Track;
use crate::analysis::signature::{Signature, SignatureFrame};
use crate::analysis::trend::Trend;
use crate::snapshot::{Age, Module, WaitClass};

/// Tasks with one signature that wait for the same kind of thing.
#[derive(Debug)]
pub struct TaskGroup<'a> {
    /// What they have in common.
    pub signature: &'a Signature,
    /// How they came and went. None where they share the signature with tasks that wait for something
    /// else, because the series counts by signature.
    pub track: Option<&'a Track>,
    /// What keeps them waiting.
    pub waits: WaitClass,
    /// The tasks: indices into those of the last snapshot.
    pub tasks: Vec<u32>,
    /// How many tasks these are: a row may stand for several.
    pub count: u64,
    /// Those that are followed: indices into [`Series::members`].
    pub members: Vec<u32>,
    /// How many of the first reading stand where they stood.
    pub stayed: u64,
    /// How many have not moved since the first reading.
    pub still: u64,
    /// The longest that one of them has been in its state.
    pub age: Age,
    /// Bytes of memory that their stacks take.
    pub stack_bytes: u64,
    /// What they do, in the runtime's words.
    pub what: String,
    /// How fast their number grows.
    pub trend: Option<Trend>,
    /// They grow as leaks do.
    pub growth: Option<Growth>,
    /// Why it is undecided whether they grow, if it is.
    pub doubt: Option<Doubt>,
    /// Why it is as it should be that there are more of them than at first.
    pub calm: Option<Steady>,
    /// They are well known.
    pub known: Option<&'static KnownTask>,
    /// The user does not want to hear of them.
    pub left_out: Option<LeftOut>,
    /// The frame that a person looks for.
    pub at: Option<&'a SignatureFrame>,
    /// The module that owns the code which started them, or else that where they stand.
    pub module: Option<&'a Module>,
}

/// Why a kind of task is left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeftOut {
    /// A pattern says so.
    Ignored,
    /// A pattern of the ignore file says so.
    IgnoredByFile,
    /// The baseline has as many.
    Baseline,
    /// A list of known kinds names them.
    Known,
}

impl TaskGroup<'_> {
    /// How many tasks there are.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// They have been there for this long, at least, nanoseconds.
    pub fn age_ns(&self) -> u64 {
        self.age.nanos().unwrap_or(0)
    }

    /// Rules look at them: they are not well known to be parked, or only in small numbers, and grow all the
    /// same.
    pub fn is_open(&self) -> bool {
        let odd = || self.growth.as_ref().is_some_and(|growth| growth.sureness > Sureness::Suspect);
        self.left_out.is_none() && self.known.is_none_or(|known| !known.grows && odd())
    }

    /// What names them in a list of known kinds.
    pub fn kind(&self) -> Kind {
        let creator = self.signature.creator.as_ref().map_or("", |creator| &creator.function);
        let moves = self.waits == WaitClass::Nothing;
        Kind {
            function: tolerant(self.at.map_or("", |at| &at.function)),
            creator: tolerant(creator),
            reason: if moves { String::new() } else { self.what.clone() },
        }
    }

    /// How many have ended or gone elsewhere since the first reading.
    pub fn ended(&self) -> Option<u64> {
        let track = self.track?;
        let left: u64 = track.steps.iter().map(|step| step.left).sum();
        Some(track.gone.saturating_add(left))
    }
}

/// They grow, as leaks do.
#[derive(Debug, Clone, PartialEq)]
pub struct Growth {
    /// What that alone says.
    pub sureness: Sureness,
    /// They have grown at this rate for as long as the process lives.
    pub sustained: bool,
    /// What was seen.
    pub because: Vec<Evidence>,
}
