//! The code of the target's functions, each read once, and what its calls and atomic instructions do
//! with locks.

use std::borrow::Cow;
use std::cell::RefCell;
use std::rc::Rc;

use rustc_hash::FxHashMap;

use crate::process::Memory;
use crate::runtimes::go::arch::machine::{Atomic, Machine, Step};
use crate::runtimes::go::arch::state::{CpuState, Origin, Value, World};
use crate::runtimes::go::module::Module;
use crate::runtimes::go::sync::{LockOp, READER_COUNT};
use crate::symbols::pclntab::Func;

/// A function's code is not read beyond this.
const MAX_FUNCTION: u64 = 1 << 20;
/// Code kept in all, bytes.
const MAX_CODE: usize = 64 << 20;
/// Functions up to this size are entered when they are called, if they handle locks.
const MAX_HELPER: u64 = 4096;
/// Functions that only call a closure are smaller than this.
const MAX_WRAPPER: u64 = 192;
/// Total instructions examined to find out whether functions handle locks.
const MAX_LOOKED_AT: u64 = 4_000_000;
/// Nested calls that are followed to find out whether a function handles locks.
const MAX_DEPTH: usize = 2;

/// A function with its code.
pub(in crate::runtimes::go) struct Function<'a> {
    pub(in crate::runtimes::go) func: Func<'a>,
    pub(in crate::runtimes::go) name: String,
    pub(in crate::runtimes::go) code: Vec<u8>,
    /// What is known of atomic instructions, by their addresses.
    atomics: RefCell<FxHashMap<u64, Option<LockOp>>>,
}

impl Function<'_> {
    /// How many bytes into the code an address is.
    pub(in crate::runtimes::go) fn offset(&self, address: u64) -> Option<usize> {
        let offset = usize::try_from(address.checked_sub(self.func.entry())?).ok()?;
        (offset < self.code.len()).then_some(offset)
    }

    /// What an atomic instruction of `len` bytes at `ip` does with a lock, by the functions that are inlined
    /// there. Returns the operation and the lock.
    pub(in crate::runtimes::go) fn lock_op(
        &self,
        ip: u64,
        len: u64,
        atomic: Atomic,
    ) -> Option<(LockOp, Option<u64>)> {
        if atomic.size != 4 {
            return None;
        }
        let op =
            *self.atomics.borrow_mut().entry(ip).or_insert_with(|| self.atomic(ip, len, atomic.conditional));
        let op = op?;
        let shared = matches!(op, LockOp::Lock { shared: true } | LockOp::Unlock { shared: true });
        let word = atomic.address.map(|address| address.number);
        Some((op, word.map(|word| if shared { word.wrapping_sub(READER_COUNT) } else { word })))
    }

    /// If the instruction also checks a pointer for nil, the line table assigns it and some bytes after it to
    /// the use of the pointer, outside of the inlined function. Then the instructions after that decide.
    fn atomic(&self, ip: u64, len: u64, conditional: bool) -> Option<LockOp> {
        const BEHIND: u64 = 24;
        self.inlined(ip).or_else(|| {
            let behind = (0..BEHIND).find_map(|more| self.inlined(ip.wrapping_add(len + more)))?;
            (conditional == (behind == LockOp::Lock { shared: false })).then_some(behind)
        })
    }

    /// The lock's function that is inlined at an instruction. The outermost one counts: a reader-writer lock
    /// contains a mutex.
    fn inlined(&self, ip: u64) -> Option<LockOp> {
        self.func.inline_frames(ip).iter().rev().find_map(|frame| LockOp::of(&frame.name))
    }
}

/// Where a frame keeps its deferred closures, if the compiler put code for them at the function's end: bytes
/// below the frame's variables.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::runtimes::go) struct OpenDefers {
    /// The byte that says which closures are still to be run.
    pub(in crate::runtimes::go) bits: u64,
    /// Each closure, in the order of the bits.
    pub(in crate::runtimes::go) slots: Vec<u64>,
}

impl OpenDefers {
    /// Maximum in one function (`maxOpenDefers`).
    const MAX: u64 = 8;

    /// Parses a function's data. Since Go 1.22 the closures are in an array.
    fn parse(bytes: &[u8], minor: Option<u32>) -> Option<Self> {
        let mut at = 0;
        let mut next = || {
            let mut number = 0_u64;
            for shift in (0..63).step_by(7) {
                let byte = *bytes.get(at)?;
                at += 1;
                number |= u64::from(byte & 0x7f) << shift;
                if byte < 0x80 {
                    return Some(number);
                }
            }
            None
        };
        let bits = next()?;
        if minor.is_none_or(|minor| minor >= 22) {
            let first = next()?;
            return Some(OpenDefers {
                bits,
                slots: (0..Self::MAX).map(|nth| first.wrapping_sub(8 * nth)).collect(),
            });
        }
        let count = next()?.min(Self::MAX);
        let mut slots: Vec<u64> = (0..count).map_while(|_| next()).collect();
        // The last one comes first.
        slots.reverse();
        Some(OpenDefers { bits, slots })
    }
}

/// Memory with unknown contents.
pub(in crate::runtimes::go) struct Unknown;

impl World for Unknown {
    fn word(&mut self, _: u64) -> Value {
        None
    }
}

/// The code of the target's functions.
pub(in crate::runtimes::go) struct Text<'a> {
    modules: &'a [Module],
    memory: &'a dyn Memory,
    functions: FxHashMap<u64, Option<Rc<Function<'a>>>>,
    helpers: FxHashMap<u64, bool>,
    code_bytes: usize,
    looked_at: u64,
    /// The 27 of Go 1.27.
    minor: Option<u32>,
}

impl<'a> Text<'a> {
    pub(in crate::runtimes::go) fn new(
        modules: &'a [Module],
        memory: &'a dyn Memory,
        minor: Option<u32>,
    ) -> Self {
        Text {
            minor,
            modules,
            memory,
            functions: FxHashMap::default(),
            helpers: FxHashMap::default(),
            code_bytes: 0,
            looked_at: 0,
        }
    }

    /// The function that contains an address. None outside of Go's code.
    pub(in crate::runtimes::go) fn find(&mut self, address: u64) -> Option<Rc<Function<'a>>> {
        let func = self.modules.iter().find_map(|module| module.pclntab.find(address))?;
        if let Some(known) = self.functions.get(&func.entry()) {
            return known.clone();
        }
        let len = func.end().saturating_sub(func.entry()).min(MAX_FUNCTION);
        let room = self.code_bytes + len as usize <= MAX_CODE;
        let code = if room { self.memory.read_vec(func.entry(), len as usize).ok() } else { None };
        let function = code.map(|code| {
            self.code_bytes += code.len();
            let name = func.name().into_owned();
            Rc::new(Function { func, name, code, atomics: RefCell::default() })
        });
        self.functions.insert(func.entry(), function.clone());
        function
    }

    /// Have too many instructions been examined to recognise more helpers?
    pub(in crate::runtimes::go) fn is_out_of_budget(&self) -> bool {
        self.looked_at > MAX_LOOKED_AT
    }

    /// The name of the function that starts at an address.
    pub(in crate::runtimes::go) fn name(&self, entry: u64) -> Option<Cow<'a, str>> {
        let func = self.modules.iter().find_map(|module| module.pclntab.find(entry))?;
        (func.entry() == entry).then(|| func.name())
    }

    /// Where the function that contains an address keeps its deferred closures. None if it defers nothing, or
    /// not in this way.
    pub(in crate::runtimes::go) fn open_defers(&self, address: u64) -> Option<OpenDefers> {
        /// `FUNCDATA_OpenCodedDeferInfo`, Go 1.19 to 1.27.
        const NUMBER: u8 = 4;
        const BYTES: usize = 64;
        let (module, func) =
            self.modules.iter().find_map(|module| Some((module, module.pclntab.find(address)?)))?;
        let at = module.data.gofunc.wrapping_add(func.funcdata_offset(NUMBER)?.into());
        OpenDefers::parse(&self.memory.read_vec(at, BYTES).ok()?, self.minor)
    }

    /// Is a function that takes a lock inlined at this address?
    pub(in crate::runtimes::go) fn is_locking(&mut self, address: u64) -> bool {
        let op = self.find(address).and_then(|function| function.inlined(address));
        matches!(op, Some(LockOp::Lock { .. }))
    }

    /// The cases of a switch whose table of addresses begins at `table`.
    pub(in crate::runtimes::go) fn cases(&self, function: &Function<'_>, table: u64) -> Vec<u64> {
        const MAX_CASES: u64 = 256;
        (0..MAX_CASES)
            .map_while(|case| self.memory.read_u64(table.wrapping_add(8 * case)).ok())
            .take_while(|to| function.offset(*to).is_some())
            .collect()
    }

    /// Does the function that starts at `entry` handle locks, itself or through others that it calls, and
    /// is it small enough to be entered?
    pub(in crate::runtimes::go) fn is_helper(&mut self, entry: u64, machine: &mut Machine) -> bool {
        self.handles_locks(entry, machine, MAX_DEPTH)
    }

    fn handles_locks(&mut self, entry: u64, machine: &mut Machine, depth: usize) -> bool {
        if let Some(&known) = self.helpers.get(&entry) {
            return known;
        }
        let Some(function) = self.find(entry).filter(|function| function.func.entry() == entry) else {
            return false;
        };
        let size = function.func.end().saturating_sub(entry);
        if size > MAX_HELPER || function.name.starts_with("runtime.") || self.is_out_of_budget() {
            self.helpers.insert(entry, false);
            return false;
        }
        // A recursive call adds nothing new.
        self.helpers.insert(entry, false);
        let (mut at, mut state, mut found) = (0, CpuState::behind_call(0), false);
        while let Some((step, len)) =
            machine.step(&function.code, at, entry + at as u64, &mut state, &mut Unknown)
        {
            self.looked_at += 1;
            found = match step {
                Step::Atomic(atomic) => function.lock_op(entry + at as u64, len, atomic).is_some(),
                Step::Call(_, Origin::Closure) => size <= MAX_WRAPPER,
                Step::Call(_, Origin::SecondMethod) => size <= MAX_WRAPPER,
                Step::Call(Some(target), _) => {
                    let name = self.name(target.number).unwrap_or_default();
                    LockOp::of(&name).is_some()
                        || depth > 0 && self.handles_locks(target.number, machine, depth - 1)
                }
                _ => false,
            };
            if found {
                break;
            }
            at += len as usize;
        }
        self.helpers.insert(entry, found);
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_of_deferred_closures_are_read() {
        let old = OpenDefers { bits: 0x29, slots: vec![0x18, 0x90] };
        assert_eq!(OpenDefers::parse(&[0x29, 2, 0x90, 1, 0x18], Some(21)), Some(old));
        let new = OpenDefers::parse(&[0x29, 0x18], Some(22)).unwrap();
        assert_eq!((new.bits, &new.slots[..3]), (0x29, &[0x18, 0x10, 8][..]));
        assert_eq!(OpenDefers::parse(&[0xff; 32], None), None);
        assert_eq!(OpenDefers::parse(&[1], None), None);
    }
}
