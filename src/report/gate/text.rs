//! The summary for people.

use std::io::{self, Write};

use super::words::{all_unjudged, charged, heading, headline, ignored, left_title, seen, watched};
use crate::analysis::baseline::Line as BaselineLine;
use crate::analysis::gate::{Leak, Standing, Verdict};
use crate::report::finding::{SourceLines, rest_list};
use crate::report::known::{known_tasks, stale};
use crate::report::line::{DIM, HEAD, Line, PLAIN, WARN};
use crate::report::text::{TextOptions, findings};
use crate::snapshot::Header;

/// Kinds of fine tasks that are named.
const NAMED: usize = 6;

/// Writes what a program left behind: a line, each kind that makes the gate fail, then what else is to be said.
///
/// # Errors
/// Those of `out`.
pub fn text(
    verdict: &Verdict,
    source: SourceLines<'_>,
    options: &TextOptions,
    out: &mut dyn Write,
) -> io::Result<()> {
    let mut page = Page { verdict, options, out };
    page.words(HEAD, &format!("loiter gate: {}", headline(verdict)))?;
    for one in verdict.failures() {
        writeln!(page.out)?;
        leak(verdict, one, source, options, page.out)?;
    }
    if verdict.fails() {
        writeln!(page.out)?;
    }
    page.known()?;
    page.stale()?;
    page.rest()
}

/// Writes one kind that was left.
pub(super) fn leak(
    verdict: &Verdict,
    leak: &Leak,
    source: SourceLines<'_>,
    options: &TextOptions,
    out: &mut dyn Write,
) -> io::Result<()> {
    let none = Header::default();
    let header = verdict.header.as_ref().unwrap_or(&none);
    findings::finding((header, &leak.finding), (left_title(leak), &rows(verdict, leak)), source, options, out)
}

/// What the gate adds to a finding.
fn rows(verdict: &Verdict, leak: &Leak) -> Vec<(&'static str, String)> {
    let mut rows = vec![("charged to", charged(leak))];
    rows.extend(seen(verdict, leak).map(|seen| ("leaking", seen)));
    if let Standing::Expired(line) = &leak.standing {
        rows.push(("baseline", expired(line)));
    }
    rows
}

fn expired(line: &BaselineLine) -> String {
    let until = line.until.map(|until| until.to_string()).unwrap_or_default();
    let comment = if line.comment.is_empty() { String::new() } else { format!(" ({})", line.comment) };
    format!("line {} knew this kind until {until}{comment}", line.number)
}

struct Page<'a> {
    verdict: &'a Verdict,
    options: &'a TextOptions,
    out: &'a mut dyn Write,
}

impl Page<'_> {
    fn words(&mut self, style: anstyle::Style, text: &str) -> io::Result<()> {
        let words: Vec<_> = text.split(' ').map(|word| (style, word.to_owned())).collect();
        Line::new(self.options.color).wrap(&words, " ", 2, self.options.width, self.out)
    }

    /// What the baseline knows: one line, with -v each kind.
    fn known(&mut self) -> io::Result<()> {
        let known: Vec<&Leak> = self.verdict.known().collect();
        if known.is_empty() {
            return Ok(());
        }
        let tasks = known.iter().map(|leak| leak.finding.now).sum();
        self.words(PLAIN, &known_tasks(&self.verdict.noun, tasks, known.len()))?;
        if self.options.verbose {
            for leak in known {
                self.words(DIM, &format!("  {}", heading(leak)))?;
            }
        }
        Ok(())
    }

    fn stale(&mut self) -> io::Result<()> {
        let Some(stale) = stale(&self.verdict.stale) else { return Ok(()) };
        self.words(PLAIN, &stale.head)?;
        stale.lines.iter().try_for_each(|line| self.words(DIM, &format!("  {line}")))
    }

    /// What was left out and why, and what could not be judged.
    fn rest(&mut self) -> io::Result<()> {
        let verdict = self.verdict;
        if self.options.verbose && !verdict.fine.is_empty() {
            let list = rest_list(&verdict.fine, &verdict.noun, NAMED);
            self.words(DIM, &format!("fine at the end: {list}"))?;
        }
        for text in ignored(verdict) {
            self.words(DIM, &format!("left out: {text}"))?;
        }
        if let Some(watched) = watched(verdict).filter(|_| self.options.verbose || verdict.fails()) {
            self.words(DIM, &format!("watched while it ran: {watched}"))?;
        }
        for text in all_unjudged(verdict) {
            self.words(WARN, &format!("warning: {text}"))?;
        }
        Ok(())
    }
}
