//! Patterns that the kind of waiting tells: a table of mistakes.

use super::channels::objects;
use super::{Claim, Rule, many};
use crate::analysis::leaks::context::{Context, TaskGroup};
use crate::analysis::leaks::finding::Sureness;
use crate::snapshot::LockState;
use crate::snapshot::WaitClass;

/// So many tasks that all wait for something of their own, which nobody is about to give, are worth a word
/// even if they do not become more.
pub(super) const QUIET_MANY: u64 = 20;
/// So many are, where a source does not know what they wait for.
const QUIET_BLIND: u64 = 1_000;

/// A mistake that is known by what the tasks wait for.
pub(super) struct WaitPattern {
    name: &'static str,
    checks: &'static str,
    waits: WaitClass,
    /// Many of them that stand still are suspicious by themselves.
    quiet: bool,
    /// What is seen of them, where what they wait for has no address.
    seen: &'static str,
    cause: &'static str,
    next: &'static str,
}

pub(super) const RANGE: WaitPattern = WaitPattern {
    name: "range",
    checks: "tasks loop over channels that nobody closes",
    waits: WaitClass::Range,
    quiet: true,
    seen: "",
    cause: "they loop over a channel (or ask whether it is closed), and nobody closes it",
    next: "whoever sends last has to close the channel, on every path: defer close(...) where it is made",
};

pub(super) const SIGNAL: WaitPattern = WaitPattern {
    name: "not-cancelled",
    checks: "tasks wait for a context that nobody cancels, or for a done channel that nobody closes",
    waits: WaitClass::Signal,
    quiet: true,
    seen: "",
    cause: "they wait for a context that nobody cancels or a done channel that nobody closes",
    next: "call the cancel function on every path (defer cancel()), or close the channel",
};

pub(super) const RECEIVE: WaitPattern = WaitPattern {
    name: "receive",
    checks: "tasks wait for values that nobody sends",
    waits: WaitClass::Receive,
    quiet: true,
    seen: "",
    cause: "they wait for a value that nobody sends: the sender probably returned early or was never started",
    next: "send or close on every path of the sender, errors included, or select on ctx.Done() as well",
};

pub(super) const SELECT: WaitPattern = WaitPattern {
    name: "select",
    checks: "tasks wait for one of several channels, and none of them is used any more",
    waits: WaitClass::Select,
    quiet: true,
    seen: "",
    cause: "none of the channels that they select from is used or closed any more",
    next: "add a case for a context that is cancelled, or close the done channel that is there on every path",
};

pub(super) const WAIT_GROUP: WaitPattern = WaitPattern {
    name: "wait-group",
    checks: "tasks wait for wait groups that do not come to zero",
    waits: WaitClass::WaitGroup,
    quiet: true,
    seen: "",
    cause: "the wait group does not come to zero: Done is missing on some path, or those it counts are stuck",
    next: "defer Done as the first statement of what is counted, and look whether those tasks still live",
};

pub(super) const COND: WaitPattern = WaitPattern {
    name: "cond",
    checks: "tasks wait for condition variables or notifications that do not come",
    waits: WaitClass::Cond,
    quiet: true,
    seen: "",
    cause: "nobody signals: the condition was changed without a signal, or is never changed",
    next: "signal or broadcast wherever the condition changes, and when what is waited for is given up",
};

pub(super) const SEMAPHORE: WaitPattern = WaitPattern {
    name: "semaphore",
    checks: "tasks wait for semaphores that nobody releases",
    waits: WaitClass::Semaphore,
    quiet: true,
    seen: "",
    cause: "nobody releases the semaphore",
    next: "release it on every path of those who hold it",
};

pub(super) const JOIN: WaitPattern = WaitPattern {
    name: "join",
    checks: "tasks wait for other tasks that do not end",
    waits: WaitClass::Join,
    quiet: false,
    seen: "they wait for the end of other tasks",
    cause: "the tasks that they wait for do not end",
    next: "look at what those tasks wait for",
};

pub(super) const TIMER: WaitPattern = WaitPattern {
    name: "ticker",
    checks: "loops around timers and tickers become more",
    waits: WaitClass::Timer,
    quiet: false,
    seen: "",
    cause: "loops around a timer or ticker are started and never stopped",
    next: "give the loop a context or done channel and end it with whatever started it; stop the ticker, too",
};

pub(super) const SLEEP: WaitPattern = WaitPattern {
    name: "sleep",
    checks: "loops that sleep become more",
    waits: WaitClass::Sleep,
    quiet: false,
    seen: "they wait for time to pass",
    cause: "loops that sleep are started and never end",
    next: "give the loop a limit, or a context that ends it",
};

pub(super) const NETWORK: WaitPattern = WaitPattern {
    name: "network",
    checks: "tasks wait for peers on the network, without a deadline or with a long one",
    waits: WaitClass::Network,
    quiet: false,
    seen: "they wait for a peer on the network",
    cause: "their peers are silent, and no deadline ends the wait",
    next: "set a deadline before each read and write (or a timeout of the client or server), and close the connection",
};

pub(super) const IO: WaitPattern = WaitPattern {
    name: "io",
    checks: "tasks wait for files, pipes or devices",
    waits: WaitClass::Io,
    quiet: false,
    seen: "they wait for a file, a pipe or a device",
    cause: "what they read or write is not ready, and nobody closes it",
    next: "close it where it is given up, or set a deadline",
};

pub(super) const CALL: WaitPattern = WaitPattern {
    name: "call",
    checks: "tasks are in system calls or foreign code that does not come back",
    waits: WaitClass::Call,
    quiet: false,
    seen: "they are in system calls or foreign code",
    cause: "a system call or foreign code does not come back; each of them holds a thread, too",
    next: "look at the innermost frames, and at the number of threads",
};

impl Rule for WaitPattern {
    fn name(&self) -> &'static str {
        self.name
    }

    fn checks(&self) -> &'static str {
        self.checks
    }

    fn check(&self, context: &Context<'_>) -> Vec<Claim> {
        let ours =
            context.kinds.iter().enumerate().filter(|(_, kind)| kind.is_open() && kind.waits == self.waits);
        ours.filter_map(|(nth, kind)| {
            let objects = objects(context, kind);
            let sureness = match context.growing(kind) {
                Some(sureness) => sureness,
                None if self.quiet && is_quiet(context, kind, objects.alone, objects.known) => {
                    Sureness::Suspect
                }
                None => return None,
            };
            let mut because = objects.because;
            if kind.waits == WaitClass::WaitGroup {
                because.extend(not_done(context, kind));
            }
            if !objects.known && !self.seen.is_empty() {
                because.push(self.seen.to_owned());
            }
            if context.growing(kind).is_none() {
                because.push(format!("{}, none of which moves", many(kind.count(), "task")));
            }
            Some(Claim::of(nth, sureness, because).meaning(self.cause, self.next))
        })
        .collect()
    }
}

/// "3 tasks have not called Done": what the wait groups themselves say.
fn not_done(context: &Context<'_>, kind: &TaskGroup<'_>) -> Option<String> {
    let snapshot = context.snapshot;
    let tasks = kind.tasks.iter().filter_map(|&index| context.task(index));
    let mut groups: Vec<_> = tasks.flat_map(|task| snapshot.waits_of(task)).map(|wait| wait.object).collect();
    groups.sort_unstable();
    groups.dedup();
    let counts: Vec<u64> = (groups.iter())
        .filter_map(|id| match snapshot.objects.get(id.index())?.lock? {
            LockState::Outstanding(n) => Some(n.into()),
            _ => None,
        })
        .collect();
    let tasks: u64 = counts.iter().sum();
    let has = if tasks == 1 { "has" } else { "have" };
    match counts.len() {
        0 => None,
        1 => Some(format!("{} {has} not called Done", many(tasks, "task"))),
        n => {
            let groups = many(n as u64, "wait group");
            Some(format!("{} {has} not called Done, of {groups}", many(tasks, "task")))
        }
    }
}

/// They do not become more, but are many and stand still.
fn is_quiet(context: &Context<'_>, kind: &TaskGroup<'_>, alone: bool, known: bool) -> bool {
    let enough = if known { alone && kind.count() >= QUIET_MANY } else { kind.count() >= QUIET_BLIND };
    let still = context.older_than(kind, context.options.min_age_ns) == kind.count();
    // One reading alone may not know any age; then the number has to do.
    let unknown = context.is_single() && kind.age.nanos().is_none();
    enough && (still || unknown)
}
