//! Ancestors in a traceback of Go's runtime, and in a snapshot.

use std::collections::BTreeMap;

use loiter::snapshot::Snapshot;

/// An ancestor: its id, and the functions of its stack.
pub(crate) type Shown = (u64, Vec<String>);

/// Whether the runtime printed this function of a stack. It looks the return address itself up, which may be in code that
/// was inlined behind the call: there it prints the name of that code.
pub(crate) fn is_same(ours: &str, printed: &str) -> bool {
    const INLINED_BEHIND: [&str; 4] =
        ["sync/atomic.", "internal/runtime/atomic.", "runtime/internal/atomic.", "reflect.ValueOf"];
    ours == printed || INLINED_BEHIND.iter().any(|name| printed.starts_with(name))
}

/// What the runtime printed.
pub(crate) struct Traceback {
    /// The ancestors of each goroutine, the nearest first.
    pub ancestors: BTreeMap<u64, Vec<Shown>>,
}

impl Traceback {
    /// Reads what was printed.
    pub(crate) fn parse(text: &str) -> Traceback {
        let mut ancestors: BTreeMap<u64, Vec<Shown>> = BTreeMap::new();
        let mut current = None;
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("goroutine ") {
                current = rest.split(' ').next().and_then(|id| id.parse().ok());
            } else if let Some(rest) = line.strip_prefix("[originating from goroutine ") {
                let id = rest.trim_end_matches("]:...").trim_end_matches("]:").parse().expect("an id");
                ancestors.entry(current.expect("a goroutine")).or_default().push((id, Vec::new()));
            } else if let Some(function) = line.strip_suffix("(...)")
                && let Some((_, functions)) =
                    current.and_then(|id| ancestors.get_mut(&id)).and_then(|a| a.last_mut())
            {
                functions.push(function.to_owned());
            }
        }
        Traceback { ancestors }
    }
}

/// The same of a snapshot.
pub(crate) fn read_ancestors(snapshot: &Snapshot) -> BTreeMap<u64, Vec<Shown>> {
    let mut all: BTreeMap<u64, Vec<Shown>> = BTreeMap::new();
    for (row, task) in (0..).zip(&snapshot.tasks) {
        for ancestor in snapshot.ancestors_of(row) {
            let stack = ancestor.stack.map_or(&[][..], |id| snapshot.code.stack(id));
            let frames = stack.iter().filter_map(|id| snapshot.code.locations.get(id.index()));
            let functions = frames.flat_map(|location| &location.frames);
            let names = functions.map(|frame| snapshot.function_name(frame.function).to_owned()).collect();
            all.entry(task.id.expect("an id")).or_default().push((ancestor.id.expect("an id"), names));
        }
    }
    all
}
