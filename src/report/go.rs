//! Go's own text format of goroutine stacks, debug=2, which many tools parse.
//!
//! It follows what the runtime of Go 1.27 prints (runtime/traceback.go: goroutineheader, traceback2,
//! printcreatedby). Function arguments are not in a snapshot and are printed as `...`, as Go does for inlined
//! functions. Labels, which Go 1.27 puts into the head of a goroutine for some programs, are left out unless
//! requested: older parsers of the format fail on them.

use std::borrow::Cow;
use std::io::{self, Write};

use super::escape::escape;
use super::text::task_noun;
use super::units::{count, thousands};
use crate::analysis::ShownFrame;
use crate::analysis::frames::{kind_of, location, shown_frames};
use crate::analysis::lore::go as lore;
use crate::snapshot::*;

/// Frames printed at each end of a very deep stack (tracebackInnerFrames and -OuterFrames).
const ENDS: usize = 50;

/// What is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct GoOptions {
    /// Include the frames of the runtime's machinery, and all frames of very deep stacks.
    pub all_frames: bool,
    /// Labels, as Go 1.27 writes them.
    pub labels: bool,
}

/// Equal goroutines that the source only counted are repeated that many times, because this format has no
/// counts; but at most this many in all.
const MOST_REPEATS: u64 = 1 << 20;

/// Writes some tasks (indices into [`Snapshot::tasks`]).
///
/// # Errors
/// Those of `out`.
pub fn write(snapshot: &Snapshot, tasks: &[u32], options: GoOptions, out: &mut dyn Write) -> io::Result<()> {
    let (mut first, mut room) = (true, MOST_REPEATS);
    for task in tasks.iter().filter_map(|&index| snapshot.tasks.get(index as usize)) {
        let repeats = task.twins.min(room);
        room -= repeats;
        for _ in 0..=repeats {
            if !std::mem::take(&mut first) {
                writeln!(out)?;
            }
            write_head(snapshot, task, options.labels, out)?;
            write_stack(snapshot, task, options.all_frames, out)?;
            write_creator(snapshot, task, out)?;
        }
    }
    Ok(())
}

/// What [`write()`] leaves out of these tasks, as a sentence. None if nothing.
pub fn left_out(snapshot: &Snapshot, tasks: &[u32]) -> Option<String> {
    let twins = snapshot.count_of(tasks).saturating_sub(tasks.len() as u64);
    let left = twins.checked_sub(MOST_REPEATS).filter(|&left| left > 0)?;
    let (left, most) = (count(left, task_noun(snapshot)), thousands(MOST_REPEATS));
    Some(format!(
        "{left} left out: the source counts equal stacks, this format lists each, and no more than {most} are \
         repeated (profile and pprof count)"
    ))
}

fn write_head(snapshot: &Snapshot, task: &Task, labels: bool, out: &mut dyn Write) -> io::Result<()> {
    let state = match (task.reason, task.state) {
        (Some(reason), _) => escape(snapshot.str(reason)),
        (None, TaskState::Finished) => "dead".into(),
        (None, TaskState::Unknown) => "???".into(),
        (None, state) => state.name().into(),
    };
    write!(out, "goroutine {} [{state}", task.id.unwrap_or(0))?;
    if task.leaked {
        out.write_all(b" (leaked)")?;
    }
    let minutes = task.age.nanos().unwrap_or(0) / 60_000_000_000;
    if minutes > 0 && matches!(task.state, TaskState::Waiting | TaskState::Syscall) {
        write!(out, ", {minutes} minutes")?;
    }
    if task.locked_to_thread {
        out.write_all(b", locked to thread")?;
    }
    out.write_all(b"]")?;
    let labels = task.labels.filter(|_| labels).and_then(|id| snapshot.code.label_sets.get(id.index()));
    if let Some(labels) = labels.filter(|labels| !labels.pairs.is_empty()) {
        for (nth, &(key, value)) in labels.pairs.iter().enumerate() {
            out.write_all(if nth == 0 { b" {" } else { b", " })?;
            write!(out, "{}: {}", quoted(snapshot.str(key)), quoted(snapshot.str(value)))?;
        }
        out.write_all(b"}")?;
    }
    out.write_all(b":\n")
}

/// A label's key or value; in quotes unless it is plain (tracebackStringNeedsQuoting).
fn quoted(text: &str) -> Cow<'_, str> {
    if text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'/' | b'_')) {
        return text.into();
    }
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            '"' | '\\' => quoted.extend(['\\', c]),
            ' '..='~' => quoted.push(c),
            '\0'..='\x7f' => quoted.push_str(&format!("\\x{:02x}", u32::from(c))),
            '\u{80}'..='\u{ffff}' => quoted.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => quoted.push_str(&format!("\\U{:08x}", u32::from(c))),
        }
    }
    quoted.push('"');
    quoted.into()
}

fn write_stack(snapshot: &Snapshot, task: &Task, all_frames: bool, out: &mut dyn Write) -> io::Result<()> {
    if task.stack.is_none() {
        return match task.stack_status {
            StackStatus::Running => {
                out.write_all(b"\tgoroutine running on other thread; stack unavailable\n")
            }
            _ => out.write_all(b"\tstack unavailable\n"),
        };
    }
    let frames = shown_frames(snapshot, snapshot.stack_of(task), all_frames);
    let elided = if all_frames { 0 } else { frames.len().saturating_sub(2 * ENDS) };
    for (nth, frame) in frames.iter().enumerate() {
        if elided > 0 && nth == ENDS {
            writeln!(out, "...{elided} frames elided...")?;
        }
        if !(ENDS..ENDS + elided).contains(&nth) {
            write_frame(snapshot, frame, out)?;
        }
    }
    if matches!(task.stack_status, StackStatus::Truncated | StackStatus::Missing) {
        out.write_all(b"...additional frames elided...\n")?;
    }
    Ok(())
}

fn write_frame(snapshot: &Snapshot, shown: &ShownFrame, out: &mut dyn Write) -> io::Result<()> {
    let name = snapshot.function_name(shown.frame.function);
    // The runtime prints the panicking function under another name.
    let [panics, printed] = lore::PANIC;
    let is_panic = kind_of(snapshot, shown.frame) == FunctionKind::Panic && name == panics;
    let name = if is_panic { printed.into() } else { printed_name(name) };
    let (file, line) = (escape(&known(snapshot.str(shown.frame.file).into())).into_owned(), shown.frame.line);
    write!(out, "{}(...)\n\t{file}:{line}", escape(&known(name)))?;
    match location(snapshot, shown.location) {
        Some(Location { offset: Some(offset @ 1..), .. }) if !shown.inlined => {
            writeln!(out, " +{offset:#x}")
        }
        _ => writeln!(out),
    }
}

fn write_creator(snapshot: &Snapshot, task: &Task, out: &mut dyn Write) -> io::Result<()> {
    // The runtime started the main goroutine, which is not worth saying.
    let Some(creator) = task.creator.and_then(|id| location(snapshot, id)).filter(|_| task.id != Some(1))
    else {
        return Ok(());
    };
    // The runtime ignores inlining when it looks up the function, but not the line.
    let (Some(inner), Some(outer)) = (creator.frames.first(), creator.frames.last()) else {
        return Ok(());
    };
    if kind_of(snapshot, *outer) == FunctionKind::Internal {
        return Ok(());
    }
    write!(out, "created by {}", escape(&known(printed_name(snapshot.function_name(outer.function)))))?;
    if let Some(parent) = task.parent.filter(|&id| id != 0) {
        write!(out, " in goroutine {parent}")?;
    }
    write!(out, "\n\t{}:{}", escape(snapshot.str(inner.file)), inner.line)?;
    match creator.offset {
        Some(offset @ 1..) => writeln!(out, " +{offset:#x}"),
        _ => writeln!(out),
    }
}

/// A name, or what Go prints for an unknown function.
fn known(name: Cow<'_, str>) -> Cow<'_, str> {
    if name.is_empty() { "?".into() } else { name }
}

/// A function's name without its type arguments: `main.Map[...]` (funcNamePiecesForPrint).
fn printed_name(name: &str) -> Cow<'_, str> {
    let (Some(open), Some(close)) = (name.find('['), name.rfind(']')) else { return name.into() };
    if close < open {
        return name.into();
    }
    let mut printed = String::new();
    let mut depth = 0_u32;
    for c in name.chars() {
        match c {
            '[' => {
                if depth == 0 {
                    printed.push_str("[...]");
                }
                depth += 1;
            }
            ']' => {
                let Some(outer) = depth.checked_sub(1) else { return name.into() };
                depth = outer;
            }
            c if depth == 0 => printed.push(c),
            _ => {}
        }
    }
    if depth == 0 { printed.into() } else { name.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn type_arguments_are_left_out() {
        for (name, printed) in [
            ("main.f", "main.f"),
            ("main.Map[go.shape.int]", "main.Map[...]"),
            ("main.(*List[go.shape.[]uint8]).Push", "main.(*List[...]).Push"),
            ("main.T[int].M[string].func1", "main.T[...].M[...].func1"),
            ("main.Map[...].func1", "main.Map[...].func1"),
            ("main.broken]x[", "main.broken]x["),
        ] {
            assert_eq!(printed_name(name), printed);
        }
    }

    #[test]
    fn labels_are_quoted_where_they_must_be() {
        assert_eq!(quoted("/v1/users"), "/v1/users");
        assert_eq!(quoted("a b"), "\"a b\"");
        assert_eq!(quoted("\"\x1b\u{202e}\u{1f600}"), "\"\\\"\\x1b\\u202e\\U0001f600\"");
    }
}
