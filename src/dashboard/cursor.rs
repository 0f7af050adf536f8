//! The selection in a list.

/// The selected line of a list, and the first line on the screen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Cursor {
    /// The selected line.
    pub at: usize,
    /// The first line shown.
    pub top: usize,
}

impl Cursor {
    /// Selects a line of `len`, and shows it in a window of `height` lines.
    pub fn go(&mut self, at: usize, len: usize, height: usize) {
        self.at = at.min(len.saturating_sub(1));
        let height = height.max(1);
        self.top = self.top.clamp((self.at + 1).saturating_sub(height), self.at);
        // No empty lines below while there are lines above.
        self.top = self.top.min(len.saturating_sub(height));
    }
}
