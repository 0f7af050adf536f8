//! Whose the samples of a Go program's profile are, as far as the outermost frames of their stacks show it.

use crate::code::{CodeBuilder, FunctionId, LocationId};
use crate::recording::{Recording, Whose};
use crate::snapshot::StackStatus;

/// The number of frames that Go's CPU profiler keeps of a stack: `maxCPUProfStack` in `src/runtime/cpuprof.go`, 1.19 to
/// 1.27.
pub(super) const CPU_DEPTHS: [usize; 1] = [64];
/// The same for its block profile: 32 up to 1.22, 128 later.
pub(super) const BLOCK_DEPTHS: [usize; 2] = [32, 128];

/// What the outermost frame of a stack shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Root {
    /// The start function of a goroutine.
    Entry {
        /// The function.
        function: FunctionId,
        /// The goroutine belongs to the runtime.
        system: bool,
    },
    /// The scheduler.
    Scheduler,
    /// A thread of the runtime without goroutines.
    Native,
    /// Nothing.
    Unknown,
}

/// What the outermost frame of a stack shows, if the stack is complete: see [`mark_cut_stacks`].
pub(super) fn root(stack: &[LocationId], code: &CodeBuilder) -> Root {
    let name = |function| code.function_at(function).map_or("", |f| code.text(f.name));
    let frames = stack.iter().rev().filter_map(|id| code.locations().get(id.index()));
    let outermost = frames.flat_map(|location| location.frames.iter().rev());
    let Some(function) = outermost.map(|frame| frame.function).find(|&f| name(f) != "runtime.goexit") else {
        return Root::Unknown;
    };
    let package = code.function_at(function).map_or("", |f| code.text(f.package));
    match name(function) {
        // On the thread's own stack: it switches between goroutines, or looks for one.
        "runtime.mcall" => Root::Scheduler,
        "runtime.mstart" | "runtime.mstart0" | "runtime.mstart1" => {
            let runs_none = |name: &str| matches!(name, "runtime.sysmon" | "runtime.templateThread");
            let mut all = stack.iter().filter_map(|id| code.locations().get(id.index()));
            let none = all.any(|location| location.frames.iter().any(|f| runs_none(name(f.function))));
            if none { Root::Native } else { Root::Scheduler }
        }
        // On the thread's own stack for a goroutine or for none.
        "runtime.systemstack"
        | "runtime.morestack"
        | "runtime.asmcgocall"
        | "runtime.cgocallback"
        | "runtime.rt0_go" => Root::Unknown,
        // Places that do not exist: `src/runtime/proc.go` and `src/runtime/pprof/pprof.go` put them into profiles.
        name if name.starts_with("runtime._") || name == "runtime/pprof.lostProfileEvent" => Root::Unknown,
        _ if package.is_empty() => Root::Unknown,
        name => Root::Entry { function, system: is_system(name, package) },
    }
}

/// Go keeps a limited number of frames of a stack, and does not say that it cut some. If no stack of the profile
/// is deeper than one of its limits, the stacks that reach that limit were cut, and it is not known which
/// goroutine they are of.
pub(super) fn mark_cut_stacks(recording: &mut Recording, limits: &[usize]) {
    let frames = |id: &LocationId| {
        recording.code.locations.get(id.index()).map_or(0, |location| location.frames.len())
    };
    // The runtime does not count frames that are inlined into the last frame kept.
    let depths: Vec<(usize, usize)> = (recording.code.stacks.iter())
        .map(|stack| {
            let all: usize = stack.locations.iter().map(frames).sum();
            (all, all.saturating_sub(stack.locations.last().map_or(0, frames).saturating_sub(1)))
        })
        .collect();
    let deepest = depths.iter().map(|depth| depth.1).max().unwrap_or(0);
    let Some(&limit) = limits.iter().find(|&&limit| deepest <= limit) else { return };
    for sample in &mut recording.samples {
        let depth = sample.stack.and_then(|id| depths.get(id.index()));
        if depth.is_some_and(|depth| depth.0 >= limit) {
            sample.stack_status = StackStatus::Truncated;
            sample.whose = Whose::Unknown;
        }
    }
}

/// Goroutines that Go's tracebacks leave out (`isSystemGoroutine` in `src/runtime/traceback.go`), except those that run
/// finalizers and cleanups of the program.
fn is_system(name: &str, package: &str) -> bool {
    let programs = [
        "runtime.main",
        "runtime.handleAsyncEvent",
        "runtime.runfinq",
        "runtime.runFinalizers",
        "runtime.runCleanups",
    ];
    package == "runtime" && !programs.contains(&name)
}
