//! Timers that are years ahead.

use super::{Claim, Rule};
use crate::analysis::leaks::context::Context;
use crate::analysis::leaks::evidence::{Cause, Evidence};
use crate::analysis::leaks::finding::Sureness;
use crate::analysis::leaks::task_group::TaskGroup;
use crate::snapshot::{Task, TimerState};

/// What is due later than in a year ends no wait: programs do not live that long, and longer times come from
/// overflows and wrong units.
const YEAR_NS: u64 = 365 * 24 * 3_600 * 1_000_000_000;

/// Tasks wait for nothing but such a timer.
pub(super) struct FarTimer;

impl Rule for FarTimer {
    fn name(&self) -> &'static str {
        "far-timer"
    }

    fn checks(&self) -> &'static str {
        "tasks wait for nothing but a timer that is due later than in a year"
    }

    fn check(&self, context: &Context<'_>) -> Vec<Claim> {
        let open = context.kinds.iter().enumerate().filter(|(_, kind)| kind.is_open());
        open.filter_map(|(nth, kind)| {
            let at_least_ns = first_due(context, kind)?;
            let because = vec![Evidence::DueIn { tasks: kind.count(), at_least_ns }];
            Some(Claim::of(nth, Sureness::Suspect, because).meaning(Cause::TimerFarAhead))
        })
        .collect()
    }
}

/// When the first timer of these tasks is due, if each of them waits for nothing but one that is far ahead.
fn first_due(context: &Context<'_>, kind: &TaskGroup<'_>) -> Option<u64> {
    let now = context.snapshot.header.monotonic_ns?;
    let due = |task: &Task| {
        let [wait] = context.snapshot.waits_of(task) else { return None };
        let TimerState::At(at) = context.snapshot.timer_of(wait.object)?.state else { return None };
        at.checked_sub(now).filter(|&ns| ns > YEAR_NS)
    };
    let all: Option<Vec<u64>> = kind.tasks.iter().map(|&task| due(context.task(task)?)).collect();
    all?.into_iter().min()
}
