//! Runs x86-64 code of Go functions ahead, on the memory of a goroutine that does not move. That memory is
//! not changed: writes are remembered here. What cannot be known is unknown.
//!
//! Go's compiler keeps nothing in a register across a call but the stack pointer. After a call the code loads
//! everything that it still needs from memory, so it can be followed.

use iced_x86::{
    ConditionCode, Decoder, DecoderOptions, FlowControl, Instruction, InstructionInfoFactory, MemorySize,
    Mnemonic, OpAccess, OpKind, Register,
};

use super::alu::{self, Flags};
use super::state::{CpuState, Known, Origin, Value, World, constant, number};

/// Where control goes after an instruction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::runtimes::go) enum Step {
    /// Continues with the next instruction.
    Next,
    /// Continues elsewhere.
    Jump(u64),
    /// Continues with the next instruction, or elsewhere if the condition holds.
    Branch(u64, Condition),
    /// Continues at one of the addresses in a table that begins there.
    Table(u64),
    /// Calls a function.
    Call(Value, Origin),
    /// Returns.
    Return,
    /// Changes memory atomically.
    Atomic(Atomic),
    /// Ends, or continues at an unknown address.
    Stop,
}

/// Whether a condition holds; None if that is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::runtimes::go) struct Condition {
    /// By values that nothing else will change.
    pub(in crate::runtimes::go) firm: Option<bool>,
    /// By the values as they are now.
    pub(in crate::runtimes::go) now: Option<bool>,
}

/// An atomic change of memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::runtimes::go) struct Atomic {
    /// Where.
    pub(in crate::runtimes::go) address: Value,
    /// Bytes that are changed.
    pub(in crate::runtimes::go) size: usize,
    /// Only if an expected value is there: a compare-and-swap.
    pub(in crate::runtimes::go) conditional: bool,
}

/// Decodes and runs instructions.
pub(in crate::runtimes::go) struct Machine {
    info: InstructionInfoFactory,
}

impl Machine {
    pub(in crate::runtimes::go) fn new() -> Self {
        Machine { info: InstructionInfoFactory::new() }
    }

    /// Runs the instruction at `ip`, which is `at` bytes into `code`. Returns what it does and its length.
    pub(in crate::runtimes::go) fn step(
        &mut self,
        code: &[u8],
        at: usize,
        ip: u64,
        state: &mut CpuState,
        world: &mut dyn World,
    ) -> Option<(Step, u64)> {
        let mut decoder = Decoder::with_ip(64, code.get(at..)?, ip, DecoderOptions::NONE);
        let instruction = decoder.decode();
        if instruction.is_invalid() {
            return None;
        }
        let mut run = Run { i: &instruction, state, world };
        let step = match instruction.flow_control() {
            FlowControl::Next => run.next(&mut self.info),
            FlowControl::UnconditionalBranch => Step::Jump(instruction.near_branch_target()),
            FlowControl::ConditionalBranch => Step::Branch(instruction.near_branch_target(), run.condition()),
            FlowControl::Call => Step::Call(constant(instruction.near_branch_target()), Origin::Other),
            FlowControl::IndirectCall => {
                let origin = number(instruction.op0_register()).map(|n| run.state.origins[n]);
                Step::Call(run.operand(0), origin.unwrap_or_default())
            }
            FlowControl::IndirectBranch => run.table().map_or(Step::Stop, Step::Table),
            FlowControl::Return => Step::Return,
            _ => Step::Stop,
        };
        Some((step, instruction.len() as u64))
    }
}

/// One instruction that is being run.
struct Run<'r> {
    i: &'r Instruction,
    state: &'r mut CpuState,
    world: &'r mut dyn World,
}

impl Run<'_> {
    /// Runs an instruction that continues with the next one.
    fn next(&mut self, info: &mut InstructionInfoFactory) -> Step {
        let i = self.i;
        if i.has_lock_prefix() {
            let conditional = i.mnemonic() == Mnemonic::Cmpxchg;
            let atomic = Atomic { address: self.address(), size: i.memory_size().size(), conditional };
            self.forget(info);
            return Step::Atomic(atomic);
        }
        match i.mnemonic() {
            Mnemonic::Mov | Mnemonic::Movzx => {
                let value = self.operand(1);
                let origin = self.origin();
                self.assign(value);
                if let (Some(n), OpKind::Register) = (number(i.op0_register()), i.op0_kind()) {
                    self.state.origins[n] = origin;
                }
            }
            Mnemonic::Movsx | Mnemonic::Movsxd => {
                let size = self.size(1);
                let value = self.operand(1).map(|v| Known { number: alu::extend(v.number, size), ..v });
                self.assign(value);
            }
            Mnemonic::Lea => {
                let value = self.address();
                self.assign(value);
            }
            Mnemonic::Xor | Mnemonic::Sub
                if i.op1_kind() == OpKind::Register && i.op0_register() == i.op1_register() =>
            {
                self.state.flags = Some(Flags::of_zero());
                self.assign(constant(0));
            }
            Mnemonic::Push => {
                let value = if self.size(0) == 8 { self.operand(0) } else { None };
                self.state.move_stack(-8);
                if let Some(sp) = self.state.stack_pointer() {
                    self.state.write(sp.number, 8, value);
                }
            }
            Mnemonic::Pop => {
                let sp = self.state.stack_pointer();
                let value = sp.and_then(|sp| self.state.read(sp, 8, self.world));
                self.state.move_stack(8);
                self.assign(value);
            }
            _ if i.condition_code() != ConditionCode::None => self.conditional(),
            _ if self.vector() => {}
            mnemonic => match alu::Op::of(mnemonic) {
                Some(op) if i.op_count() <= 2 => self.arithmetic(op),
                _ => self.forget(info),
            },
        }
        Step::Next
    }

    fn arithmetic(&mut self, op: alu::Op) {
        let size = self.size(0);
        let (left, right) =
            (self.operand(0), if self.i.op_count() == 2 { self.operand(1) } else { constant(1) });
        let (Some(left), Some(right)) = (left, right) else {
            self.state.flags = None;
            if op.writes() {
                self.assign(None);
            }
            return;
        };
        let firm = left.firm && right.firm;
        let (number, flags) = alu::run(op, left.number, right.number, size);
        self.state.flags = flags.map(|flags| flags.made_firm(firm));
        if op.writes() {
            self.assign(number.map(|number| Known { number, firm }));
        }
    }

    /// `setcc` and `cmovcc`.
    fn conditional(&mut self) {
        let holds = self.state.flags.and_then(|flags| flags.hold(self.i.condition_code()));
        let firm = self.state.flags.is_some_and(|flags| flags.firm);
        if self.i.op_count() == 1 {
            self.assign(holds.map(|holds| Known { number: u64::from(holds), firm }));
            return;
        }
        let value = match holds {
            Some(true) => self.operand(1),
            Some(false) => self.operand(0),
            None => None,
        };
        self.assign(value.map(|v| Known { firm: v.firm && firm, ..v }));
    }

    /// Moves of 16 bytes and of words by vector registers; false for other instructions.
    fn vector(&mut self) -> bool {
        let i = self.i;
        let words = match i.mnemonic() {
            Mnemonic::Movups | Mnemonic::Movdqu | Mnemonic::Movaps | Mnemonic::Movdqa => 2,
            Mnemonic::Movq => 1,
            _ => return false,
        };
        let from: [Value; 2] = match i.op1_kind() {
            OpKind::Register if i.op1_register().is_xmm() => {
                self.state.vectors[i.op1_register().number() & 15]
            }
            OpKind::Register => [self.operand(1), constant(0)],
            _ => {
                let at = self.address();
                let word = |run: &mut Self, n: u64| {
                    let at = at.map(|at| Known { number: at.number.wrapping_add(8 * n), ..at })?;
                    run.state.read(at, 8, run.world)
                };
                [word(self, 0), if words == 2 { word(self, 1) } else { constant(0) }]
            }
        };
        match i.op0_kind() {
            OpKind::Register if i.op0_register().is_xmm() => {
                self.state.vectors[i.op0_register().number() & 15] = from
            }
            OpKind::Register => self.assign(from[0]),
            _ => {
                if let Some(at) = self.address() {
                    for (n, word) in from.iter().enumerate().take(words) {
                        self.state.write(at.number.wrapping_add(8 * n as u64), 8, *word);
                    }
                }
            }
        }
        true
    }

    /// Makes everything that the instruction changes unknown.
    fn forget(&mut self, info: &mut InstructionInfoFactory) {
        let at = self.address();
        self.state.move_stack(self.i.stack_pointer_increment().into());
        if self.i.rflags_modified() != 0 {
            self.state.flags = None;
        }
        let info = info.info(self.i);
        for used in info.used_registers().iter().filter(|used| writes(used.access())) {
            let register = used.register();
            if register.is_xmm() || register.is_ymm() || register.is_zmm() {
                self.state.vectors[register.number() & 15] = [None; 2];
            } else if register != Register::RSP {
                self.state.set(register.full_register(), None);
            }
        }
        if info.used_memory().iter().any(|used| writes(used.access()))
            && let Some(at) = at
        {
            let size =
                if self.i.memory_size() == MemorySize::Unknown { 8 } else { self.i.memory_size().size() };
            self.state.write(at.number, size.clamp(1, 64), None);
        }
    }

    /// Does the condition of a branch hold?
    fn condition(&self) -> Condition {
        let flags = self.state.flags;
        let now = flags.and_then(|flags| flags.hold(self.i.condition_code()));
        Condition { firm: now.filter(|_| flags.is_some_and(|flags| flags.firm)), now }
    }

    /// Bytes of an operand.
    fn size(&self, operand: u32) -> usize {
        match self.i.op_kind(operand) {
            OpKind::Register => self.i.op_register(operand).size(),
            OpKind::Memory => self.i.memory_size().size(),
            _ if operand > 0 => self.size(0),
            _ => 8,
        }
    }

    /// The value of an operand, cut to its size.
    fn operand(&mut self, operand: u32) -> Value {
        let (i, size) = (self.i, self.size(operand));
        match i.op_kind(operand) {
            OpKind::Register => {
                let register = i.op_register(operand);
                let whole = self.state.get(register.full_register())?;
                let number = if is_high(register) { whole.number >> 8 } else { whole.number };
                Some(Known { number: alu::mask(number, size), ..whole })
            }
            OpKind::Memory if size <= 8 => {
                let at = self.address()?;
                self.state.read(at, size, self.world)
            }
            OpKind::Memory => None,
            _ => i.try_immediate(operand).ok().and_then(|number| constant(alu::mask(number, size))),
        }
    }

    /// Gives the first operand a value.
    fn assign(&mut self, value: Value) {
        let (i, size) = (self.i, self.size(0));
        match i.op0_kind() {
            OpKind::Register => {
                let register = i.op0_register();
                let whole = register.full_register();
                let value = match size {
                    8 => value,
                    // 32 bits clear the upper half, smaller sizes keep the rest.
                    4 => value.map(|v| Known { number: alu::mask(v.number, 4), ..v }),
                    _ => {
                        let (shift, old) = (if is_high(register) { 8 } else { 0 }, self.state.get(whole));
                        let field = alu::mask(u64::MAX, size) << shift;
                        value.zip(old).map(|(v, old)| Known {
                            number: old.number & !field | (v.number << shift) & field,
                            firm: v.firm && old.firm,
                        })
                    }
                };
                self.state.set(whole, value);
            }
            OpKind::Memory => {
                let Some(at) = self.address() else { return };
                let word = Known { number: at.number & !7, ..at };
                let shift = 8 * (at.number & 7);
                let within = size < 8 && (at.number & 7) as usize + size <= 8;
                if let (true, Some(value)) = (within, value)
                    && let Some(old) = self.state.read(word, 8, self.world)
                {
                    let field = alu::mask(u64::MAX, size) << shift;
                    let number = old.number & !field | (value.number << shift) & field;
                    self.state.write(word.number, 8, Some(Known { number, firm: old.firm && value.firm }));
                } else {
                    self.state.write(at.number, size.max(1), value);
                }
            }
            _ => {}
        }
    }

    /// The address that a memory operand means.
    fn address(&self) -> Value {
        let i = self.i;
        let has_memory = (0..i.op_count()).any(|n| i.op_kind(n) == OpKind::Memory);
        if !has_memory || matches!(i.segment_prefix(), Register::FS | Register::GS) {
            return None;
        }
        if i.is_ip_rel_memory_operand() {
            return constant(i.ip_rel_memory_address());
        }
        let part = |register: Register| match register {
            Register::None => constant(0),
            register => self.state.get(register),
        };
        let (base, index) = (part(i.memory_base())?, part(i.memory_index())?);
        let scaled = index.number.wrapping_mul(u64::from(i.memory_index_scale()));
        let number = base.number.wrapping_add(scaled).wrapping_add(i.memory_displacement64());
        Some(Known { number, firm: base.firm && index.firm })
    }

    fn origin(&self) -> Origin {
        const SECOND_METHOD: u64 = 32;
        let i = self.i;
        match (i.op1_kind(), i.memory_base(), i.memory_index(), i.memory_displacement64()) {
            (OpKind::Memory, Register::RIP | Register::EIP, ..) => Origin::Other,
            (OpKind::Memory, Register::RSP, Register::None, _) => Origin::Closure,
            (OpKind::Memory, _, Register::None, 0) => Origin::Closure,
            (OpKind::Memory, _, Register::None, SECOND_METHOD) => Origin::SecondMethod,
            _ => Origin::Other,
        }
    }

    /// Where the table of a switch begins: `jmp [table + index * 8]`.
    fn table(&self) -> Option<u64> {
        if self.i.op0_kind() != OpKind::Memory || self.i.memory_index() == Register::None {
            return None;
        }
        let base = match self.i.memory_base() {
            Register::None => 0,
            register => self.state.get(register)?.number,
        };
        Some(base.wrapping_add(self.i.memory_displacement64()))
    }
}

fn writes(access: OpAccess) -> bool {
    !matches!(access, OpAccess::None | OpAccess::Read | OpAccess::CondRead | OpAccess::NoMemAccess)
}

/// The second byte of a register.
fn is_high(register: Register) -> bool {
    matches!(register, Register::AH | Register::BH | Register::CH | Register::DH)
}

#[cfg(test)]
#[path = "machine_tests.rs"]
mod tests;
