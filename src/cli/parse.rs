//! Values of options.

use crate::snapshot::TaskState;

/// The states by name, in the order of the help.
pub(super) const STATES: [TaskState; 7] = [
    TaskState::Running,
    TaskState::Runnable,
    TaskState::Waiting,
    TaskState::Syscall,
    TaskState::Preempted,
    TaskState::Finished,
    TaskState::Unknown,
];

/// A state by its name.
pub(super) fn state(name: &str) -> TaskState {
    STATES.into_iter().find(|state| state.name().eq_ignore_ascii_case(name)).unwrap_or(TaskState::Unknown)
}

/// `KEY` or `KEY=VALUE`.
pub(super) fn label(text: &str) -> Result<(String, Option<String>), String> {
    let (key, value) = match text.split_once('=') {
        Some((key, value)) => (key, Some(value.to_owned())),
        None => (text, None),
    };
    if key.is_empty() { Err("a label needs a key".to_owned()) } else { Ok((key.to_owned(), value)) }
}

/// A duration like "90s", "1h30m" or "2 min", in nanoseconds.
pub(super) fn duration(text: &str) -> Result<u64, String> {
    let problem = || "use a number and a unit (ns, us, ms, s, m, h, d), like 90s or 1h30m".to_owned();
    let mut rest = text.trim();
    let mut total = 0_u64;
    if rest.is_empty() {
        return Err(problem());
    }
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(problem)?;
        let (number, after) = rest.split_at(end);
        let after = after.trim_start();
        let end = after.find(|c: char| !c.is_alphabetic()).unwrap_or(after.len());
        let (unit, after) = after.split_at(end);
        let unit: u64 = match unit {
            "ns" => 1,
            "us" | "µs" => 1_000,
            "ms" => 1_000_000,
            "s" | "sec" => 1_000_000_000,
            "m" | "min" => 60_000_000_000,
            "h" => 3_600_000_000_000,
            "d" => 86_400_000_000_000,
            _ => return Err(problem()),
        };
        let number: u64 = number.parse().map_err(|_| problem())?;
        let part = number.checked_mul(unit).ok_or("that is too long")?;
        total = total.checked_add(part).ok_or("that is too long")?;
        rest = after.trim_start();
    }
    Ok(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        for (text, ns) in [
            ("90s", Some(90_000_000_000)),
            ("1h30m", Some(5_400_000_000_000)),
            (" 2 min 5s ", Some(125_000_000_000)),
            ("0ns", Some(0)),
            ("7µs", Some(7_000)),
            ("", None),
            ("5", None),
            ("s", None),
            ("-5s", None),
            ("5 weeks", None),
            ("99999999999d", None),
        ] {
            assert_eq!(duration(text).ok(), ns, "{text}");
        }
    }

    #[test]
    fn labels() {
        assert_eq!(label("a"), Ok(("a".to_owned(), None)));
        assert_eq!(label("a=b=c"), Ok(("a".to_owned(), Some("b=c".to_owned()))));
        assert!(label("=b").is_err());
    }
}
