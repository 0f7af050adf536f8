//! Describes what a reading lacks.

use super::header::Reading;

impl Reading {
    /// The core file was cut, or memory that belongs to tasks could not be read: the counts of tasks are too
    /// low, and a task that is not in the snapshot may be there.
    pub fn is_incomplete(&self) -> bool {
        self.missing > 0 || self.core_bytes_missing > 0
    }

    /// Warns the user of what is not in the snapshot: one sentence, or None if it is complete. `tasks` were
    /// read, and `noun` is the word for one of them.
    pub fn lacks(&self, tasks: u64, noun: &str) -> Option<String> {
        let mut parts = Vec::new();
        if self.core_bytes_missing > 0 {
            let have = self.core_bytes.unwrap_or(0);
            let (have, whole) = sizes(have, have.saturating_add(self.core_bytes_missing));
            parts.push(format!("the core file is cut: {have} of {whole} are there"));
        }
        let not_in_it = match (self.core_bytes, self.core_bytes_missing) {
            (None, _) => "could not be read",
            (_, 0) => "not in the core file",
            _ => "not in it",
        };
        let (are, is) = if self.core_bytes.is_none() { ("", "") } else { ("are ", "is ") };
        if self.missing > 0 {
            let all = tasks.saturating_add(self.missing);
            // An ended task leaves its structure in the list.
            let some = if self.ended > 0 { "at most " } else { "" };
            parts.push(format!(
                "{some}{} of {} {noun}s {are}{not_in_it}",
                separated(self.missing),
                separated(all)
            ));
        }
        match self.missing_stacks {
            0 => {}
            1 => parts.push(format!("the stack of 1 {noun} {is}{not_in_it} or not whole")),
            n => parts.push(format!("the stacks of {} {noun}s {are}{not_in_it} or not whole", separated(n))),
        }
        let known = parts.len() > 1 || self.core_bytes_missing == 0;
        if !known {
            parts.push(format!("every {noun} is in it, but what they refer to may not be"));
        }
        (!parts.is_empty()).then(|| parts.join("; "))
    }
}

/// Two sizes in the unit of the larger one: "12.7" and "50.4 MiB".
fn sizes(part: u64, whole: u64) -> (String, String) {
    const UNITS: [&str; 7] = ["bytes", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    let mut unit = 0;
    while unit + 1 < UNITS.len() && whole >> (10 * (unit + 1)) > 0 {
        unit += 1;
    }
    let number = |n: u64| match unit {
        0 => n.to_string(),
        _ => format!("{:.1}", n as f64 / (1u64 << (10 * unit)) as f64),
    };
    (number(part), format!("{} {}", number(whole), UNITS.get(unit).unwrap_or(&"bytes")))
}

/// "1,204".
fn separated(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (nth, digit) in digits.chars().enumerate() {
        if nth > 0 && (digits.len() - nth).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sentences() {
        let whole = Reading { core_bytes: Some(52_879_360), ..Reading::default() };
        assert_eq!(whole.lacks(5001, "goroutine"), None);
        let cut = Reading {
            core_bytes: Some(13_332_480),
            core_bytes_missing: 52_879_360 - 13_332_480,
            missing: 557,
            missing_stacks: 21,
            ..Reading::default()
        };
        assert_eq!(
            cut.lacks(4444, "goroutine").as_deref(),
            Some(
                "the core file is cut: 12.7 of 50.4 MiB are there; 557 of 5,001 goroutines are not in it; \
                 the stacks of 21 goroutines are not in it or not whole"
            )
        );
        let ended = Reading { missing: 2, ended: 1, ..Reading::default() };
        assert_eq!(
            ended.lacks(8, "goroutine").as_deref(),
            Some("at most 2 of 10 goroutines could not be read")
        );
        let all = Reading { core_bytes: Some(1), core_bytes_missing: u64::MAX, ..Reading::default() };
        assert_eq!(
            all.lacks(1, "task").as_deref(),
            Some(
                "the core file is cut: 0.0 of 16.0 EiB are there; every task is in it, but what they refer \
                 to may not be"
            )
        );
    }
}
