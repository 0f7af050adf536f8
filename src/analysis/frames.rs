//! Which frames of a stack are shown.

use std::borrow::Cow;

use super::modules::Owners;
use super::owner::Code;
use crate::snapshot::{Frame, FunctionId, FunctionKind, FunctionRole, Location, LocationId, Snapshot};

/// A frame as it is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ShownFrame {
    /// The function, file and line.
    pub frame: Frame,
    /// The place in the code that it is at.
    pub location: LocationId,
    /// The function was inlined into the next one and has no code of its own here.
    pub inlined: bool,
}

/// The frames of a stack that are shown, innermost first.
///
/// The runtime's machinery and the compiler's adapters are left out, unless `all` is set or nothing would be
/// left (the stacks of the runtime's own tasks consist of nothing else). Two kinds of frames stay: an adapter
/// that a panic came through, because it is part of the story, and a panic that deferred code runs under,
/// because it is the border between that code and the code that panicked.
pub fn shown_frames(snapshot: &Snapshot, stack: &[LocationId], all: bool) -> Vec<ShownFrame> {
    let mut shown = Vec::new();
    if !all {
        collect(snapshot, stack, false, &mut shown);
    }
    if shown.is_empty() {
        collect(snapshot, stack, true, &mut shown);
    }
    shown
}

fn collect(snapshot: &Snapshot, stack: &[LocationId], all: bool, shown: &mut Vec<ShownFrame>) {
    let mut callee = FunctionKind::Normal;
    for &location in stack {
        let frames = snapshot.code.locations.get(location.index()).map_or(&[][..], |l| &l.frames);
        for (nth, &frame) in frames.iter().enumerate() {
            let kind = kind_of(snapshot, frame);
            let show = all
                || match kind {
                    FunctionKind::Normal | FunctionKind::Foreign => true,
                    FunctionKind::Internal | FunctionKind::Fault => false,
                    FunctionKind::Wrapper => matches!(callee, FunctionKind::Panic | FunctionKind::Fault),
                    FunctionKind::Panic => !shown.is_empty(),
                };
            callee = kind;
            if show {
                shown.push(ShownFrame { frame, location, inlined: nth + 1 < frames.len() });
            }
        }
    }
}

/// What kind of function a frame is in.
pub fn kind_of(snapshot: &Snapshot, frame: Frame) -> FunctionKind {
    snapshot.code.functions.get(frame.function.index()).map_or(FunctionKind::Normal, |f| f.kind)
}

/// The frame of a stack that the user looks for; see [`Owners::user_frame`].
pub fn user_frame(snapshot: &Snapshot, owners: &Owners, shown: &[ShownFrame]) -> Option<ShownFrame> {
    let at = owners.user_frame(shown.iter().map(|shown| code_of(snapshot, shown.frame)))?;
    shown.get(at).copied()
}

/// What is known of the function of a frame.
pub fn code_of(snapshot: &Snapshot, frame: Frame) -> Code<'_> {
    let function = snapshot.code.functions.get(frame.function.index());
    Code {
        function: function.map_or("", |f| snapshot.str(f.name)),
        package: function.map_or("", |f| snapshot.str(f.package)),
        file: snapshot.str(frame.file),
        role: function.map_or(FunctionRole::default(), |f| f.role),
    }
}

/// The frame of the place where a task was started: the innermost, which has the statement.
pub fn creator_frame(snapshot: &Snapshot, creator: LocationId) -> Option<Frame> {
    location(snapshot, creator)?.frames.first().copied()
}

/// Whether a function is the code of a lock itself. Then its caller is what waits.
pub fn is_lock_code(snapshot: &Snapshot, id: FunctionId) -> bool {
    snapshot.code.functions.get(id.index()).is_some_and(|function| function.role.layer.is_lock_code())
}

/// The frame at the place from which a task will unlock a lock: the innermost of the frames inlined there that
/// is not a lock's own.
pub fn holding_frame(snapshot: &Snapshot, id: LocationId) -> Option<Frame> {
    let frames = &location(snapshot, id)?.frames;
    let own = frames.iter().find(|frame| !is_lock_code(snapshot, frame.function));
    own.or(frames.last()).copied()
}

/// The name of a frame: its function, or its place in the source if the function is not known.
pub fn frame_name(snapshot: &Snapshot, frame: Frame) -> Cow<'_, str> {
    match (snapshot.function_name(frame.function), snapshot.str(frame.file)) {
        ("", "") => "".into(),
        ("", file) => format!("{file}:{}", frame.line).into(),
        (function, _) => function.into(),
    }
}

/// A location by its id.
pub fn location(snapshot: &Snapshot, id: LocationId) -> Option<&Location> {
    snapshot.code.locations.get(id.index())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::SnapshotBuilder;

    /// Shown frames of a stack given as (name, kind), innermost first; `+` joins frames that are inlined into
    /// the next one.
    fn shown(stack: &[(&str, FunctionKind)], all: bool) -> Vec<String> {
        let mut builder = SnapshotBuilder::new();
        let mut locations = Vec::new();
        for &(name, kind) in stack {
            let frames = name
                .split('+')
                .map(|name| {
                    let function = builder.code.function(name, "", kind);
                    builder.code.frame(function, "f.go", 1)
                })
                .collect();
            locations.push(builder.code.location(Location::in_source(frames)));
        }
        let snapshot = builder.finish();
        (shown_frames(&snapshot, &locations, all).iter())
            .map(|f| {
                format!("{}{}", snapshot.function_name(f.frame.function), if f.inlined { "^" } else { "" })
            })
            .collect()
    }

    use FunctionKind::{Fault, Foreign, Internal, Normal, Panic, Wrapper};

    #[test]
    fn machinery_is_hidden_unless_asked_for() {
        let stack =
            [("park", Internal), ("a+b", Normal), ("w", Wrapper), ("c", Foreign), ("goexit", Internal)];
        assert_eq!(shown(&stack, false), ["a^", "b", "c"]);
        assert_eq!(shown(&stack, true), ["park", "a^", "b", "w", "c", "goexit"]);
    }

    #[test]
    fn a_stack_of_machinery_alone_is_shown() {
        let stack = [("park", Internal), ("bgsweep", Internal), ("goexit", Internal)];
        assert_eq!(shown(&stack, false), ["park", "bgsweep", "goexit"]);
    }

    #[test]
    fn a_panic_is_shown_under_deferred_code_only() {
        let stack = [("deferred", Normal), ("gopanic", Panic), ("panicmem", Internal), ("sigpanic", Fault)];
        assert_eq!(shown(&stack, false), ["deferred", "gopanic"]);
        let stack = [("print", Internal), ("gopanic", Panic), ("wrapper", Wrapper), ("main", Normal)];
        assert_eq!(shown(&stack, false), ["wrapper", "main"]);
    }
}
