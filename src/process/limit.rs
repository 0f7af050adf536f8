//! How long a search may go on.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How long a search may go on: for a time, and only as long as somebody wants its result.
#[derive(Debug, Clone)]
pub struct Limit {
    /// None: never.
    end: Option<Instant>,
    stop: Option<Arc<AtomicBool>>,
}

impl Limit {
    /// For this long from now on.
    pub fn of(time: Duration) -> Limit {
        Limit { end: Instant::now().checked_add(time), stop: None }
    }

    /// It ends at once if this is set, too.
    pub fn or_when(self, stop: Option<Arc<AtomicBool>>) -> Limit {
        Limit { stop, ..self }
    }

    /// The search has to end.
    pub fn is_over(&self) -> bool {
        let is_set = |stop: &Arc<AtomicBool>| stop.load(Ordering::Relaxed);
        self.stop.as_ref().is_some_and(is_set) || self.end.is_some_and(|end| Instant::now() > end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_ends_with_the_time_or_with_the_wish() {
        let (now, never) = (Limit::of(Duration::ZERO), Limit::of(Duration::MAX));
        assert!(now.end.is_some_and(|end| end <= Instant::now()) && !never.is_over());
        let stop = Arc::new(AtomicBool::new(false));
        let limit = Limit::of(Duration::from_secs(3600)).or_when(Some(Arc::clone(&stop)));
        assert!(!limit.is_over());
        stop.store(true, Ordering::Relaxed);
        assert!(limit.is_over() && limit.clone().is_over());
    }
}
