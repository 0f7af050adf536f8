//! Days of the calendar.

use std::fmt;
use std::str::FromStr;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::analysis::ParseError;

/// A day, in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Date {
    year: u16,
    month: u8,
    day: u8,
}

const PROBLEM: ParseError = ParseError::new("use a day like 2027-01-31");
const SECONDS_A_DAY: u64 = 86_400;

impl Date {
    /// The day of a moment. None before 1970, and after the year 9999.
    pub fn of(moment: SystemTime) -> Option<Date> {
        let days = moment.duration_since(UNIX_EPOCH).ok()?.as_secs() / SECONDS_A_DAY;
        let mut left = u32::try_from(days).ok()?;
        for year in 1970..=9999 {
            let length = (1..=12).map(|month| days_of(year, month)).map(u32::from).sum::<u32>();
            if left >= length {
                left -= length;
                continue;
            }
            for month in 1..=12 {
                let length = u32::from(days_of(year, month));
                if left < length {
                    return Some(Date { year, month, day: u8::try_from(left + 1).ok()? });
                }
                left -= length;
            }
        }
        None
    }
}

/// The number of days of a month.
fn days_of(year: u16, month: u8) -> u8 {
    let leaps = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    match month {
        2 => 28 + u8::from(leaps),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// "2027-01-31".
impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}-{:02}", self.year, self.month, self.day)
    }
}

impl FromStr for Date {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let number = |text: &str, digits: usize| -> Option<u16> {
            (text.len() == digits && text.bytes().all(|byte| byte.is_ascii_digit()))
                .then(|| text.parse().ok())?
        };
        let mut parts = text.split('-');
        let mut next = |digits| parts.next().and_then(|part| number(part, digits)).ok_or(PROBLEM);
        let (year, month, day) = (next(4)?, next(2)?, next(2)?);
        let (month, day) = (u8::try_from(month).unwrap_or(0), u8::try_from(day).unwrap_or(0));
        let is_day = (1..=12).contains(&month) && (1..=days_of(year, month)).contains(&day);
        if parts.next().is_some() || !is_day {
            return Err(PROBLEM);
        }
        Ok(Date { year, month, day })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn days_of_moments() {
        let day = |days: u64| Date::of(UNIX_EPOCH + Duration::from_secs(days * SECONDS_A_DAY)).unwrap();
        // Compared with `date -u -d @SECONDS +%F`.
        for (days, text) in [
            (0, "1970-01-01"),
            (58, "1970-02-28"),
            (59, "1970-03-01"),
            (11_016, "2000-02-29"),
            (20_783, "2026-11-26"),
            (2_932_896, "9999-12-31"),
        ] {
            assert_eq!(day(days).to_string(), text);
        }
        assert_eq!(Date::of(UNIX_EPOCH + Duration::from_secs(2_932_897 * SECONDS_A_DAY)), None);
        assert_eq!(Date::of(UNIX_EPOCH - Duration::from_secs(1)), None);
    }

    #[test]
    fn days_are_read_and_compared() {
        let date = |text: &str| text.parse::<Date>();
        assert!(date("2026-12-01").unwrap() < date("2027-01-31").unwrap());
        assert_eq!(date("2028-02-29").unwrap().to_string(), "2028-02-29");
        for wrong in [
            "2027-02-29",
            "2027-13-01",
            "2027-00-01",
            "2027-01-00",
            "27-01-01",
            "2027-1-1",
            "",
            "2027-01-01-",
        ] {
            assert!(date(wrong).is_err(), "{wrong}");
        }
    }
}
