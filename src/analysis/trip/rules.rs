//! What is allowed.

/// What a watch allows, and how it cuts time. Limits that are not set allow everything.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rules {
    /// The length of a period, nanoseconds. At least 1.
    pub period_ns: u64,
    /// The time between two readings, nanoseconds. At least 1.
    pub every_ns: u64,
    /// This many tasks are allowed.
    pub max_tasks: Option<u64>,
    /// Tasks may grow by this many per minute: all of them, and each group.
    pub max_growth: Option<f64>,
    /// The number of tasks may be above the P95 of the learned counts by this many percent.
    pub over_percent: u32,
    /// It must be above the threshold for this many periods in a row. At least 1.
    pub periods: u32,
}

impl Rules {
    /// How many readings a period has if none is missed.
    pub fn expected(&self) -> u64 {
        (self.period_ns / self.every_ns.max(1)).max(1)
    }

    /// The number of the period of a moment, counted from a start; and none if that is before the start.
    pub(super) fn period_of(&self, start_ns: u64, at_ns: u64) -> Option<u64> {
        Some(at_ns.checked_sub(start_ns)? / self.period_ns.max(1))
    }
}
