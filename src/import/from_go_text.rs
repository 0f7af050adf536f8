//! Converts a dump into a snapshot.

use std::borrow::Borrow;

use super::go_code::{CodeTable, NamedFrame, header};
use super::go_dump::{Cut, DumpFrame, DumpGoroutine, GoDump};
use crate::code::CodeBuilder;
use crate::snapshot::{
    Age, LocationId, Snapshot, SnapshotBuilder, SourceKind, StackStatus, StrId, Task, TaskState,
};
use crate::words;

const MINUTE_NS: u64 = 60_000_000_000;

impl From<&GoDump> for Snapshot {
    /// What a dump does not contain stays unknown: the process, the time, addresses that were not printed,
    /// what goroutines wait for.
    fn from(dump: &GoDump) -> Snapshot {
        convert(
            dump.goroutines.iter(),
            dump.goroutines.len(),
            dump.cut == Some(Cut::InGoroutine),
            warnings(dump),
        )
    }
}

impl From<GoDump> for Snapshot {
    /// The same; the memory of converted goroutines is freed at once.
    fn from(mut dump: GoDump) -> Snapshot {
        let warnings = warnings(&dump);
        let goroutines = std::mem::take(&mut dump.goroutines);
        let count = goroutines.len();
        convert(goroutines.into_iter(), count, dump.cut == Some(Cut::InGoroutine), warnings)
    }
}

fn convert(
    goroutines: impl Iterator<Item = impl Borrow<DumpGoroutine>>,
    count: usize,
    cut: bool,
    warnings: Vec<String>,
) -> Snapshot {
    let mut builder = SnapshotBuilder::new();
    let mut code = CodeTable::default();
    builder.reserve_tasks(count);
    for (nth, goroutine) in goroutines.enumerate() {
        let task = task(goroutine.borrow(), cut && nth + 1 == count, &mut code, &mut builder);
        builder.task(task);
    }
    builder.header = header(SourceKind::Dump, code.into_version());
    builder.header.warnings = warnings;
    let mut snapshot = builder.finish();
    words::go::classify(&mut snapshot);
    snapshot
}

fn task(goroutine: &DumpGoroutine, cut: bool, code: &mut CodeTable, into: &mut SnapshotBuilder) -> Task {
    let (state, reason) = state(goroutine, &mut into.code);
    // A frame on one side of a gap was not inlined into a frame on the other side.
    let gap = goroutine.elided.map_or(0, |elided| elided.after.min(goroutine.frames.len()));
    let (inner, outer) = goroutine.frames.split_at(gap);
    let mut stack = locations(inner, code, into);
    stack.extend(locations(outer, code, into));
    let creator = goroutine.created_by.as_ref();
    Task {
        id: Some(goroutine.id),
        address: address(goroutine),
        state,
        reason,
        age: match goroutine.wait_minutes {
            0 => Age::Unknown,
            minutes => Age::AtLeast(minutes.saturating_mul(MINUTE_NS)),
        },
        parent: creator.and_then(|creator| creator.goroutine),
        creator: creator.map(|creator| {
            let (function, file, line) = (&creator.function, &creator.file, creator.line);
            code.location(None, creator.offset, [NamedFrame { function, file, line, foreign: false }], into)
        }),
        labels: (goroutine.labels.as_ref().filter(|labels| !labels.is_empty()))
            .map(|labels| into.code.labels(labels.iter().map(|(k, v)| (k.as_str(), v.as_str())))),
        locked_to_thread: goroutine.locked,
        system: is_system(goroutine),
        leaked: goroutine.leaked,
        stack_status: status(goroutine, cut),
        stack: (!stack.is_empty()).then(|| into.code.stack(stack)),
        ..Task::default()
    }
}

/// Crashes of 1.23 and later also give the address of the runtime's structure.
fn address(goroutine: &DumpGoroutine) -> u64 {
    let given = goroutine.attributes.iter().find_map(|attribute| attribute.strip_prefix("gp=0x"));
    given.and_then(|hex| u64::from_str_radix(hex, 16).ok()).unwrap_or(0)
}

/// The text in brackets is the wait reason unless it is one of the other states (`gStatusStrings` in
/// `runtime/traceback.go`).
pub(super) fn state(goroutine: &DumpGoroutine, into: &mut CodeBuilder) -> (TaskState, Option<StrId>) {
    let state = match goroutine.state.as_str() {
        "running" | "copystack" => TaskState::Running,
        "runnable" => TaskState::Runnable,
        "syscall" => TaskState::Syscall,
        "waiting" | "leaked" => TaskState::Waiting,
        "preempted" => TaskState::Preempted,
        "dead" => TaskState::Finished,
        "idle" | "???" | "" => TaskState::Unknown,
        reason => return (TaskState::Waiting, Some(into.string(reason))),
    };
    (state, None)
}

fn status(goroutine: &DumpGoroutine, cut: bool) -> StackStatus {
    let frames = goroutine.frames.len();
    match goroutine.elided {
        _ if goroutine.unavailable => StackStatus::Running,
        _ if frames == 0 => StackStatus::Unknown,
        _ if cut => StackStatus::Broken,
        Some(elided) if elided.after < frames => StackStatus::Gaps,
        _ if goroutine.lost_lines > 0 => StackStatus::Gaps,
        Some(_) => StackStatus::Truncated,
        None => StackStatus::Complete,
    }
}

/// The runtime prints its own goroutines, with all their frames, only if it was told to.
fn is_system(goroutine: &DumpGoroutine) -> bool {
    let runtime = |function: &str| function.starts_with("runtime.");
    // Number 0 is a thread's work for the scheduler.
    goroutine.id == 0
        || goroutine.id > 1
            && !goroutine.frames.is_empty()
            && goroutine.frames.iter().all(|frame| runtime(&frame.function))
            && goroutine.created_by.as_ref().is_some_and(|creator| runtime(&creator.function))
}

/// Inlined frames share the location of the next frame that was not inlined.
fn locations(frames: &[DumpFrame], code: &mut CodeTable, into: &mut SnapshotBuilder) -> Vec<LocationId> {
    (frames.split_inclusive(|frame| !frame.inlined))
        .filter_map(|frames| {
            let last = frames.last()?;
            let named = frames.iter().map(|frame| NamedFrame {
                function: &frame.function,
                file: &frame.file,
                line: frame.line,
                foreign: frame.foreign,
            });
            Some(code.location(last.pc, last.offset, named, into))
        })
        .collect()
}

fn warnings(dump: &GoDump) -> Vec<String> {
    let mut warnings = Vec::new();
    match (dump.cut, dump.goroutines.last()) {
        (Some(Cut::InGoroutine), Some(last)) => warnings.push(format!(
            "the dump ends in the middle of goroutine {}: what came after it is missing",
            last.id
        )),
        (Some(Cut::InHeader), Some(last)) => warnings.push(format!(
            "the dump ends in the middle of the first line of a goroutine after goroutine {}: that one, and what \
             came after it, is missing",
            last.id
        )),
        _ => {}
    }
    let elided = dump.goroutines.iter().filter(|goroutine| goroutine.elided.is_some()).count();
    if elided > 0 {
        let noun = if elided == 1 { "goroutine" } else { "goroutines" };
        warnings
            .push(format!("Go printed only a part of the frames of {elided} {noun} with very deep stacks"));
    }
    warnings.extend(lost(dump));
    warnings.extend(strays(dump));
    warnings
}

/// Lines within goroutines that were not understood.
fn lost(dump: &GoDump) -> Option<String> {
    /// At most this many goroutines are named.
    const NAMED: usize = 5;
    let damaged: Vec<_> = dump.goroutines.iter().filter(|goroutine| goroutine.lost_lines > 0).collect();
    let lines: u64 = damaged.iter().map(|goroutine| goroutine.lost_lines).sum();
    let ids: Vec<_> = damaged.iter().take(NAMED).map(|goroutine| goroutine.id.to_string()).collect();
    let more = if damaged.len() > NAMED { ", ..." } else { "" };
    let (which, stacks) = match damaged.len() {
        0 => return None,
        1 => ("goroutine", "its stack has gaps"),
        _ => ("goroutines", "their stacks have gaps"),
    };
    let (lines, were) = counted(lines);
    Some(format!("{lines} within {which} {}{more} {were} not understood: {stacks}", ids.join(", ")))
}

/// Stack lines of goroutines that are missing.
fn strays(dump: &GoDump) -> Option<String> {
    let first = dump.strays_first.min(dump.stray_lines);
    let (lines, were) = counted(dump.stray_lines);
    Some(match (dump.stray_lines, first) {
        (0, _) => return None,
        (all, first) if all == first => format!(
            "{lines} of a stack {were} found before the first goroutine: its header is missing, or Go printed none"
        ),
        _ => format!(
            "{lines} of stacks {were} found outside of any goroutine: headers of goroutines are missing"
        ),
    })
}

/// "1 line" and "was", "2 lines" and "were".
fn counted(lines: u64) -> (String, &'static str) {
    if lines == 1 { ("1 line".to_owned(), "was") } else { (format!("{lines} lines"), "were") }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;
    use crate::snapshot::FunctionKind;

    const DUMP: &str = "\
goroutine 1 [running]:\n\
runtime.gopark(0x0?)\n\
\t/go/src/runtime/proc.go:1 +0x1\n\
panic({0x1, 0x2})\n\
\t/go/src/runtime/panic.go:884 +0x212\n\
main.inner(...)\n\
\t/src/main.go:40\n\
main.outer(0x1)\n\
\t/src/main.go:41 +0x2 fp=0x1 sp=0x2 pc=0x4a\n\
\n\
goroutine 7 [chan receive, 12 minutes, locked to thread] {b: c, a: d}:\n\
main.inner(...)\n\
\t/src/main.go:40\n\
...3 frames elided...\n\
main.outer(0x2)\n\
\t/src/main.go:41 +0x2 fp=0x1 sp=0x2 pc=0x4a\n\
created by main.start in goroutine 1\n\
\t/src/main.go:20 +0x25\n\
\n\
goroutine 3 [GC sweep wait]:\n\
runtime.bgsweep(0x0)\n\
\t/go/src/runtime/mgcsweep.go:1 +0x1\n\
created by runtime.gcenable\n\
\t/go/src/runtime/mgc.go:1 +0x1\n\
\n\
goroutine 8 [running]:\n\
\tgoroutine running on other thread; stack unavailable\n\
created by main.start in goroutine 1\n\
\t/src/main.go:2";

    #[test]
    fn becomes_a_snapshot() {
        let snapshot = Snapshot::from(&GoDump::parse(DUMP.as_bytes()));
        snapshot.validate().unwrap();
        let ids: Vec<_> = snapshot.tasks.iter().filter_map(|task| task.id).collect();
        assert_eq!(ids, [1, 3, 7, 8]);
        let [first, system, deep, running] = &snapshot.tasks[..] else { panic!() };
        assert_eq!((first.state, first.reason, first.stack_status), {
            (TaskState::Running, None, StackStatus::Complete)
        });
        let stack = snapshot.stack_of(first);
        assert_eq!(stack.len(), 3);
        let outer = &snapshot.code.locations[stack[2].index()];
        assert_eq!((outer.address, outer.offset, outer.frames.len()), (Some(0x4a), Some(2), 2));
        let panic = snapshot.code.locations[stack[1].index()].frames[0].function;
        assert_eq!(snapshot.function_name(panic), "runtime.gopanic");
        assert_eq!(snapshot.code.functions[panic.index()].kind, FunctionKind::Panic);

        assert!(system.system && !deep.system && !first.system);
        assert_eq!(snapshot.str(deep.reason.unwrap()), "chan receive");
        assert_eq!((deep.age, deep.parent), (Age::AtLeast(12 * MINUTE_NS), Some(1)));
        assert!(deep.locked_to_thread);
        assert_eq!(deep.stack_status, StackStatus::Gaps);
        assert_eq!(snapshot.stack_of(deep).len(), 2);
        let labels = &snapshot.code.label_sets[deep.labels.unwrap().index()].pairs;
        assert_eq!(labels.iter().map(|&(k, _)| snapshot.str(k)).collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!((running.stack, running.stack_status), (None, StackStatus::Running));
        assert!(running.creator.is_some());
        assert_eq!(snapshot.header.warnings.len(), 1, "{:?}", snapshot.header.warnings);
    }

    #[test]
    fn a_cut_dump_says_so() {
        let whole = DUMP.len();
        for (at, cut) in [(whole, false), (whole - 25, true), (whole - 40, true), (100, true)] {
            let snapshot = Snapshot::from(&GoDump::parse(&DUMP.as_bytes()[..at]));
            let said = snapshot.header.warnings.iter().any(|w| w.contains("in the middle of"));
            assert_eq!(said, cut, "{at}: {}", &DUMP[..at]);
        }
    }
}
