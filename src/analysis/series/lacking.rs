//! Incomplete readings: a task may be missing from the reading, not from the process.

use crate::snapshot::Reading;

/// Readings with missing tasks, such as a truncated core file.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Lacking {
    /// How many there are.
    readings: u32,
    /// The number of the first one, from 0, and how many tasks it lacks.
    first: Option<(u32, u64)>,
}

impl Lacking {
    /// Takes one more reading into account.
    pub(super) fn check(&mut self, number: u32, reading: &Reading) {
        if reading.missing > 0 {
            self.readings += 1;
            self.first.get_or_insert((number, reading.missing));
        }
    }

    /// What the user should know.
    pub(super) fn warning(&self) -> Option<String> {
        let (number, missing) = self.first?;
        let more = match self.readings {
            1 => String::new(),
            2 => " (and 1 reading more lacks some)".to_owned(),
            n => format!(" (and {} readings more lack some)", n - 1),
        };
        let tasks = if missing == 1 { "task" } else { "tasks" };
        Some(format!(
            "reading {} lacks {missing} {tasks} whose memory could not be read{more}: what seems to have ended \
             there, or to be born after it, may only be missing from it",
            number + 1
        ))
    }
}
