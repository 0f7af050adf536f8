//! Names of runtimes and their tasks.

use crate::snapshot::{RuntimeInfo, Snapshot};

/// The name for the tasks of a snapshot: "goroutine"; "task" if the snapshot has several runtimes.
pub fn task_noun(snapshot: &Snapshot) -> &str {
    match snapshot.header.runtimes.as_slice() {
        [runtime] if !runtime.task_noun.is_empty() => &runtime.task_noun,
        _ => "task",
    }
}

/// "go1.24.3", "stripped".
pub(super) fn runtime_facts(runtime: &RuntimeInfo) -> impl Iterator<Item = &str> {
    let name = runtime.version.as_ref().unwrap_or(&runtime.name);
    std::iter::once(name).chain(&runtime.flavour).map(String::as_str)
}

/// "go1.24.3 stripped".
pub fn runtime_name(runtime: &RuntimeInfo) -> String {
    runtime_facts(runtime).collect::<Vec<_>>().join(" ")
}

/// The name of one of several runtimes of a snapshot, with its number if two have the same name.
pub fn runtime_label(snapshot: &Snapshot, number: u8) -> String {
    let runtimes = &snapshot.header.runtimes;
    let Some(runtime) = runtimes.get(usize::from(number)) else { return String::new() };
    let name = runtime_name(runtime);
    let same = runtimes.iter().filter(|other| runtime_name(other) == name).count();
    if same > 1 { format!("{name} #{}", u32::from(number) + 1) } else { name }
}
