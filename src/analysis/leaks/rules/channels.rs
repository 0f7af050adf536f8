//! What tasks wait for, as evidence; and senders that nobody receives from.

use super::patterns::QUIET_MANY;
use super::{Claim, Rule, many, number, time};
use crate::analysis::leaks::context::{Context, TaskGroup};
use crate::analysis::leaks::finding::Sureness;
use crate::snapshot::WaitClass;
use crate::snapshot::{ObjectKind, WaitOp};

/// What the things that tasks wait for have in common.
#[derive(Debug, Default)]
pub(super) struct Objects {
    /// What was seen, a clause each.
    pub(super) because: Vec<String>,
    /// Each task waits for things of its own, and nobody is on the other side of any of them.
    pub(super) alone: bool,
    /// They wait for several things, perhaps some of them for the same one, and nobody is on the other side.
    pub(super) deserted: bool,
    /// They wait in one queue: all of them for one thing, and nobody is on the other side of it.
    pub(super) queue: bool,
    /// What they wait for is known.
    pub(super) known: bool,
}

/// Looks at what the tasks of a kind wait for.
pub(super) fn objects(context: &Context<'_>, kind: &TaskGroup<'_>) -> Objects {
    let summaries = context.summaries(kind);
    let known = !summaries.is_empty();
    let mut objects = Objects { alone: known, deserted: known, queue: known, known, because: Vec::new() };
    for summary in &summaries {
        let own = summary.objects == summary.waits;
        let what = match summary.kind {
            ObjectKind::Channel => "channel",
            ObjectKind::Mutex => "mutex",
            ObjectKind::RwMutex => "rwmutex",
            ObjectKind::WaitGroup => "wait group",
            ObjectKind::Cond => "condition variable",
            ObjectKind::Semaphore => "semaphore",
            ObjectKind::Other => "thing",
        };
        let element = summary.element.map_or("", |id| context.snapshot.str(id));
        let of = if element.is_empty() { String::new() } else { format!(" of {element}") };
        let verb = match (summary.alternative, summary.op) {
            (false, WaitOp::Send) => "waits to send on",
            (false, WaitOp::Receive) => "waits to receive from",
            (false, WaitOp::Lock) => "waits to lock",
            (false, WaitOp::ReadLock) => "waits to read-lock",
            (false, WaitOp::Wait) => "waits for",
            (true, WaitOp::Send) => "may send on",
            (true, WaitOp::Receive) => "may receive from",
            (true, _) => "may go on after",
        };
        let all = verb.replace("waits", "wait");
        let mut text = match (own, summary.objects) {
            (true, 1) => format!("it {verb} a {what}{of}"),
            (true, _) => format!("each {verb} a {what}{of} of its own"),
            (false, 1) => format!("all {all} one {what}{of}"),
            (false, n) => format!("they {all} {}{of}", many(n, what)),
        };
        let mut peers = 0;
        // A timer sends without waiting.
        let timer = element == "time.Time";
        if let Some(channels) = summary.channels.filter(|_| !timer) {
            if channels.cap.1 == 0 {
                text.push_str(", cap 0");
            } else if summary.op == WaitOp::Send {
                text.push_str(", full");
            }
            let side = if summary.op == WaitOp::Send { "receive" } else { "send" };
            if channels.without_peer == summary.objects {
                text.push_str(&format!(", and nobody waits to {side}"));
            } else {
                text.push_str(&format!(", and somebody waits to {side}"));
                peers = 1;
            }
        }
        // One channel that all tasks watch beside their own, as that of a shutdown, says nothing.
        objects.alone &= peers == 0 && (own || summary.alternative);
        objects.queue &= peers == 0 && summary.objects == 1 && !own && !summary.alternative;
        objects.deserted &= peers == 0 && (summary.objects > 1 || own);
        if objects.because.len() < 3 {
            objects.because.push(text);
        }
    }
    let own = summaries.iter().any(|summary| summary.objects == summary.waits);
    objects.alone &= own;
    objects
}

/// Tasks that send, and nobody receives.
pub(super) struct Send;

impl Rule for Send {
    fn name(&self) -> &'static str {
        "send"
    }

    fn checks(&self) -> &'static str {
        "tasks wait to send on channels that nobody waits to receive from, and become more or stand still for longer \
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
    // One queue that has become longer for as long as the process lives is not served as fast as it fills.
    let growth = kind.growth.as_ref();
    let growing = growth.map(|growth| match growth.sureness {
        Sureness::Suspect if growth.sustained && objects.queue => Sureness::Likely,
        // Nobody is there who could receive, and none has gone: two signs, if weaker ones.
        Sureness::Suspect if objects.alone && kind.ended() == Some(0) && !context.is_short() => {
            Sureness::Likely
        }
        sureness => sureness,
    });
    let standing = (old > 0 && (objects.deserted || !objects.known)).then(|| {
        because.push(format!(
            "{} of them stood still for {} or more",
            number(old),
            time(context.options.min_age_ns)
        ));
        if old > 1 && objects.deserted { Sureness::Likely } else { Sureness::Suspect }
    });
    // A queue that nobody has served for so long.
    let unserved = (objects.queue && old >= QUIET_MANY).then(|| {
        because.push(format!(
            "{} of them stood still for {} or more",
            number(old),
            time(context.options.min_age_ns)
        ));
        Sureness::Suspect
    });
    let ageless = context.is_single() && kind.age.nanos().is_none() && kind.count() >= QUIET_MANY;
    if ageless {
        because.push("since when is unknown".to_owned());
    }
    let sureness = growing.max(standing).max(unserved).max(ageless.then_some(Sureness::Suspect))?;
    let claim = Claim::of(nth, sureness, because);
    Some(if objects.deserted {
        claim.meaning(
            "whoever should have received has gone: it probably returned early, at the first answer, an error or a \
             timeout",
            "give the channel room for every sender, or let the senders select on a context that is cancelled when \
             the receiver returns",
        )
    } else {
        claim.meaning(
            "the receiver is too slow, stuck or gone",
            "look at the task that should receive from the channel",
        )
    })
}
