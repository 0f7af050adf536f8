//! The summary for people.

use std::io::{self, Write};

use super::words::{charged, heading, headline, ignored, kind_line, left_title, unjudged};
use crate::analysis::baseline::Line as BaselineLine;
use crate::analysis::gate::{Leak, Standing, Verdict};
use crate::report::finding::{SourceLines, rest_list};
use crate::report::line::{DIM, HEAD, Line, PLAIN, WARN};
use crate::report::text::{TextOptions, findings};
use crate::report::units::count;
use crate::snapshot::Header;

/// Kinds of fine tasks that are named.
const NAMED: usize = 6;
/// Stale lines of the baseline that are shown; the number of others is mentioned.
const STALE: usize = 20;

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
    findings::finding((header, &leak.finding), (left_title(leak), &rows(leak)), source, options, out)
}

/// What the gate adds to a finding.
fn rows(leak: &Leak) -> Vec<(&'static str, String)> {
    let mut rows = vec![("charged to", charged(leak))];
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
        let kinds = count(known.len() as u64, "kind");
        self.words(
            PLAIN,
            &format!("known by the baseline: {} of {kinds}", count(tasks, &self.verdict.noun)),
        )?;
        if self.options.verbose {
            for leak in known {
                self.words(DIM, &format!("  {}", heading(leak)))?;
            }
        }
        Ok(())
    }

    fn stale(&mut self) -> io::Result<()> {
        let stale = &self.verdict.stale;
        if stale.is_empty() {
            return Ok(());
        }
        let lines = count(stale.len() as u64, "line");
        self.words(
            PLAIN,
            &format!("no longer needed: {lines} of the baseline (--write-baseline removes them)"),
        )?;
        for line in stale.iter().take(STALE) {
            self.words(DIM, &format!("  line {}: {}", line.number, kind_line(line)))?;
        }
        if let Some(more) = stale.len().checked_sub(STALE).filter(|&more| more > 0) {
            self.words(DIM, &format!("  and {more} more"))?;
        }
        Ok(())
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
        for text in verdict.unjudged.iter().map(|one| unjudged(one, &verdict.noun)) {
            self.words(WARN, &format!("warning: {text}"))?;
        }
        Ok(())
    }
}
