//! Does a kind of task become more, as leaks do?

use super::finding::Sureness;
use super::scene::Kind;
use crate::analysis::series::Series;

/// Fewer readings than this do not show whether a rise goes on.
const READINGS: usize = 4;
/// The confidence that a rise needs.
const CONFIDENT: f64 = 0.95;
/// The tasks that must have been added.
const MORE: u64 = 3;
/// Of those that came, this part at most may have ended where none ever ends (a race at the end of a
/// reading is no end).
const ENDING: f64 = 0.1;

/// They become more, as leaks do.
#[derive(Debug, Clone, PartialEq)]
pub struct Growth {
    /// What that alone says.
    pub sureness: Sureness,
    /// What was seen, a clause each.
    pub because: Vec<String>,
}

/// Growth of a kind, if its count rises over the series, bit by bit and for certain, and faster than its
/// tasks end.
pub(super) fn of(series: &Series, kind: &Kind<'_>) -> Option<Growth> {
    let (track, trend) = (kind.track?, kind.trend?);
    let counts: Vec<u64> = track.steps.iter().map(|step| step.count).collect();
    let (&first, &last) = (counts.first()?, counts.last()?);
    let more = last.checked_sub(first).filter(|&more| more >= MORE)?;
    let sure = trend.per_minute - trend.plus_minus? > 0.0;
    if counts.len() < READINGS {
        return of_few(series, kind, more, first, sure);
    }
    if trend.rising < CONFIDENT || !sure || jumps(&counts, more) {
        return None;
    }
    let percent = (trend.rising * 100.0).floor().min(99.0);
    let mut because =
        vec![format!("{more} more than {first} in the first reading, a rise with {percent} % confidence")];
    if !series.matching().by_id() {
        // Whether any of them ends cannot be seen.
        because.push("which of them end is unknown, because single tasks cannot be told apart".to_owned());
        return Some(Growth { sureness: Sureness::Suspect, because });
    }
    let ended = kind.ended()?;
    let came: u64 = track.steps.iter().map(|step| step.born.saturating_add(step.arrived)).sum();
    let stay = kind.stayed >= track.first;
    let few_end = ended as f64 <= came as f64 * ENDING;
    because.push(match ended {
        0 => format!("{came} came and none ended"),
        ended => format!("{came} came, {ended} ended or went on"),
    });
    let sureness = if stay && few_end { Sureness::Likely } else { Sureness::Suspect };
    // A pool that fills while others of its kind end is no leak.
    (stay || ended < came).then_some(Growth { sureness, because })
}

/// Two or three readings do not show whether it goes on, but they show who came and that nobody went.
fn of_few(series: &Series, kind: &Kind<'_>, more: u64, first: u64, sure: bool) -> Option<Growth> {
    let stay = kind.track.is_some_and(|track| kind.stayed >= track.first);
    if !sure || !stay || kind.ended() != Some(0) || !series.matching().by_id() {
        return None;
    }
    let because = vec![format!("{more} more than {first} in the first reading, and none ended")];
    Some(Growth { sureness: Sureness::Suspect, because })
}

/// Most of the growth happened at once, or it is over: something was started, nothing leaks bit by bit.
fn jumps(counts: &[u64], more: u64) -> bool {
    let steps = || counts.windows(2).filter_map(|pair| pair.last()?.checked_sub(*pair.first()?));
    let rises = steps().filter(|&step| step > 0).count();
    let largest = steps().max().unwrap_or(0);
    // A pool that has filled does not rise any more.
    let over = counts.get(counts.len() * 2 / 3) >= counts.last();
    rises < 3 || over || largest as f64 > more as f64 * 0.6
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_jump_is_no_growth() {
        assert!(jumps(&[0, 0, 0, 400, 400, 400], 400));
        assert!(jumps(&[1, 2, 2, 2, 2], 1));
        assert!(jumps(&[0, 2, 4, 6, 8, 8, 8, 8, 8], 8));
        assert!(!jumps(&[0, 20, 40, 60, 80], 80));
    }
}
