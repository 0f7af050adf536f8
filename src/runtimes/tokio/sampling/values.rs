//! What registers and words of the stack hold, as far as the code of a function alone says it.

use iced_x86::{
    Code, Instruction, InstructionInfoFactory, MemorySizeInfo, Mnemonic, OpAccess, OpKind, Register,
    UsedMemory,
};

/// Number of the stack pointer, in the order in which instructions number registers.
pub(super) const RSP: usize = 4;
/// The registers of the first arguments (System V ABI, AMD64 supplement, 3.2.3): rdi, rsi, rdx, rcx, r8, r9.
pub(super) const ARGUMENTS: [usize; 6] = [7, 6, 2, 1, 8, 9];
/// The register of the result.
pub(super) const RAX: usize = 0;
/// Registers that a call leaves as they were: rbx, rsp, rbp, r12 to r15.
const KEPT: [usize; 7] = [3, RSP, 5, 12, 13, 14, 15];
/// Words of one stack that are known to hold the address.
const MAX_SLOTS: usize = 64;

/// What a register holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(super) enum Value {
    #[default]
    Unknown,
    /// The address of the header, plus this.
    Header(i64),
    /// An address in the function's own stack frame.
    Stack(Place),
    /// A constant address.
    Constant(u64),
    /// An entry of the table of jumps at this address.
    Entry(u64),
    /// Where an entry of the table at this address leads to.
    Target(u64),
}

/// A place in a stack frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Place {
    /// Counted from where the stack pointer was aligned, not from where it was when the function was called.
    pub(super) aligned: bool,
    pub(super) offset: i64,
}

impl Place {
    fn plus(self, bytes: i64) -> Option<Place> {
        Some(Place { offset: self.offset.checked_add(bytes)?, ..self })
    }
}

impl Value {
    fn plus(self, bytes: i64) -> Value {
        let sum = match self {
            Value::Header(offset) => offset.checked_add(bytes).map(Value::Header),
            Value::Stack(place) => place.plus(bytes).map(Value::Stack),
            Value::Constant(address) => Some(Value::Constant(address.wrapping_add_signed(bytes))),
            _ => None,
        };
        sum.unwrap_or_default()
    }
}

/// What is known at one instruction, whatever way led to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct State {
    pub(super) registers: [Value; 16],
    /// Words of the stack that hold the header's address plus a number of bytes, ascending.
    slots: Vec<(Place, i64)>,
}

impl State {
    /// At the beginning of a function that is called with these arguments.
    pub(super) fn at_start(arguments: &[(usize, i64)]) -> State {
        let mut state = State { registers: [Value::Unknown; 16], slots: Vec::new() };
        for &(register, offset) in arguments {
            state.set(register, Value::Header(offset));
        }
        state.set(RSP, Value::Stack(Place { aligned: false, offset: 0 }));
        state
    }

    pub(super) fn get(&self, register: usize) -> Value {
        self.registers.get(register).copied().unwrap_or_default()
    }

    pub(super) fn set(&mut self, register: usize, value: Value) {
        if let Some(slot) = self.registers.get_mut(register) {
            *slot = value;
        }
    }

    pub(super) fn slots(&self) -> &[(Place, i64)] {
        &self.slots
    }

    /// The arguments of a call that are the header's address plus a number of bytes.
    pub(super) fn arguments(&self) -> Vec<(usize, i64)> {
        let header = |register| match self.get(register) {
            Value::Header(offset) => Some((register, offset)),
            _ => None,
        };
        ARGUMENTS.into_iter().filter_map(header).collect()
    }

    /// A call has returned this.
    pub(super) fn called(&mut self, returned: Value) {
        for (number, register) in self.registers.iter_mut().enumerate() {
            if !KEPT.contains(&number) {
                *register = Value::Unknown;
            }
        }
        self.set(RAX, returned);
    }

    /// Keeps what is known in another state, too. Returns whether something was forgotten.
    pub(super) fn join(&mut self, other: &State) -> bool {
        let mut changed = false;
        for (own, other) in self.registers.iter_mut().zip(other.registers) {
            if *own != other && *own != Value::Unknown {
                *own = Value::Unknown;
                changed = true;
            }
        }
        let before = self.slots.len();
        self.slots.retain(|slot| other.slots.binary_search(slot).is_ok());
        changed || self.slots.len() < before
    }

    fn load(&self, place: Place) -> Value {
        let found = self.slots.binary_search_by_key(&place, |(place, _)| *place).ok();
        let offset = found.and_then(|at| self.slots.get(at)).map(|(_, offset)| *offset);
        offset.map_or(Value::Unknown, Value::Header)
    }

    /// Something of `len` bytes was written. `len` 0: of unknown length.
    fn forget(&mut self, from: Place, len: i64) {
        let end = if len == 0 { i64::MAX } else { from.offset.saturating_add(len) };
        self.slots.retain(|(place, _)| {
            let apart = place.offset.saturating_add(8) <= from.offset || place.offset >= end;
            place.aligned != from.aligned || apart
        });
    }

    fn store(&mut self, place: Place, value: Value) {
        self.forget(place, 8);
        let Value::Header(offset) = value else { return };
        if self.slots.len() < MAX_SLOTS
            && let Err(at) = self.slots.binary_search_by_key(&place, |(place, _)| *place)
        {
            self.slots.insert(at, (place, offset));
        }
    }

    /// The stack pointer moves.
    fn push(&mut self, value: Value) {
        let sp = self.get(RSP).plus(-8);
        self.set(RSP, sp);
        if let Value::Stack(place) = sp {
            self.store(place, value);
        }
    }

    fn pop(&mut self) -> Value {
        let value = match self.get(RSP) {
            Value::Stack(place) => self.load(place),
            _ => Value::Unknown,
        };
        self.set(RSP, self.get(RSP).plus(8));
        value
    }

    /// What an instruction does that is no jump and no call.
    pub(super) fn step(&mut self, instruction: &Instruction, facts: &mut InstructionInfoFactory) {
        let known = self.copies(instruction).or_else(|| self.computes(instruction));
        if let Some((register, value)) = known {
            self.set(register, value);
            return;
        }
        match instruction.code() {
            Code::Mov_rm64_r64 if instruction.op0_kind() == OpKind::Memory => {
                let value = general(instruction.op1_register()).map_or(Value::Unknown, |from| self.get(from));
                match self.address(instruction) {
                    Value::Stack(place) => self.store(place, value),
                    _ => self.writes(instruction, facts),
                }
            }
            Code::Push_r64 => {
                let value = general(instruction.op0_register()).map_or(Value::Unknown, |from| self.get(from));
                self.push(value);
            }
            Code::Pop_r64 => {
                let value = self.pop();
                if let Some(register) = general(instruction.op0_register()) {
                    self.set(register, value);
                }
            }
            Code::Pushq_imm8 | Code::Pushq_imm32 => self.push(Value::Unknown),
            _ => self.writes(instruction, facts),
        }
    }

    /// The register that an instruction writes, and what it copies there.
    fn copies(&self, instruction: &Instruction) -> Option<(usize, Value)> {
        let to =
            general(instruction.op0_register()).filter(|_| instruction.op0_kind() == OpKind::Register)?;
        let from_register = || general(instruction.op1_register()).map(|from| self.get(from));
        let value = match instruction.code() {
            Code::Mov_r64_rm64 | Code::Mov_rm64_r64 if instruction.op1_kind() == OpKind::Register => {
                from_register()?
            }
            Code::Mov_r64_rm64 => match self.address(instruction) {
                Value::Stack(place) => self.load(place),
                _ => Value::Unknown,
            },
            Code::Lea_r64_m => self.address(instruction),
            // An entry of a table of jumps: a distance from the table.
            Code::Movsxd_r64_rm32 if instruction.op1_kind() == OpKind::Memory => {
                match general(instruction.memory_base()).map(|base| self.get(base)) {
                    Some(Value::Constant(table)) if is_entry(instruction, 4) => Value::Entry(table),
                    _ => Value::Unknown,
                }
            }
            _ => return None,
        };
        Some((to, value))
    }

    /// The register that an instruction writes, and the sum that it makes.
    fn computes(&self, instruction: &Instruction) -> Option<(usize, Value)> {
        let to =
            general(instruction.op0_register()).filter(|_| instruction.op0_kind() == OpKind::Register)?;
        let own = self.get(to);
        let value = match instruction.mnemonic() {
            Mnemonic::Add if instruction.op1_kind() == OpKind::Register => {
                match (own, self.get(general(instruction.op1_register())?)) {
                    (Value::Entry(table), Value::Constant(base))
                    | (Value::Constant(base), Value::Entry(table))
                        if table == base =>
                    {
                        Value::Target(table)
                    }
                    _ => Value::Unknown,
                }
            }
            Mnemonic::Add => own.plus(immediate(instruction)?),
            Mnemonic::Sub => own.plus(immediate(instruction)?.checked_neg()?),
            // The frame begins at an address that is a multiple of something.
            Mnemonic::And if to == RSP && immediate(instruction).is_some() => match own {
                Value::Stack(Place { aligned: false, .. }) => {
                    Value::Stack(Place { aligned: true, offset: 0 })
                }
                _ => Value::Unknown,
            },
            _ => return None,
        };
        Some((to, value))
    }

    /// The address of an instruction's operand in memory.
    pub(super) fn address(&self, instruction: &Instruction) -> Value {
        if instruction.is_ip_rel_memory_operand() {
            return Value::Constant(instruction.ip_rel_memory_address());
        }
        let plain = instruction.memory_index() == Register::None && !has_segment(instruction);
        let base = general(instruction.memory_base()).filter(|_| plain).map(|base| self.get(base));
        base.map_or(Value::Unknown, |base| base.plus(instruction.memory_displacement64().cast_signed()))
    }

    /// Forgets all that an instruction writes.
    ///
    /// What is written through pointers that are not known does not change the words that a function keeps for itself.
    fn writes(&mut self, instruction: &Instruction, facts: &mut InstructionInfoFactory) {
        let facts = facts.info(instruction);
        let all = facts.used_memory().iter().filter(|used| is_write(used.access()));
        all.for_each(|used| self.writes_memory(used));
        for used in facts.used_registers().iter().filter(|used| is_write(used.access())) {
            if let Some(register) = number(used.register()) {
                self.set(register, Value::Unknown);
            }
        }
    }

    fn writes_memory(&mut self, used: &UsedMemory) {
        let Some(Value::Stack(base)) = general(used.base()).map(|base| self.get(base)) else { return };
        let place = base.plus(used.displacement().cast_signed());
        match place.filter(|_| used.index() == Register::None) {
            Some(place) => {
                let size: &MemorySizeInfo = used.memory_size().info();
                self.forget(place, i64::try_from(size.size()).unwrap_or(0));
            }
            // Some element of an array.
            None => self.slots.clear(),
        }
    }
}

/// The number of a whole general register.
pub(super) fn general(register: Register) -> Option<usize> {
    register.is_gpr64().then(|| register.number())
}

/// The number of the general register that a register is a part of.
fn number(register: Register) -> Option<usize> {
    general(register.full_register())
}

fn is_write(access: OpAccess) -> bool {
    matches!(access, OpAccess::Write | OpAccess::CondWrite | OpAccess::ReadWrite | OpAccess::ReadCondWrite)
}

/// The address is relative to thread-local storage.
fn has_segment(instruction: &Instruction) -> bool {
    matches!(instruction.memory_segment(), Register::FS | Register::GS)
}

/// The operand is an entry of this size of a table.
pub(super) fn is_entry(instruction: &Instruction, size: u32) -> bool {
    let indexed = instruction.memory_index() != Register::None && !has_segment(instruction);
    indexed && instruction.memory_index_scale() == size && instruction.memory_displacement64() == 0
}

/// The constant that is added or subtracted.
fn immediate(instruction: &Instruction) -> Option<i64> {
    let constant = matches!(
        instruction.op1_kind(),
        OpKind::Immediate8to64 | OpKind::Immediate32to64 | OpKind::Immediate64
    );
    constant.then(|| instruction.immediate(1).cast_signed())
}
