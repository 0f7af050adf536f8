//! Stacks as in Go's own profiles: the frames that its traceback visits.

use crate::analysis::frames::kind_of;
use crate::formats::go_functions;
use crate::snapshot::*;

/// A place in a stack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Place {
    /// Its location in the snapshot.
    pub(super) location: LocationId,
    /// With the compiler's adapters: a panic came through them.
    adapters: bool,
    /// Its address is that of a faulting instruction, not of the one after a call.
    fault: bool,
}

/// The places of a stack, innermost first.
pub(super) fn places(snapshot: &Snapshot, stack: &[LocationId]) -> Vec<Place> {
    let (mut callee, mut fault) = (FunctionKind::Normal, false);
    let mut places = Vec::with_capacity(stack.len());
    for &location in stack {
        let mut adapters = false;
        for &frame in frames_of(snapshot, location) {
            let kind = kind_of(snapshot, frame);
            adapters |=
                kind == FunctionKind::Wrapper && matches!(callee, FunctionKind::Panic | FunctionKind::Fault);
            callee = kind;
        }
        places.push(Place { location, adapters, fault });
        fault = go_functions::raises_fault(&snapshot.code, location);
    }
    places
}

fn frames_of(snapshot: &Snapshot, location: LocationId) -> &[Frame] {
    snapshot.code.locations.get(location.index()).map_or(&[], |location| &location.frames)
}

impl Place {
    /// Its frames, inlined ones first: none if it is an adapter without a panic.
    pub(super) fn frames(self, snapshot: &Snapshot) -> impl Iterator<Item = Frame> {
        let frames = frames_of(snapshot, self.location).iter().copied();
        frames.filter(move |&frame| self.adapters || kind_of(snapshot, frame) != FunctionKind::Wrapper)
    }

    /// The address of the call or of the faulting instruction. For calls it is one below the return address, so
    /// that it is within the calling instruction.
    pub(super) fn call(self, snapshot: &Snapshot) -> Option<u64> {
        let address = snapshot.code.locations.get(self.location.index())?.address?;
        Some(if self.fault { address } else { address.saturating_sub(1) })
    }

    /// The image that it is in.
    pub(super) fn image(self, snapshot: &Snapshot) -> Option<ImageId> {
        snapshot.code.locations.get(self.location.index())?.image
    }

    /// [`Place::call`] minus the start of its function. 0 if unknown.
    pub(super) fn offset(self, snapshot: &Snapshot) -> u32 {
        let location = snapshot.code.locations.get(self.location.index());
        let offset = location.and_then(|location| location.offset).unwrap_or(0);
        if self.fault { offset } else { offset.saturating_sub(1) }
    }
}
