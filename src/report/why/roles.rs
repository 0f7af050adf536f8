//! What tasks are for what waits for them, in words.

use crate::analysis::why::{Edge, EdgeKind};
use crate::report::units::duration;
use crate::snapshot::{Action, Age, Certainty, HoldKind, WaitOp};

/// "held by goroutine 7 for 41 s", "goroutine 12 would receive from it". `of_end`: it is the far end of something.
pub(super) fn with_role(name: &str, many: bool, edge: &Edge, age: Age, of_end: bool) -> String {
    let guess = edge.certainty == Certainty::Perhaps;
    let held = self::age(age);
    let verb = |one: &'static str, several: &'static str| if many { several } else { one };
    match edge.kind {
        EdgeKind::Held(HoldKind::Exclusive) => format!("held by {name}{held}"),
        EdgeKind::Held(HoldKind::Shared) => format!("held for reading by {name}{held}"),
        EdgeKind::Held(HoldKind::Perhaps) => format!("perhaps held by {name}{held}"),
        EdgeKind::Acts(Action::Unknown) if of_end => format!("{name} {} the other end", verb("has", "have")),
        EdgeKind::Acts(Action::Unknown) => format!("{name} can reach it"),
        EdgeKind::Acts(Action::End) => name.to_owned(),
        EdgeKind::Acts(action) => {
            format!("{name} {} {}", if guess { "might" } else { "would" }, would(action, of_end))
        }
        EdgeKind::Serves => format!("{name} {} the other end", verb("serves", "serve")),
        EdgeKind::WaitsThere(WaitOp::Write) => format!("{name} {} to the other end", verb("writes", "write")),
        EdgeKind::WaitsThere(_) => format!("{name} {} from the other end", verb("reads", "read")),
        EdgeKind::Only if of_end => format!("{name} {} the other end", verb("has", "have")),
        _ => name.to_owned(),
    }
}

/// What an edge is called in a picture: "held by", "receives".
pub(in crate::report) fn edge_name(kind: EdgeKind) -> &'static str {
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
        },
        EdgeKind::Held(HoldKind::Perhaps) => "perhaps held by",
        EdgeKind::Held(_) => "held by",
        EdgeKind::Acts(action) => match action {
            Action::Send => "would be sent on by",
            Action::Receive => "would be received from by",
            Action::Close => "would be closed by",
            Action::Cancel => "would be cancelled by",
            Action::Done => "Done by",
            Action::Signal => "would be signalled by",
            Action::End => "is",
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
fn would(action: Action, of_end: bool) -> &'static str {
    match (action, of_end) {
        (Action::Send, false) => "send on it",
        (Action::Send, true) => "write to the other end",
        (Action::Receive, false) => "receive from it",
        (Action::Receive, true) => "read from the other end",
        (Action::Close, false) => "close it",
        (Action::Close, true) => "close the other end",
        (Action::Cancel, _) => "cancel it",
        (Action::Done, _) => "report to it that it is done",
        (Action::Signal, _) => "wake it",
        (Action::End, _) => "end",
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
