//! What a list of known kinds of tasks says, in words. Texts may contain names from the target: escape before printing.

use super::escape::is_printable;
use super::units::count;
use crate::analysis::baseline::Line;
use crate::analysis::baseline::file::entry_text;
use crate::analysis::leaks::Listed;

/// Lines that are shown; the number of others is mentioned.
const SHOWN: usize = 20;

/// A sentence, and what belongs below it, a line each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remark {
    /// The sentence.
    pub head: String,
    /// The lines below it.
    pub lines: Vec<String>,
}

/// "known by the baseline: 12 goroutines of 3 kinds".
pub fn known_tasks(noun: &str, tasks: u64, kinds: usize) -> String {
    format!("known by the baseline: {} of {}", count(tasks, noun), count(kinds as u64, "kind"))
}

/// A line of the list, without the comments above it: "main.f | main.g | select".
pub fn kind_line(line: &Line) -> String {
    entry_text(line, &is_printable)
}

/// The lines that nothing needs any more. None if there are none.
pub fn stale(lines: &[Line]) -> Option<Remark> {
    let number = count(lines.len() as u64, "line");
    remark(format!("no longer needed: {number} of the baseline (--write-baseline removes them)"), lines)
}

/// What a list says of tasks that were looked at. The known kinds themselves only with `verbose`.
pub fn listed(listed: &Listed, noun: &str, verbose: bool) -> Vec<Remark> {
    let Listed { tasks, known, stale: old, expired, .. } = listed;
    let kinds = known.iter().filter(|_| verbose).map(|kind| kind_line(&Line::new(kind)));
    let known = (!known.is_empty())
        .then(|| Remark { head: known_tasks(noun, *tasks, known.len()), lines: kinds.collect() });
    let past = count(expired.len() as u64, "line");
    let are = if expired.len() == 1 { "is" } else { "are" };
    let expired = remark(format!("no longer known: {past} of the baseline {are} past the last day"), expired);
    known.into_iter().chain(expired).chain(stale(old)).collect()
}

fn remark(head: String, lines: &[Line]) -> Option<Remark> {
    let one = |line: &Line| format!("line {}: {}", line.number, kind_line(line));
    let mut all: Vec<String> = lines.iter().take(SHOWN).map(one).collect();
    let more = lines.len().saturating_sub(SHOWN);
    all.extend((more > 0).then(|| format!("and {more} more")));
    (!lines.is_empty()).then_some(Remark { head, lines: all })
}
