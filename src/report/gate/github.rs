//! GitHub: annotations beside the lines of a change, and a summary on the page of a run.

use std::io::{self, Write};

use super::block;
use super::words::{all_unjudged, charged, heading, headline, ignored, left_title, seen};
use crate::analysis::gate::{Leak, Verdict};
use crate::report::escape;
use crate::report::evidence::meaning;
use crate::report::known::{kind_line, known_tasks};
use crate::report::markdown;
use crate::report::roots::Roots;
use crate::report::units::count;

/// GitHub shows ten annotations of a kind for each step, and drops the others without saying so.
pub const MAX_ANNOTATIONS: usize = 10;
/// Stale lines of the baseline in a summary.
const STALE: usize = 50;

/// Writes workflow commands that annotate the places where tasks were started, the gravest first. If there are more than
/// [`MAX_ANNOTATIONS`], the last one says how many are left.
///
/// # Errors
/// Those of `out`.
pub fn annotations(verdict: &Verdict, roots: &Roots, out: &mut dyn Write) -> io::Result<()> {
    let all: Vec<&Leak> = verdict.failures().collect();
    let shown = if all.len() > MAX_ANNOTATIONS { MAX_ANNOTATIONS - 1 } else { all.len() };
    for leak in all.iter().take(shown) {
        let mut properties = Vec::new();
        if let Some(place) = roots.place(leak) {
            properties.push(format!("file={}", property(&place.path)));
            properties.push(format!("line={}", place.line));
        }
        let what = if leak.is_left { "tasks left" } else { "tasks leak while it runs" };
        properties.push(format!("title={}", property(&format!("{}: {what}", verdict.program))));
        let mut text = format!("{}; charged to {}", heading(leak), charged(leak));
        if let Some(seen) = seen(verdict, leak) {
            text.push_str(&format!("; found {seen}"));
        }
        if let Some(meaning) = leak.finding.cause.map(meaning) {
            text.push_str(&format!("; {}", meaning.cause));
        }
        writeln!(out, "::error {}::{}", properties.join(","), data(&text))?;
    }
    if let Some(more) = all.len().checked_sub(shown).filter(|&more| more > 0) {
        let title = property(&format!("{}: more tasks", verdict.program));
        let text = format!(
            "{more} more of {} are not shown here: {}",
            count(all.len() as u64, "kind"),
            headline(verdict)
        );
        writeln!(out, "::error title={title}::{}", data(&text))?;
    }
    Ok(())
}

/// The text of a command. The escape character of commands is the percent sign.
fn data(text: &str) -> String {
    escape(text).replace('%', "%25")
}

/// The value of a property of a command.
fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

/// The summary of a run as Markdown, of at most `most` bytes: what does not fit is left out, and that is said. None if
/// not even that fits.
pub fn summary(verdict: &Verdict, roots: &Roots, most: usize) -> Option<String> {
    let mut text = format!(
        "### loiter gate: {}\n\n{}\n\n",
        markdown::code(&verdict.program),
        markdown::plain(&headline(verdict))
    );
    if text.len() > most {
        return None;
    }
    let said = "\nThe rest is left out: the summary would be too large.\n";
    let mut pieces = table(verdict, roots);
    pieces.extend(verdict.failures().map(|leak| details(verdict, leak)));
    pieces.extend(notes(verdict));
    for piece in pieces {
        if text.len() + piece.len() + said.len() > most {
            if text.len() + said.len() <= most {
                text.push_str(said);
            }
            break;
        }
        text.push_str(&piece);
    }
    Some(text)
}

fn table(verdict: &Verdict, roots: &Roots) -> Vec<String> {
    if !verdict.fails() {
        return Vec::new();
    }
    let mut rows = vec![
        "| | tasks | doing | function | created by | at | charged to |\n|---|--:|---|---|---|---|---|\n"
            .to_owned(),
    ];
    for leak in verdict.failures() {
        let part = leak.finding.parts.first();
        let what = part.map_or("", |part| part.what.as_str());
        let at = part.and_then(|part| part.at.as_ref()).map_or("", |at| &at.function);
        let by = part.and_then(|part| part.creator.as_ref()).map_or("", |by| &by.function);
        let place =
            roots.place(leak).map(|place| format!("{}:{}", place.path, place.line)).unwrap_or_default();
        rows.push(format!(
            "| {} | {} | {} | {} | {} | {} | {} |\n",
            left_title(leak),
            leak.finding.now,
            markdown::code(what),
            markdown::code(at),
            markdown::code(by),
            markdown::code(&place),
            markdown::plain(&charged(leak)),
        ));
    }
    rows
}

fn details(verdict: &Verdict, leak: &Leak) -> String {
    let text = block(verdict, leak);
    let lines: Vec<String> = text.lines().map(str::to_owned).collect();
    format!(
        "\n<details><summary>{}</summary>\n\n{}\n</details>\n",
        markdown::plain(&heading(leak)),
        markdown::block(&lines)
    )
}

fn notes(verdict: &Verdict) -> Vec<String> {
    let mut notes = Vec::new();
    let known: Vec<&Leak> = verdict.known().collect();
    if !known.is_empty() {
        let tasks = known.iter().map(|leak| leak.finding.now).sum();
        notes.push(markdown::plain(&known_tasks(&verdict.noun, tasks, known.len())));
    }
    for line in verdict.stale.iter().take(STALE) {
        notes.push(format!("no longer needed in the baseline: {}", markdown::code_in_text(&kind_line(line))));
    }
    if let Some(more) = verdict.stale.len().checked_sub(STALE).filter(|&more| more > 0) {
        notes.push(format!("and {more} more lines that are no longer needed"));
    }
    notes.extend(ignored(verdict).iter().map(|text| format!("left out: {}", markdown::plain(text))));
    notes.extend(all_unjudged(verdict).iter().map(|text| format!("warning: {}", markdown::plain(text))));
    if let Some(first) = notes.first_mut() {
        first.insert_str(0, "\n- ");
    }
    notes.iter_mut().skip(1).for_each(|note| note.insert_str(0, "- "));
    notes.into_iter().map(|note| note + "\n").collect()
}
