//! Adds samples up by task, over a window that moves on and since the beginning.

use std::collections::VecDeque;

use rustc_hash::FxHashMap;

use crate::sampler::usage::CpuTime;

/// A slice of the window, nanoseconds.
const SLICE_NS: u64 = 250_000_000;
/// Slices of the window: 10 s, and the one that is not over.
const SLICES: u64 = 41;
/// Tasks whose time since the beginning is kept. If there are more, that begins anew.
const MAX_TOTALS: usize = 1 << 16;

/// What identifies a task: the runtime's number, and its id. [`SampledTask`](crate::recording::SampledTask) has more
/// words for it.
pub(super) type TaskId = (u8, u64);

/// Whose the time of a sample is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Whose {
    Task(TaskId),
    /// A task that collects garbage.
    Collector(TaskId),
    Scheduler,
    /// A thread that runs no task.
    Native,
    Unknown,
}

/// CPU time that was used up to a moment.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Used {
    /// By the process. None: it cannot be read any more.
    pub(super) process: Option<CpuTime>,
    /// By the thread that samples, nanoseconds.
    pub(super) own_ns: u64,
}

#[derive(Debug)]
struct Slice {
    /// Its time, in slices.
    number: u64,
    begin_ns: u64,
    /// What was used until it began.
    used: Used,
    times: FxHashMap<Whose, u64>,
}

/// Samples by task. It holds no more than the samples of the window, and [`MAX_TOTALS`] sums.
#[derive(Debug)]
pub(super) struct Tally {
    slices: VecDeque<Slice>,
    totals: FxHashMap<Whose, u64>,
    /// When the totals began, CLOCK_MONOTONIC.
    totals_from_ns: u64,
}

/// The sums of a window that ends now.
#[derive(Debug, Default)]
pub(super) struct Sums {
    pub(super) window_ns: u64,
    pub(super) total_ns: u64,
    /// CPU time that was used before the window.
    pub(super) before: Used,
    /// In the window, and in total; nanoseconds.
    pub(super) times: FxHashMap<Whose, [u64; 2]>,
}

impl Tally {
    /// `begin_ns`: when the events were enabled, CLOCK_MONOTONIC.
    pub(super) fn new(begin_ns: u64, used: Used) -> Tally {
        let mut tally =
            Tally { slices: VecDeque::new(), totals: FxHashMap::default(), totals_from_ns: begin_ns };
        tally.go_on(begin_ns, || used);
        tally
    }

    /// Time passes: begins a slice if one is due, and forgets those that have left the window.
    pub(super) fn go_on(&mut self, now_ns: u64, used: impl FnOnce() -> Used) {
        let number = now_ns / SLICE_NS;
        if self.slices.back().is_none_or(|last| last.number < number) {
            self.slices.push_back(Slice {
                number,
                begin_ns: now_ns,
                used: used(),
                times: FxHashMap::default(),
            });
        }
        while self.slices.front().is_some_and(|first| first.number + SLICES <= number) {
            self.slices.pop_front();
        }
    }

    /// Adds a sample.
    pub(super) fn add(&mut self, at_ns: u64, whose: Whose, weight_ns: u64) {
        let number = at_ns / SLICE_NS;
        let at = self.slices.partition_point(|slice| slice.number <= number).checked_sub(1);
        if let Some(slice) = at.and_then(|at| self.slices.get_mut(at)) {
            *slice.times.entry(whose).or_default() += weight_ns;
        }
        if self.totals.len() >= MAX_TOTALS && !self.totals.contains_key(&whose) {
            self.totals.clear();
            self.totals_from_ns = at_ns;
        }
        *self.totals.entry(whose).or_default() += weight_ns;
    }

    /// The sums up to now.
    pub(super) fn sums(&self, now_ns: u64) -> Sums {
        let Some(first) = self.slices.front() else { return Sums::default() };
        let mut times: FxHashMap<Whose, [u64; 2]> =
            self.totals.iter().map(|(&whose, &ns)| (whose, [0, ns])).collect();
        for (&whose, &ns) in self.slices.iter().flat_map(|slice| &slice.times) {
            times.entry(whose).or_default()[0] += ns;
        }
        Sums {
            window_ns: now_ns.saturating_sub(first.begin_ns),
            total_ns: now_ns.saturating_sub(self.totals_from_ns),
            before: first.used,
            times,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn used(own_ns: u64) -> impl FnOnce() -> Used {
        move || Used { process: None, own_ns }
    }

    #[test]
    fn the_window_moves_on_and_the_totals_stay() {
        let mut tally = Tally::new(SECOND, used(0)());
        for nth in 1..=20_u64 {
            let now = SECOND + nth * SECOND;
            tally.go_on(now, used(nth));
            tally.add(now, Whose::Task((0, 7)), 10);
            tally.add(now, Whose::Scheduler, 1);
        }
        let sums = tally.sums(21 * SECOND + 100);
        // Slices of the last ten seconds: those of 11 s to 21 s.
        assert_eq!(sums.times[&Whose::Task((0, 7))], [110, 200]);
        assert_eq!(sums.times[&Whose::Scheduler], [11, 20]);
        assert_eq!((sums.window_ns, sums.total_ns), (10 * SECOND + 100, 20 * SECOND + 100));
        assert_eq!(sums.before.own_ns, 10);
    }

    #[test]
    fn a_late_sample_counts_when_it_happened() {
        let mut tally = Tally::new(0, Used::default());
        tally.go_on(5 * SECOND, Used::default);
        tally.go_on(12 * SECOND, Used::default);
        // It has left the window, in which nothing is older than the slice of 5 s.
        tally.add(SECOND, Whose::Native, 3);
        tally.add(5 * SECOND, Whose::Native, 4);
        let sums = tally.sums(12 * SECOND);
        assert_eq!(sums.times[&Whose::Native], [4, 7]);
        tally.go_on(16 * SECOND, Used::default);
        assert_eq!(tally.sums(16 * SECOND).times[&Whose::Native], [0, 7]);
    }

    #[test]
    fn the_totals_of_too_many_tasks_begin_anew() {
        let mut tally = Tally::new(0, Used::default());
        for id in 0..=MAX_TOTALS as u64 {
            tally.add(id, Whose::Task((0, id)), 1);
        }
        let sums = tally.sums(2 * MAX_TOTALS as u64);
        assert_eq!(sums.total_ns, MAX_TOTALS as u64);
        assert_eq!(sums.times[&Whose::Task((0, MAX_TOTALS as u64))], [1, 1]);
        // The window knows all of them still.
        assert_eq!(sums.times[&Whose::Task((0, 0))], [1, 0]);
    }
}
