//! How long debug information may take. A malicious file can make each step of reading it slow.

use std::time::{Duration, Instant};

/// Steps between two looks at the clock.
const STEPS: u32 = 64;

/// The time that is left for reading debug information.
#[derive(Debug, Clone)]
pub(crate) struct Patience {
    left: Duration,
    begun: Option<Instant>,
    steps: u32,
}

impl Patience {
    /// This much time in all.
    pub(crate) fn new(left: Duration) -> Patience {
        Patience { left, begun: None, steps: 0 }
    }

    /// Whether all the time was used.
    pub(crate) fn is_over(&self) -> bool {
        self.left.is_zero()
    }

    /// The time of `work` counts.
    pub(in crate::symbols) fn spend<T>(&mut self, work: impl FnOnce(&mut Patience) -> T) -> T {
        self.begun = Some(Instant::now());
        let done = work(self);
        self.count();
        self.begun = None;
        done
    }

    /// One step of the work. None if the time is over, so that it ends.
    pub(in crate::symbols) fn check(&mut self) -> Option<()> {
        self.steps = self.steps.wrapping_add(1);
        if self.steps.is_multiple_of(STEPS) {
            self.count();
        }
        (!self.is_over()).then_some(())
    }

    fn count(&mut self) {
        if let Some(begun) = self.begun {
            self.left = self.left.saturating_sub(begun.elapsed());
            self.begun = Some(Instant::now());
        }
    }
}
