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
    /// Counts values, each with its own count. Runs of equal values, as within one group, are counted without
    /// sorting.
    pub fn of(values: impl IntoIterator<Item = (T, u64)>) -> Self {
        let mut runs: Vec<(T, u64)> = Vec::new();
        for (value, times) in values {
            match runs.last_mut() {
                Some((last, count)) if *last == value => *count = count.saturating_add(times),
                _ => runs.push((value, times)),
            }
        }
        runs.sort_unstable();
        runs.dedup_by(|next, kept| {
            let same = next.0 == kept.0;
            kept.1 = kept.1.saturating_add(if same { next.1 } else { 0 });
            same
        });
        runs.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(&b.0)));
        Tally { entries: runs }
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

#[cfg(test)]
mod tests {
    use super::*;

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
