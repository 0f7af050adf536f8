//! How sure a share is.

/// The standard deviations within which a normal variable is in 95 of 100 cases.
const Z95: f64 = 1.959_964;
/// The same for 99 of 100: a comparison asks this of many rows at once.
const Z99: f64 = 2.575_829;

/// An estimate and the interval that contains the true value, as parts of 1.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Interval {
    /// The estimate.
    pub value: f64,
    /// The lower end.
    pub low: f64,
    /// The upper end.
    pub high: f64,
}

impl Interval {
    /// The distance of the farther end.
    pub fn reach(self) -> f64 {
        (self.value - self.low).max(self.high - self.value)
    }

    /// Is nothing a possible value? Then a difference may be chance.
    pub fn has_zero(self) -> bool {
        self.low <= 0.0 && self.high >= 0.0
    }
}

/// The share `part` of `whole`, with the interval that contains the true share in 95 of 100 recordings (Wilson's score
/// interval). `samples`: how many independent samples it rests on. None if there is no whole.
pub fn share(part: u64, whole: u64, samples: f64) -> Option<Interval> {
    (whole > 0).then(|| wilson((part as f64 / whole as f64).min(1.0), samples, Z95))
}

/// How a share changed from `before` to `now`, with the interval that contains the true change in 99 of 100 cases
/// (Newcombe's hybrid of Wilson's intervals). Each side: the part, the whole and the samples. A side without a whole
/// has a share of 0 of which nothing is sure.
pub fn change(before: (u64, u64, f64), now: (u64, u64, f64)) -> Interval {
    let side = |(part, whole, samples): (u64, u64, f64)| match whole {
        0 => Interval { value: 0.0, low: 0.0, high: 1.0 },
        _ => wilson((part as f64 / whole as f64).min(1.0), samples, Z99),
    };
    let (was, is) = (side(before), side(now));
    let value = is.value - was.value;
    let low = value - (is.value - is.low).hypot(was.high - was.value);
    let high = value + (is.high - is.value).hypot(was.value - was.low);
    Interval { value, low, high }
}

fn wilson(p: f64, n: f64, z: f64) -> Interval {
    if n <= 0.0 || !n.is_finite() {
        return Interval { value: p, low: 0.0, high: 1.0 };
    }
    let z2 = z * z / n;
    let centre = (p + z2 / 2.0) / (1.0 + z2);
    let half = (z / (1.0 + z2)) * (p * (1.0 - p) / n + z2 / (4.0 * n)).sqrt();
    Interval { value: p, low: (centre - half).clamp(0.0, p), high: (centre + half).clamp(p, 1.0) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn intervals_are_those_of_the_books() {
        // Newcombe (1998), "Two-sided confidence intervals for the single proportion", method 3: 81 of 263.
        let known = share(81, 263, 263.0).unwrap_or_default();
        assert!((known.low - 0.2553).abs() < 0.0001 && (known.high - 0.3662).abs() < 0.0001, "{known:?}");
        // And none of 20: 0 to 0.1611.
        let none = share(0, 20, 20.0).unwrap_or_default();
        assert!(none.low == 0.0 && (none.high - 0.1611).abs() < 0.0001, "{none:?}");
        assert_eq!(share(0, 0, 5.0), None);
    }

    #[test]
    fn a_difference_is_real_only_beyond_chance() {
        assert!(change((50, 100, 100.0), (60, 100, 100.0)).has_zero());
        assert!(!change((500, 1000, 1000.0), (600, 1000, 1000.0)).has_zero());
        // Without samples, nothing is sure.
        assert!(change((0, 0, 0.0), (60, 100, 100.0)).has_zero());
        assert!(change((1, 2, 0.0), (9, 10, 0.0)).has_zero());
    }

    proptest! {
        #[test]
        fn an_interval_contains_its_value(part in 0_u64..1000, more in 0_u64..1000, n in 0.0..1e9_f64) {
            if let Some(share) = share(part, part + more, n) {
                prop_assert!(0.0 <= share.low && share.low <= share.value);
                prop_assert!(share.value <= share.high && share.high <= 1.0);
            }
            let changed = change((part, part + more, n), (more, part + more, n));
            prop_assert!(changed.low <= changed.value && changed.value <= changed.high);
        }
    }
}
