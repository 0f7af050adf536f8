//! How the number of tasks of one subject went on, period by period.

use std::collections::VecDeque;

use super::{GOOD, WINDOW};

/// A row of periods above a limit, and what followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Excursion {
    /// Periods in a row above the limit, until it trips.
    pub above: u32,
    /// Periods in a row within the limit, since it tripped.
    pub within: u32,
    /// It has tripped and not recovered.
    pub tripped: bool,
}

/// How an excursion begins and ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    Tripped,
    Recovered,
}

impl Excursion {
    /// A period has ended, above the limit or within it. It trips after `needed` periods above.
    pub(super) fn step(&mut self, above: bool, needed: u32) -> Option<Turn> {
        match (self.tripped, above) {
            (false, true) => {
                self.above = self.above.saturating_add(1);
                (self.above >= needed.max(1)).then(|| self.trip())
            }
            (false, false) => {
                self.above = 0;
                None
            }
            (true, true) => {
                self.within = 0;
                None
            }
            (true, false) => {
                self.within = self.within.saturating_add(1);
                let over = self.within >= GOOD;
                over.then(|| {
                    *self = Excursion::default();
                    Turn::Recovered
                })
            }
        }
    }

    /// It trips, however many periods were above the limit.
    pub(super) fn trip(&mut self) -> Turn {
        *self = Excursion { tripped: true, ..Excursion::default() };
        Turn::Tripped
    }

    /// Rows begin anew.
    pub(super) fn forget_rows(&mut self) {
        (self.above, self.within) = (0, 0);
    }

    fn is_idle(&self) -> bool {
        *self == Excursion::default()
    }
}

/// How the number of tasks of one subject went on.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Course {
    /// The last periods that were judged: number and median count. At most [`WINDOW`].
    pub medians: VecDeque<(u64, u64)>,
    /// More tasks than allowed.
    pub tasks: Excursion,
    /// Growth.
    pub growth: Excursion,
    /// More tasks than learned.
    pub learned: Excursion,
}

impl Course {
    /// Adds the median of a period.
    pub(super) fn add(&mut self, number: u64, median: u64) {
        self.medians.retain(|&(old, _)| old < number && number - old < WINDOW);
        self.medians.push_back((number, median));
    }

    /// The process is another one, or too much time passed.
    pub(super) fn forget_rows(&mut self) {
        for excursion in [&mut self.tasks, &mut self.growth, &mut self.learned] {
            excursion.forget_rows();
        }
    }

    /// The medians of the last periods, at most this many.
    pub(super) fn last(&self, periods: u32) -> Vec<u64> {
        let skip = self.medians.len().saturating_sub(periods as usize);
        self.medians.iter().skip(skip).map(|&(_, median)| median).collect()
    }

    /// Whether something has tripped and not recovered.
    pub fn is_tripped(&self) -> bool {
        [self.tasks, self.growth, self.learned].iter().any(|excursion| excursion.tripped)
    }

    /// Nothing of it matters any more.
    pub(super) fn is_over(&self) -> bool {
        self.medians.iter().all(|&(_, median)| median == 0)
            && [self.tasks, self.growth, self.learned].iter().all(Excursion::is_idle)
    }
}
