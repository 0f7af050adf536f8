//! Whether a count rises, and how fast.

use super::odds::normal;

/// How a count changed over a few readings.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Trend {
    /// Growth by least squares, per minute.
    pub per_minute: f64,
    /// Half of the 95 % interval of the true growth, per minute. None if there are too few readings to tell.
    pub plus_minus: Option<f64>,
    /// The confidence that the count rises at all, by the test of Mann and Kendall: 0 to 1. It compares every
    /// reading with every later one, so neither jumps nor uneven growth mislead it.
    pub rising: f64,
}

/// The trend of counts at moments in nanoseconds, in ascending order of time. None for fewer than two
/// readings, or if no time passed between them.
///
/// With only two readings the growth is their difference; `moved`, the number of tasks that came and went
/// between them, then gives its uncertainty: a count of independent events is uncertain by its square root.
pub fn trend(readings: &[(u64, u64)], moved: Option<u64>) -> Option<Trend> {
    let (&(start, _), &(end, _)) = (readings.first()?, readings.last()?);
    if end <= start || readings.len() < 2 {
        return None;
    }
    let points: Vec<(f64, f64)> =
        readings.iter().map(|&(at, count)| (minutes(at.saturating_sub(start)), count as f64)).collect();
    let n = points.len() as f64;
    let (mean_x, mean_y) =
        (points.iter().map(|p| p.0).sum::<f64>() / n, points.iter().map(|p| p.1).sum::<f64>() / n);
    let sxx: f64 = points.iter().map(|p| (p.0 - mean_x).powi(2)).sum();
    let sxy: f64 = points.iter().map(|p| (p.0 - mean_x) * (p.1 - mean_y)).sum();
    if sxx <= 0.0 {
        return None;
    }
    let per_minute = sxy / sxx;
    let plus_minus = if points.len() > 2 {
        let residual = |p: &(f64, f64)| (p.1 - mean_y - per_minute * (p.0 - mean_x)).powi(2);
        let variance = points.iter().map(residual).sum::<f64>() / (n - 2.0) / sxx;
        Some(student_95(points.len() - 2) * variance.sqrt())
    } else {
        moved.map(|moved| 1.96 * (moved as f64).sqrt() / minutes(end - start))
    };
    let counts: Vec<u64> = readings.iter().map(|&(_, count)| count).collect();
    Some(Trend { per_minute, plus_minus, rising: rising(&counts) })
}

/// Nanoseconds in minutes.
fn minutes(ns: u64) -> f64 {
    ns as f64 / 60e9
}

/// The two-sided 5 % quantile of Student's distribution with this many degrees of freedom.
fn student_95(degrees: usize) -> f64 {
    const TABLE: [f64; 30] = [
        12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145,
        2.131, 2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048,
        2.045, 2.042,
    ];
    degrees.checked_sub(1).and_then(|at| TABLE.get(at)).copied().unwrap_or(1.96)
}

/// Up to this many readings the test's distribution is computed exactly; beyond it the normal approximation
/// suffices.
const EXACT: usize = 12;

/// One minus the probability that counts without any trend would rise as much as these do.
fn rising(counts: &[u64]) -> f64 {
    let n = counts.len();
    let mut up: i64 = 0;
    for (at, earlier) in counts.iter().enumerate() {
        for later in counts.iter().skip(at + 1) {
            up += (later > earlier) as i64 - ((later < earlier) as i64);
        }
    }
    if up <= 0 {
        return 0.0;
    }
    if n <= EXACT {
        return 1.0 - at_least(n, up);
    }
    let n = n as f64;
    // Equal counts make the variance smaller; without this correction the test errs on the safe side.
    let variance = n * (n - 1.0) * (2.0 * n + 5.0) / 18.0;
    normal((up as f64 - 1.0) / variance.sqrt())
}

/// The probability that a random order of `n` different values has a score of `up` or more (pairs in order
/// minus pairs out of order).
fn at_least(n: usize, up: i64) -> f64 {
    // How many orders have how many pairs out of order: each value added creates 0 to `size` of them.
    let mut orders = vec![1.0_f64];
    for size in 1..n {
        let mut next = vec![0.0; orders.len() + size];
        for (at, count) in orders.iter().enumerate() {
            next.iter_mut().skip(at).take(size + 1).for_each(|slot| *slot += count);
        }
        orders = next;
    }
    let total: f64 = orders.iter().sum();
    let pairs = (n * n.saturating_sub(1) / 2) as i64;
    let fit = orders.iter().enumerate().filter(|&(out, _)| pairs - 2 * out as i64 >= up);
    fit.map(|(_, count)| count).sum::<f64>() / total
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn a_line_is_its_own_trend() {
        let readings: Vec<_> = (0..7).map(|i| (i * 5 * SECOND, 100 + 2 * i)).collect();
        let trend = trend(&readings, None).unwrap();
        assert!((trend.per_minute - 24.0).abs() < 1e-9);
        assert!(trend.plus_minus.unwrap() < 1e-6);
        assert!((trend.rising - (1.0 - 1.0 / 5040.0)).abs() < 1e-12);
    }

    #[test]
    fn noise_has_none() {
        let counts = [12, 9, 14, 8, 13, 9, 12, 10];
        let readings: Vec<_> = (0..).zip(counts).map(|(i, c)| (i * SECOND, c)).collect();
        let trend = trend(&readings, None).unwrap();
        assert!(trend.rising < 0.6, "{trend:?}");
        assert!(trend.per_minute.abs() < trend.plus_minus.unwrap(), "{trend:?}");
    }

    #[test]
    fn many_readings_use_the_normal_distribution() {
        let up: Vec<u64> = (0..40).collect();
        assert!(rising(&up) > 0.9999);
        let flat = vec![7; 40];
        assert_eq!(rising(&flat), 0.0);
        let down: Vec<u64> = (0..40).rev().collect();
        assert_eq!(rising(&down), 0.0);
    }

    #[test]
    fn two_readings_are_as_uncertain_as_what_came_and_went() {
        let trend = trend(&[(0, 10), (60 * SECOND, 110)], Some(100)).unwrap();
        assert!((trend.per_minute - 100.0).abs() < 1e-9);
        assert!((trend.plus_minus.unwrap() - 19.6).abs() < 1e-9);
        assert!((trend.rising - 0.5).abs() < 1e-12);
    }

    #[test]
    fn no_time_no_trend() {
        assert_eq!(trend(&[(5, 1), (5, 2)], None), None);
        assert_eq!(trend(&[(5, 1)], None), None);
        assert_eq!(trend(&[], None), None);
    }
}
