//! From a frame to its caller's frame, by the rules of the unwind tables alone.
//!
//! No I/O: the caller supplies the bytes of the stack. Nothing is guessed: if a rule needs an unknown
//! register, or memory that was not read, unwinding ends. Register numbers are DWARF's: System V ABI, AMD64
//! supplement, figure 3.36.

use gimli::{
    CfaRule, Evaluation, EvaluationResult, Location, Register, RegisterRule, UnwindExpression, Value,
};

use super::cfi::{Cfi, Rules};
use super::index::Reader;
use crate::process::Registers;
use crate::process::bytes::u64_at;
use crate::process::registers::dwarf::{
    CALLEE_SAVED, FRAME_POINTER, FROM_GENERAL, RETURN_ADDRESS, STACK_POINTER,
};

/// Operations in an expression, which may contain a loop; the longest known one has 12.
const MAX_OPERATIONS: u32 = 256;
/// Bytes below the stack pointer that signals leave alone: System V ABI, AMD64 supplement, section 3.2.2.
const RED_ZONE: u64 = 128;

/// Some bytes of a stack.
#[derive(Debug, Clone, Copy)]
pub struct StackBytes<'a> {
    /// Address of the first one.
    pub base: u64,
    /// The bytes.
    pub bytes: &'a [u8],
}

impl StackBytes<'_> {
    fn end(&self) -> u64 {
        self.base.saturating_add(self.bytes.len() as u64)
    }

    /// The word at an address.
    pub fn word(&self, address: u64) -> Option<u64> {
        let at = usize::try_from(address.checked_sub(self.base)?).ok()?;
        u64_at(self.bytes, at)
    }
}

/// Why there is no caller of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoCaller {
    /// The tables say that this is the outermost function.
    Outermost,
    /// The rest of the stack is not in the bytes that were given.
    Cut,
    /// The tables do not say, or what they say cannot be followed.
    Unknown,
}

/// One activation of a function: its address, and the registers as far as known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NativeFrame {
    /// Where it continues: a return address, unless `is_interrupted`.
    pub pc: u64,
    /// Its stack pointer.
    pub sp: u64,
    /// `pc` is the next instruction to run, not the one after a call.
    pub is_interrupted: bool,
    registers: [Option<u64>; RETURN_ADDRESS + 1],
}

impl NativeFrame {
    /// The innermost frame of a thread. The frame pointer of a thread that was not stopped is unknown.
    pub fn innermost(pc: u64, sp: u64, frame_pointer: Option<u64>) -> NativeFrame {
        let mut frame = NativeFrame { pc, sp, is_interrupted: true, registers: [None; _] };
        frame.registers[FRAME_POINTER] = frame_pointer;
        frame.registers[STACK_POINTER] = Some(sp);
        frame.registers[RETURN_ADDRESS] = Some(pc);
        frame
    }

    /// A frame that a call returns to.
    pub fn returned(pc: u64, sp: u64, frame_pointer: Option<u64>) -> NativeFrame {
        NativeFrame { is_interrupted: false, ..NativeFrame::innermost(pc, sp, frame_pointer) }
    }

    /// The innermost frame of a thread with all its registers, numbered as in [`Registers::general`].
    pub fn with_registers(registers: &Registers) -> NativeFrame {
        let mut frame = NativeFrame::innermost(registers.pc, registers.sp, None);
        for (number, value) in FROM_GENERAL.into_iter().zip(registers.general) {
            frame.registers[number] = Some(value);
        }
        frame.registers[STACK_POINTER] = Some(registers.sp);
        frame
    }

    /// A general register, numbered as in [`Registers::general`]. None if it is not known in this frame.
    pub fn general(&self, number: usize) -> Option<u64> {
        *self.registers.get(*FROM_GENERAL.get(number)?)?
    }

    /// The address to look up: of the instruction that runs, or of the call.
    pub fn lookup(&self) -> u64 {
        if self.is_interrupted { self.pc } else { self.pc.saturating_sub(1) }
    }

    fn get(&self, register: Register) -> Option<u64> {
        *self.registers.get(usize::from(register.0))?
    }

    /// The frame that called this one.
    pub(super) fn caller(
        &self,
        rules: &Rules,
        cfi: &Cfi,
        stack: StackBytes<'_>,
    ) -> Result<NativeFrame, NoCaller> {
        let mut at = None;
        let found = self.find_caller(rules, cfi, stack, &mut at);
        let is_outermost = || {
            let rule = rules.registers.iter().find(|(register, _)| usize::from(register.0) == RETURN_ADDRESS);
            rule.is_some_and(|(_, rule)| *rule == RegisterRule::Undefined)
        };
        match found {
            Some(caller) if caller.pc == 0 => Err(NoCaller::Outermost),
            Some(caller) => Ok(caller),
            None if is_outermost() => Err(NoCaller::Outermost),
            None if at.is_some_and(|cfa| cfa > self.sp && cfa > stack.end()) => Err(NoCaller::Cut),
            None => Err(NoCaller::Unknown),
        }
    }

    /// The caller; its address may be 0. Notes the canonical frame address in `at`.
    fn find_caller(
        &self,
        rules: &Rules,
        cfi: &Cfi,
        stack: StackBytes<'_>,
        at: &mut Option<u64>,
    ) -> Option<NativeFrame> {
        let evaluate = |e: &UnwindExpression<usize>, first| self.evaluate(e, first, rules, cfi, stack);
        let cfa = match &rules.cfa {
            CfaRule::RegisterAndOffset { register, offset } => {
                let fixed = || self.sp.checked_add(rules.frame_pointer_offset?);
                self.get(*register).or_else(fixed)?.checked_add_signed(*offset)?
            }
            CfaRule::Expression(expression) => evaluate(expression, None)?,
        };
        *at = Some(cfa);
        let mut registers = [None; RETURN_ADDRESS + 1];
        for number in CALLEE_SAVED {
            registers[number] = self.registers[number];
        }
        registers[STACK_POINTER] = Some(cfa);
        for (register, rule) in &rules.registers {
            let value = match rule {
                RegisterRule::SameValue => self.get(*register),
                RegisterRule::Offset(offset) => {
                    cfa.checked_add_signed(*offset).and_then(|at| self.kept(*register, at, rules, stack))
                }
                RegisterRule::ValOffset(offset) => cfa.checked_add_signed(*offset),
                RegisterRule::Register(other) => self.get(*other),
                RegisterRule::Expression(e) => evaluate(e, Some(cfa)).and_then(|at| stack.word(at)),
                RegisterRule::ValExpression(e) => evaluate(e, Some(cfa)),
                RegisterRule::Constant(value) => Some(*value),
                RegisterRule::Undefined | RegisterRule::Architectural => None,
            };
            if let Some(slot) = registers.get_mut(usize::from(register.0)) {
                *slot = value;
            }
        }
        let (pc, sp) = (registers[RETURN_ADDRESS]?, registers[STACK_POINTER]?);
        // The stack pointer only rises on the way out; a signal may have a stack of its own.
        let onwards = sp > self.sp || rules.is_signal;
        onwards.then_some(NativeFrame { pc, sp, is_interrupted: rules.is_signal, registers })
    }

    /// The value of a register of the caller, which was kept at this address.
    fn kept(&self, register: Register, at: u64, rules: &Rules, stack: StackBytes<'_>) -> Option<u64> {
        match at.checked_sub(self.sp) {
            Some(_) => stack.word(at),
            None if rules.is_end => self.get(register),
            // Below the stack pointer of code that calls others, there are their frames.
            None if self.is_interrupted && self.sp - at <= RED_ZONE => stack.word(at),
            None => None,
        }
    }

    /// The value of an expression; for a location, it is an address.
    fn evaluate(
        &self,
        expression: &UnwindExpression<usize>,
        first: Option<u64>,
        rules: &Rules,
        cfi: &Cfi,
        stack: StackBytes<'_>,
    ) -> Option<u64> {
        let code = expression.get(&cfi.section()).ok()?;
        let mut evaluation: Evaluation<Reader<'_>> = code.evaluation(rules.encoding);
        evaluation.set_max_iterations(MAX_OPERATIONS);
        if let Some(first) = first {
            evaluation.set_initial_value(first);
        }
        let mut result = evaluation.evaluate().ok()?;
        loop {
            result = match result {
                EvaluationResult::Complete => break,
                EvaluationResult::RequiresRegister { register, .. } => {
                    evaluation.resume_with_register(Value::Generic(self.get(register)?)).ok()?
                }
                EvaluationResult::RequiresMemory { address, size: 8, space: None, .. } => {
                    evaluation.resume_with_memory(Value::Generic(stack.word(address)?)).ok()?
                }
                _ => return None,
            };
        }
        match evaluation.as_result().last()?.location {
            Location::Address { address } => Some(address),
            _ => None,
        }
    }
}
