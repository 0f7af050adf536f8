//! One function of a line table.

use std::borrow::Cow;

use super::{Format, FuncId, FuncKind, Pclntab, pcvalue, string_at, u32_at};
use crate::formats::go_names::{self, TypeArguments};

/// Number of the funcdata that holds the inline tree (`FUNCDATA_InlTree`, 1.18 to 1.27).
pub(super) const INLINE_TREE: u8 = 3;
/// Number of the pcdata that holds an index into it (`PCDATA_InlTreeIndex`).
pub(super) const INLINE_INDEX: u32 = 2;

/// The value of `args` if the size is unknown (`ArgsSizeUnknown`).
#[cfg(any(test, feature = "test-support"))]
const ARGS_UNKNOWN: i32 = i32::MIN;

/// A function of a [`Pclntab`].
///
/// Methods with a pc parameter take a run-time address in the function; the module's documentation explains
/// return addresses.
#[derive(Clone, Copy)]
pub struct Func<'a> {
    table: &'a Pclntab,
    /// The fixed part of its record and everything after it.
    record: &'a [u8],
    entry: u64,
    end: u64,
}

impl std::fmt::Debug for Func<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} at {:#x}..{:#x}", self.name(), self.entry, self.end)
    }
}

impl PartialEq for Func<'_> {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self.table, other.table) && std::ptr::eq(self.record, other.record)
    }
}

/// Two functions are equal if they are the same function of the same table.
impl Eq for Func<'_> {}

impl<'a> Func<'a> {
    pub(super) fn new(table: &'a Pclntab, index: usize) -> Option<Self> {
        let entry = table.entry(index);
        let record = table.bytes.get(table.record(index)?..)?;
        let func = Func {
            table,
            record,
            entry: table.text.wrapping_add(entry.into()),
            end: table.text.wrapping_add(table.entry(index + 1).into()),
        };
        // The fixed part is present, and the record belongs to this function.
        (record.len() >= func.fixed() && u32_at(record, 0) == Some(entry)).then_some(func)
    }

    /// Bytes of the record before the tables' offsets. 1.20 added the start line.
    fn fixed(&self) -> usize {
        if self.table.format >= Format::Go120 { 44 } else { 40 }
    }

    fn word(&self, at: usize) -> u32 {
        u32_at(self.record, at).unwrap_or(0)
    }

    /// A byte of the fixed part's last word: function id, flags, padding, number of funcdata.
    fn last_word(&self, byte: usize) -> u8 {
        self.record.get(self.fixed() - 4 + byte).copied().unwrap_or(0)
    }

    /// Address of its first instruction.
    pub fn entry(&self) -> u64 {
        self.entry
    }

    /// Where the next function begins: after its code and the padding.
    pub fn end(&self) -> u64 {
        self.end
    }

    /// Its name as in the table: with its package's path (a dot in the last element is written `%2e`) and,
    /// from 1.21 on, type arguments in full. Bytes that are not UTF-8 are replaced.
    pub fn name(&self) -> Cow<'a, str> {
        String::from_utf8_lossy(self.name_bytes())
    }

    /// The bytes of its name.
    pub fn name_bytes(&self) -> &'a [u8] {
        self.table.name_at(self.word(4))
    }

    /// Its name as the runtime prints it in tracebacks: type arguments as `[...]`.
    pub fn display_name(&self) -> Cow<'a, str> {
        shorten(self.name(), self.table.type_arguments)
    }

    /// Bytes of its arguments and results on the stack. None if unknown (C functions with variable arguments,
    /// assembly that does not declare it).
    #[cfg(any(test, feature = "test-support"))]
    pub fn args_size(&self) -> Option<i32> {
        Some(self.word(8) as i32).filter(|&size| size != ARGS_UNKNOWN)
    }

    /// Line of its `func` keyword. None before 1.20, and if the compiler did not record it.
    pub fn start_line(&self) -> Option<u32> {
        (self.table.format >= Format::Go120).then(|| self.word(36)).filter(|&line| line != 0)
    }

    /// The runtime's number for it, 0 for most.
    pub fn id(&self) -> FuncId {
        FuncId(self.last_word(0))
    }

    /// The meaning of that number.
    pub fn kind(&self) -> FuncKind {
        self.table.kind(self.id())
    }

    /// Whether it is a method wrapper that the compiler made.
    #[cfg(any(test, feature = "test-support"))]
    pub fn is_wrapper(&self) -> bool {
        self.kind().is_wrapper()
    }

    /// Whether it is the outermost function of its stack, like goexit and mstart: unwinding stops here, and
    /// has succeeded. All versions (flags came in 1.17).
    pub fn is_top_frame(&self) -> bool {
        self.last_word(1) & 1 != 0
    }

    /// Whether it sets the stack pointer in a way that [`Func::sp_delta`] cannot express. Unwinding through
    /// it is not safe unless the stack is known to be at its start. All versions.
    pub fn is_sp_write(&self) -> bool {
        self.last_word(1) & 2 != 0
    }

    /// Whether it is written in assembly. All versions.
    pub fn is_asm(&self) -> bool {
        self.last_word(1) & 4 != 0
    }

    /// Bytes from the stack pointer at `pc` up to the return address (on x86; on machines with a link
    /// register up to the caller's frame). None in padding, in a C function that was linked in, and if the
    /// table is damaged.
    pub fn sp_delta(&self, pc: u64) -> Option<i32> {
        self.value(self.word(16), pc).filter(|&delta| delta >= 0 && delta % 8 == 0)
    }

    /// Whether `pc` is in its code, not in the bytes between it and the next function.
    pub fn covers(&self, pc: u64) -> bool {
        self.value(self.word(16), pc).is_some()
    }

    /// File and line of `pc`: of the innermost call that is inlined there.
    pub fn file_line(&self, pc: u64) -> Option<(Cow<'a, str>, u32)> {
        let file = u32::try_from(self.value(self.word(20), pc)?).ok()?;
        let line = u32::try_from(self.value(self.word(24), pc)?).ok()?;
        // Files are numbered per compilation unit.
        let slot = (self.word(32) as usize).checked_add(file as usize)?.checked_mul(4)?;
        let units = &self.table.bytes[self.table.units.clone()];
        let offset = u32_at(units, slot).filter(|&offset| offset != u32::MAX)?;
        let path = string_at(&self.table.bytes[self.table.files.clone()], offset);
        Some((String::from_utf8_lossy(path), line))
    }

    /// The value of one of its pcdata tables (`PCDATA_*` in `internal/abi/symtab.go`) at `pc`. None if there
    /// is no such table or it does not cover `pc`; the runtime treats that as -1.
    pub fn pcdata(&self, table: u32, pc: u64) -> Option<i32> {
        if table >= self.word(28) {
            return None;
        }
        self.value(u32_at(self.record, self.fixed().checked_add(table as usize * 4)?)?, pc)
    }

    /// The position of one of its funcdata (`FUNCDATA_*`), as an offset from `moduledata.gofunc`.
    pub fn funcdata_offset(&self, number: u8) -> Option<u32> {
        if number >= self.last_word(3) {
            return None;
        }
        let slot = (self.word(28) as usize).checked_add(number.into())?.checked_mul(4)?;
        u32_at(self.record, self.fixed().checked_add(slot)?).filter(|&offset| offset != u32::MAX)
    }

    pub(super) fn table(&self) -> &'a Pclntab {
        self.table
    }

    /// The value of the pc table at an offset of pctab, where 0 means no table.
    fn value(&self, offset: u32, pc: u64) -> Option<i32> {
        if offset == 0 || pc >= self.end {
            return None;
        }
        let target = u32::try_from(pc.checked_sub(self.entry)?).ok()?;
        let table = self.table.bytes.get(self.table.pctab.clone())?.get(offset as usize..)?;
        pcvalue::lookup(table, target, self.table.quantum)
    }
}

/// A name as the runtime prints it.
pub(super) fn shorten(name: Cow<'_, str>, style: TypeArguments) -> Cow<'_, str> {
    match name {
        Cow::Borrowed(name) => go_names::display_name(name, style),
        Cow::Owned(name) => Cow::Owned(go_names::display_name(&name, style).into_owned()),
    }
}
