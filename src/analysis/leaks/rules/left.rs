//! Tasks that a program leaves behind at its end.
//!
//! That they are there is enough: no growth and no age is needed. So this rule is not in the list of the others; it
//! is asked about groups that were chosen before.

use super::Claim;
use super::waits::objects;
use crate::analysis::leaks::context::Context;
use crate::analysis::leaks::evidence::{Cause, Evidence};
use crate::analysis::leaks::finding::Sureness;
use crate::snapshot::WaitClass;

/// The name of the rule.
pub(in crate::analysis::leaks) const NAME: &str = "left";

/// What is known of a group that was left: what its tasks wait for, and what that means.
pub(in crate::analysis::leaks) fn claim(context: &Context<'_>, nth: usize) -> Option<Claim> {
    let kind = context.kinds.get(nth)?;
    let objects = objects(context, kind);
    let mut because = objects.because;
    let said = because.is_empty() && !matches!(kind.waits, WaitClass::Unknown | WaitClass::Other);
    if said && !kind.waits.never_ends() {
        because.push(Evidence::WaitsFor(kind.waits));
    }
    let cause = match kind.waits {
        WaitClass::Range => Some(Cause::RangeNotClosed),
        WaitClass::Signal => Some(Cause::NotCancelled),
        WaitClass::Receive => Some(Cause::SenderGone),
        // A receiver may be slow elsewhere. Here all that was to run has run.
        WaitClass::Send => Some(Cause::ReceiverGone),
        WaitClass::Select => Some(Cause::SelectUnused),
        WaitClass::WaitGroup => Some(Cause::DoneMissing),
        WaitClass::Cond => Some(Cause::NotSignalled),
        WaitClass::Semaphore => Some(Cause::NotReleased),
        WaitClass::Join => Some(Cause::JoinedNotEnding),
        WaitClass::Timer => Some(Cause::TickerNotStopped),
        WaitClass::Sleep => Some(Cause::SleepLoop),
        _ => None,
    };
    let claim = Claim::of(nth, Sureness::Suspect, because);
    Some(match cause {
        Some(cause) => claim.meaning(cause),
        None => claim,
    })
}
