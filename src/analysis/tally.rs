//! Counts how often each value occurs.

/// How often each value occurs, the most frequent first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tally<T> {
    /// Value and count; equal counts in the order of the values.
    pub entries: Vec<(T, u64)>,
}

impl<T> Default for Tally<T> {
    fn default() -> Self {
        Tally { entries: Vec::new() }
    }
}

impl<T: Ord + Copy> Tally<T> {
    /// Counts values, each with its own count.
    pub fn of(values: impl IntoIterator<Item = (T, u64)>) -> Self {
        let mut counter = Counter::default();
        values.into_iter().for_each(|(value, times)| counter.add(value, times));
        counter.finish()
    }

    /// The most frequent value.
    pub fn most(&self) -> Option<T> {
        self.entries.first().map(|&(value, _)| value)
    }

    /// The value, if there is only one.
    pub fn only(&self) -> Option<T> {
        if let [(value, _)] = self.entries.as_slice() { Some(*value) } else { None }
    }
}

/// Runs are merged when there are this many, or twice as many as after the last time.
const MANY_RUNS: usize = 1024;

/// A [`Tally`] under construction. Runs of equal values, as within one group, are counted without sorting.
#[derive(Debug)]
pub(super) struct Counter<T> {
    runs: Vec<(T, u64)>,
    /// The runs are merged when there are this many.
    full: usize,
}

impl<T> Default for Counter<T> {
    fn default() -> Self {
        Counter { runs: Vec::new(), full: MANY_RUNS }
    }
}

impl<T: Ord + Copy> Counter<T> {
    /// Counts a value this many times.
    #[inline]
    pub(super) fn add(&mut self, value: T, times: u64) {
        match self.runs.last_mut() {
            Some((last, count)) if *last == value => *count = count.saturating_add(times),
            _ => self.begin_run(value, times),
        }
    }

    fn begin_run(&mut self, value: T, times: u64) {
        if self.runs.len() >= self.full {
            self.merge();
            self.full = MANY_RUNS.max(self.runs.len() * 2);
        }
        self.runs.push((value, times));
    }

    /// Merges runs of equal values.
    fn merge(&mut self) {
        self.runs.sort_unstable();
        self.runs.dedup_by(|next, kept| {
            let same = next.0 == kept.0;
            kept.1 = kept.1.saturating_add(if same { next.1 } else { 0 });
            same
        });
    }

    pub(super) fn finish(mut self) -> Tally<T> {
        self.merge();
        self.runs.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(&b.0)));
        Tally { entries: self.runs }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_runs_are_counted_like_few() {
        let values = (0..100_000_u64).map(|n| (n % 1_500, 2));
        let tally = Tally::of(values);
        assert_eq!(tally.entries.len(), 1_500);
        let times = |value: u64| 2 * (100_000 / 1_500 + u64::from(value < 100_000 % 1_500));
        assert!(tally.entries.iter().all(|&(value, count)| count == times(value)));
    }

    #[test]
    fn counts_and_orders() {
        let tally = Tally::of([(3, 1), (3, 1), (1, 1), (2, 2), (3, 1), (1, 1)]);
        assert_eq!(tally.entries, [(3, 3), (1, 2), (2, 2)]);
        assert_eq!(tally.most(), Some(3));
        assert_eq!(tally.only(), None);
        assert_eq!(Tally::of([(7, 1), (7, u64::MAX)]).only(), Some(7));
        assert_eq!(Tally::<u8>::of([]).most(), None);
    }
}
