//! What happened to a signature, reading by reading. Only readings with changes take space.

use std::collections::VecDeque;

/// What happened to a signature in one reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Step {
    /// Tasks that have it.
    pub count: u64,
    /// How many of these were not in the process in the reading before.
    pub born: u64,
    /// Tasks that had it in the reading before and have ended.
    pub gone: u64,
    /// Tasks that had another signature in the reading before.
    pub arrived: u64,
    /// Tasks that had it in the reading before and now have another one.
    pub left: u64,
    /// How many of `count` were there in the very first reading.
    pub old: u64,
    /// How many of `gone` were there in the very first reading.
    pub old_gone: u64,
}

impl Step {
    const NOTHING: Step = Step { count: 0, born: 0, gone: 0, arrived: 0, left: 0, old: 0, old_gone: 0 };

    fn add(&mut self, other: &Step) {
        let Step { count, born, gone, arrived, left, old, old_gone } = other;
        for (sum, part) in [
            (&mut self.count, count),
            (&mut self.born, born),
            (&mut self.gone, gone),
            (&mut self.arrived, arrived),
            (&mut self.left, left),
            (&mut self.old, old),
            (&mut self.old_gone, old_gone),
        ] {
            *sum = sum.saturating_add(*part);
        }
    }
}

/// The steps of a signature, one for each kept reading, the oldest first. A reading in which the signature had
/// no tasks and lost none has an empty step.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Steps {
    /// Number of the first kept reading.
    first: u32,
    /// One past the number of the last one.
    end: u32,
    /// Readings in which something happened, with their numbers, ascending.
    some: VecDeque<(u32, Step)>,
}

impl Steps {
    /// How many readings are kept.
    pub fn len(&self) -> usize {
        self.end.saturating_sub(self.first) as usize
    }

    /// No reading is kept.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The oldest step.
    pub fn front(&self) -> Option<&Step> {
        self.iter().next()
    }

    /// The step of the last reading.
    pub fn back(&self) -> Option<&Step> {
        self.iter().next_back()
    }

    /// All of them, the oldest first.
    pub fn iter(&self) -> StepsIter<'_> {
        StepsIter { steps: self, at: self.first, end: self.end, front: 0, back: self.some.len() }
    }

    /// Takes out the step of reading `number`, to be changed and [put back](Steps::put). There is no later one.
    pub(super) fn take(&mut self, number: u32) -> Step {
        match self.some.back() {
            Some((last, _)) if *last == number => self.some.pop_back().unwrap_or_default().1,
            _ => Step::NOTHING,
        }
    }

    /// Puts it back.
    pub(super) fn put(&mut self, number: u32, step: Step) {
        self.some.push_back((number, step));
    }

    /// How many tasks there were in the last reading with a change.
    pub(super) fn last_count(&self) -> u64 {
        self.some.back().map_or(0, |(_, step)| step.count)
    }

    /// The readings from `first` to just before `end` are kept.
    pub(super) fn keep(&mut self, first: u32, end: u32) {
        (self.first, self.end) = (first, end);
        while self.some.front().is_some_and(|(number, _)| *number < first) {
            self.some.pop_front();
        }
    }

    /// Adds what happened to another signature.
    pub(super) fn add(&mut self, other: &Steps) {
        let mut sum = VecDeque::with_capacity(self.some.len() + other.some.len());
        let mut others = other.some.iter().peekable();
        for (number, mut step) in self.some.drain(..) {
            while let Some(&earlier) = others.next_if(|(other, _)| *other < number) {
                sum.push_back(earlier);
            }
            if let Some((_, same)) = others.next_if(|(other, _)| *other == number) {
                step.add(same);
            }
            sum.push_back((number, step));
        }
        sum.extend(others);
        self.some = sum;
    }
}

impl<'a> IntoIterator for &'a Steps {
    type Item = &'a Step;
    type IntoIter = StepsIter<'a>;

    fn into_iter(self) -> StepsIter<'a> {
        self.iter()
    }
}

/// Iterates over [`Steps`].
#[derive(Debug, Clone)]
pub struct StepsIter<'a> {
    steps: &'a Steps,
    /// The numbers of the remaining readings.
    at: u32,
    end: u32,
    /// The remaining steps, as indices.
    front: usize,
    back: usize,
}

impl<'a> Iterator for StepsIter<'a> {
    type Item = &'a Step;

    fn next(&mut self) -> Option<&'a Step> {
        if self.at >= self.end {
            return None;
        }
        let number = self.at;
        self.at += 1;
        match self.steps.some.get(self.front) {
            Some((some, step)) if *some == number && self.front < self.back => {
                self.front += 1;
                Some(step)
            }
            _ => Some(&Step::NOTHING),
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.end.saturating_sub(self.at) as usize;
        (left, Some(left))
    }
}

impl<'a> DoubleEndedIterator for StepsIter<'a> {
    fn next_back(&mut self) -> Option<&'a Step> {
        if self.at >= self.end {
            return None;
        }
        self.end -= 1;
        match self.back.checked_sub(1).and_then(|last| self.steps.some.get(last)) {
            Some((some, step)) if *some == self.end && self.front < self.back => {
                self.back -= 1;
                Some(step)
            }
            _ => Some(&Step::NOTHING),
        }
    }
}

impl ExactSizeIterator for StepsIter<'_> {}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    fn steps(readings: u32, some: &[(u32, u64)]) -> Steps {
        let mut steps = Steps::default();
        some.iter().for_each(|&(number, count)| steps.put(number, Step { count, ..Step::NOTHING }));
        steps.keep(0, readings);
        steps
    }

    fn counts<'a>(steps: impl Iterator<Item = &'a Step>) -> Vec<u64> {
        steps.map(|step| step.count).collect()
    }

    #[test]
    fn readings_without_tasks_are_there_too() {
        let mut steps = steps(6, &[(1, 5), (2, 6), (4, 7)]);
        assert_eq!(counts(steps.iter()), [0, 5, 6, 0, 7, 0]);
        assert_eq!(counts(steps.iter().rev()), [0, 7, 0, 6, 5, 0]);
        assert_eq!((steps.iter().len(), steps.some.len()), (6, 3));
        let mut both = steps.iter();
        assert_eq!((both.next_back().unwrap().count, both.next().unwrap().count), (0, 0));
        assert_eq!((both.next_back().unwrap().count, both.next().unwrap().count), (7, 5));
        assert_eq!((both.next_back().unwrap().count, both.next().unwrap().count), (0, 6));
        assert_eq!((both.next_back(), both.next()), (None, None));

        steps.keep(2, 6);
        assert_eq!(counts(steps.iter()), [6, 0, 7, 0]);
        assert_eq!((steps.front().unwrap().count, steps.back().unwrap().count), (6, 0));
        steps.keep(5, 7);
        assert_eq!((counts(steps.iter()), steps.some.len()), (vec![0, 0], 0));
        assert_eq!(Steps::default().back(), None);
    }

    #[test]
    fn sums_are_made_reading_by_reading() {
        let mut sum = steps(6, &[(1, 5), (4, 7)]);
        sum.add(&steps(6, &[(0, 1), (4, 2), (5, 3)]));
        assert_eq!(counts(sum.iter()), [1, 5, 0, 0, 9, 3]);
    }
}
