//! The probability of counts by chance: tails of distributions, and tests based on them.
//!
//! Everything here is one-sided: the probability that chance alone produces the observed value, or a more
//! extreme one on the same side.

/// The natural logarithm of the gamma function for `x` of 1 or more, by Stirling's series.
fn ln_gamma(mut x: f64) -> f64 {
    // The series is accurate from 8 on: below it, gamma(x) = gamma(x + 1) / x.
    let mut below = 0.0;
    while x < 8.0 {
        below += x.ln();
        x += 1.0;
    }
    let inverse = 1.0 / x;
    let square = inverse * inverse;
    let series = inverse * (1.0 / 12.0 - square * (1.0 / 360.0 - square * (1.0 / 1260.0 - square / 1680.0)));
    (x - 0.5) * x.ln() - x + 0.5 * (2.0 * std::f64::consts::PI).ln() + series - below
}

/// The logarithm of the number of ways to choose `k` of `n`. `k` must not be more than `n`.
fn ln_choose(n: u64, k: u64) -> f64 {
    let factorial = |n: u64| ln_gamma(n as f64 + 1.0);
    factorial(n) - factorial(k) - factorial(n.saturating_sub(k))
}

/// The probability of `k` or fewer hits in `n` tries that hit with probability `p` each.
pub(crate) fn at_most(k: u64, n: u64, p: f64) -> f64 {
    if k >= n || p <= 0.0 {
        return 1.0;
    }
    if p >= 1.0 {
        return 0.0;
    }
    if k as f64 > n as f64 * p {
        // The other tail is shorter, and its complement is the result.
        return 1.0 - at_most(n - k - 1, n, 1.0 - p);
    }
    let first = ln_choose(n, k) + k as f64 * p.ln() + (n - k) as f64 * (-p).ln_1p();
    let (mut term, mut sum) = (1.0_f64, 0.0_f64);
    // Below the mean every term is smaller than the one before: a few widths of the distribution are enough.
    for at in (0..=k).rev() {
        sum += term;
        if term < sum * 1e-17 {
            break;
        }
        term *= at as f64 / ((n - at) as f64 + 1.0) * (1.0 - p) / p;
    }
    (first.exp() * sum).min(1.0)
}

/// The probability of `k` or more hits in `n` tries that hit with probability `p` each.
pub(crate) fn at_least(k: u64, n: u64, p: f64) -> f64 {
    if k == 0 {
        1.0
    } else if k > n {
        0.0
    } else {
        at_most(n - k, n, 1.0 - p)
    }
}

/// The probability that a normal variable is at most `z`, by Abramowitz and Stegun 7.1.26, good to six
/// digits.
pub(crate) fn normal(z: f64) -> f64 {
    let x = z.abs() / std::f64::consts::SQRT_2;
    let t = 1.0 / (1.0 + 0.327_591_1 * x);
    let poly = t
        * (0.254_829_592
            + t * (-0.284_496_736 + t * (1.421_413_741 + t * (-1.453_152_027 + t * 1.061_405_429))));
    let erf = 1.0 - poly * (-x * x).exp();
    if z >= 0.0 { (1.0 + erf) / 2.0 } else { (1.0 - erf) / 2.0 }
}

/// How many tasks came and went between two readings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Flow {
    /// Tasks that came.
    pub came: u64,
    /// Tasks that went.
    pub went: u64,
    /// How long the span was, nanoseconds.
    pub ns: u64,
}

impl Flow {
    fn net(&self) -> f64 {
        self.came as f64 - self.went as f64
    }
}

/// The probability that at least this many more tasks come than go by chance, if as many come as go in the long
/// run. The input is the number of arrivals and departures in each of several spans of time.
///
/// If as many come as go, each event is an arrival with probability one half: the sign test. Tasks that come
/// and go in batches are fewer independent events than tasks. The variance between the spans shows this, and
/// relaxes the test accordingly. A span that is twice as long is expected to see twice as many events, so late
/// readings are not mistaken for batches. A trend of the count alone cannot be used here: the number of
/// long-lived tasks wanders without any trend, like any random walk.
pub(crate) fn balance(flows: &[Flow]) -> f64 {
    let (came, went) = flows.iter().fold((0_u64, 0_u64), |(came, went), flow| {
        (came.saturating_add(flow.came), went.saturating_add(flow.went))
    });
    let all = came.saturating_add(went);
    if came <= went {
        return 1.0;
    }
    let signs = at_least(came, all, 0.5);
    let spans = flows.len() as f64;
    if spans < 3.0 {
        return signs;
    }
    let more = came as f64 - went as f64;
    // Two readings at the same moment still count as two.
    let long = |flow: &Flow| flow.ns.max(1) as f64;
    let whole: f64 = flows.iter().map(long).sum();
    let apart = |flow: &Flow| (flow.net() - more * long(flow) / whole).powi(2) / long(flow);
    let variance = flows.iter().map(apart).sum::<f64>() / (spans - 1.0) * whole;
    let dispersion = variance / all as f64;
    if dispersion <= 1.0 {
        return signs;
    }
    let z = (more - 1.0) / (dispersion * all as f64).sqrt();
    signs.max(normal(-z).min(by_span(flows)))
}

/// The same test with whole spans as the events: in each of them more come than go with probability one half.
/// This holds for batches of any size.
fn by_span(flows: &[Flow]) -> f64 {
    let (up, down) = flows.iter().fold((0_u64, 0_u64), |(up, down), flow| {
        (up + u64::from(flow.came > flow.went), down + u64::from(flow.came < flow.went))
    });
    at_least(up, up + down, 0.5)
}

/// Two groups that are watched together through one span of time: their sizes at its beginning, and how many of
/// them ended in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Span {
    /// Size of the first group.
    pub old: u64,
    /// How many of these ended.
    pub old_ended: u64,
    /// Size of the second group.
    pub new: u64,
    /// How many of these ended.
    pub new_ended: u64,
}

/// The result of [`survival`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Survival {
    /// How many of the first group ended.
    pub ended: u64,
    /// How many of them would have ended at the rate of the second group.
    pub expected: f64,
    /// The probability that by chance this few of them end, or fewer.
    pub chance: f64,
    /// That probability if none of them had ended: the strongest result that the test could give. If it is not
    /// small, the test can show nothing.
    pub least: f64,
}

/// Up to this many expected ends of either group the distribution is computed exactly; beyond it the normal
/// approximation suffices.
const COUNTED_OUT: f64 = 30.0;

/// Does the first group end more rarely than the second one? The log-rank test (Mantel and Haenszel), one-sided.
///
/// In each span, given how many of both groups ended, the ends of the first group are a draw without
/// replacement: each span is independent, so the test tolerates a changing load, late arrivals, and tasks that
/// remain at the end. Small numbers are computed exactly.
pub(crate) fn survival(spans: &[Span]) -> Survival {
    let (mut ended, mut expected, mut variance, mut none) = (0_u64, 0.0, 0.0, 0.0_f64);
    for span in spans {
        let all = span.old.saturating_add(span.new);
        let ends = span.old_ended.saturating_add(span.new_ended).min(all);
        if all == 0 || ends == 0 {
            continue;
        }
        let (old, n, d) = (span.old as f64, all as f64, ends as f64);
        ended = ended.saturating_add(span.old_ended);
        expected += d * old / n;
        if all > 1 {
            variance += d * (old / n) * (1.0 - old / n) * (n - d) / (n - 1.0);
        }
        none += if ends > span.new {
            f64::NEG_INFINITY
        } else {
            ln_choose(span.new, ends) - ln_choose(all, ends)
        };
    }
    let others: u64 = spans.iter().fold(0, |sum: u64, span| sum.saturating_add(span.new_ended));
    let expected_others = (ended as f64 + others as f64) - expected;
    let chance = if ended as f64 >= expected {
        1.0
    } else if expected <= COUNTED_OUT {
        counted(spans, ended)
    } else if expected_others <= COUNTED_OUT && others as f64 <= 8.0 * COUNTED_OUT {
        // Then more of the others ended, which is equivalent.
        let turned = spans.iter().map(|s| Span {
            old: s.new,
            old_ended: s.new_ended,
            new: s.old,
            new_ended: s.old_ended,
        });
        1.0 - counted(&turned.collect::<Vec<_>>(), others.saturating_sub(1))
    } else if variance > 0.0 {
        normal((ended as f64 + 0.5 - expected) / variance.sqrt())
    } else {
        1.0
    };
    Survival { ended, expected, chance, least: none.exp() }
}

/// The probability of `most` or fewer ends of the first group, computed exactly.
fn counted(spans: &[Span], most: u64) -> f64 {
    let most = most as usize;
    let mut sums = vec![0.0_f64; most + 1];
    if let Some(zero) = sums.first_mut() {
        *zero = 1.0;
    }
    for span in spans {
        let all = span.old.saturating_add(span.new);
        let ends = span.old_ended.saturating_add(span.new_ended).min(all);
        if ends == 0 {
            continue;
        }
        let ways = ln_choose(all, ends);
        let draw: Vec<f64> = (0..=most as u64)
            .map(|k| {
                if k > span.old || k > ends || ends - k > span.new {
                    return 0.0;
                }
                (ln_choose(span.old, k) + ln_choose(span.new, ends - k) - ways).exp()
            })
            .collect();
        sums = (0..=most)
            .map(|sum| {
                let pairs = sums.iter().take(sum + 1).zip(draw.iter().take(sum + 1).rev());
                pairs.map(|(a, b)| a * b).sum()
            })
            .collect();
    }
    sums.iter().sum::<f64>().min(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(a: f64, b: f64) -> bool {
        (a - b).abs() < 1e-6 * b.abs().max(1e-3)
    }

    #[test]
    fn tails_of_the_binomial_distribution() {
        assert!(near(at_most(0, 7, 0.5), 1.0 / 128.0));
        assert!(near(at_least(7, 7, 0.5), 1.0 / 128.0));
        assert!(near(at_most(3, 10, 0.5), 176.0 / 1024.0));
        assert!(at_least(740, 1_039, 0.5) < 1e-40);
        assert!(near(at_most(49, 100, 0.5) + at_least(50, 100, 0.5), 1.0));
        assert_eq!((at_most(5, 5, 0.3), at_least(0, 5, 0.3), at_least(6, 5, 0.3)), (1.0, 1.0, 0.0));
        assert_eq!((at_most(2, 5, 1.0), at_most(2, 5, 0.0)), (0.0, 1.0));
        // Huge numbers neither take long nor overflow.
        assert!(near(at_most(5_000_000, 10_000_000, 0.5), 0.500_126));
        assert_eq!(at_least(u64::MAX, u64::MAX, 0.5), 0.0);
    }

    #[test]
    fn batches_are_fewer_events() {
        let every_second = |flows: &[(u64, u64)]| {
            balance(&flows.iter().map(|&(came, went)| Flow { came, went, ns: 1 << 30 }).collect::<Vec<_>>())
        };
        let even = every_second(&[(10, 0); 6]);
        assert!(even < 1e-15, "{even}");
        let bursts = every_second(&[(30, 0), (0, 0), (0, 0), (30, 0), (0, 0), (0, 0)]);
        assert!((0.02..0.2).contains(&bursts), "{bursts}");
        assert!(near(every_second(&[(3, 0), (2, 0), (2, 0)]), 1.0 / 128.0));
        assert_eq!(every_second(&[(5, 5), (3, 3)]), 1.0);
        assert_eq!(balance(&[]), 1.0);
        assert!(balance(&[Flow { came: 5, went: 0, ns: 0 }; 4]) < 1e-5);
    }

    /// Even arrivals are not a batch just because some readings came late.
    #[test]
    fn late_readings_are_no_batches() {
        let late = [(9, 9), (1, 1), (8, 8), (2, 2), (11, 11), (0, 1), (5, 5), (4, 4)];
        let flow = |&(came, seconds): &(u64, u64)| Flow { came, went: 0, ns: seconds * 1_000_000_000 };
        let chance = balance(&late.iter().map(flow).collect::<Vec<_>>());
        assert!(chance < 1e-10, "{chance}");
    }

    #[test]
    fn those_who_stay_while_others_end() {
        // One of six, and each time the five others end.
        let spans = [Span { old: 1, old_ended: 0, new: 5, new_ended: 5 }; 4];
        let stays = survival(&spans);
        assert!(near(stays.chance, (1.0_f64 / 6.0).powi(4)), "{stays:?}");
        assert!(near(stays.least, stays.chance));
        // As many of both groups end.
        let alike = survival(&[Span { old: 5_000, old_ended: 50, new: 50, new_ended: 1 }; 6]);
        // 6 ends of new ones where 3 were expected.
        assert!((0.05..0.15).contains(&alike.chance), "{alike:?}");
        // Too few of the second group end to judge the first.
        let nobody = survival(&[Span { old: 10, old_ended: 0, new: 90, new_ended: 2 }]);
        assert!(nobody.least > 0.5 && nobody.chance > 0.5, "{nobody:?}");
        let large = survival(&[Span { old: 1_000, old_ended: 20, new: 1_000, new_ended: 100 }; 3]);
        assert!(large.chance < 1e-6, "{large:?}");
        assert_eq!(survival(&[]).chance, 1.0);
    }
}
