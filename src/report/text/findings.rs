//! What the leak rules found, for people.

use std::io::{self, Write};

use anstyle::{AnsiColor, Style};
use rustc_hash::{FxHashMap, FxHashSet};

use super::super::line::{DIM, HEAD, Line, PLAIN, TITLE, WARN, width};
use super::super::units::{bytes, count, thousands};
use super::TextOptions;
use super::header::who;
use crate::analysis::leaks::{Finding, Report, Rest, Sureness};
use crate::analysis::rates::Rates;
use crate::analysis::signature::SignatureFrame;
use crate::report::escape;
use crate::report::evidence::{because, meaning, rest_name, why};
pub use crate::report::finding::{
    Findings, SourceLines, because_of, holders, keeps_waiting, place, readings, rest_list, samples, since,
    summary,
};
use crate::report::finding::{by_reason, left_out, note, rates_line};
use crate::report::known::{Remark, listed};
use crate::snapshot::Header;

/// Indentation of the lines of a finding, columns.
const INDENT: usize = 9;
/// Column of the values, behind the titles.
const VALUES: usize = 21;
/// Column of the places in the source.
const PLACES: usize = 54;
/// At most this many places of one finding's tasks are shown; the number of others is mentioned.
const PARTS: usize = 4;
/// Kinds of healthy or undecided tasks named in one line.
const NAMED: usize = 6;
/// At most this many columns for the names of kinds, in a table.
const WIDEST: usize = 40;

/// Writes the findings in a series of readings.
///
/// # Errors
/// Those of `out`.
pub fn findings(findings: &Findings<'_>, options: &TextOptions, out: &mut dyn Write) -> io::Result<()> {
    let Findings { report, rates, source } = *findings;
    let mut page = Page { header: &report.header, source, options, out };
    page.head(report, rates)?;
    for finding in &report.findings {
        writeln!(page.out)?;
        let full = options.full_paths;
        let because = because_of(report, finding, full).map(|text| ("because of", text));
        let blocks = keeps_waiting(report, finding, full).into_iter().map(|text| ("blocks", text));
        let rows: Vec<(&str, String)> = because.into_iter().chain(blocks).collect();
        page.finding(finding, &finding.sureness.name().to_uppercase(), &rows)?;
    }
    writeln!(page.out)?;
    page.scheduler(report)?;
    page.undecided(report)?;
    page.healthy(report)?;
    page.notes(report)
}

/// Writes one finding. `title` is the word before it, `rows` are titles and texts that belong below the places.
///
/// # Errors
/// Those of `out`.
pub(in crate::report) fn finding(
    (header, finding): (&Header, &Finding),
    (title, rows): (&str, &[(&str, String)]),
    source: SourceLines<'_>,
    options: &TextOptions,
    out: &mut dyn Write,
) -> io::Result<()> {
    Page { header, source, options, out }.finding(finding, title, rows)
}

/// The style of a confidence.
pub(super) fn style(sureness: Sureness) -> Style {
    match sureness {
        Sureness::Proven | Sureness::Stuck => WARN,
        Sureness::Likely => AnsiColor::Yellow.on_default().bold(),
        Sureness::Suspect => TITLE,
    }
}

struct Page<'a> {
    header: &'a Header,
    source: SourceLines<'a>,
    options: &'a TextOptions,
    out: &'a mut dyn Write,
}

impl Page<'_> {
    fn line(&self) -> Line {
        Line::new(self.options.color)
    }

    fn head(&mut self, report: &Report, rates: &Rates) -> io::Result<()> {
        let tasks = count(report.tasks, &report.noun);
        let pieces = [(HEAD, who(self.header)), (HEAD, tasks), (PLAIN, readings(report))];
        self.line().wrap(&pieces, " · ", 2, self.options.width, self.out)?;
        if let Some(text) = rates_line(rates, &report.noun) {
            self.words(1, DIM, &text)?;
        }
        Ok(())
    }

    fn finding(&mut self, finding: &Finding, title: &str, rows: &[(&str, String)]) -> io::Result<()> {
        let mut line = self.line();
        line.push(style(finding.sureness), title).pad(INDENT, 1);
        let words: Vec<_> = summary(finding).split(' ').map(|word| (HEAD, word.to_owned())).collect();
        line.wrap(&words, " ", INDENT, self.options.width, self.out)?;
        self.places(finding)?;
        rows.iter().try_for_each(|(title, text)| self.row(title, text))?;
        if let Some(since) = since(finding) {
            self.row("since", &since)?;
        }
        if finding.stack_bytes > 0 {
            self.row("holds", &format!("{} of stacks", bytes(finding.stack_bytes)))?;
        }
        for (guess, text) in holders(self.header, finding, self.options.full_paths, self.options.verbose) {
            self.row("held by", format!("{guess} {text}").trim_start())?;
        }
        let because = because(finding);
        if !because.is_empty() {
            self.row("because", &because.join("; "))?;
        }
        if let Some(meaning) = finding.cause.map(meaning) {
            self.row("cause", meaning.cause)?;
            self.row("next", meaning.next)?;
        }
        if let Some(samples) = samples(finding) {
            self.row("such as", &samples)?;
        }
        if self.options.verbose {
            let rules: Vec<String> =
                finding.hits.iter().map(|hit| format!("{} ({})", hit.rule, hit.sureness)).collect();
            self.row("rules", &rules.join(", "))?;
            self.stack(finding)?;
        }
        Ok(())
    }

    /// Where they are, and where they were created, each place once.
    fn places(&mut self, finding: &Finding) -> io::Result<()> {
        let mut places: Vec<(&SignatureFrame, u64)> = Vec::new();
        let mut known: FxHashMap<&SignatureFrame, usize> = FxHashMap::default();
        for part in &finding.parts {
            let Some(at) = part.at.as_ref().or(part.stack.first()) else { continue };
            let nth = *known.entry(at).or_insert_with(|| {
                places.push((at, 0));
                places.len() - 1
            });
            places.iter_mut().skip(nth).take(1).for_each(|(_, count)| *count += part.count);
        }
        for &(at, n) in places.iter().take(PARTS) {
            let suffix = if places.len() > 1 { format!("  {}", thousands(n)) } else { String::new() };
            self.place_row("at", at, &suffix)?;
        }
        if places.len() > PARTS {
            let left = places.iter().skip(PARTS).map(|&(_, n)| n).sum();
            let rest = count((places.len() - PARTS) as u64, "place");
            self.row("", &format!("{} more at {rest}", thousands(left)))?;
        }
        let mut known: FxHashSet<&SignatureFrame> = FxHashSet::default();
        let mut creators: Vec<&SignatureFrame> =
            finding.parts.iter().filter_map(|part| part.creator.as_ref()).collect();
        creators.retain(|creator| known.insert(creator));
        let module = finding.module.as_ref().map(|module| {
            let version = module.version.as_deref().filter(|&version| version != "(devel)");
            format!("  module {}{}", module.path, version.map(|v| format!(" {v}")).unwrap_or_default())
        });
        for creator in creators.into_iter().take(PARTS) {
            self.place_row("created by", creator, module.as_deref().unwrap_or_default())?;
        }
        Ok(())
    }

    /// A function with its place, and the source line.
    fn place_row(&mut self, title: &str, at: &SignatureFrame, suffix: &str) -> io::Result<()> {
        let mut line = self.line();
        let place = self.place(at);
        // If only the place is known, it stands for the function.
        let (name, place) =
            if at.function.is_empty() { (place.as_str(), "") } else { (&*at.function, place.as_str()) };
        line.pad(INDENT, 0).push(TITLE, title).pad(VALUES, 1).push(PLAIN, name);
        let wide = width(&escape(place)) + width(&escape(suffix));
        if line.width().max(PLACES - 2) + 2 + wide > self.options.width {
            let end = line.width() + 2 + wide;
            if end > self.options.width && !place.is_empty() {
                line.write(self.out)?;
                line.pad(VALUES + 2, 0);
            } else {
                line.pad(0, 2);
            }
        } else {
            line.pad(PLACES, 2);
        }
        line.push(DIM, place).push(DIM, suffix).write(self.out)?;
        if let Some(text) = (self.source)(at) {
            let mut line = self.line();
            line.pad(VALUES, 0).push(DIM, &format!("{} | ", at.line)).push(PLAIN, &text).write(self.out)?;
        }
        Ok(())
    }

    fn place(&self, at: &SignatureFrame) -> String {
        place(self.header, at, self.options.full_paths)
    }

    fn stack(&mut self, finding: &Finding) -> io::Result<()> {
        for (nth, part) in finding.parts.iter().take(PARTS).enumerate() {
            for (frame, at) in part.stack.iter().enumerate() {
                let title = if frame > 0 {
                    ""
                } else if nth == 0 {
                    "stack"
                } else {
                    "and"
                };
                let mut line = self.line();
                line.pad(INDENT, 0).push(TITLE, title).pad(VALUES, 1).push(PLAIN, &at.function);
                line.pad(PLACES, 2).push(DIM, &self.place(at)).write(self.out)?;
            }
        }
        Ok(())
    }

    fn row(&mut self, title: &str, text: &str) -> io::Result<()> {
        let words: Vec<_> = text.split(' ').map(|word| (PLAIN, word.to_owned())).collect();
        let mut line = self.line();
        line.pad(INDENT, 0).push(TITLE, title).pad(VALUES, 1);
        line.wrap(&words, " ", VALUES, self.options.width, self.out)
    }

    fn words(&mut self, indent: usize, style: Style, text: &str) -> io::Result<()> {
        let words: Vec<_> = text.split(' ').map(|word| (style, word.to_owned())).collect();
        let mut line = self.line();
        line.pad(indent, 0);
        line.wrap(&words, " ", indent + 2, self.options.width, self.out)
    }

    /// Notes about the scheduler.
    fn scheduler(&mut self, report: &Report) -> io::Result<()> {
        for one in &report.scheduler {
            self.words(0, PLAIN, &format!("scheduler, no leak: {}", note(one, &report.noun)))?;
        }
        Ok(())
    }

    /// Tasks that are not a finding, but not certainly healthy.
    fn undecided(&mut self, report: &Report) -> io::Result<()> {
        let undecided = &report.undecided;
        if self.options.verbose && !undecided.is_empty() {
            self.words(0, PLAIN, "undecided:")?;
            return self.table(report, undecided);
        }
        let noun = &report.noun;
        for (why, list) in by_reason(undecided, noun) {
            self.words(0, PLAIN, &format!("undecided: {}: {why}", rest_list(list, noun, NAMED)))?;
        }
        Ok(())
    }

    /// What looks healthy.
    fn healthy(&mut self, report: &Report) -> io::Result<()> {
        let Report { healthy, undecided, findings, .. } = report;
        let lead = match (undecided.is_empty(), findings.is_empty()) {
            (false, _) => "nothing stands out in the rest",
            (true, true) => "nothing stands out",
            (true, false) => "nothing else stands out",
        };
        if healthy.is_empty() {
            return if undecided.is_empty() { self.words(0, PLAIN, lead) } else { Ok(()) };
        }
        if self.options.verbose {
            self.words(0, PLAIN, &format!("{lead}; these look healthy:"))?;
            return self.table(report, healthy);
        }
        let verb = if healthy.len() == 1 && healthy.iter().all(|h| h.count == 1) { "looks" } else { "look" };
        let list = rest_list(healthy, &report.noun, NAMED);
        self.words(0, PLAIN, &format!("{lead}: {list} {verb} healthy (-v lists them)"))
    }

    /// Tasks, what they are and why, one line for each kind.
    fn table(&mut self, report: &Report, rest: &[Rest]) -> io::Result<()> {
        let noun = report.noun.as_str();
        let name = |one: &Rest| rest_name(one, noun, one.count == 1);
        let counts = 2 + rest.iter().map(|one| thousands(one.count).len()).max().unwrap_or(0);
        let longest = rest.iter().map(|one| width(&escape(&name(one)))).max().unwrap_or(0);
        let names = counts + 2 + longest.min(WIDEST) + 2;
        for one in rest {
            let mut line = self.line();
            line.right(HEAD, &thousands(one.count), counts).pad(counts + 2, 2);
            line.push(PLAIN, &name(one)).pad(names, 2);
            let words: Vec<_> = why(&one.why, noun).split(' ').map(|word| (DIM, word.to_owned())).collect();
            line.wrap(&words, " ", names, self.options.width, self.out)?;
        }
        Ok(())
    }

    /// What was left out, and other notes for the user.
    fn notes(&mut self, report: &Report) -> io::Result<()> {
        for Remark { head, lines } in listed(&report.listed, &report.noun, self.options.verbose) {
            self.words(0, PLAIN, &head)?;
            lines.iter().try_for_each(|line| self.words(2, DIM, line))?;
        }
        let mut notes = Vec::new();
        let left_out = left_out(&report.noun, report.ignored, report.silenced.as_ref(), report.in_baseline);
        notes.extend(left_out.into_iter().map(|text| (DIM, format!("left out: {text}"))));
        // If much is undecided, the reason was given there.
        let said = !report.undecided.is_empty();
        let short = match report.readings {
            1 if said => "give several readings, or a pid with --for",
            1 => "one reading shows neither growth nor what stays: give several, or a pid with --for",
            2 | 3 if said => "give more readings, or a pid with --for",
            2 | 3 => "fewer than four readings do not show whether growth goes on",
            _ => "",
        };
        notes.extend((!short.is_empty()).then(|| (DIM, short.to_owned())));
        let warnings =
            report.matching.warning().into_iter().chain(report.header.warnings.iter().map(String::as_str));
        notes.extend(warnings.map(|warning| (WARN, format!("warning: {warning}"))));
        for (style, note) in notes {
            self.words(0, style, &note)?;
        }
        Ok(())
    }
}
