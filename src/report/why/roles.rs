//! What tasks are for what waits for them, in words.

use crate::analysis::why::{Edge, EdgeKind};
use crate::report::units::{duration, thousands};
use crate::snapshot::{Action, Age, Certainty, HoldKind, WaitOp};

/// What tasks and processes have to do with a thing that others wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Of {
    /// An object of their own, or an event counter.
    Thing,
    /// The other end of a pipe or a connection.
    OtherEnd,
    /// The socket that listens for a connection.
    Listener,
    /// The lock of a file.
    Lock,
}

impl Of {
    /// "goroutine 7 has the other end".
    fn has(self, many: bool) -> &'static str {
        match (self, many) {
            (Of::Thing, _) => "can reach it",
            (Of::OtherEnd, false) => "has the other end",
            (Of::OtherEnd, true) => "have the other end",
            (Of::Listener, _) => "would have to accept the connection",
            (Of::Lock, false) => "holds the lock",
            (Of::Lock, true) => "hold the lock",
        }
    }

    /// "the other end is open in pid 7 api", "pid 7 api holds the lock". `others`: in so many other processes, perhaps.
    pub(super) fn process(self, name: &str, others: u64) -> String {
        let processes = if others == 1 { "process" } else { "processes" };
        let or = |preposition: &str| match others {
            0 => String::new(),
            n => format!(", or {preposition}{} other {processes}", thousands(n)),
        };
        match self {
            Of::Thing => format!("it is open in {name}{}", or("in ")),
            Of::OtherEnd => format!("the other end is open in {name}{}", or("in ")),
            Of::Listener => format!("{name}{} has not accepted the connection", or("")),
            Of::Lock => format!("{name}{} holds the lock", or("")),
        }
    }
}

/// "held by goroutine 7 for 41 s", "goroutine 12 would receive from it".
pub(super) fn with_role(name: &str, many: bool, edge: &Edge, age: Age, of: Of) -> String {
    let guess = edge.certainty == Certainty::Perhaps;
    let held = self::age(age);
    let verb = |one: &'static str, several: &'static str| if many { several } else { one };
    match edge.kind {
        EdgeKind::Held(how) => {
            let perhaps = if guess { "perhaps " } else { "" };
            let reading = if how == HoldKind::Shared { " for reading" } else { "" };
            format!("{perhaps}held{reading} by {name}{held}")
        }
        EdgeKind::Acts(Action::Unknown) => format!("{name} {}", of.has(many)),
        EdgeKind::Acts(Action::End) => name.to_owned(),
        EdgeKind::Acts(Action::Yield) => format!("{name} is that coroutine"),
        EdgeKind::Acts(action) => {
            format!("{name} {} {}", if guess { "might" } else { "would" }, would(action, of))
        }
        EdgeKind::Serves if of == Of::Listener => {
            format!("{name} {} connections there", verb("accepts", "accept"))
        }
        EdgeKind::Serves => format!("{name} {} the other end", verb("serves", "serve")),
        EdgeKind::WaitsThere(WaitOp::Write) => format!("{name} {} to the other end", verb("writes", "write")),
        EdgeKind::WaitsThere(_) => format!("{name} {} from the other end", verb("reads", "read")),
        EdgeKind::Only if of != Of::Thing => format!("{name} {}", of.has(many)),
        _ => name.to_owned(),
    }
}

/// What an edge is called in a picture: "held by", "receives".
pub(in crate::report) fn edge_name(kind: EdgeKind, certainty: Certainty) -> &'static str {
    match kind {
        EdgeKind::Waits(op) => match op {
            WaitOp::Send => "sends",
            WaitOp::Receive => "receives",
            WaitOp::Lock => "locks",
            WaitOp::ReadLock => "read-locks",
            WaitOp::Wait => "waits",
            WaitOp::Read => "reads",
            WaitOp::Write => "writes",
            WaitOp::Accept => "accepts",
            WaitOp::Connect => "connects",
            WaitOp::Resume => "rests as",
        },
        EdgeKind::Held(_) if certainty == Certainty::Perhaps => "perhaps held by",
        EdgeKind::Held(_) => "held by",
        EdgeKind::Acts(action) => match action {
            Action::Send => "would be sent on by",
            Action::Receive => "would be received from by",
            Action::Close => "would be closed by",
            Action::Cancel => "would be cancelled by",
            Action::Done => "Done by",
            Action::Signal => "would be signalled by",
            Action::End | Action::Yield => "is",
            Action::Resume => "would be resumed by",
            Action::Unknown => "known to",
        },
        EdgeKind::Fires => "timer",
        EdgeKind::Deadline => "deadline",
        EdgeKind::Parent => "parent",
        EdgeKind::FarEnd => "far end",
        EdgeKind::Listener => "not accepted by",
        EdgeKind::OpenAs(_) => "open in",
        EdgeKind::Serves => "served by",
        EdgeKind::WaitsThere(_) => "waited for by",
        EdgeKind::Only => "only task",
        EdgeKind::Main => "main task",
        EdgeKind::Leaves => "outside",
    }
}

/// Whether a clause about the task begins with "which" behind these words.
pub(super) fn ends_with_task(edge: &Edge) -> bool {
    matches!(edge.kind, EdgeKind::Held(_) | EdgeKind::Main)
}

/// "receive from it".
fn would(action: Action, of: Of) -> &'static str {
    match (action, of) {
        (Action::Receive, Of::Listener) => "accept the connection",
        (Action::Send, Of::OtherEnd) => "write to the other end",
        (Action::Receive, Of::OtherEnd) => "read from the other end",
        (Action::Close, Of::OtherEnd) => "close the other end",
        (Action::Send, _) => "send on it",
        (Action::Receive, _) => "receive from it",
        (Action::Close, _) => "close it",
        (Action::Cancel, _) => "cancel it",
        (Action::Done, _) => "report to it that it is done",
        (Action::Signal, _) => "wake it",
        (Action::End, _) => "end",
        (Action::Resume, _) => "resume it",
        (Action::Yield, _) => "yield",
        (Action::Unknown, _) => "act on it",
    }
}

/// "sends on it": what a timer does.
pub(super) fn does(action: Action) -> &'static str {
    match action {
        Action::Send => "sends on it",
        Action::Receive => "receives from it",
        Action::Close => "closes it",
        Action::Cancel => "cancels it",
        Action::Done => "reports to it",
        Action::Signal => "wakes it",
        Action::End => "ends",
        Action::Resume => "resumes it",
        Action::Yield => "yields",
        Action::Unknown => "acts on it",
    }
}

/// " for 41 s", " for 41 s at least".
fn age(age: Age) -> String {
    match age {
        Age::Unknown => String::new(),
        Age::AtLeast(ns) => format!(" for {} at least", duration(ns)),
        Age::Exactly(ns) => format!(" for {}", duration(ns)),
    }
}
