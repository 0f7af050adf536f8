//! When timers are looked at next.

use super::chain::Figures;
use super::owned::Scheduler;

/// When the timers of each runtime are looked at next: one line for each that is known.
pub(super) fn lines(schedulers: &[Scheduler], own: &[Option<Figures>], now_ns: Option<u64>) -> Vec<String> {
    let line = |(scheduler, own): (&Scheduler, &Option<Figures>)| {
        let when = match own.as_ref()?.next_timer? {
            None => "it has no timers".to_owned(),
            Some(at) => match at.checked_sub(now_ns?) {
                Some(left) => format!("its next timer is due in {:.1} s", left as f64 / 1e9),
                None => "its next timer is due".to_owned(),
            },
        };
        Some(format!("{} {}: {when}", scheduler.kind.name(), scheduler.owner))
    };
    schedulers.iter().zip(own).filter_map(line).collect()
}
