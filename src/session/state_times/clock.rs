//! How much time readings stand for.

use std::collections::VecDeque;

/// How much time the readings stand for, one after the other. Those that stand for none have no number of their own: what
/// begins with one of them begins with the next one that counts.
#[derive(Debug, Clone, Default)]
pub(super) struct Clock {
    /// Seconds before each reading of the time that is kept.
    before: VecDeque<f64>,
    /// Number of the first one.
    from: u32,
    /// Number of the first one of the later half.
    later: u32,
    /// Seconds up to now.
    now: f64,
}

impl Clock {
    /// The number of the next reading that counts.
    pub(super) fn next(&self) -> u32 {
        self.from.saturating_add(self.before.len() as u32)
    }

    /// Adds a reading; returns the number of what begins with it. `turns`: a new half begins, and the earlier one is forgotten.
    pub(super) fn push(&mut self, seconds: Option<f64>, turns: bool) -> u32 {
        let number = self.next();
        if turns {
            let forget = self.later.saturating_sub(self.from) as usize;
            self.before.drain(..forget.min(self.before.len()));
            (self.from, self.later) = (self.later, number);
        }
        if let Some(seconds) = seconds {
            self.before.push_back(self.now);
            self.now += seconds;
        }
        number
    }

    /// The seconds before a reading; for one before the time that is kept, where that begins.
    fn at(&self, number: u32) -> f64 {
        let at = number.saturating_sub(self.from) as usize;
        self.before.get(at).copied().unwrap_or(self.now)
    }

    /// Seconds between two readings, in the earlier half and in the later one.
    pub(super) fn between(&self, first: u32, end: u32) -> [f64; 2] {
        let seconds = |first: u32, end: u32| if first < end { self.at(end) - self.at(first) } else { 0.0 };
        [seconds(first, end.min(self.later)), seconds(first.max(self.later), end)]
    }

    /// How many readings that count there were from this one on.
    pub(super) fn readings_since(&self, number: u32) -> u32 {
        self.next().saturating_sub(number.max(self.from))
    }
}
