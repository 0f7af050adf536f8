//! Text for people: groups or single tasks.
//!
//! Nothing is cut to make it fit: what is too long for its column pushes the rest to the right or to
//! a line of its own. Source paths are shown by their end (see [`super::path`]) unless asked for
//! whole.

use std::io::{self, Write};

use super::line::{DIM, Line, PLAIN, WARN};
use super::units::{count, thousands};
use crate::analysis::{Each, GroupKey, Grouped};
use crate::snapshot::{ReadMode, Snapshot};

mod diff;
pub mod findings;
pub mod fleet;
mod group;
mod header;
mod locks;
mod stack;
mod task;
mod waits;

pub use diff::{change, diff};
pub use group::{state as group_state, title as group_title};
pub use header::{figures, headline, moment, runtime_name, task_noun, who};
pub use locks::hold_sentences;
pub use stack::place_of;
pub use waits::sentences as wait_sentences;

/// How text is to look.
#[derive(Debug, Clone, Copy)]
pub struct TextOptions {
    /// Columns.
    pub width: usize,
    /// With colours.
    pub color: bool,
    /// With whole source paths.
    pub full_paths: bool,
    /// With the figures of the process and how the runtime was read.
    pub verbose: bool,
    /// With the time of the snapshot (it is not of this moment).
    pub time: bool,
    /// The frames of the runtime's machinery too.
    pub all_frames: bool,
}

impl Default for TextOptions {
    fn default() -> Self {
        TextOptions {
            width: 100,
            color: false,
            full_paths: false,
            verbose: false,
            time: false,
            all_frames: false,
        }
    }
}

/// What the parts of a report share.
struct Page<'a> {
    snapshot: &'a Snapshot,
    options: &'a TextOptions,
    out: &'a mut dyn Write,
}

impl Page<'_> {
    fn line(&self) -> Line {
        Line::new(self.options.color)
    }

    /// "goroutine".
    fn noun(&self) -> &str {
        task_noun(self.snapshot)
    }

    /// Writes remarks at the end of a report, if there are any.
    fn notes(&mut self, notes: &[(anstyle::Style, String)]) -> io::Result<()> {
        if !notes.is_empty() {
            writeln!(self.out)?;
        }
        for (style, note) in notes {
            let words: Vec<_> = note.split(' ').map(|word| (*style, word.to_owned())).collect();
            let mut line = self.line();
            line.push(PLAIN, " ");
            line.wrap(&words, " ", 3, self.options.width, self.out)?;
        }
        Ok(())
    }
}

/// Writes groups.
///
/// # Errors
/// Those of `out`.
pub fn groups(
    snapshot: &Snapshot,
    grouped: &Grouped,
    key: &GroupKey,
    options: &TextOptions,
    out: &mut dyn Write,
) -> io::Result<()> {
    let mut page = Page { snapshot, options, out };
    let groups = count(grouped.total_groups, "group");
    let by = if *key == GroupKey::Stack { String::new() } else { format!(" by {key}") };
    let shown = (grouped.total_tasks, grouped.considered);
    header::write(&mut page, shown, &format!(" in {groups}{by}"))?;
    let columns = group::Columns::of(&page, &grouped.groups);
    for one in &grouped.groups {
        writeln!(page.out)?;
        group::write(&mut page, one, &columns)?;
    }
    let left = grouped.total_groups.saturating_sub(grouped.groups.len() as u64);
    let tasks: u64 = grouped.groups.iter().map(|g| g.count).sum();
    let tasks = count(grouped.total_tasks.saturating_sub(tasks), page.noun());
    let left = (left > 0).then(|| format!("{} more with {tasks}", count(left, "group")));
    footer(&mut page, left, grouped.hidden_system)
}

/// Writes single tasks.
///
/// # Errors
/// Those of `out`.
pub fn each(snapshot: &Snapshot, each: &Each, options: &TextOptions, out: &mut dyn Write) -> io::Result<()> {
    let mut page = Page { snapshot, options, out };
    header::write(&mut page, (each.total_tasks, each.considered), "")?;
    let waits = crate::analysis::waits::WaitTable::new(snapshot);
    for &index in &each.tasks {
        let Some(task) = snapshot.tasks.get(index as usize) else { continue };
        writeln!(page.out)?;
        task::write(&mut page, task, &waits)?;
    }
    let left = each.total_tasks.saturating_sub(snapshot.count_of(&each.tasks));
    let left = (left > 0).then(|| format!("{} more", count(left, page.noun())));
    footer(&mut page, left, each.hidden_system)
}

/// What was left out, and what the user should know.
fn footer(page: &mut Page<'_>, left: Option<String>, hidden_system: u64) -> io::Result<()> {
    let mut notes = Vec::new();
    if let Some(left) = left {
        notes.push((DIM, format!("{left} (--limit 0 shows all)")));
    }
    if hidden_system > 0 {
        let noun = page.noun();
        let tasks = count(hidden_system, &format!("system {noun}"));
        notes.push((DIM, format!("{tasks} hidden (--system shows them)")));
    }
    let reading = &page.snapshot.header.reading;
    if reading.torn > 0 {
        let hint = match reading.mode {
            ReadMode::Live | ReadMode::NoPause => " (--freeze reads all at one moment)",
            ReadMode::Frozen | ReadMode::Core => "",
        };
        let tasks = count(reading.torn, page.noun());
        notes.push((WARN, format!("{tasks} would not hold still: stacks unknown{hint}")));
    }
    for warning in &page.snapshot.header.warnings {
        notes.push((WARN, format!("warning: {warning}")));
    }
    page.notes(&notes)
}

/// "1,204", or "1 of 1,204" where less than all is meant.
fn part(n: u64, of: u64) -> String {
    if n == of { thousands(n) } else { format!("{} of {}", thousands(n), thousands(of)) }
}
