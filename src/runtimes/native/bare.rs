//! Callers of functions that have no unwind tables.
//!
//! A C library may be built without them, as musl is, and every thread of a program that is linked with it waits inside of such
//! functions. What a function does to the stack stands in its code: all ways through it are followed ([`Ways`]) from where a
//! symbol says that it begins. Symbols of code that people wrote may not say where it ends: the next function does. A caller
//! counts only if it has just made a call. x86-64 only.

mod ways;

use iced_x86::{Decoder, DecoderOptions, Instruction, Mnemonic};
use rustc_hash::FxHashMap;

use crate::process::registers::FRAME_POINTER;
use crate::process::{Image, Target};
use crate::symbols::native::{NativeCode, NativeFrame, NoCaller, StackBytes};
use ways::{Pointer, State, Ways};

/// Code of one function that is followed, bytes.
const MAX_CODE: u64 = 16 << 10;
/// Instructions of all functions that are followed: a program does not make loiter work for ever.
const MAX_FOLLOWED: usize = 1 << 22;
/// Addresses that are remembered.
const MAX_REMEMBERED: usize = 1 << 16;
/// Bytes of the longest call: its operation, how the address is made, a distance.
const LONGEST_CALL: usize = 8;

/// Functions of unknown length whose places are remembered.
const MAX_OPEN: usize = 1 << 16;
/// Where a program begins has no symbol of a function's.
const FIRST: &str = "_start";

const PT_LOAD: u32 = 1;
const PF_X: u32 = 1;
const STT_FUNC: u8 = 2;

/// The code of a target's images, as far as it says what tables do not.
#[derive(Debug)]
pub(in super::super) struct BareCode {
    parts: Vec<Part>,
    known: FxHashMap<(u64, bool), Option<State>>,
    calls: FxHashMap<u64, bool>,
    left: usize,
}

/// Code in a file.
#[derive(Debug)]
struct Part {
    /// Addresses in the target.
    start: u64,
    end: u64,
    /// Where it begins in the file.
    offset: u64,
    image: Image,
    /// Where its functions of unknown length begin, and the next ones, ascending. None: not looked for yet.
    open: Option<Vec<(u64, u64)>>,
}

impl Part {
    fn read(&self, start: u64, len: u64) -> Option<Vec<u8>> {
        let skip = start.checked_sub(self.start)?;
        let len = len.min(self.end.checked_sub(start)?);
        self.image.file.read_at(self.offset.checked_add(skip)?, usize::try_from(len).ok()?).ok()
    }

    /// The function of unknown length at an address: where it begins, and the next one.
    fn open(&mut self, address: u64) -> Option<(u64, u64)> {
        let open = self.open.get_or_insert_with(|| {
            let symbols = self.image.symbols().unwrap_or_default();
            let is_own = |address: u64| (self.start..self.end).contains(&address);
            let mut all: Vec<(u64, bool)> = symbols
                .iter()
                .filter(|symbol| (symbol.kind == STT_FUNC || symbol.name == FIRST) && is_own(symbol.address))
                .map(|symbol| (symbol.address, symbol.size > 0))
                .collect();
            all.sort_unstable();
            // Another name for the same function may say how long it is.
            all.dedup_by(|later, kept| {
                later.0 == kept.0 && {
                    kept.1 |= later.1;
                    true
                }
            });
            let ends = all.iter().skip(1).map(|(next, _)| *next).chain([self.end]);
            let open = all.iter().zip(ends).filter(|((_, has_length), _)| !has_length);
            open.map(|((start, _), end)| (*start, end)).take(MAX_OPEN).collect()
        });
        let behind = open.partition_point(|(start, _)| *start <= address);
        open.get(behind.checked_sub(1)?).copied().filter(|(_, end)| address < *end)
    }
}

impl BareCode {
    /// The code of a target; none of it if its images cannot be read.
    pub(in super::super) fn of(target: &dyn Target) -> BareCode {
        let mut parts = Vec::new();
        for image in target.images().unwrap_or_default() {
            for segment in image.segments().unwrap_or_default() {
                if segment.kind == PT_LOAD && segment.flags & PF_X != 0 {
                    let end = segment.address.saturating_add(segment.file_size);
                    let (start, offset) = (segment.address, segment.offset);
                    parts.push(Part { start, end, offset, image: image.clone(), open: None });
                }
            }
        }
        let (known, calls) = Default::default();
        BareCode { parts, known, calls, left: MAX_FOLLOWED }
    }

    /// The frame that called `frame`, by unwind tables, or by the function's code where they say nothing of it.
    ///
    /// # Errors
    /// Why there is none.
    pub(in super::super) fn step(
        &mut self,
        code: &mut NativeCode,
        frame: &NativeFrame,
        stack: StackBytes<'_>,
    ) -> Result<NativeFrame, NoCaller> {
        code.step(frame, stack).or_else(|why| match code.extent(frame.lookup()) {
            None if why == NoCaller::Unknown => self.caller(code, frame, stack),
            _ => Err(why),
        })
    }

    fn caller(
        &mut self,
        code: &mut NativeCode,
        frame: &NativeFrame,
        stack: StackBytes<'_>,
    ) -> Result<NativeFrame, NoCaller> {
        let state = self.state(code, frame).ok_or(NoCaller::Unknown)?;
        if state.frame_pointer == Pointer::Nothing && state.saved.is_none() {
            return Err(NoCaller::Outermost);
        }
        let returns = match (state.depth, state.frame_pointer) {
            (Some(depth), _) => frame.sp.checked_add(depth),
            (None, Pointer::Stack(depth)) => {
                frame.general(FRAME_POINTER).filter(|at| *at >= frame.sp).and_then(|at| at.checked_add(depth))
            }
            _ => None,
        };
        let at = returns.ok_or(NoCaller::Unknown)?;
        let pc = stack.word(at).ok_or(NoCaller::Cut)?;
        let sp = at.checked_add(8).filter(|_| self.follows_call(pc)).ok_or(NoCaller::Unknown)?;
        let frame_pointer = match (state.saved, state.frame_pointer) {
            (_, Pointer::Callers) => frame.general(FRAME_POINTER),
            (Some(below), _) => at.checked_sub(below).and_then(|at| stack.word(at)),
            _ => None,
        };
        Ok(NativeFrame::returned(pc, sp, frame_pointer))
    }

    /// What the function has done to the stack where a frame is.
    fn state(&mut self, code: &mut NativeCode, frame: &NativeFrame) -> Option<State> {
        let key = (frame.pc, frame.is_interrupted);
        if let Some(&known) = self.known.get(&key) {
            return known;
        }
        let found = self.find_state(code, frame);
        if self.known.len() >= MAX_REMEMBERED {
            self.known.clear();
        }
        self.known.insert(key, found);
        found
    }

    fn find_state(&mut self, code: &mut NativeCode, frame: &NativeFrame) -> Option<State> {
        let address = frame.lookup();
        let Some(function) = code.function(address) else {
            let (start, end) = self.part_mut(address)?.open(address)?;
            return self.follow(start, frame, &mut |address| (start..end).contains(&address));
        };
        // What was moved away from a function goes on with that function's stack.
        if function.name.ends_with(".cold") || function.name.contains(".cold.") {
            return None;
        }
        let start = function.start;
        self.follow(start, frame, &mut |address| {
            code.function(address).is_some_and(|other| other.start == start)
        })
    }

    /// What a function has done that begins at an address. `has`: whether it has an address.
    fn follow(&mut self, start: u64, frame: &NativeFrame, has: &mut dyn FnMut(u64) -> bool) -> Option<State> {
        let bytes = self.part(start)?.read(start, MAX_CODE)?;
        (self.left > 0).then_some(())?;
        let ways = Ways::of(&bytes, start, has)?;
        self.left = self.left.saturating_sub(ways.len());
        ways.at(frame.pc, frame.is_interrupted)
    }

    /// Whether the code before an address is a call.
    fn follows_call(&mut self, pc: u64) -> bool {
        if let Some(&known) = self.calls.get(&pc) {
            return known;
        }
        let found = self.ends_with_call(pc);
        if self.calls.len() >= MAX_REMEMBERED {
            self.calls.clear();
        }
        self.calls.insert(pc, found);
        found
    }

    fn ends_with_call(&self, pc: u64) -> bool {
        let Some(part) = pc.checked_sub(1).and_then(|address| self.part(address)) else { return false };
        let start = pc.saturating_sub(LONGEST_CALL as u64).max(part.start);
        let bytes = part.read(start, pc - start).unwrap_or_default();
        (0..bytes.len()).any(|skipped| is_call(bytes.get(skipped..).unwrap_or_default()))
    }

    fn part_mut(&mut self, address: u64) -> Option<&mut Part> {
        self.parts.iter_mut().find(|part| part.start <= address && address < part.end)
    }

    fn part(&self, address: u64) -> Option<&Part> {
        self.parts.iter().find(|part| part.start <= address && address < part.end)
    }
}

/// Whether these bytes are one call.
fn is_call(bytes: &[u8]) -> bool {
    let mut decoder = Decoder::with_ip(64, bytes, 0, DecoderOptions::NONE);
    let mut instruction = Instruction::default();
    decoder.decode_out(&mut instruction);
    instruction.mnemonic() == Mnemonic::Call && instruction.len() == bytes.len()
}
