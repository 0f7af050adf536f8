//! What changed between snapshots.

use std::io::{self, Write};

use super::super::line::{DIM, HEAD, PLAIN, STATE, TITLE, WARN, width};
use super::super::path::short_path;
use super::super::units::{count, duration, short_age, thousands};
use super::{Page, TextOptions, header};
use crate::analysis::apart::apart;
use crate::analysis::diff::{Diff, DiffRow};
use crate::analysis::modules::{Owners, module_of, modules};
use crate::analysis::series::Series;
use crate::analysis::signature::{By, Signature, SignatureFrame};
use crate::report::escape;
use crate::snapshot::{Age, Snapshot, SourceKind};

/// Where the second line of a group begins.
const INDENT: usize = 8;

/// Writes what changed. At most `limit` groups are shown; `all` includes unchanged groups.
///
/// # Errors
/// Those of `out`.
pub fn diff(
    series: &Series,
    diff: &Diff,
    limit: Option<usize>,
    all: bool,
    options: &TextOptions,
    out: &mut dyn Write,
) -> io::Result<()> {
    let Some(snapshot) = series.last() else { return Ok(()) };
    let owners = Owners::new(snapshot);
    let mut page = Page { snapshot, options, owners: &owners, out };
    head(&mut page, series, diff)?;
    let rows = diff.rows.iter().chain(diff.unchanged.iter().filter(|_| all));
    let rows: Vec<_> = rows.take(limit.unwrap_or(usize::MAX)).collect();
    if !rows.is_empty() {
        writeln!(page.out)?;
        let table = Table::of(&page, series, &rows);
        table.titles(&mut page)?;
        for (row, name) in rows.iter().zip(&table.names) {
            table.row(&mut page, series, row, name)?;
        }
    }
    footer(&mut page, series, diff, rows.len(), all)
}

/// The first lines: what is compared, and the totals.
fn head(page: &mut Page<'_>, series: &Series, diff: &Diff) -> io::Result<()> {
    let noun = page.noun();
    let mut pieces = vec![(HEAD, header::who(&page.snapshot.header))];
    pieces.push((
        PLAIN,
        match diff.span_ns {
            Some(ns) => format!("{} apart", duration_pair(ns)),
            None => "time between them unknown".to_owned(),
        },
    ));
    if diff.readings > 2 {
        pieces.push((PLAIN, count(diff.readings.into(), "reading")));
    }
    let totals = format!("{} -> {}", thousands(diff.before), count(diff.after, noun));
    pieces.push((HEAD, totals));
    match diff.counted {
        Some(counted) => {
            let text = format!("{} born, {} ended", thousands(counted.created), thousands(counted.ended));
            pieces.push((PLAIN, text));
            let reuse = counted.reuse_rate().filter(|_| counted.created > 0);
            pieces.extend(reuse.map(|rate| {
                (PLAIN, format!("{:.1} % of new {noun}s reused the structure of an ended one", rate * 100.0))
            }));
        }
        None if series.matching().by_id() => {
            let text = format!("{} seen born, {} seen ended", thousands(diff.born), thousands(diff.gone));
            pieces.push((PLAIN, text));
        }
        None => {}
    }
    page.line().wrap(&pieces, " · ", 2, page.options.width, page.out)
}

/// "10 min 04 s".
fn duration_pair(ns: u64) -> String {
    const SECOND: u64 = 1_000_000_000;
    match ns / SECOND {
        0..60 => duration(ns),
        seconds @ 60..3600 => format!("{} min {:02} s", seconds / 60, seconds % 60),
        seconds => format!("{} h {:02} min", seconds / 3600, seconds / 60 % 60),
    }
}

/// The columns of numbers, as wide as necessary.
struct Table {
    /// Each column, and where it ends.
    columns: Vec<(Column, usize)>,
    /// The names of the groups, in their order.
    names: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Column {
    Now,
    Change,
    PerMinute,
    Born,
    Ended,
    Stayed,
    Oldest,
}

impl Column {
    fn title(self) -> &'static str {
        match self {
            Column::Now => "NOW",
            Column::Change => "CHANGE",
            Column::PerMinute => "PER MIN",
            Column::Born => "BORN",
            Column::Ended => "ENDED",
            Column::Stayed => "STAYED",
            Column::Oldest => "OLDEST",
        }
    }

    fn text(self, row: &DiffRow) -> String {
        let dash = |n: u64| if n == 0 { "-".to_owned() } else { thousands(n) };
        match self {
            Column::Now => thousands(row.after),
            Column::Change => change(row.change()),
            Column::PerMinute => row.trend.map_or(String::new(), |trend| per_minute(&trend)),
            Column::Born => dash(row.born),
            Column::Ended => dash(row.gone),
            Column::Stayed => dash(row.group.stayed),
            Column::Oldest => short_age(row.group.oldest),
        }
    }
}

/// A change of a count: "+380", "-3", "-" for none.
pub fn change(n: i64) -> String {
    let sign = match n {
        0 => return "-".to_owned(),
        1.. => '+',
        _ => '-',
    };
    format!("{sign}{}", thousands(n.unsigned_abs()))
}

/// "+38 ±4".
fn per_minute(trend: &crate::analysis::trend::Trend) -> String {
    // A rate of exactly 0 is a dash.
    if trend.per_minute == 0.0 && trend.plus_minus.is_none_or(|pm| pm == 0.0) {
        return "-".to_owned();
    }
    match trend.plus_minus {
        Some(pm) => format!("{} ±{}", signed(trend.per_minute), rounded(pm)),
        None => signed(trend.per_minute),
    }
}

fn signed(value: f64) -> String {
    if rounded(value.abs()) == "0.0" {
        return "0".to_owned();
    }
    format!("{}{}", if value < 0.0 { "-" } else { "+" }, rounded(value.abs()))
}

/// A rate with its significant digits.
fn rounded(value: f64) -> String {
    // The cast saturates; rates of tasks are far smaller.
    if value >= 9.95 { thousands(value.round() as u64) } else { format!("{value:.1}") }
}

impl Table {
    fn of(page: &Page<'_>, series: &Series, rows: &[&DiffRow]) -> Self {
        let mut shown = vec![Column::Now, Column::Change];
        if rows.iter().any(|row| row.trend.is_some()) {
            shown.push(Column::PerMinute);
        }
        if series.matching().by_id() {
            shown.extend([Column::Born, Column::Ended, Column::Stayed]);
        }
        if rows.iter().any(|row| row.group.oldest != Age::Unknown) {
            shown.push(Column::Oldest);
        }
        let mut end = 0;
        let columns = shown.into_iter().map(|column| {
            let widest = rows.iter().map(|row| width(&column.text(row))).max().unwrap_or(0);
            end += if end == 0 { widest.max(5) } else { widest.max(column.title().len()) + 2 };
            (column, end)
        });
        Table { columns: columns.collect(), names: names(page, series, rows) }
    }

    /// Where the names of the groups begin.
    fn names(&self) -> usize {
        self.columns.last().map_or(0, |(_, end)| end + 2)
    }

    fn titles(&self, page: &mut Page<'_>) -> io::Result<()> {
        let mut line = page.line();
        for (column, end) in &self.columns {
            line.right(TITLE, column.title(), *end);
        }
        line.pad(self.names(), 2).push(TITLE, "GROUP").write(page.out)
    }

    fn row(&self, page: &mut Page<'_>, series: &Series, row: &DiffRow, name: &str) -> io::Result<()> {
        let Some((signature, _)) = series.track(row.signature) else { return Ok(()) };
        let mut line = page.line();
        for (column, end) in &self.columns {
            let style = match column {
                Column::Now => HEAD,
                Column::Change if row.grows() => WARN,
                _ => PLAIN,
            };
            line.right(style, &column.text(row), *end);
        }
        line.pad(self.names(), 2).push(STATE, &doing(page.snapshot, signature, row));
        let by_creator = series.options().signature.by == By::Creator;
        let rest = rest(page, signature, !by_creator);
        let wide = |text: &str| if text.is_empty() { 0 } else { 2 + width(&escape(text)) };
        let fits = |line: &super::Line, more: usize| line.width() + more <= page.options.width;
        let together = fits(&line, wide(name) + rest.iter().map(|(_, text)| wide(text)).sum::<usize>());
        if fits(&line, wide(name)) {
            line.push(PLAIN, "  ").push(PLAIN, name);
        } else {
            line.write(page.out)?;
            line.pad(INDENT, 0).push(PLAIN, name);
        }
        if !together && !rest.is_empty() {
            line.write(page.out)?;
            line.pad(INDENT, 0);
        } else if !rest.is_empty() {
            line.push(PLAIN, "  ");
        }
        line.wrap(&rest, "  ", INDENT + 4, page.options.width, page.out)?;
        if page.options.verbose { frames(page, signature) } else { Ok(()) }
    }
}

/// What most of the tasks do. If all have ended, what the first one did.
fn doing(snapshot: &Snapshot, signature: &Signature, row: &DiffRow) -> String {
    match (row.group.reasons.most(), row.group.states.most()) {
        (Some(Some(reason)), _) => snapshot.str(reason).to_owned(),
        (_, Some(state)) => state.name().to_owned(),
        _ => signature.doing.to_string(),
    }
}

/// The names of the groups: the function that the user looks for. Groups of the same name get a suffix that
/// distinguishes them.
fn names(page: &Page<'_>, series: &Series, rows: &[&DiffRow]) -> Vec<String> {
    let by_creator = series.options().signature.by == By::Creator;
    let signature = |row: &DiffRow| series.track(row.signature).map(|(signature, _)| signature);
    let name = |signature: &Signature| match by_creator {
        true => creator_name(signature),
        false => signature.user_frame(page.owners).map_or_else(|| "stack unknown".to_owned(), named),
    };
    let names: Vec<String> = rows.iter().map(|row| signature(row).map_or_else(String::new, name)).collect();
    let called: Vec<_> = (rows.iter().zip(&names))
        .map(|(row, name)| (name, signature(row).and_then(|signature| signature.creator.as_ref())))
        .collect();
    let additions = apart(&called, |nth| {
        let Some(signature) = rows.get(nth).and_then(|row| signature(row)) else { return Vec::new() };
        let at = signature.frames.iter().map(|place| source(page, place)).collect::<Vec<_>>();
        let user = signature.frames.iter().position(|place| Some(place) == signature.user_frame(page.owners));
        let (inner, outer) = at.split_at(user.unwrap_or(0));
        let functions = signature.frames.iter().map(named).collect::<Vec<_>>();
        let (callees, callers) = functions.split_at(user.unwrap_or(0));
        let below = callers.iter().map(|name| format!(" in {name}"));
        let above = callees.iter().rev().map(|name| format!(" at {name}"));
        let places = outer.iter().chain(inner).map(|place| format!(" {place}"));
        below.chain(above).chain(places).collect()
    });
    names.iter().zip(additions).map(|(name, addition)| name.clone() + &addition.unwrap_or_default()).collect()
}

fn creator_name(signature: &Signature) -> String {
    signature.creator.as_ref().map_or_else(|| "creator unknown".to_owned(), named)
}

/// A function, or its place in the source if it has no name.
fn named(place: &SignatureFrame) -> String {
    match (place.function.is_empty(), place.file.is_empty()) {
        (false, _) => place.function.to_string(),
        (true, false) => format!("{}:{}", place.file, place.line),
        (true, true) => "unknown function".to_owned(),
    }
}

/// The creator (if requested) with its place, and the module that owns the code if that is not the program's own.
fn rest(page: &Page<'_>, signature: &Signature, creator: bool) -> Vec<(anstyle::Style, String)> {
    let mut pieces = Vec::new();
    let origin = signature.creator.as_ref().or(signature.frames.last());
    if let Some(creator) = signature.creator.as_ref().filter(|_| creator) {
        pieces.push((PLAIN, format!("< {}", named(creator))));
    }
    if let Some(place) = origin.filter(|place| !place.file.is_empty() && !place.function.is_empty()) {
        pieces.push((DIM, source(page, place)));
    }
    let modules = modules(page.snapshot, &signature.runtime);
    let module = origin.and_then(|place| module_of(modules, &place.package));
    if let Some(module) = module.filter(|module| modules.first() != Some(module)) {
        pieces.push((DIM, format!("({module})")));
    }
    pieces
}

/// "internal/fetch/fetch.go:84".
fn source(page: &Page<'_>, place: &SignatureFrame) -> String {
    let module = page
        .snapshot
        .header
        .runtimes
        .first()
        .and_then(|runtime| runtime.module.as_deref())
        .unwrap_or_default();
    let whole = page.options.full_paths;
    let path = if whole { &place.file } else { short_path(&place.file, &place.package, module) };
    if place.line == 0 { path.to_owned() } else { format!("{path}:{}", place.line) }
}

/// The whole stack of a signature.
fn frames(page: &mut Page<'_>, signature: &Signature) -> io::Result<()> {
    for frame in &signature.frames {
        let place = source(page, frame);
        let mut line = page.line();
        line.pad(INDENT + 4, 0).push(PLAIN, &named(frame));
        if !frame.function.is_empty() && !place.is_empty() {
            line.push(PLAIN, "  ").push(DIM, &place);
        }
        line.write(page.out)?;
    }
    Ok(())
}

/// What was left out, and other notes for the user.
fn footer(page: &mut Page<'_>, series: &Series, diff: &Diff, shown: usize, all: bool) -> io::Result<()> {
    let mut notes = Vec::new();
    let noun = page.noun();
    let total = diff.rows.len() + if all { diff.unchanged.len() } else { 0 };
    if diff.rows.is_empty() {
        notes.push((PLAIN, "nothing changed".to_owned()));
    }
    if shown < total {
        let more = count((total - shown) as u64, "group");
        notes.push((DIM, format!("{more} more (--limit 0 shows all)")));
    }
    if !all && !diff.unchanged.is_empty() {
        let tasks: u64 = diff.unchanged.iter().map(|row| row.after).sum();
        let groups = count(diff.unchanged.len() as u64, "group");
        let tasks = count(tasks, noun);
        notes.push((DIM, format!("{groups} with {tasks} unchanged (--all shows them)")));
    }
    let growing = diff.rows.iter().filter(|row| row.grows()).count();
    if growing > 0 && page.snapshot.header.target.source == SourceKind::Process {
        let (grows, it) = if growing == 1 { ("grows", "it") } else { ("grow", "them") };
        let groups = count(growing as u64, "group");
        let pid = page.snapshot.header.target.pid.unwrap_or(0);
        notes.push((
            DIM,
            format!("{groups} {grows} by more than chance explains (watch {it} with: loiter leaks {pid})"),
        ));
    }
    notes.extend(series.warning().map(|why| (WARN, format!("warning: {why}"))));
    for warning in &page.snapshot.header.warnings {
        notes.push((WARN, format!("warning: {warning}")));
    }
    page.notes(&notes)
}
