//! Numbers, durations and sizes as people read them.

use crate::analysis::group::Ages;
use crate::snapshot::Age;

/// With commas between the thousands: "1,388".
pub fn thousands(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// "1 goroutine", "1,388 goroutines".
pub fn count(n: u64, noun: &str) -> String {
    format!("{} {noun}{}", thousands(n), if n == 1 { "" } else { "s" })
}

const MICRO: u64 = 1_000;
const MILLI: u64 = 1_000 * MICRO;
const SECOND: u64 = 1_000 * MILLI;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// The largest unit that gives about two digits, rounded down: "41 min". Nanoseconds.
pub fn duration(ns: u64) -> String {
    let (number, unit) = split(ns);
    format!("{number} {unit}")
}

/// A measured time with two or three digits: "6.1 s", "412 ms", "38 µs"; from ten minutes on as [`duration`] gives it.
/// Nanoseconds.
pub fn precise(ns: u64) -> String {
    let (unit, name) = match ns {
        0 => return "0 s".to_owned(),
        1..MICRO => (1, "ns"),
        MICRO..MILLI => (MICRO, "µs"),
        MILLI..SECOND => (MILLI, "ms"),
        _ if ns < 10 * MINUTE => (SECOND, "s"),
        _ => return duration(ns),
    };
    let value = ns as f64 / unit as f64;
    let digits = if value < 9.95 || unit == SECOND && value < 99.95 { 1 } else { 0 };
    format!("{value:.digits$} {name}")
}

/// A share of a whole: "41 %", "0.4 %", "<0.1 %"; "0 %" for nothing.
pub fn percent(part: u64, whole: u64) -> String {
    let percent = if whole == 0 { 0.0 } else { part as f64 * 100.0 / whole as f64 };
    match percent {
        _ if part == 0 || whole == 0 => "0 %".to_owned(),
        _ if percent < 0.05 => "<0.1 %".to_owned(),
        _ if percent < 0.95 => format!("{percent:.1} %"),
        _ => format!("{percent:.0} %"),
    }
}

/// Why a text is not a duration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DurationError {
    /// It is not a list of numbers, each with a unit.
    #[error("use a number and a unit (ns, us, ms, s, m, h, d), like 90s or 1h30m")]
    Malformed,
    /// It has more nanoseconds than 64 bits can count (about 584 years).
    #[error("this duration is too long")]
    TooLong,
}

/// Reads a duration as people type it: "90s", "1h30m", "500ms", "2 min". Nanoseconds.
///
/// # Errors
/// The text is not a duration, or the duration is too long.
pub fn parse_duration(text: &str) -> Result<u64, DurationError> {
    let mut rest = text.trim();
    let mut total = 0_u64;
    if rest.is_empty() {
        return Err(DurationError::Malformed);
    }
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit()).ok_or(DurationError::Malformed)?;
        let (number, after) = rest.split_at(end);
        let after = after.trim_start();
        let end = after.find(|c: char| !c.is_alphabetic()).unwrap_or(after.len());
        let (unit, after) = after.split_at(end);
        let unit = match unit {
            "ns" => 1,
            "us" | "µs" => MICRO,
            "ms" => MILLI,
            "s" | "sec" => SECOND,
            "m" | "min" => MINUTE,
            "h" => HOUR,
            "d" => DAY,
            _ => return Err(DurationError::Malformed),
        };
        // A number of digits alone that cannot be parsed is too large.
        let problem = if number.is_empty() { DurationError::Malformed } else { DurationError::TooLong };
        let number: u64 = number.parse().map_err(|_| problem)?;
        let part = number.checked_mul(unit).ok_or(DurationError::TooLong)?;
        total = total.checked_add(part).ok_or(DurationError::TooLong)?;
        rest = after.trim_start();
    }
    Ok(total)
}

fn split(ns: u64) -> (String, &'static str) {
    match ns {
        0 => ("0".to_owned(), "s"),
        1..MICRO => (ns.to_string(), "ns"),
        MICRO..MILLI => ((ns / MICRO).to_string(), "µs"),
        MILLI..SECOND => ((ns / MILLI).to_string(), "ms"),
        SECOND..MINUTE => ((ns / SECOND).to_string(), "s"),
        MINUTE..HOUR => ((ns / MINUTE).to_string(), "min"),
        HOUR..172_800_000_000_000 => ((ns / HOUR).to_string(), "h"),
        _ => (thousands(ns / DAY), "d"),
    }
}

/// Two units without spaces, for narrow columns: "3h 12m", "2d". Nanoseconds.
pub fn short_duration(ns: u64) -> String {
    let pair = |a: u64, b: u64, units: [&str; 2]| match b {
        0 => format!("{a}{}", units[0]),
        _ => format!("{a}{} {b:02}{}", units[0], units[1]),
    };
    match ns {
        0..MINUTE => format!("{}s", ns / SECOND),
        MINUTE..HOUR => pair(ns / MINUTE, ns % MINUTE / SECOND, ["m", "s"]),
        HOUR..DAY => pair(ns / HOUR, ns % HOUR / MINUTE, ["h", "m"]),
        _ => pair(ns / DAY, ns % DAY / HOUR, ["d", "h"]),
    }
}

/// A size in binary units: "388 MiB", "9.6 MiB".
pub fn bytes(n: u64) -> String {
    const UNITS: [&str; 6] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
    let (mut value, mut unit) = (n as f64, 0);
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    let name = UNITS.get(unit).copied().unwrap_or_default();
    if unit > 0 && value < 9.95 { format!("{value:.1} {name}") } else { format!("{value:.0} {name}") }
}

/// One age: "3 min", ">= 41 min" if it may be longer, "" if it is unknown.
pub fn age(age: Age) -> String {
    match age {
        Age::Unknown => String::new(),
        Age::AtLeast(ns) => format!(">= {}", duration(ns)),
        Age::Exactly(ns) => duration(ns),
    }
}

/// One age for narrow columns: the same, but "-" if it is unknown.
pub fn short_age(age: Age) -> String {
    if age == Age::Unknown { "-".to_owned() } else { self::age(age) }
}

/// The ages of a group: "2 s to 3 h", ">= 41 min", "2 s to >= 3 h", "oldest 3 h" if some are unknown, "" if all
/// are unknown.
pub fn ages(ages: &Ages) -> String {
    let (Some(low), Some(high)) = (ages.youngest.nanos(), ages.oldest.nanos()) else {
        return String::new();
    };
    let least = if matches!(ages.oldest, Age::AtLeast(_)) { ">= " } else { "" };
    let ((low, low_unit), (high, high_unit)) = (split(low), split(high));
    if ages.unknown > 0 {
        format!("oldest {least}{high} {high_unit}")
    } else if low_unit != high_unit {
        format!("{low} {low_unit} to {least}{high} {high_unit}")
    } else if low != high {
        format!("{low} to {least}{high} {high_unit}")
    } else {
        format!("{least}{high} {high_unit}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_have_commas_and_nouns_a_plural() {
        for (n, text) in [(0, "0"), (999, "999"), (1388, "1,388"), (1_000_000, "1,000,000")] {
            assert_eq!(thousands(n), text);
        }
        assert_eq!(count(1, "goroutine"), "1 goroutine");
        assert_eq!(count(2, "goroutine"), "2 goroutines");
    }

    #[test]
    fn durations_have_a_long_and_a_short_form() {
        for (ns, long, short) in [
            (0, "0 s", "0s"),
            (31_000, "31 µs", "0s"),
            (6_200_000, "6 ms", "0s"),
            (59 * SECOND, "59 s", "59s"),
            (41 * MINUTE + SECOND, "41 min", "41m 01s"),
            (3 * HOUR + 12 * MINUTE, "3 h", "3h 12m"),
            (2 * DAY, "2 d", "2d"),
            (40 * HOUR, "40 h", "1d 16h"),
        ] {
            assert_eq!((duration(ns), short_duration(ns)), (long.to_owned(), short.to_owned()));
        }
    }

    #[test]
    fn measured_times_have_digits_that_mean_something() {
        for (ns, text) in [
            (0, "0 s"),
            (999, "999 ns"),
            (31_400, "31 µs"),
            (6_240_000, "6.2 ms"),
            (412_000_000, "412 ms"),
            (6_100_000_000, "6.1 s"),
            (61 * SECOND, "61.0 s"),
            (9 * MINUTE, "540 s"),
            (41 * MINUTE, "41 min"),
        ] {
            assert_eq!(precise(ns), text);
        }
        let shares = [(0, 9), (1, 0), (1, 3), (1, 200), (1, 100_000), (9, 9)].map(|(a, b)| percent(a, b));
        assert_eq!(shares, ["0 %", "0 %", "33 %", "0.5 %", "<0.1 %", "100 %"]);
    }

    #[test]
    fn durations_are_read_as_people_type_them() {
        for (text, ns) in [
            ("90s", Ok(90 * SECOND)),
            ("1h30m", Ok(90 * MINUTE)),
            ("500ms", Ok(500 * MILLI)),
            (" 2 min 5s ", Ok(125 * SECOND)),
            ("0ns", Ok(0)),
            ("7µs", Ok(7 * MICRO)),
            ("", Err(DurationError::Malformed)),
            ("5", Err(DurationError::Malformed)),
            ("s", Err(DurationError::Malformed)),
            ("-5s", Err(DurationError::Malformed)),
            ("5 weeks", Err(DurationError::Malformed)),
            ("99999999999d", Err(DurationError::TooLong)),
            ("99999999999999999999s", Err(DurationError::TooLong)),
        ] {
            assert_eq!(parse_duration(text), ns, "{text}");
        }
    }

    #[test]
    fn sizes_are_in_binary_units() {
        for (n, text) in [(0, "0 B"), (2048, "2.0 KiB"), (388 << 20, "388 MiB"), (10_066_330, "9.6 MiB")] {
            assert_eq!(bytes(n), text);
        }
        assert_eq!(bytes(u64::MAX), "16384 PiB");
    }

    #[test]
    fn age_ranges_say_what_is_a_lower_bound() {
        let text = |youngest, oldest, unknown| ages(&Ages { youngest, oldest, unknown });
        let (s, h) = (SECOND, HOUR);
        assert_eq!(text(Age::Unknown, Age::Unknown, 3), "");
        assert_eq!(text(Age::Exactly(2 * s), Age::Exactly(3 * h), 0), "2 s to 3 h");
        assert_eq!(text(Age::Exactly(2 * s), Age::Exactly(9 * s), 0), "2 to 9 s");
        assert_eq!(text(Age::AtLeast(h), Age::AtLeast(h), 0), ">= 1 h");
        assert_eq!(text(Age::AtLeast(s), Age::AtLeast(h), 0), "1 s to >= 1 h");
        assert_eq!(text(Age::AtLeast(s), Age::AtLeast(h), 2), "oldest >= 1 h");
    }
}
