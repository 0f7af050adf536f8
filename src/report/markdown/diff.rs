//! What changed between snapshots, as Markdown.

use std::io::{self, Write};

use super::{block, code, plain};
use crate::analysis::diff::{Diff, DiffRow};
use crate::analysis::modules::{Owners, module_of, modules};
use crate::analysis::series::Series;
use crate::analysis::signature::{Signature, SignatureFrame};
use crate::report::text::{change, headline, moment, task_noun};
use crate::report::units::{count, duration, short_age, thousands};

/// Writes what changed: the figures, a table of the changed groups, and their stacks. At most `limit` groups
/// are shown.
///
/// # Errors
/// Those of `out`.
pub fn diff(series: &Series, diff: &Diff, limit: Option<usize>, out: &mut dyn Write) -> io::Result<()> {
    let Some(snapshot) = series.last() else { return Ok(()) };
    let noun = task_noun(snapshot);
    writeln!(out, "# What changed in {}\n", code(&snapshot.header.target.name))?;
    writeln!(out, "- last reading: {}", code(&headline(snapshot)))?;
    writeln!(out, "- taken: {}", moment(snapshot.header.taken_at_ns))?;
    match diff.span_ns {
        Some(ns) => writeln!(out, "- {} over {}", count(diff.readings.into(), "reading"), duration(ns))?,
        None => writeln!(out, "- {}, time apart unknown", count(diff.readings.into(), "reading"))?,
    }
    writeln!(out, "- {} -> {}", thousands(diff.before), plain(&count(diff.after, noun)))?;
    if let Some(counted) = diff.counted {
        let (created, ended) = (thousands(counted.created), thousands(counted.ended));
        writeln!(out, "- {created} created and {ended} ended, by the runtime's own count")?;
    }
    for warning in series.warning().iter().chain(&snapshot.header.warnings) {
        writeln!(out, "- warning: {}", code(warning))?;
    }
    writeln!(out)?;
    let rows: Vec<_> = diff.rows.iter().take(limit.unwrap_or(usize::MAX)).collect();
    if rows.is_empty() {
        writeln!(out, "Nothing changed.")?;
    } else {
        table(series, &rows, out)?;
    }
    let left = diff.rows.len() - rows.len();
    if left > 0 {
        writeln!(out, "\n{} more.", count(left as u64, "group"))?;
    }
    if !diff.unchanged.is_empty() {
        writeln!(out, "\n{} unchanged.", count(diff.unchanged.len() as u64, "group"))?;
    }
    for (number, row) in rows.iter().enumerate() {
        details(series, number + 1, row, out)?;
    }
    Ok(())
}

fn table(series: &Series, rows: &[&DiffRow], out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "| # | now | change | per minute | born | ended | stayed | oldest | group |")?;
    writeln!(out, "|--:|--:|--:|--:|--:|--:|--:|--:|---|")?;
    let owners = series.last().map(Owners::new).unwrap_or_default();
    for (number, row) in rows.iter().enumerate() {
        let Some((signature, _)) = series.track(row.signature) else { continue };
        let per_minute = row.trend.map_or(String::new(), |trend| format!("{:+.1}", trend.per_minute));
        let known = |n: u64| if series.matching().by_id() { thousands(n) } else { String::new() };
        writeln!(
            out,
            "| {} | {} | {} | {per_minute} | {} | {} | {} | {} | {} {} |",
            number + 1,
            thousands(row.after),
            change(row.change()),
            known(row.born),
            known(row.gone),
            known(row.group.stayed),
            short_age(row.group.oldest),
            code(&signature.doing),
            signature.user_frame(&owners).map_or(String::new(), |place| code(&place.function)),
        )?;
    }
    Ok(())
}

/// The stack of a group, and its creator.
fn details(series: &Series, number: usize, row: &DiffRow, out: &mut dyn Write) -> io::Result<()> {
    let Some((signature, _)) = series.track(row.signature) else { return Ok(()) };
    let title = format!("{} {}", thousands(row.after), signature.doing);
    writeln!(out, "\n## {number}. {}\n", code(&title))?;
    let mut lines: Vec<_> = signature.frames.iter().map(line).collect();
    if let Some(creator) = &signature.creator {
        lines.push(format!("created by {}", line(creator)));
    }
    write!(out, "{}", block(&lines))?;
    if let Some(module) = owner(series, signature) {
        writeln!(out, "\nIn module {}.", code(&module))?;
    }
    Ok(())
}

fn line(place: &SignatureFrame) -> String {
    match (place.file.is_empty(), place.line) {
        (true, _) => place.function.to_string(),
        (false, 0) => format!("{}  {}", place.function, place.file),
        (false, line) => format!("{}  {}:{line}", place.function, place.file),
    }
}

/// The module that started the tasks, with its version.
fn owner(series: &Series, signature: &Signature) -> Option<String> {
    let origin = signature.creator.as_ref().or(signature.frames.last())?;
    let module = module_of(modules(series.last()?, &signature.runtime), &origin.package)?;
    Some(module.to_string())
}
