//! What the values of a profile's samples measure.

use super::tables::Tables;
use super::{PprofError, short};
use crate::recording::Clock;

/// A time that each sample has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Measure {
    pub(super) clock: Clock,
    /// The index of its value in each sample.
    pub(super) value: usize,
    /// Nanoseconds of one unit of the value.
    pub(super) unit_ns: u64,
    /// The index of the value that counts. None if the profile counts nothing.
    pub(super) count: Option<usize>,
    /// Another measure has the same count.
    pub(super) shares_count: bool,
    /// Its name and unit: "cpu/nanoseconds".
    pub(super) name: String,
    /// The time between two samples, nanoseconds, if the profile gives one for it.
    pub(super) period_ns: Option<u64>,
}

/// The measures of a profile.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Measures {
    pub(super) known: Vec<Measure>,
    /// Names and units of values that mean nothing to loiter.
    pub(super) unknown: Vec<String>,
    /// The only time is that of contended locks or blocked goroutines ("delay"): Go's block and mutex profiles.
    pub(super) delay: bool,
}

impl Measures {
    /// Decides what each value means.
    pub(super) fn read(tables: &Tables<'_>) -> Result<Self, PprofError> {
        let mut measures = Measures::default();
        let mut count = None;
        let mut counts = Vec::new();
        for (value, &(name, unit)) in tables.sample_types.iter().enumerate() {
            let (name, unit) = (tables.text(name)?, tables.text(unit)?);
            let shown = format!("{}/{}", short(&name), short(&unit));
            match (unit_ns(&unit), clock(&name)) {
                (Some(unit_ns), Some(clock)) => {
                    measures.delay |= name == "delay";
                    let (shares_count, period_ns) = (false, None);
                    let measure =
                        Measure { clock, value, unit_ns, count, shares_count, name: shown, period_ns };
                    measures.known.push(measure);
                }
                (None, _) if unit == "count" => {
                    count = Some(value);
                    counts.push((value, shown));
                }
                _ => measures.unknown.push(shown),
            }
        }
        measures.add_period(tables)?;
        let used = |value| measures.known.iter().filter(|m| m.count == Some(value)).count();
        let unused = counts.iter().filter(|&&(value, _)| used(value) == 0).map(|(_, shown)| shown.clone());
        let unused: Vec<String> = unused.collect();
        let shared: Vec<bool> =
            measures.known.iter().map(|m| m.count.is_some_and(|count| used(count) > 1)).collect();
        measures.known.iter_mut().zip(shared).for_each(|(measure, shared)| measure.shares_count = shared);
        measures.unknown.extend(unused);
        Ok(measures)
    }

    /// Uses the period: profiles that only count samples say with it how much time each sample stands for.
    fn add_period(&mut self, tables: &Tables<'_>) -> Result<(), PprofError> {
        let (name, unit) = tables.period_type;
        let (name, unit) = (tables.text(name)?, tables.text(unit)?);
        let (Some(unit_ns), Some(clock)) = (unit_ns(&unit), clock(&name)) else { return Ok(()) };
        let Some(period_ns) = tables.period.checked_mul(unit_ns).filter(|&ns| ns > 0) else { return Ok(()) };
        if let Some(measure) = self.known.iter_mut().find(|measure| measure.clock == clock) {
            measure.period_ns = Some(period_ns);
        }
        if !self.known.is_empty() {
            return Ok(());
        }
        for (value, &(name, unit)) in tables.sample_types.iter().enumerate() {
            if tables.bytes(name)? == b"samples" && tables.bytes(unit)? == b"count" {
                self.known.push(Measure {
                    clock,
                    value,
                    unit_ns: period_ns,
                    count: Some(value),
                    shares_count: false,
                    name: "samples/count".to_owned(),
                    period_ns: Some(period_ns),
                });
                break;
            }
        }
        Ok(())
    }
}

/// Nanoseconds of a unit of time. None for other units.
fn unit_ns(unit: &str) -> Option<u64> {
    match unit {
        "nanoseconds" | "nanosecond" | "ns" => Some(1),
        "microseconds" | "microsecond" | "us" => Some(1_000),
        "milliseconds" | "millisecond" | "ms" => Some(1_000_000),
        "seconds" | "second" | "s" => Some(1_000_000_000),
        _ => None,
    }
}

/// The clock that a type of samples is measured by, by the names that profilers give it.
fn clock(name: &str) -> Option<Clock> {
    match name {
        "cpu" | "on-cpu" | "on_cpu" => Some(Clock::Cpu),
        "off-cpu" | "off_cpu" | "offcpu" | "delay" => Some(Clock::OffCpu),
        "wall" | "wall-time" | "wall_time" => Some(Clock::Wall),
        _ => None,
    }
}
