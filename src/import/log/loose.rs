//! Stack lines whose writer is unknown.

/// Stack lines whose writer is unknown.
#[derive(Default)]
pub(super) struct Loose {
    pub(super) lines: u64,
    /// The last line may be a call.
    pub(super) call: bool,
    /// They are known to belong to no goroutine: the runtime's own stack, a report of a race.
    known: bool,
}

impl Loose {
    pub(super) fn line(&mut self, text: &str) {
        self.known |= text.ends_with("runtime stack:")
            || text.contains("[originating from goroutine ")
            || text.contains("WARNING: DATA RACE");
        self.known &= !text.is_empty() && !text.ends_with("==================") || text.contains("DATA RACE");
        if !self.known && is_end_of_stack_line(text) {
            self.lines += 1 + u64::from(self.call);
        }
        self.call = text.ends_with(')') || text.contains("created by ");
    }

    pub(super) fn take(&mut self) -> u64 {
        self.known = false;
        self.call = false;
        std::mem::take(&mut self.lines)
    }
}

/// Is it a source location, whatever precedes it?
fn is_end_of_stack_line(text: &str) -> bool {
    // Crashes add the addresses of the frame.
    let text = text.rsplit_once(" fp=0x").map_or(text, |(text, _)| text);
    let Some((before, offset)) = text.rsplit_once(" +0x") else { return false };
    let Some((file, line)) = before.rsplit_once(':') else { return false };
    let number = |text: &str| !text.is_empty() && text.len() < 17;
    number(offset)
        && number(line)
        && offset.bytes().all(|b| b.is_ascii_hexdigit())
        && line.bytes().all(|b| b.is_ascii_digit())
        && (file.ends_with(".go") || file.ends_with(".s"))
}
