//! Compares what loiter reads with what the target's own runtime prints.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use loiter::import::{DumpFrame, DumpGoroutine, GoDump, GoProfile};
use loiter::snapshot::{Frame, FunctionKind, LocationId, Snapshot, StackStatus, Task, TaskState};

/// A frame as both sides know it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Line {
    pub function: String,
    pub file: String,
    pub line: u32,
}

/// The rule by which the runtime of one Go version decides what to print.
#[derive(Debug, Clone, Copy)]
pub struct Printing {
    /// 27 for Go 1.27.
    pub minor: u32,
}

impl Printing {
    /// `showfuncinfo` in `runtime/traceback.go`.
    fn shows(self, name: &str, kind: FunctionKind, callee: FunctionKind, first: bool) -> bool {
        if kind == FunctionKind::Wrapper && !matches!(callee, FunctionKind::Panic | FunctionKind::Fault) {
            return false;
        }
        if self.minor >= 25 && matches!(name, "runtime.runFinalizers" | "runtime.runCleanups") {
            return true;
        }
        if name == "runtime.gopanic" && !first {
            return true;
        }
        name.contains('.') && (!name.starts_with("runtime.") || self.is_exported(name))
    }

    /// `isExportedRuntime`: from 1.23 on exported methods count too.
    fn is_exported(self, name: &str) -> bool {
        let upper = |text: &str| text.starts_with(|c: char| c.is_ascii_uppercase());
        let Some(name) = name.strip_prefix("runtime.") else {
            return false;
        };
        match name.rsplit_once('.') {
            Some((receiver, method)) if self.minor >= 23 => {
                let plain = receiver.strip_prefix("(*").and_then(|r| r.strip_suffix(')'));
                upper(method) && upper(plain.unwrap_or(receiver))
            }
            _ => upper(name),
        }
    }

    /// `funcNameForPrint`: type arguments become "[...]".
    fn name(self, name: &str) -> String {
        if name == "runtime.gopanic" {
            return "panic".to_owned();
        }
        let (Some(first), Some(last)) = (name.find('['), name.rfind(']')) else {
            return name.to_owned();
        };
        if self.minor < 27 {
            return format!("{}[...]{}", &name[..first], &name[last + 1..]);
        }
        let (mut out, mut depth) = (String::new(), 0);
        for c in name.chars() {
            match c {
                '[' => {
                    depth += 1;
                    if depth == 1 {
                        out.push_str("[...]");
                    }
                }
                ']' => depth -= 1,
                _ if depth == 0 => out.push(c),
                _ => {}
            }
        }
        out
    }

    /// The frames of a stack that the runtime would print, innermost first.
    pub fn visible(self, snapshot: &Snapshot, stack: &[LocationId]) -> Vec<Line> {
        let mut shown = self.walk(snapshot, stack, false);
        if shown.is_empty() {
            // The runtime prefers too much to nothing at all.
            shown = self.walk(snapshot, stack, true);
        }
        shown
    }

    fn walk(self, snapshot: &Snapshot, stack: &[LocationId], everything: bool) -> Vec<Line> {
        let mut shown = Vec::new();
        let mut callee = FunctionKind::Normal;
        for frame in
            stack.iter().filter_map(|l| snapshot.code.locations.get(l.index())).flat_map(|l| &l.frames)
        {
            let function = snapshot.code.functions[frame.function.index()];
            if function.kind == FunctionKind::Foreign {
                // Without a symbolizer for C the runtime leaves its frames out.
                continue;
            }
            let name = snapshot.str(function.name);
            if everything || self.shows(name, function.kind, callee, shown.is_empty()) {
                shown.push(self.line(snapshot, frame));
            }
            callee = function.kind;
        }
        shown
    }

    fn line(self, snapshot: &Snapshot, frame: &Frame) -> Line {
        Line {
            function: self.name(snapshot.function_name(frame.function)),
            file: snapshot.str(frame.file).to_owned(),
            line: frame.line,
        }
    }
}

impl From<&DumpFrame> for Line {
    fn from(frame: &DumpFrame) -> Self {
        Line { function: frame.function.clone(), file: frame.file.clone(), line: frame.line }
    }
}

/// The runtime's word for a task's state.
pub fn state_text(snapshot: &Snapshot, task: &Task) -> String {
    match (task.state, task.reason) {
        (TaskState::Waiting, Some(reason)) => snapshot.str(reason).to_owned(),
        (TaskState::Waiting, None) => "waiting".to_owned(),
        (TaskState::Running, _) => "running".to_owned(),
        (TaskState::Runnable, _) => "runnable".to_owned(),
        (TaskState::Syscall, _) => "syscall".to_owned(),
        (TaskState::Preempted, _) => "preempted".to_owned(),
        (TaskState::Finished, _) => "dead".to_owned(),
        (TaskState::Unknown, _) => "???".to_owned(),
    }
}

/// A task's labels as text.
pub fn labels(snapshot: &Snapshot, task: &Task) -> Vec<(String, String)> {
    let set = task.labels.and_then(|id| snapshot.code.label_sets.get(id.index()));
    set.map_or(Vec::new(), |set| {
        set.pairs.iter().map(|&(k, v)| (snapshot.str(k).to_owned(), snapshot.str(v).to_owned())).collect()
    })
}

/// Every difference between a snapshot and a dump, a paragraph each. The goroutine that wrote the
/// dump is the first one in it; it must exist, but it was doing something else by then.
pub fn differences(snapshot: &Snapshot, dump: &GoDump, printing: Printing) -> Vec<String> {
    let mut found = Vec::new();
    let tasks: BTreeMap<u64, &Task> =
        snapshot.tasks.iter().filter(|t| !t.system).filter_map(|t| Some((t.id?, t))).collect();
    let dumped: BTreeSet<u64> = dump.goroutines.iter().map(|g| g.id).collect();
    let read: BTreeSet<u64> = tasks.keys().copied().collect();
    for id in dumped.difference(&read) {
        let hidden = snapshot.tasks.iter().any(|t| t.id == Some(*id));
        found.push(format!("goroutine {id} is {}", if hidden { "called a system one" } else { "missing" }));
    }
    for id in read.difference(&dumped) {
        let text = state_text(snapshot, tasks[id]);
        found.push(format!("goroutine {id} [{text}] is not in the runtime's dump"));
    }
    for goroutine in dump.goroutines.iter().skip(1) {
        if let Some(task) = tasks.get(&goroutine.id) {
            found.extend(goroutine_differences(snapshot, task, goroutine, printing));
        }
    }
    found
}

fn goroutine_differences(
    snapshot: &Snapshot,
    task: &Task,
    dumped: &DumpGoroutine,
    printing: Printing,
) -> Vec<String> {
    let id = dumped.id;
    let mut found = Vec::new();
    let mut check = |what: &str, ours: &dyn std::fmt::Debug, theirs: &dyn std::fmt::Debug| {
        let (ours, theirs) = (format!("{ours:?}"), format!("{theirs:?}"));
        if ours != theirs {
            found.push(format!("goroutine {id}: {what}\n    loiter   {ours}\n    runtime  {theirs}"));
        }
    };
    check("state", &state_text(snapshot, task), &dumped.state);
    check("locked to thread", &task.locked_to_thread, &dumped.locked);
    check("stack", &task.stack_status, &StackStatus::Complete);
    if printing.minor >= 26 {
        // The runtime leaves out an empty set.
        check("labels", &labels(snapshot, task), &dumped.labels.clone().unwrap_or_default());
    }
    if dumped.wait_minutes > 0 {
        let minutes = task.age.nanos().unwrap_or(0) / 60_000_000_000;
        check("at least a minute's wait", &(minutes >= dumped.wait_minutes), &true);
    }
    creator_differences(snapshot, task, dumped, printing, &mut check);

    let ours = printing.visible(snapshot, snapshot.stack_of(task));
    let theirs: Vec<Line> = dumped.frames.iter().map(Line::from).collect();
    if !same_frames(&ours, &theirs, dumped, snapshot.stack_of(task).len(), printing) {
        found.push(side_by_side(id, &dumped.state, &ours, &theirs));
    }
    found
}

fn creator_differences(
    snapshot: &Snapshot,
    task: &Task,
    dumped: &DumpGoroutine,
    printing: Printing,
    check: &mut dyn FnMut(&str, &dyn std::fmt::Debug, &dyn std::fmt::Debug),
) {
    let location = task.creator.and_then(|id| snapshot.code.locations.get(id.index()));
    // The name of the function that really has the code, the line of the innermost one: so the
    // runtime prints them when the go statement was inlined.
    let ours =
        location.and_then(|l| Some((l.frames.last()?, l.frames.first()?))).map(|(outer, inner)| Line {
            function: printing.name(snapshot.function_name(outer.function)),
            ..printing.line(snapshot, inner)
        });
    match &dumped.created_by {
        Some(creator) => {
            let theirs =
                Line { function: creator.function.clone(), file: creator.file.clone(), line: creator.line };
            check("creator", &ours, &Some(theirs));
            if printing.minor >= 21 {
                check("parent", &task.parent, &creator.goroutine);
            }
        }
        None => {
            let shown = ours.filter(|line| {
                let (normal, id) = (FunctionKind::Normal, dumped.id);
                id != 1 && printing.shows(&line.function, normal, normal, false)
            });
            check("creator", &shown, &None::<Line>);
        }
    }
}

/// Up to 1.20 the runtime stops after 100 frames, hidden ones included, and says so only when none
/// of those was hidden. Later it leaves out frames in the middle and counts them.
fn same_frames(
    ours: &[Line],
    theirs: &[Line],
    dumped: &DumpGoroutine,
    depth: usize,
    printing: Printing,
) -> bool {
    if printing.minor < 21 && depth >= 100 {
        return theirs.len() >= 90 && ours.starts_with(theirs);
    }
    let Some(elided) = dumped.elided else {
        return ours == theirs;
    };
    let (inner, outer) = theirs.split_at(elided.after.min(theirs.len()));
    let count = elided.count.unwrap_or(0) as usize;
    ours.len() == theirs.len() + count && ours.starts_with(inner) && ours.ends_with(outer)
}

/// The first frames that differ, with a few around them.
fn side_by_side(id: u64, state: &str, ours: &[Line], theirs: &[Line]) -> String {
    let same = ours.iter().zip(theirs).take_while(|(a, b)| a == b).count();
    let mut out = format!(
        "goroutine {id} [{state}]: frames ({} in loiter, {} in the runtime's dump)",
        ours.len(),
        theirs.len()
    );
    let from = same.saturating_sub(2);
    for (who, lines) in [("loiter", ours), ("runtime", theirs)] {
        let _ = write!(out, "\n    {who}, from frame {from}");
        for line in lines.iter().skip(from).take(8) {
            let _ = write!(out, "\n        {}  {}:{}", line.function, line.file, line.line);
        }
    }
    out
}

/// Frames kept of a stack for comparing profiles: the runtime cuts them, at 32 in old versions.
const PROFILE_FRAMES: usize = 16;

type ProfileKey = (Vec<(String, String)>, Vec<Line>);

/// Every difference between a snapshot and a profile with debug=1, which has no ids: stacks with
/// their labels, counted. Both leave out the goroutine that wrote it.
pub fn profile_differences(
    snapshot: &Snapshot,
    profile: &GoProfile,
    writer: u64,
    printing: Printing,
) -> Vec<String> {
    let mut ours: BTreeMap<ProfileKey, u64> = BTreeMap::new();
    for task in snapshot.tasks.iter().filter(|t| !t.system && t.id != Some(writer)) {
        let frames = printing.visible(snapshot, snapshot.stack_of(task));
        *ours.entry((labels(snapshot, task), outside_runtime(frames))).or_default() += task.count();
    }
    let mut theirs: BTreeMap<ProfileKey, u64> = BTreeMap::new();
    for stack in &profile.stacks {
        let frames = stack.frames.iter().map(|f| Line {
            function: f.function.clone(),
            file: f.file.clone(),
            line: f.line,
        });
        let mut labels = stack.labels.clone();
        labels.sort();
        let frames: Vec<_> = frames.collect();
        if !frames.iter().any(|f| f.function == "runtime/pprof.(*Profile).WriteTo") {
            *theirs.entry((labels, outside_runtime(frames))).or_default() += stack.count;
        }
    }
    let mut found = Vec::new();
    for key in ours.keys().chain(theirs.keys()).collect::<BTreeSet<_>>() {
        let (a, b) = (ours.get(key).copied().unwrap_or(0), theirs.get(key).copied().unwrap_or(0));
        if a != b {
            found.push(format!(
                "profile: {a} in loiter, {b} in the runtime's, with labels {:?} at {:?}",
                key.0,
                key.1.first()
            ));
        }
    }
    found
}

fn outside_runtime(frames: Vec<Line>) -> Vec<Line> {
    let mut frames: Vec<_> = frames
        .into_iter()
        .filter(|f| {
            let name = f.function.as_str();
            // Names without a package are the linker's and assembly's; a dump leaves them out.
            name.contains('.') && !name.starts_with("runtime.") && !name.starts_with("internal/runtime/")
        })
        .collect();
    frames.truncate(PROFILE_FRAMES);
    frames
}

/// A failure that a person can read.
pub fn report(what: &str, differences: &[String]) -> String {
    let mut out = format!("{what}: {} differences", differences.len());
    for difference in differences.iter().take(30) {
        let _ = write!(out, "\n  {difference}");
    }
    out
}
