//! How often samples are looked at.

use std::time::{Duration, Instant};

use crate::process::thread_cpu_time;

/// Samples are looked at this often at most. The sooner, the more is known: a goroutine's struct is used again for another
/// one after its end, and what was read before and after a sample counts for the time between only.
pub(super) const SOON: Duration = Duration::from_millis(10);
/// They are looked at this often at least. Most of what a recording costs is what each look costs.
const LATE: Duration = Duration::from_millis(40);
/// While nothing was missed for this long, looks may be late.
const CALM: Duration = Duration::from_secs(3);
/// They may be late as well while less than this share of the samples misses something: a garbage collector moves a stack
/// now and then, whenever it is looked at.
const FEW: f64 = 0.02;
/// Shares are of about this many of the last looks, and of so many samples at least.
const WINDOW: f64 = 64.0;
const ENOUGH: f64 = 100.0;
/// Of a core's time, looks take this share at most, unless those that come late take more. It is that for
/// [`USUAL_HZ`] samples a second of a thread; more samples may cost more.
const SHARE: f64 = 0.007;
const USUAL_HZ: u32 = 99;
/// The cost of a look is a mean in which the last one has this weight.
const WEIGHT: u32 = 8;

/// When samples are looked at. All of it happens on one thread, whose CPU time is what looks cost.
#[derive(Debug)]
pub(super) struct Looks {
    share: f64,
    /// CPU time of this thread after the last look.
    spent: Duration,
    /// CPU time of a look, about.
    cost: Duration,
    is_urgent: bool,
    /// When something was missed last.
    missed: Instant,
    /// Samples of the last looks, and how many of them missed something; the older the look, the less it counts.
    lately: (f64, f64),
}

impl Looks {
    /// The beginning of a recording. `rate_hz`: samples of a thread that runs in a second.
    pub(super) fn new(rate_hz: u32) -> Looks {
        let share = SHARE * f64::from(rate_hz.max(USUAL_HZ)) / f64::from(USUAL_HZ);
        Looks {
            share,
            spent: thread_cpu_time(),
            cost: Duration::ZERO,
            is_urgent: true,
            missed: Instant::now(),
            lately: (0.0, 0.0),
        }
    }

    /// How long to wait for samples before the next look.
    pub(super) fn interval(&self) -> Duration {
        if self.is_urgent {
            return SOON;
        }
        let (samples, missed) = self.lately;
        if self.missed.elapsed() >= CALM || (samples >= ENOUGH && missed < FEW * samples) {
            return LATE;
        }
        self.cost.div_f64(self.share).clamp(SOON, LATE)
    }

    /// A look is over. `is_urgent`: the next one must come soon, whatever it costs. `missed`: of how many of its `samples`
    /// more would have been known if it had come sooner.
    pub(super) fn done(&mut self, is_urgent: bool, samples: usize, missed: u64) {
        self.is_urgent = is_urgent;
        if missed > 0 {
            self.missed = Instant::now();
        }
        let (before, missed_before) = self.lately;
        let fade = 1.0 - 1.0 / WINDOW;
        self.lately = (before * fade + samples as f64, missed_before * fade + missed as f64);
        let now = thread_cpu_time();
        let cost = now.saturating_sub(self.spent);
        self.spent = now;
        // A look that takes very long, because something is read for the first time, says little of the others.
        let cost = cost.min(LATE.mul_f64(2.0 * self.share));
        self.cost = self.cost - self.cost / WEIGHT + cost / WEIGHT;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn looks(rate_hz: u32, cost_us: u64) -> Looks {
        Looks { cost: Duration::from_micros(cost_us), is_urgent: false, ..Looks::new(rate_hz) }
    }

    #[test]
    fn a_look_that_costs_more_comes_later() {
        let ms = |looks: &Looks| looks.interval().as_millis();
        assert_eq!(ms(&looks(99, 30)), 10);
        assert_eq!(ms(&looks(99, 145)), 20);
        assert_eq!(ms(&looks(10, 145)), 20, "a lower rate saves no look");
        assert_eq!(ms(&looks(99, 5_000)), 40);
        assert_eq!(ms(&looks(999, 500)), 10);
    }

    #[test]
    fn what_is_urgent_comes_soon_and_what_misses_nothing_late() {
        let mut all = looks(99, 5_000);
        all.done(true, 0, 0);
        assert_eq!(all.interval(), SOON);
        all.done(false, 0, 0);
        all.missed = all.missed.checked_sub(CALM).expect("the machine runs longer than that");
        all.cost = Duration::ZERO;
        assert_eq!(all.interval(), LATE);
        all.done(false, 1, 1);
        assert_eq!(all.interval(), SOON, "something was missed");
    }

    #[test]
    fn little_that_is_missed_does_not_hurry() {
        let mut all = looks(99, 0);
        for nth in 0..400 {
            all.done(false, 4, u64::from(nth % 64 == 0));
        }
        all.cost = Duration::ZERO;
        assert_eq!(all.interval(), LATE, "one of 256");
        for _ in 0..64 {
            all.done(false, 4, 1);
        }
        all.cost = Duration::ZERO;
        assert_eq!(all.interval(), SOON, "a quarter");
    }
}
