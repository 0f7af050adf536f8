//! Text for people: groups or single tasks.
//!
//! Nothing is cut to make it fit: text that is too long for its column pushes the rest to the right or to
//! a line of its own. Source paths are shortened (see `report::path`) unless full paths are asked for.

use std::io::{self, Write};

use super::line::{DIM, Line, PLAIN, WARN};
use super::units::{count, thousands};
use crate::analysis::modules::Owners;
use crate::analysis::{Each, GroupKey, Grouped};
use crate::snapshot::{ReadMode, Snapshot};

mod branches;
mod diff;
pub mod findings;
pub mod fleet;
mod group;
mod header;
mod locks;
mod parts;
pub mod recording;
mod short;
mod stack;
mod task;
mod waits;
pub mod why;

pub use super::path::place_of;
pub use super::runtime_names::{runtime_name, task_noun};
pub use diff::{change, diff};
pub use group::{state as group_state, title as group_title};
pub use header::{figures, headline, moment, who};
pub use locks::hold_sentences;
pub use waits::sentences as wait_sentences;

/// The level of detail for each group or task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Detail {
    /// Everything.
    #[default]
    Full,
    /// Only the part of a stack that belongs to the program.
    Shortened,
    /// One line.
    Line,
}

/// The appearance of text.
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
    /// With the time of the snapshot, because it was taken earlier.
    pub time: bool,
    /// Include the frames of the runtime's machinery.
    pub all_frames: bool,
    /// The level of detail for each group or task.
    pub detail: Detail,
    /// The number of lines that fit. The footer says how much was left out.
    pub rows: Option<usize>,
    /// Lines of [`Detail::Line`] are cut to fit the width.
    pub cut: bool,
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
            detail: Detail::Full,
            rows: None,
            cut: false,
        }
    }
}

/// What the parts of a report share.
struct Page<'a> {
    snapshot: &'a Snapshot,
    options: &'a TextOptions,
    owners: &'a Owners,
    out: &'a mut dyn Write,
}

impl Page<'_> {
    fn line(&self) -> Line {
        Line::new(self.options.color)
    }

    /// Writes the parts of a report, as many as fit, but at least one. An empty line precedes each part that has
    /// several lines. Returns the number of parts written.
    fn parts<T>(
        &mut self,
        parts: &[T],
        header: usize,
        write: impl Fn(&mut Page<'_>, &T) -> io::Result<()>,
    ) -> io::Result<usize> {
        let line = self.options.detail == Detail::Line;
        if line && !parts.is_empty() {
            writeln!(self.out)?;
        }
        let mut used = header + usize::from(line) + self.footer_lines();
        for (nth, part) in parts.iter().enumerate() {
            let mut text = Vec::new();
            if !line {
                text.push(b'\n');
            }
            write(&mut Page { out: &mut text, ..*self }, part)?;
            used += text.iter().filter(|&&byte| byte == b'\n').count();
            if nth > 0 && self.options.rows.is_some_and(|rows| used > rows) {
                return Ok(nth);
            }
            self.out.write_all(&text)?;
        }
        Ok(parts.len())
    }

    /// Lines that the footer and the shell's prompt may need.
    fn footer_lines(&self) -> usize {
        4 + usize::from(self.snapshot.header.reading.torn > 0) + 2 * self.snapshot.header.warnings.len()
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
            let mut line = self.line();
            line.push(PLAIN, " ");
            line.wrap_text(*style, note, 3, self.options.width, self.out)?;
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
    let owners = Owners::new(snapshot);
    let groups = count(grouped.total_groups, "group");
    let by = if *key == GroupKey::Stack { String::new() } else { format!(" by {key}") };
    let shown = (grouped.total_tasks, grouped.considered);
    let mut page = Page { snapshot, options, owners: &owners, out };
    let header = header::write(&mut page, shown, &format!(" in {groups}{by}"))?;
    // Groups beyond the last line need not be laid out.
    let all = grouped.groups.get(..options.rows.unwrap_or(usize::MAX)).unwrap_or(&grouped.groups);
    let shown = if options.detail == Detail::Line {
        let lines = short::groups(&page, all);
        page.parts(&lines, header, |page, line| line.write(page))?
    } else {
        let columns = group::Columns::of(&page, all);
        page.parts(all, header, |page, one| group::write(page, one, &columns))?
    };
    let left = grouped.total_groups.saturating_sub(shown as u64);
    let tasks: u64 = grouped.groups.iter().take(shown).map(|g| g.count).sum();
    let tasks = count(grouped.total_tasks.saturating_sub(tasks), page.noun());
    let left = (left > 0).then(|| format!("{} more with {tasks}", count(left, "group")));
    footer(&mut page, left, grouped.hidden_system)
}

/// Writes single tasks.
///
/// # Errors
/// Those of `out`.
pub fn each(snapshot: &Snapshot, each: &Each, options: &TextOptions, out: &mut dyn Write) -> io::Result<()> {
    let owners = Owners::new(snapshot);
    let mut page = Page { snapshot, options, owners: &owners, out };
    let header = header::write(&mut page, (each.total_tasks, each.considered), "")?;
    let tasks = each.tasks.get(..options.rows.unwrap_or(usize::MAX)).unwrap_or(&each.tasks);
    let shown = if options.detail == Detail::Line {
        let tasks: Vec<_> = tasks.iter().filter_map(|&index| snapshot.tasks.get(index as usize)).collect();
        let lines = short::tasks(&page, &tasks);
        page.parts(&lines, header, |page, line| line.write(page))?
    } else {
        let waits = crate::analysis::waits::WaitTable::new(snapshot);
        page.parts(tasks, header, |page, &row| task::write(page, row, &waits))?
    };
    let shown = snapshot.count_of(each.tasks.get(..shown).unwrap_or(&each.tasks));
    let left = each.total_tasks.saturating_sub(shown);
    let left = (left > 0).then(|| format!("{} more", count(left, page.noun())));
    footer(&mut page, left, each.hidden_system)
}

/// How much was left out, and warnings.
fn footer(page: &mut Page<'_>, left: Option<String>, hidden_system: u64) -> io::Result<()> {
    let mut notes = Vec::new();
    if let Some(left) = left {
        let all = if page.options.rows.is_some() { "--full" } else { "--limit 0" };
        notes.push((DIM, format!("{left} ({all} shows all)")));
    }
    if hidden_system > 0 {
        let noun = page.noun();
        let tasks = count(hidden_system, &format!("system {noun}"));
        notes.push((DIM, format!("{tasks} hidden (--system shows them)")));
    }
    let reading = &page.snapshot.header.reading;
    if reading.torn > 0 {
        let hint = match reading.mode {
            ReadMode::Live | ReadMode::NoPause => " (--freeze prevents this)",
            ReadMode::Frozen | ReadMode::Core => "",
        };
        let tasks = count(reading.torn, page.noun());
        notes.push((WARN, format!("{tasks} changed while they were read: stacks unknown{hint}")));
    }
    for warning in &page.snapshot.header.warnings {
        notes.push((WARN, format!("warning: {warning}")));
    }
    page.notes(&notes)
}

/// "1,204", or "1 of 1,204" if `n` is less than all.
fn part(n: u64, of: u64) -> String {
    if n == of { thousands(n) } else { format!("{} of {}", thousands(n), thousands(of)) }
}
