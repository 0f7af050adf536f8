//! Tasks that have ended, and whose results nobody takes.

use super::waits::QUIET_MANY;
use super::{Claim, Rule};
use crate::analysis::leaks::context::Context;
use crate::analysis::leaks::evidence::{Cause, Evidence};
use crate::analysis::leaks::finding::Sureness;
use crate::analysis::leaks::task_group::TaskGroup;
use crate::snapshot::TaskState;

/// Many tasks that have ended stay.
pub(super) struct NotJoined;

impl Rule for NotJoined {
    fn name(&self) -> &'static str {
        "not-joined"
    }

    fn checks(&self) -> &'static str {
        "many tasks have ended for longer than --min-age, and their handles are kept and not awaited"
    }

    fn check(&self, context: &Context<'_>) -> Vec<Claim> {
        let open = context.kinds.iter().enumerate().filter(|(_, kind)| kind.is_open());
        open.filter_map(|(nth, kind)| {
            let at_least_ns = context.options.min_age_ns;
            let tasks = ended(context, kind, at_least_ns);
            let because = vec![Evidence::Ended { tasks, at_least_ns }];
            let claim = || Claim::of(nth, Sureness::Suspect, because).meaning(Cause::NotJoined);
            (tasks >= QUIET_MANY).then(claim)
        })
        .collect()
    }
}

/// How many of them ended at least this long ago.
fn ended(context: &Context<'_>, kind: &TaskGroup<'_>, ns: u64) -> u64 {
    let members = context.members(kind).filter(|member| {
        let has_ended = context.task(member.task).is_some_and(|task| task.state == TaskState::Finished);
        has_ended && context.standing_ns(member.task, Some(member)) >= ns
    });
    members.count() as u64
}
