//! Does a group of tasks grow, as leaks do?
//!
//! Its counts must pass four tests. Each test rules out another thing that healthy programs do:
//!
//! - *Does the count rise step by step?* The test of Mann and Kendall at 5 %, a slope that is larger than its
//!   uncertainty, and no single jump. Fewer than four readings cannot pass it.
//! - *Do more come than go?* The count of long-lived tasks wanders without a trend, and then passes the first test
//!   far more often than at 5 %. If as many come as go, each change is an arrival with probability one half. That
//!   is the sign test, relaxed by how much the tasks come in batches (`odds::balance`): 1 % for a likely leak, 6 %
//!   for a suspect.
//! - *Do the tasks that make it rise stay?* If the rise is a leak, at least the share `rise / came` of the arrivals
//!   stays forever, so at least this share of the early ones must still be there. If fewer are, at 1 % by the
//!   binomial distribution, then all of them end in time: the load rises, or a pool of tasks with a limited life
//!   fills.
//! - *Has a task completed its wait?* A sleep or a timer ends by itself. Until a sleeper has been seen to wake
//!   up, it means nothing that none has ended.

use super::evidence::{self, Doubt, Evidence, Steady};
use super::finding::Sureness;
use super::task_group::{Growth, TaskGroup};
use crate::analysis::odds::{self, Flow};
use crate::analysis::series::{Member, Series, Track};
use crate::snapshot::WaitClass;

/// Fewer readings than this do not show whether a rise continues.
pub(super) const READINGS: usize = 4;
/// The confidence that a rise needs.
const CONFIDENT: f64 = 0.95;
/// At least this many tasks must have been added.
const MORE: u64 = 3;
/// If none ever ends, at most this part of the arrivals may seem to have ended (by a race at the end of a
/// reading).
const ENDING: f64 = 0.1;
/// How often chance may produce a balance as uneven as that of a likely leak.
const LIKELY: f64 = 0.01;
/// The same for a suspicion. Four arrivals without a departure just miss it.
const SUSPICIOUS: f64 = 0.06;
/// The same for what is reported as undecided.
const DOUBTFUL: f64 = 0.13;
/// The same for early tasks, if too few have stayed.
const GONE: f64 = 0.01;
/// After a jump, a count must stay the same for this many readings before the jump is over.
const FLAT: usize = 3;
/// A process that was watched for more than one part in this many of its life is young: the watch covers a
/// large part of its history.
const YOUNG: u64 = 3;

/// What the counts of a kind say.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Look {
    /// They grow as leaks do.
    pub growth: Option<Growth>,
    /// Why it is undecided, if it is.
    pub doubt: Option<Doubt>,
    /// There are more of them than in the first reading, and why that is fine.
    pub calm: Option<Steady>,
}

impl Look {
    fn doubt(doubt: Doubt) -> Self {
        Look { doubt: Some(doubt), ..Look::default() }
    }

    fn calm(steady: Steady) -> Self {
        Look { calm: Some(steady), ..Look::default() }
    }
}

/// Looks at how the number of a group changes over the series.
pub(super) fn assess(series: &Series, kind: &TaskGroup<'_>) -> Look {
    let by_id = series.matching().by_id();
    let Some(track) = kind.track.filter(|_| series.readings() > 1) else {
        return Look::doubt(if series.readings() > 1 { Doubt::NotCountedApart } else { Doubt::OneReading });
    };
    let counts: Vec<u64> = track.steps.iter().map(|step| step.count).collect();
    let (Some(&first), Some(&last)) = (counts.first(), counts.last()) else { return Look::default() };
    let more = last.saturating_sub(first);
    if counts.len() < READINGS {
        let growth = of_few(series, kind, first, last);
        return Look { doubt: growth.is_none().then_some(Doubt::FewReadings), growth, calm: None };
    }
    if kind.trend.is_none() {
        return Look::doubt(Doubt::TimesUnknown);
    }
    if more < MORE {
        return Look::default();
    }
    if by_id { followed(series, kind, &counts) } else { by_count(kind, &counts) }
}

/// It certainly rises over the series, step by step.
fn rises(kind: &TaskGroup<'_>, counts: &[u64]) -> bool {
    let more = counts.last().zip(counts.first()).map_or(0, |(last, first)| last.saturating_sub(*first));
    let certain = |trend: crate::analysis::trend::Trend| {
        trend.rising >= CONFIDENT && trend.plus_minus.is_some_and(|pm| trend.per_minute > pm)
    };
    kind.trend.is_some_and(certain) && shape(counts, more) == Shape::BitByBit
}

fn rise(kind: &TaskGroup<'_>, first: u64, now: u64) -> Evidence {
    Evidence::Rise { first, now, confidence: kind.trend.map(|trend| trend.rising) }
}

/// How many came and went: created, arrived, ended, left.
fn flow(track: &Track) -> evidence::Flow {
    let steps = || track.steps.iter().skip(1);
    evidence::Flow {
        created: steps().map(|step| step.born).sum(),
        arrived: steps().map(|step| step.arrived).sum(),
        ended: track.gone,
        left: track.steps.iter().map(|step| step.left).sum(),
    }
}

/// Tasks without an identity: it is not visible whether any of them ends.
fn by_count(kind: &TaskGroup<'_>, counts: &[u64]) -> Look {
    let (first, last) = (counts.first().copied().unwrap_or(0), counts.last().copied().unwrap_or(0));
    if !rises(kind, counts) {
        return Look::default();
    }
    let because = vec![rise(kind, first, last), Evidence::EndsUnknown];
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
        return Look::doubt(Doubt::CameAtOnce { tasks: more });
    }
    let chance = odds::balance(&flows);
    if chance > DOUBTFUL {
        return Look::calm(Steady::Balanced);
    }
    if !early_ones_stay(series, kind, came, more) {
        return Look::calm(Steady::EarlyOnesEnded);
    }
    let stay = kind.stayed >= track.first;
    let span = series.span_ns().unwrap_or(0);
    if shape == Shape::Over {
        return Look::calm(Steady::StoppedGrowing);
    }
    if !rises(kind, counts) || chance > SUSPICIOUS {
        return Look::doubt(Doubt::PerhapsChance { flow: flow(track), watched_ns: span });
    }
    let mut because = vec![rise(kind, first, last), Evidence::Flow(flow(track))];
    let age = age(series);
    let young = age.is_some_and(|age| age < span.saturating_mul(YOUNG));
    let mut sureness = if stay && few_end && chance <= LIKELY { Sureness::Likely } else { Sureness::Suspect };
    if matches!(kind.waits, WaitClass::Sleep | WaitClass::Timer) && !somebody_woke(series, kind) {
        if young {
            return Look::doubt(Doubt::NoneWoke { process_age_ns: age.unwrap_or(0) });
        }
        because.push(Evidence::NoneWoke);
        sureness = Sureness::Suspect;
    } else if young && ended == 0 {
        because.push(Evidence::YoungProcess { process_age_ns: age.unwrap_or(0) });
    }
    let sustained = lasts(age, span, more, last);
    because.extend(age.filter(|_| sustained).map(|age| Evidence::LifelongRise { process_age_ns: age }));
    // A pool that fills while others of its kind end is no leak.
    let growth = (stay || ended < came).then_some(Growth { sureness, sustained, because });
    Look { growth, ..Look::default() }
}

/// How many came and went between the readings that are kept.
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

/// Whether this rate over the whole life of the process gives their number, give or take a half, and that life
/// is much longer than the watch.
fn lasts(age: Option<u64>, span: u64, more: u64, now: u64) -> bool {
    let Some(age) = age.filter(|&age| span > 0 && age >= span.saturating_mul(YOUNG)) else {
        return false;
    };
    let whole = more as f64 * age as f64 / span as f64;
    (0.5..=2.0).contains(&(now as f64 / whole))
}

/// Enough early tasks (there at first, or arrived in the first half of the watch) remain to explain the rise by
/// tasks that stay forever.
fn early_ones_stay(series: &Series, kind: &TaskGroup<'_>, came: u64, more: u64) -> bool {
    let Some(steps) = kind.track.map(|track| &track.steps) else { return true };
    let middle = steps.len() / 2;
    let early = (steps.iter().take(middle + 1).skip(1))
        .fold(steps.front().map_or(0, |step| step.count), |sum, step| {
            sum.saturating_add(step.born).saturating_add(step.arrived)
        });
    // Some readings before it may no longer be kept.
    let Some(until) = series.points().get(middle).map(|point| point.number) else { return true };
    let all = series.members();
    let members = kind.members.iter().filter_map(|&nth| all.get(nth as usize));
    let entered = |m: &Member| if m.first_signature == m.signature { m.first_seen } else { m.here_since };
    let here = members.filter(|member| entered(member) <= until).count() as u64;
    let part = (more as f64 / came.max(1) as f64).min(1.0);
    // The last of them may be gone because of a race, even if all of them stay.
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
    // In rare cases something other than waking changes a mark.
    woke * 10 >= seen_twice && woke > 0
}

/// Two or three readings do not show whether growth continues, but they show which tasks came and that none left.
fn of_few(series: &Series, kind: &TaskGroup<'_>, first: u64, now: u64) -> Option<Growth> {
    let more = now.saturating_sub(first);
    let stay = kind.track.is_some_and(|track| kind.stayed >= track.first);
    let sleeps = matches!(kind.waits, WaitClass::Sleep | WaitClass::Timer);
    if more < MORE || !stay || kind.ended() != Some(0) || !series.matching().by_id() || sleeps {
        return None;
    }
    // The arrivals equal the rise, and none went.
    if odds::at_least(more, more, 0.5) > LIKELY {
        return None;
    }
    let mut because = vec![Evidence::Rise { first, now, confidence: None }];
    because.extend(kind.track.map(|track| Evidence::Flow(flow(track))));
    Some(Growth { sureness: Sureness::Suspect, sustained: false, because })
}

/// How a count rose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    /// Again and again.
    BitByBit,
    /// Most of it in one step, or in two.
    AtOnce,
    /// It rose, and stays where it is: a pool has filled, something was started.
    Over,
}

fn shape(counts: &[u64], more: u64) -> Shape {
    let steps = || counts.windows(2).filter_map(|pair| pair.last()?.checked_sub(*pair.first()?));
    let rises = steps().filter(|&step| step > 0).count();
    let largest = steps().max().unwrap_or(0);
    let last = counts.last().copied().unwrap_or(0);
    // A pool that has filled no longer rises.
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
        // A watch from the beginning has nothing before it.
        assert!(!lasts(60, 1_470));
    }
}
