//! Tasks that are much older than other tasks of the same origin ever get.
//!
//! A task may be blocked for long while others that were started at the same place come and go. Either it
//! missed the event that woke the others, or it is one of many with a long life, like the connections of a hub.
//! The tasks of the first reading decide: if they end as often as newer ones, nothing is wrong with them. That
//! is the log-rank test (`odds::survival`), one-sided, at 0.1 %, because many groups are tested again and
//! again. All tasks of the first reading are compared, not only the remaining ones, none of which has ended by
//! definition. The result is undecided if too few have ended for the test to show anything. It is also
//! undecided if old tasks still end, only more rarely than new ones, as happens if lifetimes differ much.

use rustc_hash::FxHashMap;

use super::{Claim, Rule};
use crate::analysis::leaks::context::Context;
use crate::analysis::leaks::evidence::{Cause, Doubt, Evidence, Outlived, Outlook};
use crate::analysis::leaks::finding::Sureness;
use crate::analysis::leaks::task_group::TaskGroup;
use crate::analysis::modules::{module_of, modules};
use crate::analysis::odds::{Span, Survival, survival};
use crate::analysis::series::Track;
use crate::analysis::signature::{Signature, SignatureFrame};
use crate::snapshot::WaitClass;

/// Tasks that stay must be this many times older than the oldest one that ended.
const TIMES: u64 = 4;
/// This many must have ended to tell how old the others get.
const ENDED: u64 = 10;
/// If this many tasks of the first reading end in the second half of the watch, old ones end, too: lifetimes
/// differ much, like those of subscriptions.
const STILL_ENDING: u64 = 3;
/// How often chance alone may keep them from ending.
const CHANCE: f64 = 0.001;

pub(super) struct Staying;

/// The origin that tasks share, wherever they are now: the place where they were started. If that is not in the
/// program's own code, as in a server that starts all handlers, also the handler: a function of the program.
type Origin<'a> = (&'a SignatureFrame, Option<&'a str>);

fn origin<'a>(context: &Context<'_>, signature: &'a Signature) -> Option<Origin<'a>> {
    let creator = signature.creator.as_ref()?;
    let owners = modules(context.snapshot, &signature.runtime);
    let own = |place: &SignatureFrame| module_of(owners, &place.package).is_some();
    let handler = signature.frames.iter().rev().find(|place| own(place)).map(|place| &*place.function);
    Some((creator, handler.filter(|_| !own(creator))))
}

/// How tasks of one origin ended.
#[derive(Default)]
struct Ends {
    /// How many tasks created while watched have ended.
    ended: u64,
    /// The longest life of one of them, nanoseconds.
    longest: u64,
    spans: Vec<Span>,
}

impl Ends {
    /// One of them may have lived as long as one of `track`.
    fn live_longer(&mut self, track: &Track) {
        self.longest = self.longest.max(track.longest_ended_ns.unwrap_or(0));
    }

    fn add(&mut self, track: &Track) {
        self.ended = self.ended.saturating_add(track.gone.saturating_sub(track.first_gone));
        self.live_longer(track);
        self.spans.resize(self.spans.len().max(track.steps.len()), Span::default());
        let pairs = track.steps.iter().zip(track.steps.iter().skip(1));
        for (span, (before, after)) in self.spans.iter_mut().zip(pairs) {
            span.old += before.old;
            span.new += before.count.saturating_sub(before.old);
            span.old_ended += after.old_gone;
            span.new_ended += after.gone.saturating_sub(after.old_gone);
        }
    }
}

/// The verdict on one kind.
enum Said {
    Stays(Claim),
    Undecided(Doubt),
}

fn judge(context: &Context<'_>) -> Vec<(usize, Said)> {
    if !context.series.matching().by_id() {
        return Vec::new();
    }
    let mut origins: FxHashMap<Origin<'_>, Ends> = FxHashMap::default();
    for (_, signature, track) in context.series.tracks() {
        if let Some(origin) = origin(context, signature) {
            origins.entry(origin).or_default().add(track);
        }
    }
    // Released groups of the series count, too. For a place that starts tasks of several kinds, only the
    // lifetime of all of them is known.
    let let_go = context.series.let_go();
    for ((creator, handler), ends) in &mut origins {
        match let_go.of_creator(creator) {
            Some(track) if handler.is_none() => ends.add(track),
            track => ends.live_longer(track.unwrap_or(let_go.others())),
        }
    }
    let kinds =
        context.kinds.iter().enumerate().filter(|(_, kind)| {
            kind.is_open() && !matches!(kind.waits, WaitClass::Nothing | WaitClass::Unknown)
        });
    kinds
        .filter_map(|(nth, kind)| {
            let ends = origins.get(&origin(context, kind.signature)?)?;
            Some((nth, one(context, nth, kind, ends)?))
        })
        .collect()
}

fn one(context: &Context<'_>, nth: usize, kind: &TaskGroup<'_>, ends: &Ends) -> Option<Said> {
    if ends.ended < ENDED || ends.longest == 0 {
        return None;
    }
    let old = context.options.min_age_ns.max(ends.longest.saturating_mul(TIMES));
    let stay = context.older_than(kind, old);
    if stay == 0 {
        return None;
    }
    let seen = Outlived { tasks: stay, at_least_ns: old, others: ends.ended, others_within_ns: ends.longest };
    let undecided = |outlook| Some(Said::Undecided(Doubt::Outlived(seen, outlook)));
    let Survival { ended, expected, chance, least } = survival(&ends.spans);
    if least > CHANCE {
        return undecided(Outlook::TooFewEnded);
    }
    if chance > CHANCE {
        return None;
    }
    // Their lifetime does not depend on the program.
    if matches!(kind.waits, WaitClass::Network | WaitClass::Io | WaitClass::Call | WaitClass::Accept) {
        return undecided(Outlook::UpToPeer);
    }
    let late = ends.spans.iter().skip(ends.spans.len() / 2).map(|span| span.old_ended).sum::<u64>();
    if late >= STILL_ENDING {
        return undecided(Outlook::OldOnesEnd);
    }
    let because = vec![Evidence::Outlived(seen), Evidence::FewerEnded { ended, expected }];
    Some(Said::Stays(Claim::of(nth, Sureness::Suspect, because).meaning(Cause::NeverCame)))
}

/// Groups that are undecided, with the reason.
pub(in crate::analysis::leaks) fn undecided(context: &Context<'_>) -> FxHashMap<usize, Doubt> {
    let said = judge(context).into_iter();
    said.filter_map(|(nth, said)| if let Said::Undecided(why) = said { Some((nth, why)) } else { None })
        .collect()
}

impl Rule for Staying {
    fn name(&self) -> &'static str {
        "staying"
    }

    fn checks(&self) -> &'static str {
        "tasks are blocked for longer than --min-age while others that were started at the same place come and go, and \
         tasks of the first reading end more rarely than newer ones, by the log-rank test"
    }

    fn check(&self, context: &Context<'_>) -> Vec<Claim> {
        let said = judge(context).into_iter();
        said.filter_map(|(_, said)| if let Said::Stays(claim) = said { Some(claim) } else { None }).collect()
    }
}
