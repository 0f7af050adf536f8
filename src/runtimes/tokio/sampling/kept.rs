//! The header of the task that a frame polls, by where the frame's function keeps its address.
//!
//! [`Flow`] says where that is. If the function has passed the address on and keeps it no longer, the function that it
//! called has it: so the frames are followed inwards, as long as the code says what was passed.

use rustc_hash::FxHashMap;

use super::flow::{Flow, Surroundings};
use super::values::{State, Value};
use crate::process::bytes::{u32_at, u64_at};
use crate::process::{Memory, Target};
use crate::symbols::native::{NativeCode, NativeFrame, StackBytes};

/// The first argument, in rdi, is the header.
const POLLED: [(usize, i64); 1] = [(7, 0)];
/// Code of one function that is looked at, bytes.
const MAX_CODE: u64 = 256 << 10;
/// Code of a function whose result is asked for, bytes.
const MAX_SMALL: u64 = 1 << 10;
/// Functions that call each other whose results are asked for.
const MAX_NESTED: u32 = 4;
/// Frames that are followed inwards from the one that polls.
const MAX_INWARD: usize = 8;
/// Entries of one table of jumps.
const MAX_TABLE: usize = 1 << 12;
/// Code of all functions that is followed, bytes: a program does not make loiter work for ever.
const MAX_FOLLOWED: usize = 64 << 20;
/// Instructions of all functions that are remembered, and answers.
const MAX_REMEMBERED: usize = 1 << 20;
const MAX_ANSWERS: usize = 1 << 16;

/// A function, called with these arguments: registers that hold the header's address plus a number of bytes.
type Called = (u64, Vec<(usize, i64)>);

/// Says where headers are kept. It remembers each function.
pub(super) struct Keepers<'a> {
    target: &'a dyn Target,
    flows: FxHashMap<Called, Option<Flow>>,
    /// Instructions of all of them.
    instructions: usize,
    returned: FxHashMap<Called, Option<i64>>,
    /// Results that are being asked for.
    nested: u32,
    /// Bytes of code that may still be followed.
    left: usize,
}

impl<'a> Keepers<'a> {
    pub(super) fn new(target: &'a dyn Target) -> Self {
        Keepers {
            target,
            flows: FxHashMap::default(),
            instructions: 0,
            returned: FxHashMap::default(),
            nested: 0,
            left: MAX_FOLLOWED,
        }
    }

    /// The target has other code now.
    pub(super) fn renew(&mut self) {
        *self = Keepers::new(self.target);
    }

    /// The address of the header that was passed to the function of the last frame. The others are the ones that it called, innermost
    /// first. None if it is not certain.
    pub(super) fn header(
        &mut self,
        frames: &[NativeFrame],
        stack: StackBytes<'_>,
        code: &mut NativeCode,
    ) -> Option<u64> {
        let mut arguments = POLLED.to_vec();
        for nth in (0..frames.len()).rev().take(MAX_INWARD) {
            let frame = frames.get(nth)?;
            let (start, len) = code.extent(frame.lookup())?;
            let called = (start, std::mem::take(&mut arguments));
            self.need(&called, len, code);
            let flow = self.flows.get_mut(&called)?.take()?;
            let mut around = Around { keepers: self, code };
            let (state, call) = match frame.is_interrupted {
                true => (flow.before(frame.pc, &mut around), None),
                false => flow.calling(frame.pc, &mut around).unzip(),
            };
            self.flows.insert(called, Some(flow));
            if let Some(found) = kept(&state?, frame, stack) {
                return found;
            }
            let call = call?;
            let inner = frames.get(nth.checked_sub(1)?)?;
            let (function, _) = code.extent(inner.lookup())?;
            if call.arguments.is_empty() || call.function != Some(function) {
                return None;
            }
            arguments = call.arguments;
        }
        None
    }

    /// Follows a function, unless it was.
    fn need(&mut self, called: &Called, len: u64, code: &mut NativeCode) {
        if self.flows.contains_key(called) {
            return;
        }
        if self.instructions >= MAX_REMEMBERED || self.flows.len() >= MAX_ANSWERS {
            self.flows.clear();
            self.instructions = 0;
        }
        let flow = self.follow(called, len, code);
        self.instructions += flow.as_ref().map_or(0, Flow::len);
        self.flows.insert(called.clone(), flow);
    }

    fn follow(&mut self, (start, arguments): &Called, len: u64, code: &mut NativeCode) -> Option<Flow> {
        let len = usize::try_from(len).ok().filter(|_| len <= MAX_CODE)?;
        self.left = self.left.checked_sub(len)?;
        let bytes = self.target.read_vec(*start, len).ok()?;
        Flow::of(&bytes, *start, arguments, &mut Around { keepers: self, code })
    }

    /// What a small function returns.
    fn returned(&mut self, called: Called, code: &mut NativeCode) -> Option<i64> {
        if let Some(&known) = self.returned.get(&called) {
            return known;
        }
        if self.nested >= MAX_NESTED {
            return None;
        }
        self.nested += 1;
        let extent = code.extent(called.0).filter(|&(start, len)| start == called.0 && len <= MAX_SMALL);
        let returned = extent.and_then(|(_, len)| self.follow(&called, len, code)?.returned);
        self.nested -= 1;
        if self.returned.len() >= MAX_ANSWERS {
            self.returned.clear();
        }
        self.returned.insert(called, returned);
        returned
    }
}

/// The header's address, where a frame keeps it. None: nowhere; Some(None): its places contradict each other.
fn kept(state: &State, frame: &NativeFrame, stack: StackBytes<'_>) -> Option<Option<u64>> {
    let in_registers = state.registers.iter().enumerate().filter_map(|(number, value)| match value {
        Value::Header(offset) => Some(frame.general(number)?.wrapping_sub(offset.cast_unsigned())),
        _ => None,
    });
    let bases: Vec<(bool, u64)> = state
        .registers
        .iter()
        .enumerate()
        .filter_map(|(n, value)| match value {
            Value::Stack(place) => {
                Some((place.aligned, frame.general(n)?.wrapping_sub(place.offset.cast_unsigned())))
            }
            _ => None,
        })
        .collect();
    let in_slots = state.slots().iter().filter_map(|(place, offset)| {
        let (_, base) = bases.iter().find(|(aligned, _)| *aligned == place.aligned)?;
        let word = stack.word(base.wrapping_add_signed(place.offset))?;
        Some(word.wrapping_sub(offset.cast_unsigned()))
    });
    let mut all = in_registers.chain(in_slots);
    let first = all.next()?;
    Some(all.all(|other| other == first).then_some(first))
}

struct Around<'k, 'a, 'c> {
    keepers: &'k mut Keepers<'a>,
    code: &'c mut NativeCode,
}

impl Surroundings for Around<'_, '_, '_> {
    fn constant(&mut self, address: u64) -> Option<u64> {
        self.keepers.target.read_u64(address).ok()
    }

    fn table(&mut self, address: u64, relative: bool, (start, end): (u64, u64)) -> Option<Vec<u64>> {
        let size = if relative { 4 } else { 8 };
        let target = self.keepers.target;
        let mut found = Vec::new();
        // In pieces: where it ends is not known, and there may be nothing behind.
        for piece in 0..MAX_TABLE / 64 {
            let from = address.checked_add((piece * 64 * size) as u64)?;
            let bytes = read_some(target, from, 64 * size);
            for at in (0..bytes.len()).step_by(size) {
                let entry = match relative {
                    true => u32_at(&bytes, at)
                        .map(|entry| address.wrapping_add_signed(i64::from(entry.cast_signed()))),
                    false => u64_at(&bytes, at),
                };
                match entry.filter(|entry| (start..end).contains(entry)) {
                    Some(entry) => found.push(entry),
                    None => return Some(found).filter(|found| !found.is_empty()),
                }
            }
            if bytes.len() < 64 * size {
                break;
            }
        }
        None
    }

    fn returned(&mut self, function: u64, arguments: &[(usize, i64)]) -> Option<i64> {
        self.keepers.returned((function, arguments.to_vec()), self.code)
    }
}

/// So many bytes, or as many as there are up to the end of a page.
fn read_some(memory: &dyn Memory, address: u64, len: usize) -> Vec<u8> {
    const PAGE: u64 = 4096;
    let on_page = usize::try_from(PAGE - address % PAGE).unwrap_or(0);
    let first = memory.read_vec(address, len);
    first.or_else(|_| memory.read_vec(address, len.min(on_page))).unwrap_or_default()
}
