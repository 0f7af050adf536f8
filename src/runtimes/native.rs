//! Machine code without a runtime that loiter knows: its stacks, and places in it as locations.

mod bare;

use rustc_hash::FxHashMap;

use crate::code::{CodeBuilder, Frame, FunctionKind, Location, LocationId};
use crate::process::registers::FRAME_POINTER;
use crate::process::{Moment, Target, TargetError};
use crate::snapshot::StackStatus;
use crate::symbols::kernel::KernelFunctions;
use crate::symbols::lines::SourceFrame;
use crate::symbols::native::{ImageKey, NativeCode, NativeFrame, NoCaller, StackBytes};
use crate::words;
pub(super) use bare::BareCode;

/// Frames of one stack; deeper ones are left out and said.
const MAX_FRAMES: usize = 1024;

/// Pages that are read of the stack of a blocked thread.
const BLOCKED_PAGES: u64 = 16;
/// Stands for a function that was inlined and whose name is unknown.
const INLINED: &str = "[inlined]";
/// Stands for all addresses in the kernel that have no name.
const UNKNOWN: u64 = 0;

/// What a stack is worth that ends for this reason.
pub(super) fn status_of(why: NoCaller) -> StackStatus {
    match why {
        NoCaller::Outermost => StackStatus::Complete,
        NoCaller::Cut => StackStatus::Truncated,
        NoCaller::Unknown => StackStatus::Broken,
    }
}

/// Where a native frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct NativePlace {
    pc: u64,
    is_interrupted: bool,
}

impl From<&NativeFrame> for NativePlace {
    fn from(frame: &NativeFrame) -> Self {
        NativePlace { pc: frame.pc, is_interrupted: frame.is_interrupted }
    }
}

impl NativePlace {
    /// The address to look up: of the instruction that runs, or of the call.
    fn lookup(self) -> u64 {
        if self.is_interrupted { self.pc } else { self.pc.saturating_sub(1) }
    }
}

/// Turns native frames into locations, each address once.
#[derive(Debug, Default)]
pub(super) struct NativeLocations {
    /// Whether debug information is read.
    lines: bool,
    known: FxHashMap<NativePlace, LocationId>,
    /// Locations whose lines are looked up in the end.
    pending: Vec<Pending>,
}

/// A location without its lines yet.
#[derive(Debug)]
struct Pending {
    id: LocationId,
    address: u64,
    /// The image that had the address: another one may have it later.
    image: Option<ImageKey>,
    /// The name is that of a place, because no symbol names the function.
    nameless: bool,
}

impl NativeLocations {
    /// With files, lines and inlined calls in the end: see [`NativeLocations::finish`]. The default is names alone: a
    /// snapshot must not wait for debug information.
    pub(super) fn with_lines() -> NativeLocations {
        NativeLocations { lines: true, ..NativeLocations::default() }
    }

    /// The target has other code now. What was met before keeps its location.
    pub(super) fn renew(&mut self) {
        self.known.clear();
    }

    /// The location of a place. `elsewhere` gives the name and the start of a function that no ELF symbol names.
    pub(super) fn of(
        &mut self,
        place: NativePlace,
        code: &mut NativeCode,
        elsewhere: impl Fn(u64) -> Option<(String, u64)>,
        into: &mut CodeBuilder,
    ) -> LocationId {
        if let Some(&known) = self.known.get(&place) {
            return known;
        }
        let (pc, address) = (place.pc, place.lookup());
        let known = code.function(address).map(|f| (f.name, f.start)).or_else(|| elsewhere(address));
        let nameless = known.is_none();
        let (name, start) = match known {
            Some((name, start)) => (name, Some(start)),
            None => code.place(address),
        };
        let frames = vec![frame(&name, None, code.file(address), into)];
        let offset = start.and_then(|start| u32::try_from(pc.checked_sub(start)?).ok());
        let id = into.location(Location::at(pc, offset, frames));
        if self.lines {
            self.pending.push(Pending { id, address, image: code.image_key(address), nameless });
        }
        self.known.insert(place, id);
        id
    }

    /// Looks up files, lines and inlined calls of all locations. It may take long, so it is done when the target is no
    /// longer sampled.
    pub(super) fn finish(&mut self, code: &mut NativeCode, into: &mut CodeBuilder) {
        for Pending { id, address, image, nameless } in std::mem::take(&mut self.pending) {
            if image.is_none() || code.image_key(address) != image {
                continue;
            }
            let mut sources = code.source(address);
            // The outermost function is the one that symbols name; the others were inlined into it.
            let Some(outermost) = sources.pop() else { continue };
            let named = into.locations().get(id.index()).and_then(|location| location.frames.last());
            let Some(function) = named.and_then(|frame| into.function_at(frame.function)) else { continue };
            let symbol = into.text(function.name).to_owned();
            let name = outermost.function.as_deref().filter(|_| nameless).unwrap_or(&symbol);
            let path = code.file(address);
            let inlined = |source: &SourceFrame, into: &mut CodeBuilder| {
                frame(source.function.as_deref().unwrap_or(INLINED), Some(source), path, into)
            };
            let mut frames: Vec<_> = sources.iter().map(|source| inlined(source, into)).collect();
            frames.push(frame(name, Some(&outermost), path, into));
            into.set_frames(id, frames);
        }
        for warning in code.take_warnings() {
            into.warn(warning);
        }
    }
}

/// A frame in a function of this name; `path` is the file if the source is not known.
fn frame(name: &str, source: Option<&SourceFrame>, path: &str, into: &mut CodeBuilder) -> Frame {
    let function = into.function_with(name, "", FunctionKind::Foreign, words::rust::role(name));
    let file = source.and_then(|source| source.file.as_deref()).unwrap_or(path);
    into.frame(function, file, source.map_or(0, |source| source.line))
}

/// Stacks of threads that run no code of a known runtime, and frames in the kernel.
#[derive(Debug)]
pub struct NativeStacks {
    code: NativeCode,
    bare: BareCode,
    locations: NativeLocations,
    in_kernel: FxHashMap<u64, LocationId>,
}

impl NativeStacks {
    /// The stacks of the threads of a target.
    ///
    /// # Errors
    /// If the target cannot be read.
    pub fn new(target: &dyn Target) -> Result<NativeStacks, TargetError> {
        Ok(NativeStacks {
            locations: NativeLocations::with_lines(),
            ..NativeStacks::with(NativeCode::of(target)?, target)
        })
    }

    /// The same with code that is known already, which [`NativeStacks::into_code`] gives back, and without lines.
    pub(super) fn with(code: NativeCode, target: &dyn Target) -> NativeStacks {
        NativeStacks {
            code,
            bare: BareCode::of(target),
            locations: NativeLocations::default(),
            in_kernel: FxHashMap::default(),
        }
    }

    /// The code, with what was read of it.
    pub(super) fn into_code(self) -> NativeCode {
        self.code
    }

    /// Reads the names of the kernel's functions, so that the first frame in the kernel does not have to wait for them.
    pub fn prepare_kernel() {
        KernelFunctions::shared();
    }

    /// The target has mapped or unmapped code: its images are read again. If they cannot be, what was known stays.
    pub fn renew(&mut self, target: &dyn Target) {
        if self.code.renew(target).is_ok() {
            self.bare = BareCode::of(target);
            self.locations.renew();
        }
    }

    /// Adds files, lines and inlined calls to the locations, from debug information. It may take seconds.
    pub fn finish(&mut self, into: &mut CodeBuilder) {
        self.locations.finish(&mut self.code, into);
    }

    /// The stack of a moment, innermost first, as far as the copy of the stack reaches.
    ///
    /// Frames are found by unwind tables, and by what functions without any do to the stack. Where neither is known, frame
    /// pointers lead on, and the stack says that it is guessed.
    pub fn stack(&mut self, moment: &Moment<'_>, into: &mut CodeBuilder) -> (Vec<LocationId>, StackStatus) {
        let bytes = StackBytes { base: moment.registers.sp, bytes: moment.stack };
        self.unwind(NativeFrame::with_registers(&moment.registers), bytes, into)
    }

    fn unwind(
        &mut self,
        mut frame: NativeFrame,
        bytes: StackBytes<'_>,
        into: &mut CodeBuilder,
    ) -> (Vec<LocationId>, StackStatus) {
        let (mut stack, mut guessed) = (Vec::new(), false);
        loop {
            if stack.len() >= MAX_FRAMES {
                return (stack, StackStatus::Truncated);
            }
            stack.push(self.locations.of((&frame).into(), &mut self.code, |_| None, into));
            let found = self.bare.step(&mut self.code, &frame, bytes).or_else(|why| {
                let caller =
                    if why == NoCaller::Unknown { self.by_frame_pointer(&frame, bytes) } else { None };
                guessed |= caller.is_some();
                caller.ok_or(why)
            });
            frame = match found {
                Ok(caller) => caller,
                Err(_) if guessed => return (stack, StackStatus::Guessed),
                Err(why) => return (stack, status_of(why)),
            };
        }
    }

    /// The stack of a thread that is blocked in the kernel, as far as unwind tables lead with its stack pointer alone.
    /// None if it is not blocked.
    pub fn blocked(
        &mut self,
        target: &dyn Target,
        tid: u32,
        into: &mut CodeBuilder,
    ) -> Option<(Vec<LocationId>, StackStatus)> {
        let at = target.blocked_at(tid)?;
        let stack = some_of(target, at.sp);
        let bytes = StackBytes { base: at.sp, bytes: &stack };
        let found = self.unwind(NativeFrame::innermost(at.pc, at.sp, None), bytes, into);
        (target.blocked_at(tid) == Some(at)).then_some(found)
    }

    /// The caller that the frame pointer leads to, if that makes sense: further up in the stack, and in known code.
    fn by_frame_pointer(&self, frame: &NativeFrame, stack: StackBytes<'_>) -> Option<NativeFrame> {
        let bp = frame.general(FRAME_POINTER).filter(|bp| *bp >= frame.sp && bp.is_multiple_of(8))?;
        let pc = stack.word(bp.checked_add(8)?)?;
        self.code.is_code(pc).then_some(())?;
        Some(NativeFrame::returned(pc, bp.checked_add(16)?, stack.word(bp)))
    }

    /// The locations of code addresses in the kernel, innermost first. Where the kernel hides its addresses, there is
    /// one location for all of them.
    pub fn kernel(&mut self, chain: &[u64], into: &mut CodeBuilder) -> Vec<LocationId> {
        let mut stack: Vec<LocationId> = Vec::with_capacity(chain.len());
        for (nth, &address) in chain.iter().enumerate() {
            let location = self.in_kernel(address, nth > 0, into);
            let unknown = self.in_kernel.get(&UNKNOWN) == Some(&location);
            if !(unknown && stack.last() == Some(&location)) {
                stack.push(location);
            }
        }
        stack
    }

    fn in_kernel(&mut self, address: u64, returned: bool, into: &mut CodeBuilder) -> LocationId {
        let lookup = address.saturating_sub(u64::from(returned));
        let found = KernelFunctions::shared().at(lookup);
        let key = found.map_or(UNKNOWN, |_| lookup);
        if let Some(&known) = self.in_kernel.get(&key) {
            return known;
        }
        let (name, start) = found.map_or(("[kernel]", None), |(name, start)| (name, Some(start)));
        let function = into.function(name, "", FunctionKind::Foreign);
        let frames = vec![into.frame(function, "[kernel]", 0)];
        let location = match start {
            Some(start) => Location::at(address, u32::try_from(address - start).ok(), frames),
            None => Location::in_source(frames),
        };
        let id = into.location(location);
        self.in_kernel.insert(key, id);
        id
    }
}

/// The memory of a stack from an address on: as much as is mapped of some pages.
pub(super) fn some_of(target: &dyn Target, sp: u64) -> Vec<u8> {
    const PAGE: u64 = 4096;
    let mut bytes = Vec::new();
    for nth in 0..BLOCKED_PAGES {
        let from = if nth == 0 { sp } else { (sp & !(PAGE - 1)).saturating_add(nth * PAGE) };
        let Ok(more) = target.read_vec(from, (PAGE - from % PAGE) as usize) else { break };
        bytes.extend(more);
    }
    bytes
}
