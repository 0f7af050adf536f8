//! Senders without a receiver.

use super::waits::{QUIET_MANY, objects};
use super::{Claim, Rule};
use crate::analysis::leaks::context::Context;
use crate::analysis::leaks::evidence::{Cause, Evidence};
use crate::analysis::leaks::finding::Sureness;
use crate::analysis::leaks::task_group::TaskGroup;
use crate::snapshot::WaitClass;

/// Tasks that send, without a receiver.
pub(super) struct Send;

impl Rule for Send {
    fn name(&self) -> &'static str {
        "send"
    }

    fn checks(&self) -> &'static str {
        "tasks wait to send on channels that nobody waits to receive from, and grow in number or are blocked for longer \
         than --min-age"
    }

    fn check(&self, context: &Context<'_>) -> Vec<Claim> {
        let senders = context
            .kinds
            .iter()
            .enumerate()
            .filter(|(_, kind)| kind.is_open() && kind.waits == WaitClass::Send);
        senders.filter_map(|(nth, kind)| one(context, nth, kind)).collect()
    }
}

fn one(context: &Context<'_>, nth: usize, kind: &TaskGroup<'_>) -> Option<Claim> {
    let objects = objects(context, kind);
    let mut because = objects.because;
    let old = context.older_than(kind, context.options.min_age_ns);
    let blocked = Evidence::Blocked { tasks: old, at_least_ns: context.options.min_age_ns };
    // A queue that has grown for as long as the process lives is served more slowly than it fills.
    let growth = kind.growth.as_ref();
    let growing = growth.map(|growth| match growth.sureness {
        Sureness::Suspect if growth.sustained && objects.queue => Sureness::Likely,
        // There is no receiver, and no sender has left: two signs, if weaker ones.
        Sureness::Suspect if objects.alone && kind.ended() == Some(0) && !context.is_short() => {
            Sureness::Likely
        }
        sureness => sureness,
    });
    let standing = (old > 0 && (objects.deserted || !objects.known)).then(|| {
        because.push(blocked.clone());
        if old > 1 && objects.deserted { Sureness::Likely } else { Sureness::Suspect }
    });
    // A queue that has not been served for long.
    let unserved = (objects.queue && old >= QUIET_MANY).then(|| {
        because.push(blocked.clone());
        Sureness::Suspect
    });
    let ageless = context.is_single() && kind.age.nanos().is_none() && kind.count() >= QUIET_MANY;
    if ageless {
        because.push(Evidence::AgeUnknown { tasks: kind.count() });
    }
    let sureness = growing.max(standing).max(unserved).max(ageless.then_some(Sureness::Suspect))?;
    let claim = Claim::of(nth, sureness, because);
    Some(claim.meaning(if objects.deserted { Cause::ReceiverGone } else { Cause::ReceiverSlow }))
}
