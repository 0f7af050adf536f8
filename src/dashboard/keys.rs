//! Which key does what: one table for the keys and for the help.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

/// What a key does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Leaves the dashboard.
    Quit,
    /// Shows or hides the help.
    Help,
    /// Closes what was opened last.
    Back,
    /// One line up.
    Up,
    /// One line down.
    Down,
    /// Folds, or goes back.
    Left,
    /// Unfolds, or opens.
    Right,
    /// The first line.
    Top,
    /// The last line.
    Bottom,
    /// A screen up.
    PageUp,
    /// A screen down.
    PageDown,
    /// The next view.
    NextView,
    /// The previous view.
    PreviousView,
    /// The view whose number the key is.
    View,
    /// Opens what is selected.
    Enter,
    /// Edits the filter.
    Filter,
    /// Sorts by the next column.
    Sort,
    /// Reverses the order.
    Reverse,
    /// Asks what to group by.
    GroupBy,
    /// Shows or hides the runtime's own tasks.
    System,
    /// Enlarges the pane below the list, then makes it small again.
    Pane,
    /// Freezes the picture, or lets it go on.
    Freeze,
    /// Compares with this picture from now on.
    Mark,
    /// Forgets the mark.
    Unmark,
    /// Turns CPU sampling on or off.
    Cpu,
    /// Copies what is selected to the clipboard.
    Copy,
    /// Says why the selected task waits.
    Why,
    /// Asks what to write to a file.
    Write,
    /// Reads less often.
    Slower,
    /// Reads more often.
    Faster,
    /// One reading back, in a replay.
    Earlier,
    /// One reading on, in a replay.
    Later,
    /// Ten readings back, in a replay.
    MuchEarlier,
    /// Ten readings on, in a replay.
    MuchLater,
    /// Redraws the screen.
    Redraw,
    /// Stops loiter until the shell continues it.
    Suspend,
}

/// Some keys and what they do.
#[derive(Debug)]
pub struct Binding {
    keys: &'static [(KeyCode, KeyModifiers)],
    /// The keys as the help names them.
    pub shown: &'static str,
    /// What they do, in the help's words.
    pub what: &'static str,
    /// What they do.
    pub action: Action,
}

/// A note about the key that copies.
pub const CLIPBOARD: &str = "Copying uses the clipboard of the terminal (OSC 52). Some terminals must be set to allow \
                             it; in tmux: set -g set-clipboard on.";

const fn plain(c: char) -> (KeyCode, KeyModifiers) {
    (KeyCode::Char(c), KeyModifiers::NONE)
}

const fn control(c: char) -> (KeyCode, KeyModifiers) {
    (KeyCode::Char(c), KeyModifiers::CONTROL)
}

const fn key(code: KeyCode) -> (KeyCode, KeyModifiers) {
    (code, KeyModifiers::NONE)
}

const fn binding(
    keys: &'static [(KeyCode, KeyModifiers)],
    shown: &'static str,
    what: &'static str,
    action: Action,
) -> Binding {
    Binding { keys, shown, what, action }
}

/// Every key that does something while nothing is being typed.
pub static BINDINGS: &[Binding] = &[
    binding(
        &[
            plain('1'),
            plain('2'),
            plain('3'),
            plain('4'),
            plain('5'),
            plain('6'),
            plain('7'),
            plain('8'),
            plain('9'),
        ],
        "1 2 3 ...",
        "go to a view",
        Action::View,
    ),
    binding(&[key(KeyCode::Tab)], "Tab", "next view", Action::NextView),
    binding(
        &[key(KeyCode::BackTab), (KeyCode::BackTab, KeyModifiers::SHIFT)],
        "Shift-Tab",
        "previous view",
        Action::PreviousView,
    ),
    binding(&[key(KeyCode::Up), plain('k')], "Up k", "up", Action::Up),
    binding(&[key(KeyCode::Down), plain('j')], "Down j", "down", Action::Down),
    binding(&[key(KeyCode::Left), plain('h')], "Left h", "fold, or go back", Action::Left),
    binding(&[key(KeyCode::Right), plain('l')], "Right l", "unfold, or open", Action::Right),
    binding(&[plain('g'), key(KeyCode::Home)], "g Home", "first line", Action::Top),
    binding(&[plain('G'), key(KeyCode::End)], "G End", "last line", Action::Bottom),
    binding(&[key(KeyCode::PageUp), control('b')], "PgUp", "page up", Action::PageUp),
    binding(&[key(KeyCode::PageDown), control('f')], "PgDn", "page down", Action::PageDown),
    binding(&[key(KeyCode::Enter)], "Enter", "open the selected item", Action::Enter),
    binding(&[plain('w')], "w", "why a task or group waits", Action::Why),
    binding(&[key(KeyCode::Esc), key(KeyCode::Backspace)], "Esc", "back; clear the filter", Action::Back),
    binding(&[plain('/')], "/", "filter: words, field:value", Action::Filter),
    binding(&[plain('b')], "b", "group by ...", Action::GroupBy),
    binding(&[plain('s')], "s", "sort by the next column", Action::Sort),
    binding(&[plain('r')], "r", "reverse the order", Action::Reverse),
    binding(&[plain('S')], "S", "show system tasks", Action::System),
    binding(&[plain('c')], "c", "sample CPU: on, off", Action::Cpu),
    binding(&[plain('p')], "p", "enlarge the lower pane", Action::Pane),
    binding(&[plain(' ')], "Space", "freeze the screen; reading and sampling go on", Action::Freeze),
    binding(&[plain('m')], "m", "mark: show changes from now on", Action::Mark),
    binding(&[plain('M')], "M", "forget the mark", Action::Unmark),
    binding(&[plain('y')], "y", "copy the selected item", Action::Copy),
    binding(&[plain('W')], "W", "write to a file", Action::Write),
    binding(&[plain('+'), plain('=')], "+", "read less often", Action::Slower),
    binding(&[plain('-')], "-", "read more often", Action::Faster),
    binding(&[plain('[')], "[", "replay: back 1", Action::Earlier),
    binding(&[plain(']')], "]", "replay: forward 1", Action::Later),
    binding(&[plain('{')], "{", "replay: back 10", Action::MuchEarlier),
    binding(&[plain('}')], "}", "replay: forward 10", Action::MuchLater),
    binding(&[control('l')], "Ctrl-L", "redraw", Action::Redraw),
    binding(&[control('z')], "Ctrl-Z", "suspend", Action::Suspend),
    binding(&[plain('?'), key(KeyCode::F(1))], "?", "this help", Action::Help),
    binding(&[plain('q'), control('c')], "q", "quit", Action::Quit),
];

/// What a key does. Shift is part of the character.
pub fn lookup(event: KeyEvent) -> Option<Action> {
    let shift = matches!(event.code, KeyCode::Char(_));
    let modifiers = if shift { event.modifiers - KeyModifiers::SHIFT } else { event.modifiers };
    let is = |binding: &&Binding| binding.keys.contains(&(event.code, modifiers));
    BINDINGS.iter().find(is).map(|binding| binding.action)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_key_does_two_things() {
        let mut keys: Vec<_> = BINDINGS.iter().flat_map(|binding| binding.keys).collect();
        let count = keys.len();
        keys.sort_by_key(|key| format!("{key:?}"));
        keys.dedup();
        assert_eq!(keys.len(), count);
    }

    #[test]
    fn shift_is_part_of_the_character() {
        let press = |c, modifiers| lookup(KeyEvent::new(KeyCode::Char(c), modifiers));
        assert_eq!(press('G', KeyModifiers::SHIFT), Some(Action::Bottom));
        assert_eq!(press('?', KeyModifiers::SHIFT), Some(Action::Help));
        assert_eq!(press('c', KeyModifiers::CONTROL), Some(Action::Quit));
        assert_eq!(press('c', KeyModifiers::NONE), Some(Action::Cpu));
        assert_eq!(press('q', KeyModifiers::ALT), None);
    }
}
