//! What the leak rules found, as Markdown: one file to hand to the team.

use std::io::{self, Write};

use super::{block, code, code_in_text, plain};
use crate::analysis::leaks::fleet::Fleet;
use crate::analysis::leaks::{Finding, Listed, Part, Report};
use crate::analysis::signature::SignatureFrame;
use crate::report::evidence::{Tasks, evidence, meaning};
use crate::report::finding::{
    Findings, SourceLines, because_of, by_reason, holders, keeps_waiting, left_out, named, note, number,
    per_minute, rates_line, readings, rest_list, samples, since, summary,
};
use crate::report::known::{self, Remark};
use crate::report::text::{moment, runtime_name};
use crate::report::units::{bytes, count, duration, thousands};
use crate::snapshot::Header;

/// At most this many groups of a fleet are listed.
const GROUPS: usize = 50;
/// At most this many kinds of undecided tasks are named for each reason.
const NAMED: usize = 20;

/// Writes the findings in a series of readings: what was read, a table, then each finding with its
/// evidence and stacks.
///
/// # Errors
/// Those of `out`.
pub fn findings(findings: &Findings<'_>, out: &mut dyn Write) -> io::Result<()> {
    let Findings { report, rates, source } = *findings;
    let header = &report.header;
    writeln!(out, "# Leaks in {}\n", code(&header.target.name))?;
    what_was_read(header, out)?;
    writeln!(out, "- readings: {}", plain(&readings(report)))?;
    writeln!(out, "- {}", plain(&count(report.tasks, &report.noun)))?;
    if let Some(text) = rates_line(rates, &report.noun) {
        writeln!(out, "- {}", plain(&text))?;
    }
    for warning in report.matching.warning().into_iter().chain(header.warnings.iter().map(|w| &**w)) {
        writeln!(out, "- warning: {}", code(warning))?;
    }
    writeln!(out)?;
    if report.findings.is_empty() {
        let but = if report.undecided.is_empty() { "" } else { ", but not all is decided" };
        writeln!(out, "Nothing stands out{but}.")?;
    } else {
        table(&report.findings, out)?;
    }
    for (number, finding) in report.findings.iter().enumerate() {
        details(number + 1, finding, header, Some(report), Some(source), out)?;
    }
    if !report.undecided.is_empty() {
        writeln!(out, "\n## What is undecided\n")?;
        for (why, list) in by_reason(&report.undecided, &report.noun) {
            writeln!(out, "- {}: {}", plain(&rest_list(list, &report.noun, NAMED)), plain(&why))?;
        }
    }
    if !report.healthy.is_empty() {
        writeln!(
            out,
            "\n## What looks healthy\n\n{}.",
            plain(&rest_list(&report.healthy, &report.noun, usize::MAX))
        )?;
    }
    if !report.scheduler.is_empty() {
        writeln!(out, "\n## The scheduler\n\nNo leaks, but worth a note:\n")?;
        for one in &report.scheduler {
            writeln!(out, "- {}", plain(&note(one, &report.noun)))?;
        }
    }
    write_left_out(
        &left_out(&report.noun, report.ignored, report.silenced.as_ref(), report.in_baseline),
        out,
    )?;
    write_listed(&report.listed, &report.noun, out)?;
    meanings(out)
}

/// Writes the findings of a fleet.
///
/// # Errors
/// Those of `out`.
pub fn fleet(fleet: &Fleet, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "# Leaks in {} processes\n", thousands(fleet.processes))?;
    writeln!(out, "- {}", count(fleet.snapshots, "snapshot"))?;
    writeln!(out, "- {}", plain(&count(fleet.tasks, &fleet.noun)))?;
    for (process, warning) in &fleet.warnings {
        writeln!(out, "- warning: {}", code(&format!("{process}: {warning}")))?;
    }
    writeln!(out)?;
    if fleet.findings.is_empty() {
        writeln!(out, "No findings.")?;
    }
    for (number, found) in fleet.findings.iter().enumerate() {
        details(number + 1, &found.finding, &fleet.header, None, None, out)?;
        let processes = found.spread.processes.len() as u64;
        writeln!(
            out,
            "\nIn {} of {} processes, {} in all: {}.",
            thousands(processes),
            thousands(fleet.processes),
            thousands(found.spread.total),
            code(&named(&found.spread))
        )?;
    }
    for found in &fleet.scheduler {
        let processes = thousands(found.processes.len() as u64);
        let of = thousands(fleet.processes);
        writeln!(
            out,
            "\nThe scheduler, no leak, in {processes} of {of} processes: {}.",
            plain(&note(&found.note, &fleet.noun))
        )?;
    }
    writeln!(out, "\n## Where tasks wait\n")?;
    writeln!(out, "| total | largest | root mean square | processes | doing | function | created by |")?;
    writeln!(out, "|--:|--:|--:|--:|---|---|---|")?;
    for group in fleet.groups.iter().take(GROUPS) {
        let largest = group.spread.processes.first().map_or(0, |&(_, n)| n);
        let part = &group.part;
        writeln!(
            out,
            "| {} | {} | {} | {} | {} | {} | {} |",
            thousands(group.spread.total),
            thousands(largest),
            number(group.spread.rms),
            group.spread.processes.len(),
            code(&part.what),
            part.at.as_ref().or(part.stack.first()).map_or(String::new(), |at| code(&at.function)),
            part.creator.as_ref().map_or(String::new(), |at| code(&at.function)),
        )?;
    }
    let left = fleet.groups.len().saturating_sub(GROUPS);
    if left > 0 {
        writeln!(out, "\n{} more.", count(left as u64, "group"))?;
    }
    write_left_out(&left_out(&fleet.noun, fleet.ignored, fleet.silenced.as_ref(), fleet.in_baseline), out)?;
    write_listed(&fleet.listed, &fleet.noun, out)?;
    meanings(out)
}

fn write_left_out(texts: &[String], out: &mut dyn Write) -> io::Result<()> {
    if texts.is_empty() { Ok(()) } else { writeln!(out, "\nLeft out: {}.", plain(&texts.join(", "))) }
}

/// What a list of known kinds says.
fn write_listed(listed: &Listed, noun: &str, out: &mut dyn Write) -> io::Result<()> {
    for Remark { head, lines } in known::listed(listed, noun, false) {
        writeln!(out, "\n{}.", plain(&head))?;
        if !lines.is_empty() {
            writeln!(out)?;
        }
        lines.iter().try_for_each(|line| writeln!(out, "- {}", code_in_text(line)))?;
    }
    Ok(())
}

fn what_was_read(header: &Header, out: &mut dyn Write) -> io::Result<()> {
    let target = &header.target;
    let runtimes: Vec<String> = header.runtimes.iter().map(runtime_name).collect();
    let mut facts = vec![("runtime", runtimes.join(", "))];
    facts.extend(target.pid.map(|pid| ("pid", pid.to_string())));
    facts.extend(target.host.clone().map(|host| ("host", host)));
    facts.push(("command", target.command.join(" ")));
    facts.extend(target.build_id.clone().map(|id| ("build id", id)));
    for (title, text) in facts.iter().filter(|(_, text)| !text.is_empty()) {
        writeln!(out, "- {title}: {}", code(text))?;
    }
    if let Some(age) = target.age_ns {
        writeln!(out, "- running for {}", duration(age))?;
    }
    writeln!(out, "- last reading: {}, by loiter {}", moment(header.taken_at_ns), code(&header.loiter))
}

fn table(findings: &[Finding], out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "| # | sureness | now | per minute | stacks | doing | at | created by |")?;
    writeln!(out, "|--:|---|--:|--:|--:|---|---|---|")?;
    for (number, finding) in findings.iter().enumerate() {
        let part = finding.parts.first();
        let at = |place: Option<&SignatureFrame>| place.map_or(String::new(), |place| code(&short(place)));
        writeln!(
            out,
            "| {} | {} | {} | {} | {} | {} | {} | {} |",
            number + 1,
            finding.sureness,
            thousands(finding.now),
            per_minute(finding).map_or(String::new(), |n| format!("+{n}")),
            if finding.stack_bytes > 0 { bytes(finding.stack_bytes) } else { String::new() },
            part.map_or_else(|| code(&summary(finding)), |part| code(&part.what)),
            at(part.and_then(|part| part.at.as_ref().or(part.stack.first()))),
            at(part.and_then(|part| part.creator.as_ref())),
        )?;
    }
    Ok(())
}

/// Function, file name and line.
fn short(place: &SignatureFrame) -> String {
    let file = place.file.rsplit('/').next().unwrap_or_default();
    if file.is_empty() {
        place.function.to_string()
    } else {
        format!("{} {file}:{}", place.function, place.line)
    }
}

fn details(
    number: usize,
    finding: &Finding,
    header: &Header,
    report: Option<&Report>,
    source: Option<SourceLines<'_>>,
    out: &mut dyn Write,
) -> io::Result<()> {
    let sureness = finding.sureness.name();
    writeln!(out, "\n## {number}. {sureness}: {}\n", code(&summary(finding)))?;
    let mut facts: Vec<(&str, String)> = Vec::new();
    if let Some(meaning) = finding.cause.map(meaning) {
        facts.push(("cause", plain(meaning.cause)));
        facts.push(("next", plain(meaning.next)));
    }
    facts.extend(since(finding).map(|text| ("since", plain(&text))));
    if finding.stack_bytes > 0 {
        facts.push(("holds", format!("{} of stacks", bytes(finding.stack_bytes))));
    }
    if let Some(module) = &finding.module {
        facts.push(("module", code(&module.to_string())));
    }
    facts.extend(samples(finding).map(|text| ("such as", plain(&text))));
    for (title, text) in facts {
        writeln!(out, "- {title}: {text}")?;
    }
    for (guess, text) in holders(header, finding, true, true) {
        writeln!(out, "- {}: {}", format!("{guess} held by").trim_start(), plain(&text))?;
    }
    if let Some(report) = report {
        if let Some(text) = because_of(report, finding, true) {
            writeln!(out, "- because of: {}", plain(&text))?;
        }
        for text in keeps_waiting(report, finding, true) {
            writeln!(out, "- blocks: {}", plain(&text))?;
        }
    }
    writeln!(out, "\nEvidence:\n")?;
    for hit in &finding.hits {
        let because: Vec<String> =
            hit.because.iter().map(|one| plain(&evidence(one, Tasks::of(finding)))).collect();
        writeln!(out, "- {} ({}): {}", hit.rule, hit.sureness, because.join("; "))?;
    }
    for part in &finding.parts {
        stack(part, source, out)?;
    }
    Ok(())
}

fn stack(part: &Part, source: Option<SourceLines<'_>>, out: &mut dyn Write) -> io::Result<()> {
    let mut lines: Vec<String> = part.stack.iter().map(line).collect();
    if let Some(creator) = &part.creator {
        lines.push(format!("created by {}", line(creator)));
        if let Some(text) = source.and_then(|source| source(creator)) {
            lines.push(format!("    {} | {text}", creator.line));
        }
    }
    writeln!(out, "\n{} in {}:\n", thousands(part.count), code(&part.what))?;
    write!(out, "{}", block(&lines))
}

fn line(place: &SignatureFrame) -> String {
    match (place.file.is_empty(), place.line) {
        (true, _) => place.function.to_string(),
        (false, 0) => format!("{}  {}", place.function, place.file),
        (false, line) => format!("{}  {}:{line}", place.function, place.file),
    }
}

fn meanings(out: &mut dyn Write) -> io::Result<()> {
    writeln!(
        out,
        "\n## How sure\n\n\
         - proven: these tasks can never run again\n\
         - stuck: blocked, and no task that could unblock them was found\n\
         - likely: several signs agree\n\
         - suspect: a single sign, which may have another reason"
    )
}
