//! When the next reading is due.

use std::time::{Duration, Instant};

use nix::time::{ClockId, clock_gettime};

/// After a reading that failed, the target is not tried again sooner than this.
const PATIENCE: Duration = Duration::from_secs(1);
/// A sparing session takes no more than one part in this many of a processor's time: the watcher must not weigh
/// more than the watched.
const SHARE: u32 = 5;
/// It also leaves the target alone for one part in this many of the time that a reading took.
const PEACE: u32 = 4;

/// What happens when a reading takes long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Pacing {
    /// Readings begin an interval apart, counted from the first one. A late one is made at once.
    OnTime,
    /// A reading begins an interval after the one before, or later: loiter takes no more than a fifth of a
    /// processor, and after a reading that failed it waits for a second.
    #[default]
    Sparing,
}

/// Keeps time.
#[derive(Debug)]
pub(super) struct Pace {
    interval: Duration,
    pacing: Pacing,
    /// When the first reading was made.
    first: Option<Instant>,
    /// Readings that were begun.
    begun: u32,
    last: Option<Last>,
    /// By how much the last reading was late.
    late: Duration,
}

/// The last reading.
#[derive(Debug, Clone, Copy)]
struct Last {
    begin: Instant,
    /// The processor time of loiter when it began.
    spent: Duration,
    failed: bool,
}

impl Pace {
    pub(super) fn new(interval: Duration, pacing: Pacing) -> Self {
        Pace { interval, pacing, first: None, begun: 0, last: None, late: Duration::ZERO }
    }

    pub(super) fn interval(&self) -> Duration {
        self.interval
    }

    pub(super) fn set_interval(&mut self, interval: Duration) {
        self.interval = interval;
    }

    pub(super) fn late(&self) -> Duration {
        self.late
    }

    /// A reading begins.
    pub(super) fn begin(&mut self) {
        let now = Instant::now();
        self.late = self.on_time().map_or(Duration::ZERO, |due| now.saturating_duration_since(due));
        self.first.get_or_insert(now);
        self.begun = self.begun.saturating_add(1);
        self.last = Some(Last { begin: now, spent: cpu_time(), failed: false });
    }

    /// It has ended.
    pub(super) fn end(&mut self, succeeded: bool) {
        if let Some(last) = &mut self.last {
            last.failed = !succeeded;
        }
    }

    /// The next reading must not begin before this moment, whatever the interval is.
    pub(super) fn earliest(&self) -> Instant {
        let now = Instant::now();
        match self.last {
            Some(_) if self.pacing == Pacing::OnTime => now,
            None => now,
            Some(last) if last.failed => now + PATIENCE,
            Some(last) => {
                let spent = cpu_time().saturating_sub(last.spent);
                now + (last.begin.elapsed() / PEACE).max(spent * SHARE)
            }
        }
    }

    /// When the next reading is due, given the result of [`Pace::earliest`] after the last one.
    pub(super) fn due(&self, earliest: Instant) -> Instant {
        match self.pacing {
            Pacing::OnTime => self.on_time().unwrap_or(earliest),
            Pacing::Sparing => self.last.map_or(earliest, |last| (last.begin + self.interval).max(earliest)),
        }
    }

    /// When the next reading is due, counted from the first one. None if there was none, or the time overflows.
    fn on_time(&self) -> Option<Instant> {
        self.first?.checked_add(self.interval.checked_mul(self.begun)?)
    }
}

/// Processor time of this process.
pub(super) fn cpu_time() -> Duration {
    // Every Linux has this clock; without it, there is no delay.
    clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID).map(Duration::from).unwrap_or_default()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    const INTERVAL: Duration = Duration::from_secs(10);

    fn after(pacing: Pacing, readings: &[bool]) -> (Pace, Duration) {
        let mut pace = Pace::new(INTERVAL, pacing);
        let begin = Instant::now();
        for &succeeded in readings {
            pace.begin();
            pace.end(succeeded);
        }
        let due = pace.due(pace.earliest());
        (pace, due.saturating_duration_since(begin))
    }

    /// Equal, except for the time that the test itself took.
    fn is_about(left: Duration, seconds: u64) -> bool {
        left.abs_diff(Duration::from_secs(seconds)) < Duration::from_secs(5)
    }

    #[test]
    fn the_first_reading_is_due_at_once() {
        for pacing in [Pacing::OnTime, Pacing::Sparing] {
            assert!(is_about(after(pacing, &[]).1, 0));
        }
    }

    #[test]
    fn readings_on_time_are_counted_from_the_first_one() {
        assert!(is_about(after(Pacing::OnTime, &[true]).1, 10));
        assert!(is_about(after(Pacing::OnTime, &[true, false, true]).1, 30));
        // A late reading does not shift the following ones.
        let (mut pace, _) = after(Pacing::OnTime, &[true]);
        pace.first = pace.first.and_then(|first| first.checked_sub(Duration::from_secs(16)));
        pace.begin();
        assert!(is_about(pace.late(), 6), "{:?}", pace.late());
        let left = pace.due(pace.earliest()).saturating_duration_since(Instant::now());
        assert!(is_about(left, 4), "{left:?}");
    }

    #[test]
    fn sparing_readings_follow_the_one_before() {
        assert!(is_about(after(Pacing::Sparing, &[true]).1, 10));
        assert!(is_about(after(Pacing::Sparing, &[true, true, true]).1, 10));
        let (mut pace, _) = after(Pacing::Sparing, &[true]);
        pace.set_interval(Duration::ZERO);
        // The reading took 40 s, so the target is left alone for 10 s.
        let last = pace.last.as_mut().unwrap();
        last.begin = last.begin.checked_sub(Duration::from_secs(40)).unwrap();
        let left = pace.due(pace.earliest()).saturating_duration_since(Instant::now());
        assert!(is_about(left, 10), "{left:?}");
    }

    #[test]
    fn after_a_failure_there_is_a_pause() {
        let (mut pace, _) = after(Pacing::Sparing, &[false]);
        pace.set_interval(Duration::ZERO);
        let before = Instant::now();
        let due = pace.due(pace.earliest());
        assert!(due >= before + PATIENCE && due <= Instant::now() + PATIENCE, "{:?}", due - before);
    }
}
