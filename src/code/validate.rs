//! Checks that every index of the code tables is within its table.

use super::{CodeTables, StrId};

/// Total frames of one stack; a reader keeps far fewer.
const MAX_FRAMES: usize = 1 << 20;

/// An index out of range, or a table that breaks a rule of the model.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{table} {row}: {problem}")]
pub struct Invalid {
    /// The table: "task", "stack".
    pub table: &'static str,
    /// The row, from 0.
    pub row: usize,
    /// What is wrong with it.
    pub problem: &'static str,
}

/// Turns a failed check into an error.
pub(crate) fn check(ok: bool, table: &'static str, row: usize, problem: &'static str) -> Result<(), Invalid> {
    if ok { Ok(()) } else { Err(Invalid { table, row, problem }) }
}

impl CodeTables {
    /// Checks that every index is within its table, every location has a frame and no stack is absurdly deep.
    ///
    /// # Errors
    /// The first problem found.
    pub fn validate(&self) -> Result<(), Invalid> {
        for (row, function) in self.functions.iter().enumerate() {
            let ok = self.has_string(function.name) && self.has_string(function.package);
            check(ok, "function", row, "its name is not in the table of strings")?;
        }
        for (row, image) in self.images.iter().enumerate() {
            let ok = self.has_string(image.path) && image.build_id.is_none_or(|id| self.has_string(id));
            check(ok, "image", row, "its path or its build id is not in the table of strings")?;
        }
        for (row, location) in self.locations.iter().enumerate() {
            check(!location.frames.is_empty(), "location", row, "it has no frame")?;
            let image = location.image.is_none_or(|id| id.index() < self.images.len());
            check(image, "location", row, "its image does not exist")?;
            let ok = (location.frames.iter())
                .all(|f| f.function.index() < self.functions.len() && self.has_string(f.file));
            check(ok, "location", row, "a frame's function or file does not exist")?;
        }
        for (row, stack) in self.stacks.iter().enumerate() {
            let mut frames = 0_usize;
            for id in &stack.locations {
                let Some(location) = self.locations.get(id.index()) else {
                    return check(false, "stack", row, "a location does not exist");
                };
                frames = frames.saturating_add(location.frames.len());
            }
            check(frames <= MAX_FRAMES, "stack", row, "it has too many frames")?;
        }
        for (row, labels) in self.label_sets.iter().enumerate() {
            let ok = labels.pairs.iter().all(|&(k, v)| self.has_string(k) && self.has_string(v));
            check(ok, "label set", row, "a key or a value is not in the table of strings")?;
        }
        Ok(())
    }

    fn has_string(&self, id: StrId) -> bool {
        id.index() < self.strings.len()
    }
}
