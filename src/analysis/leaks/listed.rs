//! What a list of known kinds, a form of a baseline, says of tasks.

use crate::analysis::baseline::{Kind, Line};

/// What a list of known kinds says of the tasks, and what it would have to say.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Listed {
    /// Each program, as sections of a list name it, with the kinds of its findings and those that the list names:
    /// a list with these knows all of them.
    pub programs: Vec<(String, Vec<Kind>)>,
    /// Tasks left out because the list names their kind.
    pub tasks: u64,
    /// The kinds of these tasks.
    pub known: Vec<Kind>,
    /// Lines that no task needs any more.
    pub stale: Vec<Line>,
    /// Lines whose last day is over, and whose tasks are there.
    pub expired: Vec<Line>,
}

impl Listed {
    /// Adds what is said of another process. Which lines are stale has to be asked anew.
    pub(super) fn join(&mut self, other: Listed) {
        for (program, mut kinds) in other.programs {
            match self.programs.iter_mut().find(|(name, _)| *name == program) {
                Some((_, all)) => unite(all, &mut kinds),
                None => self.programs.push((program, kinds)),
            }
        }
        self.tasks = self.tasks.saturating_add(other.tasks);
        unite(&mut self.known, &mut { other.known });
        self.expired.extend(other.expired);
        self.expired.sort_by_key(|line| line.number);
        self.expired.dedup();
    }
}

fn unite(all: &mut Vec<Kind>, more: &mut Vec<Kind>) {
    all.append(more);
    all.sort_unstable();
    all.dedup();
}
