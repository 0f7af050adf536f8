//! How large the rings are.

use super::options::SamplerOptions;
use super::sys;

/// A ring is never smaller, pages.
const FEWEST_PAGES: usize = 8;
/// Bytes of all rings together, where there is one for each thread.
const MOST_BYTES: usize = 256 << 20;

/// Bytes of a ring for samples of threads that leave their CPU.
const DEPARTURES_BYTES: usize = 4 << 20;

/// Pages of a ring, a power of two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Pages(pub(super) usize);

impl Pages {
    /// Enough for four times what is written between two readings.
    pub(super) fn for_options(options: &SamplerOptions) -> Pages {
        /// Readings are this far apart at most.
        const BETWEEN_READINGS_MS: u64 = 50;
        /// Call chains are up to 127 words in the kernel and in user code each; registers and the rest take 30.
        const SAMPLE_BYTES: u64 = (2 * 127 + 30) * 8;
        /// A CPU that does little else than switch does it this often in a second, with two records each.
        const SWITCHES_HZ: u64 = 50_000;
        const SWITCH_BYTES: u64 = 2 * 48;
        let sample = SAMPLE_BYTES + u64::from(options.stack_bytes);
        let samples = if options.cpu { u64::from(options.rate_hz) * sample } else { 0 };
        let switches = if options.switches { SWITCHES_HZ * SWITCH_BYTES } else { 0 };
        let bytes = 4 * (samples + switches) * BETWEEN_READINGS_MS / 1000;
        let pages = usize::try_from(bytes).unwrap_or(usize::MAX).div_ceil(sys::page_size());
        Pages(pages.clamp(4 * FEWEST_PAGES, 1 << 14).next_power_of_two())
    }

    /// Enough for some hundred threads that leave a CPU between two readings.
    pub(super) fn for_departures(rings: usize) -> Pages {
        Pages((DEPARTURES_BYTES / sys::page_size()).next_power_of_two()).for_rings(rings)
    }

    /// The same, for this many rings.
    pub(super) fn for_rings(self, rings: usize) -> Pages {
        let most = MOST_BYTES / sys::page_size() / rings.max(1);
        // The largest power of two that is not larger.
        let most = if most.is_power_of_two() { most } else { most.next_power_of_two() / 2 };
        Pages(self.0.min(most.max(FEWEST_PAGES)))
    }

    pub(super) fn halved(self) -> Option<Pages> {
        (self.0 > FEWEST_PAGES).then_some(Pages(self.0 / 2))
    }

    pub(super) fn bytes(self) -> usize {
        self.0 * sys::page_size()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rings_hold_four_times_what_is_written_between_readings() {
        let with = |rate_hz, stack_bytes, switches| {
            let options = SamplerOptions { rate_hz, stack_bytes, switches, ..SamplerOptions::default() };
            Pages::for_options(&options).bytes()
        };
        // 99 * 0.05 s * 4 * (4096 + 2272) bytes.
        assert_eq!(with(99, 4096, false), 128 << 10);
        assert_eq!(with(999, 16 << 10, false), 4 << 20);
        assert!(with(99, 4096, true) >= 960_000);
        assert!(with(1, 0, false) >= FEWEST_PAGES * sys::page_size());
        assert!(with(20_000, 48 << 10, true) <= 64 << 20);
    }

    #[test]
    fn many_rings_are_small_ones() {
        let pages = Pages(1024);
        assert_eq!(pages.for_rings(1), pages);
        let many = pages.for_rings(1000);
        assert!(many.bytes() * 1000 <= MOST_BYTES && many.0.is_power_of_two(), "{many:?}");
        assert_eq!(pages.for_rings(1 << 20), Pages(FEWEST_PAGES));
        assert_eq!(Pages(FEWEST_PAGES).halved(), None);
    }
}
