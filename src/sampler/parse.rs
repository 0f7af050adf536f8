//! Records as the kernel writes them. What is in them is partly the target's choice (names, paths, its stack and
//! registers), so nothing here trusts a length.

use std::borrow::Cow;

use super::abi::{self, misc, record};
use crate::process::Registers;

/// Bytes of the header of each record: its kind, `misc`, its size.
pub(super) const HEADER: usize = 8;
/// Bytes at the end of each record but samples: what `sample_id_all` adds for [`SAMPLE_TYPE`].
const TRAILER: usize = 32;

/// What every event of a sampler asks for, so that records of all of them have one layout.
pub(super) const SAMPLE_TYPE: u64 = abi::sample::IDENTIFIER
    | abi::sample::IP
    | abi::sample::TID
    | abi::sample::TIME
    | abi::sample::CPU
    | abi::sample::PERIOD;

/// What samples hold besides.
#[derive(Debug, Clone, Copy, Default)]
pub struct Layout {
    /// A call chain and the registers.
    pub moments: bool,
    /// A copy of the stack.
    pub stack: bool,
}

impl Layout {
    /// The kernel's name for it.
    pub(super) fn sample_type(self) -> u64 {
        let moments = if self.moments { abi::sample::CALLCHAIN | abi::sample::REGS_USER } else { 0 };
        SAMPLE_TYPE | moments | if self.stack { abi::sample::STACK_USER } else { 0 }
    }
}

/// A record that makes no sense.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed;

/// What all records have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stamp {
    /// The event that wrote it.
    pub event: u64,
    /// The process.
    pub pid: u32,
    /// The thread.
    pub tid: u32,
    /// CLOCK_MONOTONIC, nanoseconds.
    pub at_ns: u64,
    /// Where it ran.
    pub cpu: u32,
}

/// The part of a record that depends on its kind.
#[derive(Debug, Clone, PartialEq)]
pub enum Body<'a> {
    /// A thread at one moment.
    Sample {
        /// In the event's own unit.
        period: u64,
        /// It ran in the kernel.
        in_kernel: bool,
        /// All 0 for a thread without user code (it ends).
        registers: Registers,
        /// Addresses of user code, innermost first.
        chain: &'a [u64],
        /// Addresses in the kernel, innermost first.
        kernel_chain: &'a [u64],
        /// From the stack pointer up.
        stack: &'a [u8],
    },
    /// The thread left its CPU.
    SwitchedOut {
        /// It wanted to run on.
        preempted: bool,
    },
    /// The thread got a CPU.
    SwitchedIn,
    /// The process mapped a file or memory that is executable.
    Mapped {
        /// First address.
        address: u64,
        /// Bytes.
        len: u64,
        /// In the file, bytes.
        offset: u64,
        /// As the kernel names it: a path, "//anon", "[vdso]".
        path: &'a [u8],
        /// It can be executed.
        executable: bool,
    },
    /// A thread was started, maybe the first of a new process.
    Started {
        /// Its process.
        pid: u32,
        /// The thread.
        tid: u32,
    },
    /// A thread ended.
    Ended {
        /// The thread.
        tid: u32,
    },
    /// A thread has another name.
    Named {
        /// At most 15 bytes.
        name: &'a [u8],
        /// Because the process became another program.
        is_exec: bool,
    },
    /// Records were lost before this one.
    Lost {
        /// How many.
        count: u64,
    },
    /// Samples were suppressed for a while, because there were too many.
    Throttled,
    /// Something else.
    Other,
}

/// The kind and the size of the record that begins here.
pub(super) fn header(bytes: &[u8]) -> Option<(u32, u16, usize)> {
    let mut words = Words(bytes);
    let (kind, rest) = (words.u32().ok()?, words.u32().ok()?);
    // The size is the upper half.
    Some((kind, rest as u16, usize::from((rest >> 16) as u16)))
}

/// Words from the front of a record.
struct Words<'a>(&'a [u8]);

impl<'a> Words<'a> {
    fn take(&mut self, len: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.0.split_at_checked(len).ok_or(Malformed)?;
        self.0 = rest;
        Ok(taken)
    }

    fn u32(&mut self) -> Result<u32, Malformed> {
        let (word, rest) = self.0.split_first_chunk().ok_or(Malformed)?;
        self.0 = rest;
        Ok(u32::from_le_bytes(*word))
    }

    fn u64(&mut self) -> Result<u64, Malformed> {
        let (word, rest) = self.0.split_first_chunk().ok_or(Malformed)?;
        self.0 = rest;
        Ok(u64::from_le_bytes(*word))
    }

    fn many(&mut self, count: u64) -> Result<impl Iterator<Item = u64> + use<'a>, Malformed> {
        let len = usize::try_from(count).ok().and_then(|count| count.checked_mul(8)).ok_or(Malformed)?;
        let (words, _) = self.take(len)?.as_chunks();
        Ok(words.iter().map(|word| u64::from_le_bytes(*word)))
    }
}

/// Who and when, of a whole record: cheap, so that records of other processes cost little.
pub(super) fn stamp(record: &[u8]) -> Result<Stamp, Malformed> {
    let (kind, _, _) = header(record).ok_or(Malformed)?;
    if kind == record::SAMPLE {
        let mut words = Words(record.get(HEADER..).ok_or(Malformed)?);
        let (event, _ip) = (words.u64()?, words.u64()?);
        let (pid, tid, at_ns, cpu) = (words.u32()?, words.u32()?, words.u64()?, words.u32()?);
        return Ok(Stamp { event, pid, tid, at_ns, cpu });
    }
    let at = record.len().checked_sub(TRAILER).filter(|&at| at >= HEADER).ok_or(Malformed)?;
    let mut words = Words(&record[at..]);
    let (pid, tid, at_ns, cpu) = (words.u32()?, words.u32()?, words.u64()?, words.u32()?);
    let (_reserved, event) = (words.u32()?, words.u64()?);
    Ok(Stamp { event, pid, tid, at_ns, cpu })
}

/// The rest of a whole record. `chains` keeps the words of its call chain.
pub(super) fn body<'a>(
    record: &'a [u8],
    layout: Layout,
    chains: &'a mut Vec<u64>,
) -> Result<Body<'a>, Malformed> {
    let (kind, misc, _) = header(record).ok_or(Malformed)?;
    if kind == record::SAMPLE {
        return sample(Words(record.get(HEADER..).ok_or(Malformed)?), misc, layout, chains);
    }
    let end = record.len().checked_sub(TRAILER).ok_or(Malformed)?;
    let mut words = Words(record.get(HEADER..end).ok_or(Malformed)?);
    Ok(match kind {
        record::SWITCH | record::SWITCH_CPU_WIDE if misc & misc::SWITCH_OUT != 0 => {
            Body::SwitchedOut { preempted: misc & misc::SWITCH_OUT_PREEMPT != 0 }
        }
        record::SWITCH | record::SWITCH_CPU_WIDE => Body::SwitchedIn,
        record::MMAP2 => mapped(words)?,
        record::FORK => {
            let (pid, _parent, tid) = (words.u32()?, words.u32()?, words.u32()?);
            Body::Started { pid, tid }
        }
        record::EXIT => {
            let (_pid, _parent, tid) = (words.u32()?, words.u32()?, words.u32()?);
            Body::Ended { tid }
        }
        record::COMM => {
            words.take(8)?;
            Body::Named { name: text(words.0), is_exec: misc & misc::COMM_EXEC != 0 }
        }
        record::LOST => {
            words.take(8)?;
            Body::Lost { count: words.u64()? }
        }
        record::LOST_SAMPLES => Body::Lost { count: words.u64()? },
        record::THROTTLE => Body::Throttled,
        _ => Body::Other,
    })
}

/// A mapping: pid, tid, address, length, offset, 24 bytes that identify the file, protection, flags, path.
fn mapped(mut words: Words<'_>) -> Result<Body<'_>, Malformed> {
    words.take(8)?;
    let (address, len, offset) = (words.u64()?, words.u64()?, words.u64()?);
    words.take(24)?;
    let (protection, _flags) = (words.u32()?, words.u32()?);
    let executable = protection & abi::PROT_EXEC != 0;
    Ok(Body::Mapped { address, len, offset, path: text(words.0), executable })
}

/// The bytes before the first NUL.
fn text(bytes: &[u8]) -> &[u8] {
    bytes.split(|&byte| byte == 0).next().unwrap_or_default()
}

fn sample<'a>(
    mut words: Words<'a>,
    misc: u16,
    layout: Layout,
    chains: &'a mut Vec<u64>,
) -> Result<Body<'a>, Malformed> {
    // Event, program counter, pid and tid, time, CPU.
    words.take(5 * 8)?;
    let period = words.u64()?;
    let in_kernel = misc & misc::MODE == misc::MODE_KERNEL;
    let (mut chain, mut kernel_chain, mut registers) = (&[][..], &[][..], Registers::default());
    if layout.moments {
        let count = words.u64()?;
        (kernel_chain, chain) = chains_of(words.many(count)?, chains);
        registers = registers_of(&mut words)?;
    }
    let stack = if layout.stack { stack_of(&mut words)? } else { &[] };
    Ok(Body::Sample { period, in_kernel, registers, chain, kernel_chain, stack })
}

/// The kernel's part of a call chain and the user's. Marks say which follows; parts of a guest are left out.
fn chains_of(words: impl Iterator<Item = u64>, chains: &mut Vec<u64>) -> (&[u64], &[u64]) {
    chains.clear();
    let (mut kernel, mut part) = (0, None);
    for word in words {
        if word >= abi::CONTEXT_MAX {
            part = Some(word);
            continue;
        }
        match part {
            // The kernel writes its part first.
            Some(abi::CONTEXT_KERNEL) if chains.len() == kernel => kernel += 1,
            Some(abi::CONTEXT_USER) => {}
            _ => continue,
        }
        chains.push(word);
    }
    chains.split_at(kernel)
}

/// The registers: which machine's (0: none), then the words.
fn registers_of(words: &mut Words<'_>) -> Result<Registers, Malformed> {
    if words.u64()? == 0 {
        return Ok(Registers::default());
    }
    let mut all = [0; abi::REGISTER_COUNT];
    for (register, word) in all.iter_mut().zip(words.many(abi::REGISTER_COUNT as u64)?) {
        *register = word;
    }
    let general = abi::GENERAL.map(|at| all[at]);
    let (sp, bp) = (
        general[crate::process::registers::STACK_POINTER],
        general[crate::process::registers::FRAME_POINTER],
    );
    Ok(Registers { pc: all[abi::PROGRAM_COUNTER], sp, bp, tls: 0, general })
}

/// The copy of the stack: its size, the bytes, how many of these are valid. A size of 0 has nothing after it.
fn stack_of<'a>(words: &mut Words<'a>) -> Result<&'a [u8], Malformed> {
    let size = usize::try_from(words.u64()?).map_err(|_| Malformed)?;
    if size == 0 {
        return Ok(&[]);
    }
    let bytes = words.take(size)?;
    let valid = usize::try_from(words.u64()?).map_err(|_| Malformed)?;
    bytes.get(..valid).ok_or(Malformed)
}

/// Where a record is in the unread part of a ring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) start: usize,
    pub(super) size: usize,
}

/// The records in the unread part of a ring, which may wrap.
#[derive(Debug, Clone, Copy)]
pub(super) struct Unread<'a>(pub(super) &'a [u8], pub(super) &'a [u8]);

impl<'a> Unread<'a> {
    pub(super) fn len(self) -> usize {
        self.0.len() + self.1.len()
    }

    pub(super) fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// Bytes as they are, or joined if they wrap.
    pub(super) fn bytes(self, place: Place) -> Option<Cow<'a, [u8]>> {
        let end = place.start.checked_add(place.size)?;
        let (first, second) = (self.0, self.1);
        if let Some(bytes) = first.get(place.start..end) {
            return Some(Cow::Borrowed(bytes));
        }
        let second_end = end.checked_sub(first.len())?;
        match place.start.checked_sub(first.len()) {
            Some(start) => second.get(start..second_end).map(Cow::Borrowed),
            None => Some(Cow::Owned([first.get(place.start..)?, second.get(..second_end)?].concat())),
        }
    }

    /// The record that begins at `start`. None at the end. A size that cannot be is an error: where the next
    /// record begins is then unknown.
    pub(super) fn record(self, start: usize) -> Result<Option<Place>, Malformed> {
        if start == self.len() {
            return Ok(None);
        }
        let bytes = self.bytes(Place { start, size: HEADER }).ok_or(Malformed)?;
        let (_, _, size) = header(&bytes).ok_or(Malformed)?;
        let fits =
            size >= HEADER && size % 8 == 0 && start.checked_add(size).is_some_and(|end| end <= self.len());
        if fits { Ok(Some(Place { start, size })) } else { Err(Malformed) }
    }
}
