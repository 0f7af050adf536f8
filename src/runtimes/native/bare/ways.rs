//! What a function has done to the stack, at each of its instructions.

use std::collections::BTreeMap;

use iced_x86::{
    Decoder, DecoderOptions, FlowControl, Instruction, InstructionInfoFactory, Mnemonic, OpAccess, OpKind,
    Register,
};

/// Instructions of one function that are followed.
const MAX_INSTRUCTIONS: usize = 1 << 12;
/// How often they are followed, each: what differs between ways that meet is forgotten, and there is not much to forget.
const MAX_VISITS: usize = 4;

/// What the frame pointer's register holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pointer {
    /// What the caller had in it.
    Callers,
    /// The address so many bytes below the return address.
    Stack(u64),
    /// Zero: so begin threads, and nobody called the function.
    Nothing,
    Unknown,
}

/// What is known before an instruction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct State {
    /// Bytes from the stack pointer up to the return address. None: unknown.
    pub(super) depth: Option<u64>,
    pub(super) frame_pointer: Pointer,
    /// So many bytes below the return address is the caller's frame pointer.
    pub(super) saved: Option<u64>,
}

impl State {
    const START: State = State { depth: Some(0), frame_pointer: Pointer::Callers, saved: None };

    /// What holds on two ways that meet.
    fn both(self, other: State) -> State {
        State {
            depth: self.depth.filter(|_| self.depth == other.depth),
            frame_pointer: match self.frame_pointer == other.frame_pointer {
                true => self.frame_pointer,
                false => Pointer::Unknown,
            },
            saved: self.saved.filter(|_| self.saved == other.saved),
        }
    }

    /// What is known after an instruction that does not jump.
    fn after(self, instruction: &Instruction, facts: &mut InstructionInfoFactory) -> State {
        let mut next = self;
        match instruction.mnemonic() {
            Mnemonic::Push => {
                next.deepen(self.depth.and_then(|depth| depth.checked_add(pushed(instruction)?)));
                let saves = instruction.op0_kind() == OpKind::Register
                    && instruction.op0_register() == Register::RBP
                    && self.frame_pointer == Pointer::Callers;
                next.saved = if saves { next.depth } else { next.saved };
            }
            Mnemonic::Pop if instruction.op0_kind() == OpKind::Register => {
                next.deepen(self.depth.and_then(|depth| depth.checked_sub(pushed(instruction)?)));
                match instruction.op0_register() {
                    Register::RBP => next.frame_pointer = self.kept_at(self.depth),
                    Register::RSP => next.deepen(None),
                    _ => {}
                }
            }
            Mnemonic::Leave => {
                let Pointer::Stack(at) = self.frame_pointer else { return self.lost() };
                next.frame_pointer = self.kept_at(Some(at));
                next.deepen(at.checked_sub(8));
            }
            Mnemonic::Sub | Mnemonic::Add if writes(instruction, Register::RSP) => {
                let change = immediate(instruction).map(|value| match instruction.mnemonic() {
                    Mnemonic::Sub => value,
                    _ => value.wrapping_neg(),
                });
                next.deepen(change.and_then(|change| self.depth?.checked_add_signed(change)));
            }
            Mnemonic::Lea if writes(instruction, Register::RSP) => next.deepen(self.address(instruction)),
            Mnemonic::Lea if writes(instruction, Register::RBP) => {
                next.frame_pointer = self.address(instruction).map_or(Pointer::Unknown, Pointer::Stack);
            }
            Mnemonic::Mov if writes(instruction, Register::RSP) => next.deepen(match self.frame_pointer {
                Pointer::Stack(at) if is(instruction, Register::RBP) => Some(at),
                _ => None,
            }),
            Mnemonic::Mov if writes(instruction, Register::RBP) => {
                let copied = self.depth.filter(|_| is(instruction, Register::RSP));
                next.frame_pointer = copied.map_or(Pointer::Unknown, Pointer::Stack);
            }
            Mnemonic::Xor
                if matches!(instruction.op0_register(), Register::EBP | Register::RBP)
                    && is(instruction, instruction.op0_register()) =>
            {
                next.frame_pointer = Pointer::Nothing;
            }
            _ => return self.after_any(instruction, facts),
        }
        next
    }

    /// The stack pointer changes. What is left behind below it is lost.
    fn deepen(&mut self, depth: Option<u64>) {
        self.depth = depth;
        self.saved = self.saved.filter(|saved| depth.is_none_or(|depth| *saved <= depth));
    }

    /// What is in the frame pointer's register when it is read from there.
    fn kept_at(self, depth: Option<u64>) -> Pointer {
        if depth.is_some() && depth == self.saved { Pointer::Callers } else { Pointer::Unknown }
    }

    fn lost(self) -> State {
        State { depth: None, frame_pointer: Pointer::Unknown, saved: self.saved }
    }

    /// How far below the return address a place is that an instruction names relative to one of the two pointers.
    fn address(self, instruction: &Instruction) -> Option<u64> {
        let base = match (instruction.memory_base(), self.frame_pointer) {
            (Register::RSP, _) => self.depth?,
            (Register::RBP, Pointer::Stack(at)) => at,
            _ => return None,
        };
        let distance = instruction.memory_displacement64().cast_signed();
        (instruction.memory_index() == Register::None)
            .then(|| base.checked_add_signed(distance.checked_neg()?))?
    }

    /// What is known after an instruction that should leave both pointers alone.
    fn after_any(mut self, instruction: &Instruction, facts: &mut InstructionInfoFactory) -> State {
        let moved = i64::from(instruction.stack_pointer_increment());
        for used in facts.info(instruction).used_registers() {
            let written = !matches!(used.access(), OpAccess::Read | OpAccess::CondRead | OpAccess::None);
            match used.register().full_register() {
                Register::RSP if written && moved == 0 => self.depth = None,
                Register::RBP if written => self.frame_pointer = Pointer::Unknown,
                _ => {}
            }
        }
        self.depth = self.depth.and_then(|depth| depth.checked_add_signed(moved.checked_neg()?));
        self
    }
}

/// The bytes that a `push` or `pop` moves the stack pointer by.
fn pushed(instruction: &Instruction) -> Option<u64> {
    u64::try_from(instruction.stack_pointer_increment().checked_abs()?).ok()
}

fn writes(instruction: &Instruction, register: Register) -> bool {
    instruction.op0_kind() == OpKind::Register && instruction.op0_register() == register
}

/// Whether a register is the second operand.
fn is(instruction: &Instruction, register: Register) -> bool {
    instruction.op1_kind() == OpKind::Register && instruction.op1_register() == register
}

/// The constant that is the second operand.
fn immediate(instruction: &Instruction) -> Option<i64> {
    let constant = matches!(
        instruction.op1_kind(),
        OpKind::Immediate8 | OpKind::Immediate8to64 | OpKind::Immediate32 | OpKind::Immediate32to64
    );
    constant.then(|| instruction.immediate(1).cast_signed())
}

/// The ways through a function.
#[derive(Debug)]
pub(super) struct Ways {
    /// What is known before each instruction that was reached.
    states: BTreeMap<u64, (State, Instruction)>,
}

impl Ways {
    /// Follows a function from its beginning. None if it is too long. `code`: all of it, and maybe more. `has`: whether it has
    /// an address.
    pub(super) fn of(code: &[u8], start: u64, has: &mut dyn FnMut(u64) -> bool) -> Option<Ways> {
        let mut ways = Ways { states: BTreeMap::new() };
        let (mut next, mut left) = (vec![(start, State::START)], MAX_INSTRUCTIONS * MAX_VISITS);
        let mut facts = InstructionInfoFactory::new();
        while let Some((address, state)) = next.pop() {
            left = left.checked_sub(1)?;
            let (state, instruction) = match ways.states.get(&address) {
                Some(&(known, _)) if known.both(state) == known => continue,
                Some(&(known, instruction)) => (known.both(state), instruction),
                None => match decoded(code, start, address) {
                    Some(instruction) => (state, instruction),
                    None => continue,
                },
            };
            ways.states.insert(address, (state, instruction));
            (ways.states.len() <= MAX_INSTRUCTIONS).then_some(())?;
            let behind = instruction.next_ip();
            match instruction.flow_control() {
                FlowControl::Next => next.push((behind, state.after(&instruction, &mut facts))),
                // What is called, the kernel too, leaves both pointers as they were, or never returns: then the function
                // may end here.
                FlowControl::Call | FlowControl::IndirectCall if has(behind) => next.push((behind, state)),
                FlowControl::ConditionalBranch | FlowControl::UnconditionalBranch => {
                    let to = instruction.near_branch_target();
                    next.extend(has(to).then_some((to, state)));
                    if instruction.flow_control() == FlowControl::ConditionalBranch {
                        next.push((behind, state));
                    }
                }
                _ => {}
            }
        }
        Some(ways)
    }

    /// What is known at an address: before the instruction there, or in the call that returns to it.
    pub(super) fn at(&self, pc: u64, is_interrupted: bool) -> Option<State> {
        if is_interrupted {
            return self.states.get(&pc).map(|(state, _)| *state);
        }
        let (_, (state, call)) = self.states.range(..pc).next_back()?;
        (call.mnemonic() == Mnemonic::Call && call.next_ip() == pc).then_some(*state)
    }

    /// Instructions followed.
    pub(super) fn len(&self) -> usize {
        self.states.len()
    }
}

/// The instruction at an address.
fn decoded(code: &[u8], start: u64, address: u64) -> Option<Instruction> {
    let skipped = usize::try_from(address.checked_sub(start)?).ok()?;
    let bytes = code.get(skipped..).filter(|bytes| !bytes.is_empty())?;
    let instruction = Decoder::with_ip(64, bytes, address, DecoderOptions::NONE).decode();
    (!instruction.is_invalid()).then_some(instruction)
}

#[cfg(test)]
mod tests;
