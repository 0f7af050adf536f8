//! Mistakes that are visible in what tasks wait for: a table.

use super::waits::{QUIET_MANY, objects};
use super::{Claim, Rule};
use crate::analysis::leaks::context::Context;
use crate::analysis::leaks::evidence::{Cause, Evidence};
use crate::analysis::leaks::finding::Sureness;
use crate::analysis::leaks::task_group::TaskGroup;
use crate::snapshot::LockState;
use crate::snapshot::WaitClass;

/// The same as [`QUIET_MANY`], if the source does not know what they wait for.
const QUIET_BLIND: u64 = 1_000;

/// A mistake that is visible in what the tasks wait for.
pub(super) struct WaitPattern {
    name: &'static str,
    checks: &'static str,
    waits: WaitClass,
    /// Many blocked tasks are suspect even if they do not grow.
    quiet: bool,
    /// What they wait for is evidence, if the objects are not known.
    seen: bool,
    cause: Cause,
}

pub(super) const RANGE: WaitPattern = WaitPattern {
    name: "range",
    checks: "tasks loop over channels that nobody closes",
    waits: WaitClass::Range,
    quiet: true,
    seen: false,
    cause: Cause::RangeNotClosed,
};

pub(super) const SIGNAL: WaitPattern = WaitPattern {
    name: "not-cancelled",
    checks: "tasks wait for a context that nobody cancels, or for a done channel that nobody closes",
    waits: WaitClass::Signal,
    quiet: true,
    seen: false,
    cause: Cause::NotCancelled,
};

pub(super) const RECEIVE: WaitPattern = WaitPattern {
    name: "receive",
    checks: "tasks wait for values that nobody sends",
    waits: WaitClass::Receive,
    quiet: true,
    seen: false,
    cause: Cause::SenderGone,
};

pub(super) const SELECT: WaitPattern = WaitPattern {
    name: "select",
    checks: "tasks select on several channels, none of which is used any more",
    waits: WaitClass::Select,
    quiet: true,
    seen: false,
    cause: Cause::SelectUnused,
};

pub(super) const WAIT_GROUP: WaitPattern = WaitPattern {
    name: "wait-group",
    checks: "tasks wait for wait groups that do not reach zero",
    waits: WaitClass::WaitGroup,
    quiet: true,
    seen: false,
    cause: Cause::DoneMissing,
};

pub(super) const COND: WaitPattern = WaitPattern {
    name: "cond",
    checks: "tasks wait for condition variables or notifications that do not come",
    waits: WaitClass::Cond,
    quiet: true,
    seen: false,
    cause: Cause::NotSignalled,
};

pub(super) const SEMAPHORE: WaitPattern = WaitPattern {
    name: "semaphore",
    checks: "tasks wait for semaphores that nobody releases",
    waits: WaitClass::Semaphore,
    quiet: true,
    seen: false,
    cause: Cause::NotReleased,
};

pub(super) const JOIN: WaitPattern = WaitPattern {
    name: "join",
    checks: "tasks wait for other tasks that do not end",
    waits: WaitClass::Join,
    quiet: false,
    seen: true,
    cause: Cause::JoinedNotEnding,
};

pub(super) const TIMER: WaitPattern = WaitPattern {
    name: "ticker",
    checks: "loops around timers and tickers grow in number",
    waits: WaitClass::Timer,
    quiet: false,
    seen: false,
    cause: Cause::TickerNotStopped,
};

pub(super) const SLEEP: WaitPattern = WaitPattern {
    name: "sleep",
    checks: "loops that sleep grow in number",
    waits: WaitClass::Sleep,
    quiet: false,
    seen: true,
    cause: Cause::SleepLoop,
};

pub(super) const NETWORK: WaitPattern = WaitPattern {
    name: "network",
    checks: "tasks wait for network peers, without a deadline or with a long one",
    waits: WaitClass::Network,
    quiet: false,
    seen: true,
    cause: Cause::NoDeadline,
};

pub(super) const IO: WaitPattern = WaitPattern {
    name: "io",
    checks: "tasks wait for files, pipes or devices",
    waits: WaitClass::Io,
    quiet: false,
    seen: true,
    cause: Cause::NotReady,
};

pub(super) const CALL: WaitPattern = WaitPattern {
    name: "call",
    checks: "tasks are in system calls or foreign code that does not return",
    waits: WaitClass::Call,
    quiet: false,
    seen: true,
    cause: Cause::CallNotReturning,
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
                because.extend(outstanding_done(context, kind));
            }
            if !objects.known && self.seen {
                because.push(Evidence::WaitsFor(kind.waits));
            }
            if context.growing(kind).is_none() {
                because.push(quiet(context, kind));
            }
            Some(Claim::of(nth, sureness, because).meaning(self.cause))
        })
        .collect()
    }
}

/// What the wait groups' own state says.
fn outstanding_done(context: &Context<'_>, kind: &TaskGroup<'_>) -> Option<Evidence> {
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
    let groups = counts.len() as u64;
    (groups > 0).then(|| Evidence::OutstandingDone { calls: counts.iter().sum(), groups })
}

/// They do not grow, but they are many and all blocked.
fn is_quiet(context: &Context<'_>, kind: &TaskGroup<'_>, alone: bool, known: bool) -> bool {
    let enough = if known { alone && kind.count() >= QUIET_MANY } else { kind.count() >= QUIET_BLIND };
    let still = context.older_than(kind, context.options.min_age_ns) == kind.count();
    // A single reading may know no age; then the number decides.
    let unknown = context.is_single() && kind.age.nanos().is_none();
    enough && (still || unknown)
}

/// Why many are suspect without growth: how long they have been blocked, if that is known.
fn quiet(context: &Context<'_>, kind: &TaskGroup<'_>) -> Evidence {
    let at_least_ns = context.options.min_age_ns;
    match context.older_than(kind, at_least_ns) {
        tasks if tasks == kind.count() => Evidence::Blocked { tasks, at_least_ns },
        _ => Evidence::AgeUnknown { tasks: kind.count() },
    }
}
