//! Machine code without a runtime that loiter knows: the places in it as locations.

use rustc_hash::FxHashMap;

use crate::code::{CodeBuilder, FunctionKind, Location, LocationId};
use crate::snapshot::StackStatus;
use crate::symbols::native::{NativeCode, NativeFrame, NoCaller};
use crate::words;

/// What a stack is worth that ends for this reason.
pub(super) fn status_of(why: NoCaller) -> StackStatus {
    match why {
        NoCaller::Outermost => StackStatus::Complete,
        NoCaller::Cut => StackStatus::Truncated,
        NoCaller::Unknown => StackStatus::Broken,
    }
}

/// Turns native frames into locations, each address once.
#[derive(Debug, Default)]
pub(super) struct NativeLocations {
    known: FxHashMap<(u64, bool), LocationId>,
}

impl NativeLocations {
    /// The location of a frame. `elsewhere` gives the name and the start of a function that no ELF symbol names.
    pub(super) fn of(
        &mut self,
        frame: &NativeFrame,
        code: &mut NativeCode,
        elsewhere: impl Fn(u64) -> Option<(String, u64)>,
        into: &mut CodeBuilder,
    ) -> LocationId {
        let key = (frame.pc, frame.is_interrupted);
        if let Some(&known) = self.known.get(&key) {
            return known;
        }
        let address = frame.lookup();
        let function = code.function(address).map(|f| (f.name, f.start)).or_else(|| elsewhere(address));
        let image = code.image(frame.pc).or_else(|| code.image(address));
        let (path, in_file) = image.unwrap_or(("", frame.pc));
        let start = function.as_ref().map(|(_, start)| *start);
        let (name, _) = function.unwrap_or_else(|| {
            let file = path.rsplit('/').next().unwrap_or(path);
            (format!("{file}+{in_file:#x}"), frame.pc)
        });
        let role = words::rust::role(&name);
        let function = into.function_with(&name, "", FunctionKind::Foreign, role);
        let frames = vec![into.frame(function, path, 0)];
        let offset = start.and_then(|start| u32::try_from(frame.pc.checked_sub(start)?).ok());
        let id = into.location(Location::at(frame.pc, offset, frames));
        self.known.insert(key, id);
        id
    }
}
