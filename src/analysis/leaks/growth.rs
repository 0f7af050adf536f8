//! Does a kind of task become more, as leaks do?
//!
//! Four things are asked of its counts, each by a test of its own, because each has another reason to be so in
//! a healthy program:
//!
//! - *Do they rise bit by bit?* The test of Mann and Kendall at 5 %, a slope that is more than its uncertainty,
//!   and no single jump. Fewer than four readings cannot pass it.
//! - *Do more come than go?* The count of long-lived tasks wanders without any trend, and then passes the test
//!   above far more often than at 5 %. If as many come as go, each move is one of coming with probability one
//!   half: the test of signs, made milder by as much as they come in batches (`odds::balance`). 1 % for what is
//!   to be likely, 6 % for a suspicion.
//! - *Would those that make it rise have to stay?* If the rise is a leak, at least the part `rise / came` of those
//!   that came stays for ever, so that at least this part of the early ones must still be there. If fewer are, with
//!   1 % by the binomial distribution, then they all end in their time, and it is the load that rises, or a pool of
//!   tasks with a bounded life that fills.
//! - *Has anyone come through his wait?* A sleep or a timer ends by itself. As long as none of those that sleep
//!   has been seen to wake up, that none has ended says nothing.

use super::context::TaskGroup;
use super::finding::Sureness;
use super::rules::{number, time};
use super::wait_class::WaitClass;
use crate::analysis::odds::{self, Flow};
use crate::analysis::series::{Member, Series, Track};

/// Fewer readings than this do not show whether a rise goes on.
pub(super) const READINGS: usize = 4;
/// The confidence that a rise needs.
const CONFIDENT: f64 = 0.95;
/// The tasks that must have been added.
const MORE: u64 = 3;
/// Of those that came, this part at most may have ended where none ever ends (a race at the end of a
/// reading is no end).
const ENDING: f64 = 0.1;
/// Chance may give a balance as uneven as that of a likely leak once in so many times.
const LIKELY: f64 = 0.01;
/// The same for a suspicion. Four that came and none that went are just too few.
const SUSPICIOUS: f64 = 0.06;
/// The same for what is worth the word that it is undecided.
const DOUBTFUL: f64 = 0.13;
/// And for early ones of which too few have stayed.
const GONE: f64 = 0.01;
/// After a jump a count must stay where it is for so many readings before it is over.
const FLAT: usize = 3;
/// A process that is watched for more than one part in so many of its life is young: what the watch shows is most
/// of what there ever was.
const YOUNG: u64 = 3;

/// They become more, as leaks do.
#[derive(Debug, Clone, PartialEq)]
pub struct Growth {
    /// What that alone says.
    pub sureness: Sureness,
    /// They have become more at this rate for as long as the process lives.
    pub sustained: bool,
    /// What was seen, a clause each.
    pub because: Vec<String>,
}

/// What the counts of a kind say.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Look {
    /// They become more as leaks do.
    pub growth: Option<Growth>,
    /// Why it is undecided, if it is: a clause.
    pub doubt: Option<String>,
    /// There are more of them than in the first reading, and why that is as it should be: a clause.
    pub calm: Option<&'static str>,
}

impl Look {
    fn doubt(text: impl Into<String>) -> Self {
        Look { doubt: Some(text.into()), ..Look::default() }
    }

    fn calm(text: &'static str) -> Self {
        Look { calm: Some(text), ..Look::default() }
    }
}

/// Looks at how the number of a kind changes over the series.
pub(super) fn assess(series: &Series, kind: &TaskGroup<'_>) -> Look {
    let by_id = series.matching().by_id();
    let Some(track) = kind.track.filter(|_| series.readings() > 1) else {
        return Look::doubt(if series.readings() > 1 {
            "they stand where others stand that never run again, so that the readings do not count them by themselves"
        } else {
            "one reading shows neither growth nor who stays"
        });
    };
    let counts: Vec<u64> = track.steps.iter().map(|step| step.count).collect();
    let (Some(&first), Some(&last)) = (counts.first(), counts.last()) else { return Look::default() };
    let more = last.saturating_sub(first);
    if counts.len() < READINGS {
        let few = "fewer than four readings do not show whether they become more";
        let growth = of_few(series, kind, more, first);
        return Look { doubt: growth.is_none().then(|| few.to_owned()), growth, calm: None };
    }
    if kind.trend.is_none() {
        return Look::doubt("the readings do not say when they were made");
    }
    if more < MORE {
        return Look::default();
    }
    if by_id { followed(series, kind, &counts) } else { by_count(kind, &counts) }
}

/// It rises over the series bit by bit and for certain.
fn rises(kind: &TaskGroup<'_>, counts: &[u64]) -> bool {
    let more = counts.last().zip(counts.first()).map_or(0, |(last, first)| last.saturating_sub(*first));
    let certain = |trend: crate::analysis::trend::Trend| {
        trend.rising >= CONFIDENT && trend.plus_minus.is_some_and(|pm| trend.per_minute > pm)
    };
    kind.trend.is_some_and(certain) && shape(counts, more) == Shape::BitByBit
}

/// How sure a rise is, in words.
fn rise(kind: &TaskGroup<'_>, first: u64, more: u64) -> String {
    let percent = kind.trend.map_or(0.0, |trend| (trend.rising * 100.0).floor().min(99.0));
    let (more, first) = (number(more), number(first));
    format!("{more} more than {first} in the first reading, a rise with {percent} % confidence")
}

/// Tasks that cannot be told apart: whether any of them ends cannot be seen.
fn by_count(kind: &TaskGroup<'_>, counts: &[u64]) -> Look {
    let (first, last) = (counts.first().copied().unwrap_or(0), counts.last().copied().unwrap_or(0));
    if !rises(kind, counts) {
        return Look::default();
    }
    let because = vec![
        rise(kind, first, last.saturating_sub(first)),
        "which of them end is unknown, because single tasks cannot be told apart".to_owned(),
    ];
    Look {
        growth: Some(Growth { sureness: Sureness::Suspect, sustained: false, because }),
        ..Look::default()
    }
}

/// Tasks that are found again from reading to reading.
fn followed(series: &Series, kind: &TaskGroup<'_>, counts: &[u64]) -> Look {
    let Some((track, ended)) = kind.track.zip(kind.ended()) else { return Look::default() };
    let (first, last) = (counts.first().copied().unwrap_or(0), counts.last().copied().unwrap_or(0));
    let more = last.saturating_sub(first);
    let flows = flows(series, track);
    let came: u64 = flows.iter().map(|flow| flow.came).sum();
    let few_end = ended as f64 <= came as f64 * ENDING;
    let shape = shape(counts, more);
    if shape == Shape::AtOnce && few_end {
        let more = number(more);
        return Look::doubt(format!("{more} came at once; whether more follow, the readings do not show"));
    }
    let chance = odds::balance(&flows);
    if chance > DOUBTFUL {
        return Look::calm("they come and go, and no more come than chance explains");
    }
    if !early_ones_stay(series, kind, came, more) {
        return Look::calm("there are more of them than at first, but those that came early have ended");
    }
    let stay = kind.stayed >= track.first;
    let span = series.span_ns().unwrap_or(0);
    if shape == Shape::Over {
        return Look::calm("they became more, and then no longer");
    }
    if !rises(kind, counts) || chance > SUSPICIOUS {
        return Look::doubt(format!(
            "{} came and {} ended in {}, which may be chance: watch longer",
            number(came),
            if ended == 0 { "none".to_owned() } else { number(ended) },
            time(span),
        ));
    }
    let mut because = vec![rise(kind, first, more)];
    because.push(match ended {
        0 => format!("{} came and none ended", number(came)),
        ended => format!("{} came, {} ended or went on", number(came), number(ended)),
    });
    let age = age(series);
    let young = age.is_some_and(|age| age < span.saturating_mul(YOUNG));
    let mut sureness = if stay && few_end && chance <= LIKELY { Sureness::Likely } else { Sureness::Suspect };
    if matches!(kind.waits, WaitClass::Sleep | WaitClass::Timer) && !somebody_woke(series, kind) {
        if young {
            let age = time(age.unwrap_or(0));
            return Look::doubt(format!(
                "each waits for time to pass, none has woken up yet, and the process is only {age} old: watch until \
                 they do"
            ));
        }
        because.push("each waits for time to pass, and none has woken up while watched".to_owned());
        sureness = Sureness::Suspect;
    } else if young && ended == 0 {
        let age = time(age.unwrap_or(0));
        because
            .push(format!("the process is only {age} old: tasks that live longer than that look the same"));
    }
    let sustained = lasts(age, span, more, last);
    if let Some(age) = age.filter(|_| sustained) {
        because.push(format!(
            "at this rate they have become more for as long as the process lives, {}",
            time(age)
        ));
    }
    // A pool that fills while others of its kind end is no leak.
    let growth = (stay || ended < came).then_some(Growth { sureness, sustained, because });
    Look { growth, ..Look::default() }
}

/// Who came and went between the readings that are kept.
fn flows(series: &Series, track: &Track) -> Vec<Flow> {
    let moments: Vec<u64> =
        series.points().iter().map(|point| point.elapsed_ns.unwrap_or(u64::from(point.number))).collect();
    let spans = moments.windows(2).filter_map(|pair| Some(pair.last()?.saturating_sub(*pair.first()?)));
    let steps = track
        .steps
        .iter()
        .skip(1)
        .map(|step| (step.born.saturating_add(step.arrived), step.gone.saturating_add(step.left)));
    steps.zip(spans).map(|((came, went), ns)| Flow { came, went, ns }).collect()
}

/// How long the process had lived at the last reading, nanoseconds.
fn age(series: &Series) -> Option<u64> {
    series.last().and_then(|snapshot| snapshot.header.target.age_ns)
}

/// Their number is what this rate makes in the whole life of the process, give or take a half, and that is
/// much longer than the watch.
fn lasts(age: Option<u64>, span: u64, more: u64, now: u64) -> bool {
    let Some(age) = age.filter(|&age| span > 0 && age >= span.saturating_mul(YOUNG)) else {
        return false;
    };
    let whole = more as f64 * age as f64 / span as f64;
    (0.5..=2.0).contains(&(now as f64 / whole))
}

/// Enough of those that came in the first half of the watch, or were there before, are still there to
/// explain the rise by some that stay for ever.
fn early_ones_stay(series: &Series, kind: &TaskGroup<'_>, came: u64, more: u64) -> bool {
    let Some(steps) = kind.track.map(|track| &track.steps) else { return true };
    let middle = steps.len() / 2;
    let early = (steps.iter().take(middle + 1).skip(1))
        .fold(steps.front().map_or(0, |step| step.count), |sum, step| {
            sum.saturating_add(step.born).saturating_add(step.arrived)
        });
    // Readings that are no longer kept came before.
    let Some(until) = series.points().get(middle).map(|point| point.number) else { return true };
    let all = series.members();
    let members = kind.members.iter().filter_map(|&nth| all.get(nth as usize));
    let entered = |m: &Member| if m.first_signature == m.signature { m.first_seen } else { m.here_since };
    let here = members.filter(|member| entered(member) <= until).count() as u64;
    let part = (more as f64 / came.max(1) as f64).min(1.0);
    // The last of them may be gone by a race, even if all of them stay.
    odds::at_most(here.saturating_add(1), early, part) >= GONE
}

/// Some of them have woken up and wait again at the same place.
fn somebody_woke(series: &Series, kind: &TaskGroup<'_>) -> bool {
    let all = series.members();
    let members = kind.members.iter().filter_map(|&nth| all.get(nth as usize));
    let (mut woke, mut seen_twice) = (0_u64, 0_u64);
    for member in members {
        let again = series.readings().saturating_sub(1) > member.here_since;
        seen_twice += u64::from(again);
        woke += u64::from(again && member.still_since > member.here_since);
    }
    // A mark that changed by something else than waking is rare, not impossible.
    woke * 10 >= seen_twice && woke > 0
}

/// Two or three readings do not show whether it goes on, but they show who came and that nobody went.
fn of_few(series: &Series, kind: &TaskGroup<'_>, more: u64, first: u64) -> Option<Growth> {
    let stay = kind.track.is_some_and(|track| kind.stayed >= track.first);
    let sleeps = matches!(kind.waits, WaitClass::Sleep | WaitClass::Timer);
    if more < MORE || !stay || kind.ended() != Some(0) || !series.matching().by_id() || sleeps {
        return None;
    }
    // As many came as make the rise, and none went.
    if odds::at_least(more, more, 0.5) > LIKELY {
        return None;
    }
    let (more, first) = (number(more), number(first));
    let because =
        vec![format!("{more} more than {first} in the first reading, and none ended while watched")];
    Some(Growth { sureness: Sureness::Suspect, sustained: false, because })
}

/// How a count rose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    /// Again and again.
    BitByBit,
    /// Most of it in one step, or in two.
    AtOnce,
    /// It did, and stays where it is: a pool has filled, something was started.
    Over,
}

fn shape(counts: &[u64], more: u64) -> Shape {
    let steps = || counts.windows(2).filter_map(|pair| pair.last()?.checked_sub(*pair.first()?));
    let rises = steps().filter(|&step| step > 0).count();
    let largest = steps().max().unwrap_or(0);
    let last = counts.last().copied().unwrap_or(0);
    // A pool that has filled does not rise any more.
    let over = counts.get(counts.len() * 2 / 3).is_some_and(|&count| count >= last);
    let flat = counts.iter().rev().take_while(|&&count| count >= last).count() > FLAT;
    if over || flat && (rises < 3 || largest as f64 > more as f64 * 0.6) {
        Shape::Over
    } else if rises < 3 || largest as f64 > more as f64 * 0.6 {
        Shape::AtOnce
    } else {
        Shape::BitByBit
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_jump_is_no_growth() {
        assert_eq!(shape(&[0, 0, 0, 400, 400, 400, 400], 400), Shape::Over);
        assert_eq!(shape(&[0, 0, 0, 0, 0, 0, 400], 400), Shape::AtOnce);
        assert_eq!(shape(&[1, 2, 2, 2, 2], 1), Shape::Over);
        assert_eq!(shape(&[0, 2, 4, 6, 8, 8, 8, 8, 8], 8), Shape::Over);
        assert_eq!(shape(&[0, 20, 40, 60, 80], 80), Shape::BitByBit);
    }

    #[test]
    fn a_rise_lasts_if_it_explains_the_number() {
        const SECOND: u64 = 1_000_000_000;
        let lasts = |age: u64, now| lasts(Some(age * SECOND), 30 * SECOND, 735, now);
        assert!(lasts(600, 14_664));
        assert!(!lasts(600, 1_000));
        // Who watches from the beginning sees nothing of what was before.
        assert!(!lasts(60, 1_470));
    }
}
