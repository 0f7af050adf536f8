//! Who is going to do what others wait for.

use crate::code::LocationId;
use crate::snapshot::ids::ObjectId;

/// Someone that is going to act on a wait object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Actor {
    /// The object.
    pub object: ObjectId,
    /// Who.
    pub by: By,
    /// What it will do.
    pub action: Action,
    /// How sure that is.
    pub certainty: Certainty,
    /// The location on its stack whose code does it. None if only the object's address was found.
    pub location: Option<LocationId>,
    /// How many pointers lead from its stack to the object: 0 if the object's address is on the stack.
    pub hops: u8,
}

/// Who acts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum By {
    /// A task, as a row of [`Snapshot::tasks`](crate::snapshot::Snapshot::tasks).
    Task(u32),
    /// A function that a timer will call at this time on CLOCK_MONOTONIC, nanoseconds; the location of the actor
    /// is that function's.
    Timer(u64),
}

/// What someone does with a wait object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Action {
    /// Sends on a channel.
    Send,
    /// Receives from a channel.
    Receive,
    /// Closes a channel.
    Close,
    /// Cancels a context.
    Cancel,
    /// Reports to a wait group that it is done.
    Done,
    /// Wakes a waiter of a condition variable.
    Signal,
    /// Ends: it is the task that others wait for.
    End,
    /// Resumes a coroutine.
    Resume,
    /// Gives a value to the task that resumed it, or ends: it is the coroutine.
    Yield,
    /// It can reach the object; what it will do with it is not known.
    Unknown,
}

impl Action {
    /// Every action with its name in files.
    const NAMES: [(Action, &str); 10] = [
        (Action::Send, "send"),
        (Action::Receive, "receive"),
        (Action::Close, "close"),
        (Action::Cancel, "cancel"),
        (Action::Done, "done"),
        (Action::Signal, "signal"),
        (Action::End, "end"),
        (Action::Resume, "resume"),
        (Action::Yield, "yield"),
        (Action::Unknown, "unknown"),
    ];

    /// Its name in commands and files: "send".
    pub fn name(self) -> &'static str {
        Self::NAMES.into_iter().find(|known| known.0 == self).map_or("unknown", |known| known.1)
    }
}

/// How sure it is that someone acts on an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Certainty {
    /// Its code, run ahead from where it is, does so on every way.
    Sure,
    /// Its code, run ahead from where it is, does so on some way.
    Likely,
    /// It can reach the object by live pointers, and a function on its stack does such a thing somewhere.
    Perhaps,
}

impl Certainty {
    /// Its name in commands and files: "likely".
    pub fn name(self) -> &'static str {
        match self {
            Certainty::Sure => "sure",
            Certainty::Likely => "likely",
            Certainty::Perhaps => "perhaps",
        }
    }
}

/// How actors of an object were looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Searched {
    /// The object.
    pub object: ObjectId,
    /// Every task was examined, and every stack was whole: if no actor was found, no task has a pointer to the
    /// object on its stack or within the steps that were followed.
    pub all_tasks: bool,
    /// Package variables, deferred calls and timers were examined, too.
    pub other_roots: bool,
    /// A package variable holds a pointer to the object: anyone may act on it.
    pub is_global: bool,
}
