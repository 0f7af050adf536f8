//! The text of Go's goroutine profile with debug=1: equal stacks, counted.
//!
//! It follows `printCountProfile` and `printStackRecord` of `runtime/pprof` in Go 1.27, down to the tabs that
//! align the columns. For frames inlined into the same place, the runtime knows one address each and loiter
//! knows one for all. So the first line has one address for each place, and the lines of inlined frames repeat
//! it.

use std::fmt::Write as _;
use std::io::{self, Write};

use rustc_hash::FxHashMap;

use super::escape::{escape, is_printable};
use super::places::{Place, places};
use super::text::task_noun;
use crate::analysis::lore::go as lore;
use crate::snapshot::*;

/// At most this many frames of a stack are kept by Go, including inlined ones (since 1.23). `go tool pprof`
/// cannot read lines longer than 64 KiB.
const MAX_FRAMES: usize = 128;

/// Writes some tasks (indices into [`Snapshot::tasks`]), equal ones together, the most frequent first.
///
/// # Errors
/// Those of `out`.
pub fn write(snapshot: &Snapshot, tasks: &[u32], out: &mut dyn Write) -> io::Result<()> {
    let tasks: Vec<&Task> = tasks.iter().filter_map(|&index| snapshot.tasks.get(index as usize)).collect();
    let noun = task_noun(snapshot).replace(|c: char| c.is_whitespace(), "_");
    writeln!(out, "{} profile: total {}", escape(&noun), count_tasks(tasks.iter().copied()))?;

    let mut counts: FxHashMap<(Option<StackId>, Option<LabelSetId>), u64> = FxHashMap::default();
    for task in &tasks {
        let sum = counts.entry((task.stack, task.labels)).or_default();
        *sum = sum.saturating_add(task.count());
    }
    // Stacks that differ only in what is not printed are merged here.
    let mut records: FxHashMap<(String, String), u64> = FxHashMap::default();
    for ((stack, labels), count) in counts {
        let kept = kept(snapshot, stack);
        let sum = records.entry((head(snapshot, &kept, labels), lines(snapshot, &kept))).or_default();
        *sum = sum.saturating_add(count);
    }
    let mut records: Vec<_> = records.into_iter().collect();
    records.sort_by(|(a, a_count), (b, b_count)| b_count.cmp(a_count).then_with(|| a.cmp(b)));
    for ((head, lines), count) in records {
        writeln!(out, "{count} {head}\n{lines}")?;
    }
    Ok(())
}

/// `@ 0x4a 0x4b`, and the labels on a line of their own.
fn head(snapshot: &Snapshot, places: &[Kept], labels: Option<LabelSetId>) -> String {
    let mut head = String::from("@");
    for call in places.iter().filter_map(|(place, _)| place.call(snapshot)) {
        // Here the runtime prints return addresses. Writing to a string does not fail.
        let _ = write!(head, " {:#x}", call.saturating_add(1));
    }
    if let Some(labels) = labels.and_then(|id| snapshot.code.label_sets.get(id.index())) {
        let pair = |&(key, value): &(StrId, StrId)| {
            format!("{}:{}", quoted(snapshot.str(key)), quoted(snapshot.str(value)))
        };
        let mut pairs: Vec<_> = labels.pairs.iter().map(pair).collect();
        pairs.sort();
        let _ = write!(head, "\n# labels: {{{}}}", pairs.join(", "));
    }
    head
}

/// A place in a stack, with those of its frames that Go would keep.
type Kept = (Place, Vec<Frame>);

/// The places of a stack with their frames, as many as Go keeps.
fn kept(snapshot: &Snapshot, stack: Option<StackId>) -> Vec<Kept> {
    let stack = stack.and_then(|id| snapshot.code.stacks.get(id.index()));
    let mut room = MAX_FRAMES;
    let with_frames = |place: Place| {
        let frames: Vec<_> = place.frames(snapshot).take(room).collect();
        room -= frames.len();
        (place, frames)
    };
    let places = places(snapshot, stack.map_or(&[][..], |stack| &stack.locations));
    places.into_iter().map(with_frames).filter(|(_, frames)| !frames.is_empty()).collect()
}

/// A frame as a line of two or three columns: address, function, place.
struct Line {
    address: String,
    function: String,
    place: String,
}

/// The frames of a stack: the runtime's at the inner end are left out, unless there are no others.
fn lines(snapshot: &Snapshot, places: &[Kept]) -> String {
    let (mut all, mut first_shown) = (Vec::new(), None);
    for &(place, ref frames) in places {
        for &frame in frames {
            let name = snapshot.function_name(frame.function);
            if name == lore::OUTERMOST {
                continue;
            }
            if !lore::is_of_runtime(name) {
                first_shown = first_shown.or(Some(all.len()));
            }
            all.push(line(snapshot, place, frame));
        }
    }
    align(all.get(first_shown.unwrap_or(0)..).unwrap_or_default())
}

fn line(snapshot: &Snapshot, place: Place, frame: Frame) -> Line {
    let address = format!("{:#x}", place.call(snapshot).unwrap_or(0));
    let name = snapshot.function_name(frame.function);
    if name.is_empty() {
        return Line { address, function: String::new(), place: String::new() };
    }
    let function = format!("{}+{:#x}", escape(name), place.offset(snapshot));
    let place = format!("{}:{}", escape(snapshot.str(frame.file)), frame.line);
    Line { address, function, place }
}

/// Aligns columns like Go's text/tabwriter with tabs of eight: a column is as wide as its widest cell in
/// consecutive lines, and at least one tab separates two columns.
fn align(lines: &[Line]) -> String {
    let mut text = String::new();
    for run in lines.chunk_by(|a, b| a.function.is_empty() == b.function.is_empty()) {
        let widest = |cell: fn(&Line) -> &str| {
            let width = run.iter().map(|line| cell(line).chars().count()).max().unwrap_or(0);
            (width + 1).next_multiple_of(8)
        };
        let (addresses, functions) = (widest(|line| &line.address), widest(|line| &line.function));
        let cell = |text: &mut String, cell: &str, width: usize| {
            text.push_str(cell);
            (0..(width - cell.chars().count()).div_ceil(8)).for_each(|_| text.push('\t'));
        };
        for line in run {
            text.push_str("#\t");
            if line.function.is_empty() {
                text.push_str(&line.address);
            } else {
                cell(&mut text, &line.address, addresses);
                cell(&mut text, &line.function, functions);
                text.push_str(&line.place);
            }
            text.push('\n');
        }
    }
    text
}

/// Text in the quotes of Go's `%q`.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '\x07' => quoted.push_str("\\a"),
            '\x08' => quoted.push_str("\\b"),
            '\x0c' => quoted.push_str("\\f"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            '\x0b' => quoted.push_str("\\v"),
            '"' | '\\' => quoted.extend(['\\', c]),
            c if is_printable(c) => quoted.push(c),
            // Writing to a string does not fail.
            c if c.is_ascii() => _ = write!(quoted, "\\x{:02x}", u32::from(c)),
            c if u32::from(c) <= 0xffff => _ = write!(quoted, "\\u{:04x}", u32::from(c)),
            c => _ = write!(quoted, "\\U{:08x}", u32::from(c)),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_as_go_does() {
        let line = |address: &str, function: &str| Line {
            address: address.to_owned(),
            function: function.to_owned(),
            place: "/x.go:1".to_owned(),
        };
        let lines = [line("0x4f70a4", "main.f+0x1"), line("0x40", "main.longer+0xff"), line("0x7", "")];
        assert_eq!(
            align(&lines),
            "#\t0x4f70a4\tmain.f+0x1\t\t/x.go:1\n#\t0x40\t\tmain.longer+0xff\t/x.go:1\n#\t0x7\n"
        );
    }

    #[test]
    fn labels_are_quoted_as_go_does() {
        assert_eq!(
            quoted("a\"b\\\x1b\n\u{202e}größe \u{1f600}"),
            "\"a\\\"b\\\\\\x1b\\n\\u202egröße \u{1f600}\""
        );
    }
}
