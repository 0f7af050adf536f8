//! Threads that run in single steps, and the calls that they have made and not returned from.

use std::collections::HashMap;

use iced_x86::{Decoder, DecoderOptions, Mnemonic, OpKind, Register};
use loiter::process::{Registers, Target};
use nix::sys::ptrace;
use nix::unistd::Pid;

/// The registers of a traced thread that is stopped.
pub fn registers(tid: Pid) -> Registers {
    let raw = ptrace::getregs(tid).expect("it is stopped");
    let general = [
        raw.rax, raw.rcx, raw.rdx, raw.rbx, raw.rsp, raw.rbp, raw.rsi, raw.rdi, raw.r8, raw.r9, raw.r10,
        raw.r11, raw.r12, raw.r13, raw.r14, raw.r15,
    ];
    Registers { pc: raw.rip, sp: raw.rsp, bp: raw.rbp, tls: raw.fs_base, general }
}

/// Calls that have not returned.
#[derive(Debug, Default)]
pub struct Calls {
    /// Outermost first: where the return address is on the stack, and the address.
    open: Vec<(u64, u64)>,
    known: HashMap<u64, Kind>,
}

/// What an instruction does, as far as calls are concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// A call, and its length in bytes.
    Call(u64),
    /// Takes its stack pointer from memory: to another stack.
    Switch,
    Other,
}

impl Calls {
    /// Notes that the instruction at an address has run.
    pub fn note(&mut self, target: &dyn Target, ran: u64, now: &Registers) {
        self.open.retain(|(slot, _)| *slot >= now.sp);
        if let Kind::Call(len) = self.kind(target, ran) {
            self.open.push((now.sp, ran + len));
        }
    }

    /// Does the instruction at an address lead to another stack? Not all that do are known.
    pub fn switches(&mut self, target: &dyn Target, address: u64) -> bool {
        self.kind(target, address) == Kind::Switch
    }

    fn kind(&mut self, target: &dyn Target, address: u64) -> Kind {
        *self.known.entry(address).or_insert_with(|| kind_at(target, address))
    }

    /// Notes a call that no call instruction made: where its return address is on the stack, and the address.
    pub fn push(&mut self, slot: u64, address: u64) {
        self.open.push((slot, address));
    }

    /// Where they return to, innermost first.
    pub fn returns(&self) -> impl Iterator<Item = u64> {
        self.open.iter().rev().map(|(_, address)| *address)
    }

    /// Forgets them.
    pub fn clear(&mut self) {
        self.open.clear();
    }
}

fn kind_at(target: &dyn Target, address: u64) -> Kind {
    // An instruction has 15 bytes at most; the next page may be missing.
    let in_page = 4096 - address as usize % 4096;
    let code = target.read_vec(address, 15).or_else(|_| target.read_vec(address, in_page));
    let code = code.expect("what has run can be read");
    let instruction = Decoder::with_ip(64, &code, address, DecoderOptions::NONE).decode();
    match instruction.mnemonic() {
        Mnemonic::Call => Kind::Call(instruction.len() as u64),
        Mnemonic::Mov
            if instruction.op0_register() == Register::RSP && instruction.op1_kind() == OpKind::Memory =>
        {
            Kind::Switch
        }
        _ => Kind::Other,
    }
}

/// A copy of the stack as a sample has it: `size` bytes, or as much as is there.
pub fn stack(target: &dyn Target, sp: u64, size: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while bytes.len() < size {
        let from = sp + bytes.len() as u64;
        let in_page = 4096 - from as usize % 4096;
        let Ok(more) = target.read_vec(from, in_page.min(size - bytes.len())) else { break };
        bytes.extend(more);
    }
    bytes
}

/// Addresses of one chain at most: kernel.perf_event_max_stack.
pub const MAX_CHAIN: usize = 127;

/// Return addresses by frame pointers as the kernel collects them for a sample (perf_callchain_user in
/// arch/x86/events/core.c): the first is the program counter.
pub fn chain(target: &dyn Target, registers: &Registers) -> Vec<u64> {
    let (mut chain, mut frame) = (vec![registers.pc], registers.bp);
    while chain.len() < MAX_CHAIN
        && let (Ok(next), Ok(address)) = (target.read_u64(frame), target.read_u64(frame.wrapping_add(8)))
    {
        chain.push(address);
        frame = next;
    }
    chain
}
