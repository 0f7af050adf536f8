//! What is known of the registers and the memory of code that is run ahead.

use iced_x86::Register;

use super::alu::{self, Flags};

/// Words that are remembered as written.
const MAX_WRITTEN: usize = 384;

/// A number that is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::runtimes::go) struct Known {
    /// The number.
    pub(in crate::runtimes::go) number: u64,
    /// It comes only from the goroutine's own stack and from constants: nothing else will change it.
    pub(in crate::runtimes::go) firm: bool,
}

/// A number, None if it is not known.
pub(in crate::runtimes::go) type Value = Option<Known>;

/// A constant.
pub(in crate::runtimes::go) fn constant(number: u64) -> Value {
    Some(Known { number, firm: true })
}

/// The memory that code is run on.
pub(in crate::runtimes::go) trait World {
    /// The word at an address that is a multiple of 8.
    fn word(&mut self, address: u64) -> Value;
}

/// The registers, and what was written to memory.
#[derive(Debug, Clone)]
pub(in crate::runtimes::go) struct CpuState {
    pub(super) registers: [Value; 16],
    pub(super) vectors: [[Value; 2]; 16],
    /// How the value of a register was loaded, for calls through it.
    pub(super) origins: [Origin; 16],
    pub(super) flags: Option<Flags>,
    /// Words at addresses that are multiples of 8.
    written: Vec<(u64, Value)>,
    /// Some of them were given up: memory may differ from what it seems to be.
    lost: bool,
}

/// How the address of a function was loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(in crate::runtimes::go) enum Origin {
    #[default]
    Other,
    /// The first word of a closure, or a word of the stack, which may be one.
    Closure,
    /// The second method of an interface: `itab.fun` begins at 24.
    SecondMethod,
}

impl CpuState {
    /// After a call: only the stack pointer is known.
    pub(in crate::runtimes::go) fn behind_call(stack_pointer: u64) -> Self {
        let mut state = CpuState {
            registers: [None; 16],
            vectors: [[None; 2]; 16],
            origins: [Origin::Other; 16],
            flags: None,
            written: Vec::new(),
            lost: false,
        };
        state.set(Register::RSP, constant(stack_pointer));
        state.forget_registers();
        state
    }

    /// The state of a thread with these registers, in the order in which instructions number them.
    pub(in crate::runtimes::go) fn with_registers(general: &[u64; 16]) -> Self {
        let mut state = CpuState::behind_call(0);
        state.registers = general.map(constant);
        state
    }

    /// The first argument of a function that is about to be called (Go's register convention, 1.17 on).
    pub(in crate::runtimes::go) fn argument(&self) -> Value {
        self.get(Register::RAX)
    }

    /// An argument of a function that is about to be called, counted from 0.
    pub(in crate::runtimes::go) fn nth_argument(&self, nth: usize) -> Value {
        const ORDER: [Register; 9] = [
            Register::RAX,
            Register::RBX,
            Register::RCX,
            Register::RDI,
            Register::RSI,
            Register::R8,
            Register::R9,
            Register::R10,
            Register::R11,
        ];
        self.get(*ORDER.get(nth)?)
    }

    /// The closure that is about to be called.
    pub(in crate::runtimes::go) fn closure(&self) -> Value {
        self.get(Register::RDX)
    }

    /// The word at an address.
    pub(in crate::runtimes::go) fn word(&self, at: Known, world: &mut dyn World) -> Value {
        self.read(at, 8, world)
    }

    /// Were writes forgotten, because there were too many?
    pub(in crate::runtimes::go) fn has_lost(&self) -> bool {
        self.lost
    }

    /// Gives a word of memory a value, at an address that is a multiple of 8.
    pub(in crate::runtimes::go) fn put(&mut self, at: u64, value: Value) {
        self.write(at, 8, value);
    }

    /// Something else writes these bytes: they are not known any more.
    pub(in crate::runtimes::go) fn forget_memory(&mut self, at: u64, size: usize) {
        self.write(at, size, None);
    }

    /// The general registers, as far as they are known.
    pub(in crate::runtimes::go) fn general(&self) -> [Option<u64>; 16] {
        self.registers.map(|register| register.map(|known| known.number))
    }

    /// The stack pointer.
    pub(in crate::runtimes::go) fn stack_pointer(&self) -> Value {
        self.get(Register::RSP)
    }

    /// A call of a closure: sets Go's closure register.
    pub(in crate::runtimes::go) fn set_closure(&mut self, closure: u64) {
        self.set(Register::RDX, constant(closure));
    }

    /// A call pushes its return address.
    pub(in crate::runtimes::go) fn enter(&mut self) {
        self.move_stack(-8);
        if let Some(at) = self.stack_pointer() {
            self.write(at.number, 8, None);
        }
    }

    /// A return pops its address.
    pub(in crate::runtimes::go) fn leave(&mut self) {
        self.move_stack(8);
    }

    /// A function was called and returned: it may have changed every register but the stack pointer.
    pub(in crate::runtimes::go) fn forget_registers(&mut self) {
        let sp = self.stack_pointer();
        self.registers = [None; 16];
        self.origins = [Origin::Other; 16];
        self.vectors = [[None; 2]; 16];
        // Go keeps zero in the last one.
        self.vectors[15] = [constant(0); 2];
        self.flags = None;
        self.set(Register::RSP, sp);
    }

    pub(super) fn move_stack(&mut self, by: i64) {
        let sp = self.stack_pointer().map(|sp| Known { number: sp.number.wrapping_add_signed(by), ..sp });
        self.set(Register::RSP, sp);
    }

    pub(super) fn get(&self, register: Register) -> Value {
        *self.registers.get(number(register)?)?
    }

    pub(super) fn set(&mut self, register: Register, value: Value) {
        if let Some(number) = number(register) {
            self.registers[number] = value;
            self.origins[number] = Origin::Other;
        }
    }

    /// Remembers what was written.
    pub(super) fn write(&mut self, at: u64, size: usize, value: Value) {
        if size == 8 && at.is_multiple_of(8) {
            self.written.retain(|(other, _)| *other != at);
            if self.written.len() >= MAX_WRITTEN {
                self.written.remove(0);
                self.lost = true;
            }
            self.written.push((at, value));
            return;
        }
        let mut word = at & !7;
        while word < at.saturating_add(size as u64) {
            self.write(word, 8, None);
            word = word.saturating_add(8);
        }
    }

    /// Bytes of memory, at most 8 and within a word.
    pub(super) fn read(&self, at: Known, size: usize, world: &mut dyn World) -> Value {
        let (base, shift) = (at.number & !7, (at.number & 7) as usize);
        if shift + size > 8 {
            return None;
        }
        let written = self.written.iter().find(|(other, _)| *other == base).map(|(_, value)| *value);
        let word = written.unwrap_or_else(|| world.word(base))?;
        let number = alu::mask(word.number >> (8 * shift), size);
        Some(Known { number, firm: word.firm && at.firm })
    }
}

/// The number of a 64-bit general register.
pub(super) fn number(register: Register) -> Option<usize> {
    register.is_gpr64().then(|| register.number() & 15)
}
