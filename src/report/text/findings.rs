//! What the leak rules found, for people.

use std::io::{self, Write};

use anstyle::{AnsiColor, Style};

use super::super::line::{DIM, HEAD, Line, PLAIN, TITLE, WARN, width};
use super::super::path::short_path;
use super::super::units::{bytes, count, duration, thousands};
use super::TextOptions;
use super::header::who;
use crate::analysis::leaks::{Finding, Healthy, Part, Report, Sample, Sureness};
use crate::analysis::rates::Rates;
use crate::analysis::signature::Place;
use crate::report::escape;
use crate::snapshot::{Age, Header, ReadMode};

/// Column at which what belongs to a finding begins.
const INDENT: usize = 9;
/// Column of the values, behind the titles.
const VALUES: usize = 21;
/// Column of the places in the source.
const PLACES: usize = 54;
/// Places where tasks of one finding stand that are shown; how many more there are is said.
const PARTS: usize = 4;
/// Kinds of healthy tasks named in one line.
const HEALTHY: usize = 6;

/// Gives the line of the source at a place, where the file is at hand. Reading files is left to the
/// caller.
pub type SourceLines<'a> = &'a dyn Fn(&Place) -> Option<String>;

/// What is to be reported of one process.
#[derive(Clone, Copy)]
pub struct Findings<'a> {
    /// What was found.
    pub report: &'a Report,
    /// How fast tasks come and go.
    pub rates: &'a Rates,
    /// Lines of the source.
    pub source: SourceLines<'a>,
}

/// Writes the findings in a series of readings.
///
/// # Errors
/// Those of `out`.
pub fn findings(findings: &Findings<'_>, options: &TextOptions, out: &mut dyn Write) -> io::Result<()> {
    let Findings { report, rates, source } = *findings;
    let mut page = Page { report, source, options, out };
    page.head(rates)?;
    for finding in &report.findings {
        writeln!(page.out)?;
        page.finding(finding)?;
    }
    writeln!(page.out)?;
    page.healthy()?;
    page.notes()
}

/// One line that says what a finding is: "1,223 goroutines stay in chan send, 38 a minute more, none ever
/// ends".
pub fn summary(finding: &Finding) -> String {
    let Some(part) = finding.parts.first() else {
        return finding.hits.iter().flat_map(|hit| &hit.because).next().cloned().unwrap_or_default();
    };
    let tasks = count(finding.now, &finding.noun);
    let mut whats: Vec<&str> =
        finding.parts.iter().map(|part| part.what.as_str()).filter(|w| !w.is_empty()).collect();
    whats.dedup();
    whats.truncate(2);
    let what = if whats.is_empty() { part.what.clone() } else { whats.join(" and ") };
    let s = if finding.now == 1 { "s" } else { "" };
    let mut text = match finding.sureness {
        Sureness::Proven if finding.now == 1 => format!("{tasks} never runs again: {what}"),
        Sureness::Proven => format!("{tasks} never run again: {what}"),
        _ if what == "running" || what == "runnable" => {
            format!("{tasks} {} {what}", if finding.now == 1 { "is" } else { "are" })
        }
        _ => format!("{tasks} stay{s} in {what}"),
    };
    if let Some(growth) = per_minute(finding) {
        text.push_str(&format!(", {growth} a minute more"));
    }
    if finding.ended == Some(0) && finding.now > 1 && finding.sureness != Sureness::Proven {
        text.push_str(", none ever ends");
    }
    text
}

/// How many a minute there are more, if that is certain: "38", "0.4".
pub fn per_minute(finding: &Finding) -> Option<String> {
    let growth = finding.growth?;
    let certain = growth.per_minute > growth.plus_minus.unwrap_or(f64::INFINITY);
    certain.then(|| number(growth.per_minute))
}

/// A rate with two digits or so.
pub fn number(value: f64) -> String {
    if value >= 9.95 { thousands(value.round() as u64) } else { format!("{value:.1}") }
}

/// "41 min at least; all 824 of the first reading are still there". None if neither is known.
pub fn since(finding: &Finding) -> Option<String> {
    let age = match finding.age {
        Age::Unknown => None,
        Age::AtLeast(ns) => Some(format!("{} at least", duration(ns))),
        Age::Exactly(ns) => Some(duration(ns)),
    };
    let stayed = finding.stayed.zip(finding.first).filter(|&(_, first)| first > 0).map(|(stayed, first)| {
        match (stayed, first) {
            (1, 1) => "the one of the first reading is still there".to_owned(),
            (stayed, first) if stayed >= first => {
                format!("all {} of the first reading are still there", thousands(first))
            }
            (stayed, first) => {
                format!(
                    "{} of the {} of the first reading are still there",
                    thousands(stayed),
                    thousands(first)
                )
            }
        }
    });
    let all: Vec<String> = age.into_iter().chain(stayed).collect();
    (!all.is_empty()).then(|| all.join("; "))
}

/// The rates of a series in words; None if none is known.
pub fn rates_line(rates: &Rates) -> Option<String> {
    let or_more = if rates.counted { "" } else { " or more" };
    let per_second =
        |rate: Option<f64>, what: &str| rate.map(|rate| format!("{} a second {what}{or_more}", number(rate)));
    let percent = |part: f64| format!("{:.1} %", part * 100.0);
    let parts: Vec<String> = [
        per_second(rates.born_per_second, "born"),
        per_second(rates.ended_per_second, "ended"),
        rates.mean_lifetime_s.map(|s| format!("mean lifetime {}", duration((s.max(0.0) * 1e9) as u64))),
        rates.reuse.or(rates.reuse_ever).map(|part| format!("reuse {}", percent(part))),
        rates.spawns_per_request.map(|n| format!("{n:.1} started for each request")),
    ]
    .into_iter()
    .flatten()
    .collect();
    (rates.born_per_second.is_some() && !parts.is_empty()).then(|| parts.join(", "))
}

/// "7 readings in 30 s, no pause".
pub fn readings(report: &Report) -> String {
    let readings = count(report.readings.into(), "reading");
    // Rounded: readings that are on time are not said to come early.
    let span = report.span_ns.map(|ns| format!(" in {}", duration(ns + 100_000_000))).unwrap_or_default();
    let how = match report.header.reading.mode {
        ReadMode::Core => ", core file".to_owned(),
        ReadMode::Frozen => ", all stopped for each".to_owned(),
        ReadMode::Live if report.threads_stopped > 0 => format!(
            ", {} stopped, {} at most",
            count(report.threads_stopped, "thread"),
            duration(report.longest_stop_ns)
        ),
        ReadMode::Live | ReadMode::NoPause => ", no pause".to_owned(),
    };
    format!("{readings}{span}{how}")
}

/// "internal/fetch/fetch.go:88"; whole paths if asked for.
pub fn place(header: &Header, place: &Place, full: bool) -> String {
    if place.file.is_empty() {
        return String::new();
    }
    let module = header.runtimes.first().map_or("", |runtime| runtime.module.as_str());
    let path = if full { &place.file } else { short_path(&place.file, &place.package, module) };
    if place.line == 0 { path.to_owned() } else { format!("{path}:{}", place.line) }
}

/// "goroutines 84120, 84131, 84133 and more". None if they have no identity.
pub fn samples(finding: &Finding) -> Option<String> {
    let name = |sample: &Sample| match sample.id {
        Some(id) => id.to_string(),
        None => format!("{:#x}", sample.address),
    };
    let names: Vec<String> = finding.samples.iter().map(name).collect();
    let more = if finding.now > names.len() as u64 { " and more" } else { "" };
    let s = if finding.now == 1 { "" } else { "s" };
    (!names.is_empty()).then(|| format!("{}{s} {}{more}", finding.noun, names.join(", ")))
}

/// "126 tasks of http connections, 12 pool workers".
pub fn healthy_list(healthy: &[Healthy]) -> String {
    let one = |h: &Healthy| format!("{} {}", thousands(h.count), if h.count == 1 { &h.one } else { &h.many });
    healthy.iter().map(one).collect::<Vec<_>>().join(", ")
}

/// The style of a word of sureness.
pub(super) fn style(sureness: Sureness) -> Style {
    match sureness {
        Sureness::Proven | Sureness::Stuck => WARN,
        Sureness::Likely => AnsiColor::Yellow.on_default().bold(),
        Sureness::Suspect => TITLE,
    }
}

struct Page<'a> {
    report: &'a Report,
    source: SourceLines<'a>,
    options: &'a TextOptions,
    out: &'a mut dyn Write,
}

impl Page<'_> {
    fn line(&self) -> Line {
        Line::new(self.options.color)
    }

    fn head(&mut self, rates: &Rates) -> io::Result<()> {
        let tasks = count(self.report.tasks, &self.report.noun);
        let pieces = [(HEAD, who(&self.report.header)), (HEAD, tasks), (PLAIN, readings(self.report))];
        self.line().wrap(&pieces, " · ", 2, self.options.width, self.out)?;
        if let Some(text) = rates_line(rates) {
            self.words(1, DIM, &text)?;
        }
        Ok(())
    }

    fn finding(&mut self, finding: &Finding) -> io::Result<()> {
        let mut line = self.line();
        line.push(style(finding.sureness), &finding.sureness.name().to_uppercase()).pad(INDENT, 1);
        let words: Vec<_> = summary(finding).split(' ').map(|word| (HEAD, word.to_owned())).collect();
        line.wrap(&words, " ", INDENT, self.options.width, self.out)?;
        self.places(finding)?;
        if let Some(since) = since(finding) {
            self.row("since", &since)?;
        }
        if finding.stack_bytes > 0 {
            self.row("holds", &format!("{} of stacks", bytes(finding.stack_bytes)))?;
        }
        for holder in &finding.holders {
            let id =
                holder.task.id.map_or_else(|| format!("{:#x}", holder.task.address), |id| id.to_string());
            let mut text = format!("{} {id}, probably: {}", finding.noun, holder.what);
            if let Some(at) = &holder.at {
                text.push_str(&format!(" in {} {}", at.function, self.place(at)));
            }
            self.row("held by", &text)?;
        }
        let because: Vec<&str> =
            finding.hits.iter().flat_map(|hit| &hit.because).map(String::as_str).collect();
        if !finding.parts.is_empty() {
            self.row("because", &because.join("; "))?;
        }
        if !finding.cause.is_empty() {
            self.row("cause", &finding.cause)?;
        }
        if !finding.next.is_empty() {
            self.row("next", &finding.next)?;
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

    /// Where they stand, and where they were started, each place once.
    fn places(&mut self, finding: &Finding) -> io::Result<()> {
        let mut standing: Vec<(&Place, u64)> = Vec::new();
        for part in &finding.parts {
            let Some(at) = part.at.as_ref().or(part.stack.first()) else { continue };
            match standing.iter_mut().find(|(other, _)| *other == at) {
                Some((_, count)) => *count += part.count,
                None => standing.push((at, part.count)),
            }
        }
        for &(at, n) in standing.iter().take(PARTS) {
            let suffix = if standing.len() > 1 { format!("  {}", thousands(n)) } else { String::new() };
            self.place_row("at", at, &suffix)?;
        }
        if standing.len() > PARTS {
            let left = standing.iter().skip(PARTS).map(|&(_, n)| n).sum();
            let places = count((standing.len() - PARTS) as u64, "place");
            self.row("", &format!("{} more at {places}", thousands(left)))?;
        }
        let mut creators: Vec<&Place> = Vec::new();
        for creator in finding.parts.iter().filter_map(|part: &Part| part.creator.as_ref()) {
            if !creators.contains(&creator) {
                creators.push(creator);
            }
        }
        let module = finding.module.as_ref().map(|module| {
            let version = Some(module.version.as_str()).filter(|v| !v.is_empty() && *v != "(devel)");
            format!("  module {}{}", module.path, version.map(|v| format!(" {v}")).unwrap_or_default())
        });
        for creator in creators.into_iter().take(PARTS) {
            self.place_row("started by", creator, module.as_deref().unwrap_or_default())?;
        }
        Ok(())
    }

    /// A function with its place, and the line of the source.
    fn place_row(&mut self, title: &str, at: &Place, suffix: &str) -> io::Result<()> {
        let mut line = self.line();
        let place = self.place(at);
        // Where only the place is known, it stands for the function.
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

    fn place(&self, at: &Place) -> String {
        place(&self.report.header, at, self.options.full_paths)
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

    /// What is no finding.
    fn healthy(&mut self) -> io::Result<()> {
        let healthy = &self.report.healthy;
        let else_ =
            if self.report.findings.is_empty() { "nothing stands out" } else { "nothing else stands out" };
        if healthy.is_empty() {
            return self.words(0, PLAIN, else_);
        }
        if self.options.verbose {
            self.words(0, PLAIN, &format!("{else_}; these look healthy:"))?;
            let widest = healthy.iter().map(|h| thousands(h.count).len()).max().unwrap_or(0);
            for one in healthy {
                let mut line = self.line();
                line.right(HEAD, &thousands(one.count), 2 + widest).pad(4 + widest, 2);
                line.push(PLAIN, if one.count == 1 { &one.one } else { &one.many }).pad(32, 2);
                let words: Vec<_> = one.why.split(' ').map(|word| (DIM, word.to_owned())).collect();
                line.wrap(&words, " ", 32, self.options.width, self.out)?;
            }
            return Ok(());
        }
        let shown = healthy.get(..HEALTHY).unwrap_or(healthy);
        let rest: u64 = healthy.iter().skip(HEALTHY).map(|h| h.count).sum();
        let rest = if rest > 0 { format!(" and {} more", thousands(rest)) } else { String::new() };
        let verb = if healthy.len() == 1 && shown.iter().all(|h| h.count == 1) { "looks" } else { "look" };
        self.words(
            0,
            PLAIN,
            &format!("{else_}: {}{rest} {verb} healthy (-v lists them)", healthy_list(shown)),
        )
    }

    /// What was left out, and what the user should know.
    fn notes(&mut self) -> io::Result<()> {
        let report = self.report;
        let mut notes = Vec::new();
        if report.ignored > 0 {
            notes.push((DIM, format!("{} left out by ignore patterns", count(report.ignored, &report.noun))));
        }
        if report.in_baseline > 0 {
            notes.push((
                DIM,
                format!("{} left out: the baseline has as many", count(report.in_baseline, &report.noun)),
            ));
        }
        if report.readings == 1 {
            let text = "one reading shows neither growth nor who stays: give several, or a pid with --for";
            notes.push((DIM, text.to_owned()));
        }
        let warnings =
            report.matching.warning().into_iter().chain(report.header.warnings.iter().map(String::as_str));
        notes.extend(warnings.map(|warning| (WARN, format!("warning: {warning}"))));
        for (style, note) in notes {
            self.words(0, style, &note)?;
        }
        Ok(())
    }
}
