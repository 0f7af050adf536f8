//! Programs that a process was, one after another.

/// Earlier programs that a warning names.
const MAX_NAMES: usize = 3;

/// Programs that the process was before it became the one that the recording is named after.
#[derive(Default)]
pub(super) struct Earlier {
    names: Vec<String>,
    more: u64,
}

impl Earlier {
    /// Another one.
    pub(super) fn push(&mut self, name: String) {
        match self.names.len() < MAX_NAMES {
            true => self.names.push(name),
            false => self.more += 1,
        }
    }

    /// What the user should know.
    pub(super) fn text(&self) -> Option<String> {
        let more = if self.more > 0 { format!(" and {} more", self.more) } else { String::new() };
        let names = self.names.join(", ");
        let text =
            format!("the process was another program before ({names}{more}): its samples are in here, too");
        (!names.is_empty()).then_some(text)
    }
}
