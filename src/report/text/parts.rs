//! Pieces of text that groups, tasks, waits and locks share.

use std::io;

use super::super::line::{DIM, Line, PLAIN, TITLE};
use super::super::task_facts;
use super::super::units::thousands;
use super::super::waiting;
use super::Page;
use super::stack::INDENT;
use crate::analysis::tally::Tally;
use crate::snapshot::{ObjectId, ObjectKind, Snapshot, StrId};

/// At most this many entries of a list (labels, creators) are shown; the number of others is mentioned.
const LIST: usize = 6;

/// "mutex 0xc000012040", "3 mutexes".
pub(super) fn objects(snapshot: &Snapshot, kind: ObjectKind, only: Option<ObjectId>, n: u64) -> String {
    if let Some(row) = only.filter(|_| kind == ObjectKind::Task).and_then(|id| snapshot.joined_task(id)) {
        return task_facts::long_name(snapshot, row);
    }
    match only.and_then(|id| snapshot.objects.get(id.index())) {
        Some(object) => format!("{} {:#x}", waiting::object(kind), object.address),
        None => waiting::objects(kind, n),
    }
}

/// "route=/v1/users (96)"; without numbers if all tasks have it.
pub(super) fn labels(snapshot: &Snapshot, labels: &Tally<(StrId, StrId)>, tasks: u64) -> Vec<String> {
    let text = |(key, value): (StrId, StrId)| format!("{}={}", snapshot.str(key), snapshot.str(value));
    let entries = labels.entries.iter().map(|&(pair, n)| (text(pair), n));
    entries.map(|(text, n)| if n == tasks { text } else { format!("{text} ({})", thousands(n)) }).collect()
}

/// Writes a list under its title, unless it is empty.
pub(super) fn list(page: &mut Page<'_>, title: &str, entries: &[String]) -> io::Result<()> {
    if entries.is_empty() {
        return Ok(());
    }
    let mut pieces: Vec<_> = entries.iter().take(LIST).map(|entry| (PLAIN, entry.clone())).collect();
    if entries.len() > LIST {
        pieces.push((DIM, format!("{} more", thousands((entries.len() - LIST) as u64))));
    }
    let mut line: Line = page.line();
    line.pad(INDENT, 0).push(TITLE, title).push(PLAIN, " ");
    line.wrap(&pieces, ", ", INDENT + 2, page.options.width, page.out)
}

/// Writes a sentence, wrapped.
pub(super) fn words(page: &mut Page<'_>, sentence: &str) -> io::Result<()> {
    let mut line = page.line();
    line.pad(INDENT, 0);
    line.wrap_text(PLAIN, sentence, INDENT + 2, page.options.width, page.out)
}
