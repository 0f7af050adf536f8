//! Threads that run in single steps, and the calls that they have made and not returned from.

use std::collections::HashMap;

use iced_x86::{Decoder, DecoderOptions, Mnemonic};
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
    /// By address of an instruction: its length if it is a call.
    known: HashMap<u64, Option<u64>>,
}

impl Calls {
    /// Notes that the instruction at an address has run.
    pub fn note(&mut self, target: &dyn Target, ran: u64, now: &Registers) {
        self.open.retain(|(slot, _)| *slot >= now.sp);
        if let Some(len) = *self.known.entry(ran).or_insert_with(|| call_at(target, ran)) {
            self.open.push((now.sp, ran + len));
        }
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

/// The length of the instruction at an address if it is a call.
fn call_at(target: &dyn Target, address: u64) -> Option<u64> {
    // An instruction has 15 bytes at most; the next page may be missing.
    let in_page = 4096 - address as usize % 4096;
    let code = target.read_vec(address, 15).or_else(|_| target.read_vec(address, in_page));
    let code = code.expect("what has run can be read");
    let instruction = Decoder::with_ip(64, &code, address, DecoderOptions::NONE).decode();
    (instruction.mnemonic() == Mnemonic::Call).then_some(instruction.len() as u64)
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

/// Return addresses by frame pointers as the kernel collects them for a sample (perf_callchain_user in
/// arch/x86/events/core.c): the first is the program counter.
pub fn chain(target: &dyn Target, registers: &Registers) -> Vec<u64> {
    /// kernel.perf_event_max_stack
    const MAX: usize = 127;
    let (mut chain, mut frame) = (vec![registers.pc], registers.bp);
    while chain.len() < MAX
        && let (Ok(next), Ok(address)) = (target.read_u64(frame), target.read_u64(frame.wrapping_add(8)))
    {
        chain.push(address);
        frame = next;
    }
    chain
}
