//! What went wrong with readings, said once and not with every reading.

use crate::cli::output::tell;
use crate::session::Trouble;

/// What was said last.
#[derive(Debug, Default)]
pub(super) struct Said {
    last: Option<String>,
}

impl Said {
    /// A reading failed.
    pub(super) fn trouble(&mut self, trouble: &Trouble) {
        let text = crate::full_text(trouble);
        if self.last.as_ref() != Some(&text) {
            tell(&text);
            self.last = Some(text);
        }
    }

    /// A reading succeeded. `who`: whose it is, said if others failed before.
    pub(super) fn reading(&mut self, who: &str) {
        if self.last.take().is_some() {
            tell(&format!("{who} is read again"));
        }
    }
}
