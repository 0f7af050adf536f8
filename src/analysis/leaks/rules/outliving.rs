//! Tasks that are older than the rest of their kind ever get.
//!
//! A task that stands still for long while others that were started at the same place come and go may have
//! missed what those got; or it is one of many whose lives are long, like the connections of a hub. Which of
//! the two, the ends of those tell that were there at the first reading: if they end as often as those that came
//! since, nothing is wrong with them. That is the log-rank test (`odds::survival`), one-sided, at 0.1 %, because
//! it is asked for many kinds and again and again. All that were there at first are compared, not those that are
//! still there: of these none has ended by the way they were chosen. If the test could not show anything, because
//! too few have ended, it is undecided; so it is if old ones go on to end, only more rarely than new ones, as they do
//! where lives differ much.

use rustc_hash::FxHashMap;

use super::{Claim, Rule, many, number, time};
use crate::analysis::leaks::context::{Context, TaskGroup};
use crate::analysis::leaks::finding::Sureness;
use crate::analysis::leaks::wait_class::WaitClass;
use crate::analysis::modules::{module_of, modules};
use crate::analysis::odds::{Span, Survival, survival};
use crate::analysis::series::Track;
use crate::analysis::signature::{Signature, SignatureFrame};

/// Those that stay must be so many times older than the oldest that ended.
const TIMES: u64 = 4;
/// So many must have ended to say how old the others get.
const ENDED: u64 = 10;
/// So many of those that were there at first and end in the second half of the watch show that the old ones end,
/// too: their lives differ much, as those of subscriptions do.
const STILL_ENDING: u64 = 3;
/// Chance alone may keep them from ending once in so many times.
const CHANCE: f64 = 0.001;

pub(super) struct Staying;

/// Tasks that are of one kind, wherever they stand now: they were started at one place; and, where that is not
/// the program's own, as that of a server which starts all its handlers, they are in one function of the
/// program.
type Origin<'a> = (&'a SignatureFrame, Option<&'a str>);

fn origin<'a>(context: &Context<'_>, signature: &'a Signature) -> Option<Origin<'a>> {
    let creator = signature.creator.as_ref()?;
    let owners = modules(context.snapshot, &signature.runtime);
    let own = |place: &SignatureFrame| module_of(owners, &place.package).is_some();
    let handler = signature.frames.iter().rev().find(|place| own(place)).map(|place| &*place.function);
    Some((creator, handler.filter(|_| !own(creator))))
}

/// How those of one origin ended.
#[derive(Default)]
struct Ends {
    /// Of those that were born while watched.
    ended: u64,
    /// The longest that one of them lived, nanoseconds.
    longest: u64,
    spans: Vec<Span>,
}

impl Ends {
    /// One of them may have lived as long as one of these.
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

/// What is said of one kind.
enum Said {
    Stays(Claim),
    Undecided(String),
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
    // Groups that the series has let go count, too. Of a place that starts tasks of several kinds it is only known
    // how long all of them lived.
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
    let seen = format!(
        "{} of them stood still for {} or more, while {} started at the same place ended within {}",
        number(stay),
        time(old),
        many(ends.ended, "other"),
        time(ends.longest)
    );
    let Survival { ended, expected, chance, least } = survival(&ends.spans);
    if least > CHANCE {
        return Some(Said::Undecided(format!(
            "{seen}; too few have ended to say whether the old ones differ"
        )));
    }
    if chance > CHANCE {
        return None;
    }
    // How long these take is up to others than the program.
    if matches!(kind.waits, WaitClass::Network | WaitClass::Io | WaitClass::Call | WaitClass::Accept) {
        return Some(Said::Undecided(format!("{seen}; how long each of them lives is up to its peer")));
    }
    let late = ends.spans.iter().skip(ends.spans.len() / 2).map(|span| span.old_ended).sum::<u64>();
    if late >= STILL_ENDING {
        return Some(Said::Undecided(format!("{seen}; old ones end, too, though more rarely than new ones")));
    }
    let because = vec![
        seen,
        format!(
            "of those that were there at first {ended} ended, where {expected:.0} would have, had they ended \
                 like those that came since"
        ),
    ];
    Some(Said::Stays(Claim::of(nth, Sureness::Suspect, because).meaning(
        "something that these wait for did not happen to them",
        "compare them with those that end: the path on which nobody wakes them",
    )))
}

/// Kinds of which it is undecided, with the reason: a clause.
pub(in crate::analysis::leaks) fn undecided(context: &Context<'_>) -> FxHashMap<usize, String> {
    let said = judge(context).into_iter();
    said.filter_map(|(nth, said)| if let Said::Undecided(why) = said { Some((nth, why)) } else { None })
        .collect()
}

impl Rule for Staying {
    fn name(&self) -> &'static str {
        "staying"
    }

    fn checks(&self) -> &'static str {
        "tasks stand still for longer than --min-age while others that were started at the same place come and go, \
         and those that were there at first end more rarely than those that came since, by the log-rank test"
    }

    fn check(&self, context: &Context<'_>) -> Vec<Claim> {
        let said = judge(context).into_iter();
        said.filter_map(|(_, said)| if let Said::Stays(claim) = said { Some(claim) } else { None }).collect()
    }
}
