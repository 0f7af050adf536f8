//! Values of the target that are read again and again, and when they are known to have held.

/// The latest value, and the one before it.
///
/// A value that two readings in a row found is taken to have held in between. Nothing is known of the time between
/// two readings that found different values.
#[derive(Debug, Clone, Copy)]
pub(super) struct Runs<T> {
    now: Run<T>,
    before: Option<Run<T>>,
}

/// A value, and from when to when it is known to have held. One reading alone proves no time: `first` is then after
/// `last`.
#[derive(Debug, Clone, Copy)]
struct Run<T> {
    value: T,
    first: u64,
    last: u64,
}

impl<T: Copy + PartialEq> Runs<T> {
    /// The first reading, which took place between two times.
    pub(super) fn new(value: T, begin: u64, end: u64) -> Self {
        Runs { now: Run { value, first: end, last: begin }, before: None }
    }

    /// A later reading.
    pub(super) fn note(&mut self, value: T, begin: u64, end: u64) {
        self.note_if(true, value, begin, end);
    }

    /// A later reading of a value that may have changed and changed back since the one before, unless it is `steady`.
    pub(super) fn note_if(&mut self, steady: bool, value: T, begin: u64, end: u64) {
        if steady && self.now.value == value {
            self.now.last = self.now.last.max(begin);
        } else {
            *self = Runs { before: Some(self.now), ..Runs::new(value, begin, end) };
        }
    }

    /// The value at a time, if it is proven.
    pub(super) fn at(&self, time: u64) -> Option<T> {
        let holds = |run: &Run<T>| run.first <= time && time <= run.last;
        Some(self.now).into_iter().chain(self.before).find(holds).map(|run| run.value)
    }

    /// What was read last.
    pub(super) fn latest(&self) -> T {
        self.now.value
    }

    /// The values that were read, the latest first.
    pub(super) fn values(&self) -> impl Iterator<Item = T> {
        Some(self.now).into_iter().chain(self.before).map(|run| run.value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_holds_between_readings_that_agree() {
        let mut runs = Runs::new('a', 10, 12);
        assert_eq!(runs.at(11), None, "one reading proves nothing");
        runs.note('a', 20, 22);
        assert_eq!((runs.at(11), runs.at(12), runs.at(20), runs.at(21)), (None, Some('a'), Some('a'), None));
        runs.note('b', 30, 32);
        assert_eq!((runs.at(15), runs.at(25), runs.at(31)), (Some('a'), None, None));
        runs.note('b', 40, 42);
        assert_eq!((runs.at(15), runs.at(25), runs.at(35)), (Some('a'), None, Some('b')));
        runs.note('c', 50, 52);
        assert_eq!((runs.at(15), runs.at(35), runs.latest()), (None, Some('b'), 'c'));
        assert_eq!(runs.values().collect::<String>(), "cb");
        runs.note_if(false, 'c', 60, 62);
        runs.note('c', 70, 72);
        assert_eq!((runs.at(55), runs.at(65)), (None, Some('c')), "it may have been another in between");
    }
}
