//! Limits on the number of tasks of a process that runs, and what trips them.
//!
//! A [`Watch`] takes one [`Sample`] of each reading and cuts time into periods of equal length. At the end of each
//! period it compares the counts with its [`Rules`]: a fixed number of tasks, a growth per minute, and a
//! [`Baseline`] that a [`Learner`] made of an earlier hour. It does so for all tasks and for each group: tasks with
//! the same start function and the same creator, which a task keeps as long as it lives.
//!
//! - *More tasks than allowed* ([`Rules::max_tasks`]) trips at the first reading.
//! - *Growth* ([`Rules::max_growth`]) trips when the growth over the last [`WINDOW`] periods is certainly faster.
//! - *More than learned* ([`Rules::over_percent`]) trips when the median of several periods in a row is above the
//!   threshold.
//!
//! Each trips once and then recovers: after [`GOOD`] periods in a row within the limit. Until then it does not trip
//! again. A period that was not read, or too rarely, is missed: it neither adds to a row of periods nor ends it, but
//! [`FORGET`] of them in a row begin all rows anew.
//!
//! A watch depends on nothing but its rules, its baseline, its [`Memory`] and the samples. So a watch that is
//! interrupted continues from its memory as if it had not been.

mod baseline;
mod course;
mod growth;
mod learn;
mod memory;
mod period;
mod rules;
mod sample;
mod watch;

pub use baseline::{Baseline, Learned};
pub use course::{Course, Excursion};
pub use growth::{Growth, growth};
pub use learn::{Learner, TooFew};
pub use memory::Memory;
pub use period::Period;
pub use rules::Rules;
pub use sample::{Sample, Sampler, Subject};
pub use watch::{Event, Judged, Limit, Trip, Watch};

/// This many periods in a row within a limit end an excursion.
pub const GOOD: u32 = 5;
/// After this many missed periods in a row, rows of periods begin anew.
pub const FORGET: u64 = 3;
/// Growth is measured over this many periods.
pub const WINDOW: u64 = 10;
/// It takes the counts of this many periods to say how fast they grow.
pub const ENOUGH: usize = 4;
/// This many groups of a reading are followed, the largest.
pub const GROUPS: usize = 256;
/// At most this many readings of a period are kept.
pub const PERIOD_READINGS: usize = 240;
/// This many groups are learned, those with the highest P95.
pub const LEARNED: usize = 64;
/// It takes this many readings to learn: with fewer, the highest one alone would be the P95.
pub const READINGS: usize = 20;

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]
mod tests;
