//! What a watch must remember to continue.

use std::collections::BTreeMap;

use super::{Course, GROUPS, Period, Subject};

/// At most this many subjects are remembered.
const COURSES: usize = 2 * GROUPS;

/// Everything that a watch remembers from reading to reading. The default is that of one that has not begun.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Memory {
    /// When period `first` began, nanoseconds since the Unix epoch. None: no reading yet.
    pub start_ns: Option<u64>,
    /// The number of the period that began then.
    pub first: u64,
    /// The length of a period, nanoseconds, in which it was counted so far.
    pub period_ns: u64,
    /// Periods that were missed in a row.
    pub missed: u64,
    /// The period that has not ended.
    pub period: Option<Period>,
    /// What is known of each subject.
    pub courses: BTreeMap<Subject, Course>,
}

impl Memory {
    /// Whether something has tripped and not recovered.
    pub fn is_tripped(&self) -> bool {
        self.courses.values().any(Course::is_tripped)
    }

    /// Rows of periods begin anew.
    pub(super) fn forget_rows(&mut self) {
        self.courses.values_mut().for_each(Course::forget_rows);
    }

    /// Counts of another process, or of periods of another length, follow.
    pub(super) fn forget_counts(&mut self) {
        self.forget_rows();
        self.courses.values_mut().for_each(|course| course.medians.clear());
        if let Some(period) = &mut self.period {
            *period = Period { number: period.number, ..Period::default() };
        }
    }

    /// Drops subjects that do not matter any more; if there are too many, also the smallest ones.
    pub(super) fn tidy(&mut self) {
        self.courses.retain(|subject, course| *subject == Subject::All || !course.is_over());
        let excess = self.courses.len().saturating_sub(COURSES);
        if excess == 0 {
            return;
        }
        let size = |course: &Course| course.medians.iter().map(|&(_, median)| median).max().unwrap_or(0);
        let mut smallest: Vec<(bool, u64, Subject)> = (self.courses.iter())
            .filter(|(subject, _)| **subject != Subject::All)
            .map(|(subject, course)| (course.is_tripped(), size(course), subject.clone()))
            .collect();
        smallest.sort();
        for (_, _, subject) in smallest.into_iter().take(excess) {
            self.courses.remove(&subject);
        }
    }
}
