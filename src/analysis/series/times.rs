//! When readings were made.

use rustc_hash::FxHashSet;

/// This many times are kept before unneeded ones are dropped.
const MANY: usize = 4_096;

/// When each reading was made, nanoseconds since the first one. Times that are no longer needed can be dropped;
/// the number of readings stays known.
#[derive(Debug, Default)]
pub(super) struct Times {
    /// Numbers and times, ascending by number.
    kept: Vec<(u32, Option<u64>)>,
    readings: u32,
    /// How many were needed the last time.
    needed: usize,
}

impl Times {
    /// Adds the time of the next reading.
    pub(super) fn push(&mut self, elapsed: Option<u64>) {
        self.kept.push((self.readings, elapsed));
        self.readings += 1;
    }

    /// How many readings there were.
    pub(super) fn readings(&self) -> u32 {
        self.readings
    }

    /// The time of a reading. None if it is unknown or was dropped.
    pub(super) fn get(&self, number: u32) -> Option<u64> {
        match self.kept.get(number as usize) {
            // Nothing before it was dropped.
            Some(&(same, time)) if same == number => time,
            _ => {
                let at = self.kept.binary_search_by_key(&number, |(number, _)| *number).ok()?;
                self.kept.get(at)?.1
            }
        }
    }

    /// The time of the last reading.
    pub(super) fn last(&self) -> Option<u64> {
        self.kept.last()?.1
    }

    /// The time from reading `number` to the last one, nanoseconds.
    pub(super) fn since(&self, number: u32) -> Option<u64> {
        self.last()?.checked_sub(self.get(number)?)
    }

    /// There are so many times that dropping some is worth the work.
    pub(super) fn are_many(&self) -> bool {
        self.kept.len() > self.needed * 2 + MANY
    }

    /// Drops all times except those of these readings, of the first one, and from `from` on.
    pub(super) fn retain(&mut self, needed: &FxHashSet<u32>, from: u32) {
        self.kept.retain(|&(number, _)| number == 0 || number >= from || needed.contains(&number));
        self.needed = self.kept.len();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_that_are_needed_stay() {
        let mut times = Times::default();
        (0..10_000).for_each(|number| times.push(Some(number * 10)));
        assert!(times.are_many());
        times.retain(&[7, 4_000].into_iter().collect(), 9_998);
        let kept = [0, 7, 4_000, 9_998, 9_999].map(|number| times.get(number));
        assert_eq!(kept, [Some(0), Some(70), Some(40_000), Some(99_980), Some(99_990)]);
        assert_eq!([1, 8, 9_997, 10_000].map(|number| times.get(number)), [None; 4]);
        assert_eq!((times.readings(), times.last(), times.are_many()), (10_000, Some(99_990), false));
        times.push(None);
        assert_eq!((times.get(10_000), times.last(), times.readings()), (None, None, 10_001));
    }
}
