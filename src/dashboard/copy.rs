//! The selection as text for the clipboard.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::query::View;
use super::state::{AppState, List};
use super::task_detail::{self, Row};
use super::view::evidence;
use crate::analysis::flame::NodeId;
use crate::report::escape;
use crate::report::text::findings::summary;
use crate::report::text::task_noun;
use crate::report::units::{count, thousands};

/// At most this much text is copied, bytes: terminals accept about 75,000 characters, and the encoding adds a
/// third.
const LONGEST: usize = 48 << 10;
/// So wide that no line is wrapped.
const COLUMNS: usize = 10_000;

/// Text to be copied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Copied {
    /// The text: escaped, and not too long.
    pub(super) text: String,
    /// Some of it is missing.
    cut: bool,
}

impl Copied {
    /// What was copied, as a sentence.
    pub(super) fn message(&self) -> String {
        let lines = count(self.text.lines().count() as u64, "line");
        let cut = if self.cut { "the first " } else { "" };
        format!("copied {cut}{lines}, if the terminal allows it (OSC 52)")
    }
}

/// The selection: a group or a task with its stack; of a single task the selected line, or everything if the
/// first line is selected.
pub(super) fn selected(state: &AppState) -> Option<Copied> {
    let tables = &state.tables;
    let picture = &*tables.picture;
    let snapshot = &*picture.snapshot;
    let lines: Vec<String> = match (state.query.view, state.list()) {
        (View::Flame, _) => {
            let flame = tables.flame.as_ref()?;
            let path = flame.path(state.frame.find(flame));
            let name = |&id: &NodeId| flame.name(id).text.clone();
            // Innermost first, as stacks are shown.
            path.iter()
                .rev()
                .filter(|&&id| id != NodeId::ALL)
                .map(name)
                .map(|text| escape(&text).into_owned())
                .collect()
        }
        (_, Some(List::Groups)) => {
            let row = tables.groups.rows.get(state.cursors.groups.at)?;
            let head = format!("{}: {}", count(row.count(), task_noun(snapshot)), row.state);
            let mut rows = vec![Row::new(task_detail::PieceKind::Head, &head)];
            rows.extend(task_detail::frames(snapshot, &row.group.frames, COLUMNS));
            let creator = row.group.creators.only().flatten();
            let creator = creator.and_then(|id| crate::analysis::frames::creator_frame(snapshot, id));
            rows.extend(creator.map(|frame| task_detail::creator(snapshot, frame)));
            rows.iter().map(Row::text).collect()
        }
        (_, Some(List::Tasks)) => {
            let &index = tables.tasks.order.get(state.cursors.tasks.at)?;
            task_detail::stack(picture, index, COLUMNS).iter().map(Row::text).collect()
        }
        (_, Some(List::Closeup)) => {
            let rows = task_detail::rows(tables, COLUMNS);
            match state.cursors.closeup.at {
                0 => rows.iter().map(Row::text).collect(),
                at => vec![state.closeup().get(at)?.text().trim().to_owned()],
            }
        }
        (_, Some(List::Chain)) => {
            let chain = state.chain.as_ref()?;
            match chain.cursor.at {
                0 => chain.lines(COLUMNS).iter().map(|(row, _)| row.text()).collect(),
                at => vec![chain.lines(state.size.0.into()).get(at)?.0.text().trim().to_owned()],
            }
        }
        (_, Some(List::Creators)) => {
            let at = *state.branches().get(state.cursors.creators.at)?;
            let node = tables.creators.nodes.get(at)?;
            vec![escape(&format!("{} {} {}", thousands(node.total), node.name, node.place)).into_owned()]
        }
        (_, Some(List::Findings)) => {
            let report = state.findings()?;
            let finding = report.findings.get(state.cursors.findings.at)?;
            let head = format!("{}: {}", finding.sureness, summary(finding));
            let mut lines = vec![escape(&head).into_owned()];
            lines.extend(evidence(report, finding, COLUMNS).iter().map(Row::text));
            lines
        }
        (_, Some(List::Scheduler) | None) => return None,
    };
    let end = lines.iter().rposition(|line| !line.trim().is_empty()).map_or(0, |last| last + 1);
    let copied = bounded(lines.get(..end).unwrap_or_default());
    Some(copied).filter(|copied| !copied.text.trim().is_empty())
}

/// As many lines as fit; if a single line is too long, its beginning.
fn bounded(lines: &[String]) -> Copied {
    let mut text = String::new();
    for line in lines {
        let line = line.trim_end();
        let room = LONGEST.saturating_sub(text.len() + 1);
        if line.len() > room {
            let end = (0..=room).rev().find(|&at| line.is_char_boundary(at)).unwrap_or(0);
            if text.is_empty() {
                text.push_str(line.get(..end).unwrap_or_default());
            }
            return Copied { text, cut: true };
        }
        text.push_str(line);
        text.push('\n');
    }
    if lines.len() == 1 {
        text.pop();
    }
    Copied { text, cut: false }
}

/// The escape sequence that hands a text to the terminal's clipboard (OSC 52). Nothing in the text can end the
/// sequence.
pub(super) fn sequence(text: &str) -> String {
    format!("\x1b]52;c;{}\x07", STANDARD.encode(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_copied_is_bounded() {
        let short = bounded(&["a  ".to_owned(), "b".to_owned()]);
        assert_eq!((short.text.as_str(), short.cut), ("a\nb\n", false));
        let line = "ä".repeat(1000);
        let many = bounded(&vec![line.clone(); 1000]);
        assert!(many.cut && many.text.len() <= LONGEST && many.text.len() > LONGEST - 2002);
        assert!(many.message().starts_with("copied the first 24 lines"), "{}", many.message());
        let one = bounded(&[line.repeat(100)]);
        assert!(one.cut && one.text.len() <= LONGEST && one.text.len() > LONGEST - 4);
    }

    #[test]
    fn nothing_ends_the_sequence_early() {
        let sequence = sequence("a\x07\x1b\\b");
        assert_eq!(sequence, "\x1b]52;c;YQcbXGI=\x07");
    }
}
