//! Calls that the compiler inlined. Each function may have a tree of them in its funcdata, and a pc table
//! that says which call an instruction belongs to (`runtime/symtabinl.go`).

use std::borrow::Cow;

use super::func::{INLINE_INDEX, INLINE_TREE, shorten};
use super::{Format, Func, FuncId, FuncKind, Pclntab, u32_at};
use crate::formats::go_names::TypeArguments;

/// Inlined calls that are followed at one pc; Go's budget for inlining allows far fewer.
const MAX_DEPTH: usize = 1000;

/// One logical frame at a pc: an inlined call, or the function itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InlineFrame<'a> {
    /// Name, as [`Func::name`] gives it.
    pub name: Cow<'a, str>,
    /// Path of the file as the runtime has it; "?" if unknown.
    pub file: Cow<'a, str>,
    /// Line, 0 if unknown.
    pub line: u32,
    /// The runtime's number for the function.
    pub id: FuncId,
    /// What the number means.
    pub kind: FuncKind,
    /// Line of its `func` keyword; None before 1.20.
    pub start_line: Option<u32>,
    /// Whether it was inlined: then it has no frame of its own on the stack.
    pub inlined: bool,
    type_arguments: TypeArguments,
}

impl InlineFrame<'_> {
    /// Its name as the runtime prints it, see [`Func::display_name`].
    pub fn display_name(&self) -> Cow<'_, str> {
        shorten(Cow::Borrowed(&self.name), self.type_arguments)
    }
}

/// An entry of an inline tree.
struct Call {
    id: FuncId,
    name: u32,
    /// An instruction of the caller that represents the call's location: an offset from the function's entry.
    parent: u32,
    start_line: Option<u32>,
}

impl Call {
    fn read(table: &Pclntab, tree: u32, index: i32) -> Option<Self> {
        let (size, id, name, parent, line) = match table.format {
            Format::Go118 => (20, 2, 12, 16, None),
            Format::Go120 => (16, 0, 4, 8, Some(12)),
        };
        let at = usize::try_from(index).ok()?.checked_mul(size)?.checked_add(tree as usize)?;
        let record = table.funcdata.get(at..at.checked_add(size)?)?;
        Some(Call {
            id: FuncId(*record.get(id)?),
            name: u32_at(record, name)?,
            parent: u32_at(record, parent)?,
            start_line: line.and_then(|line| u32_at(record, line)).filter(|&line| line != 0),
        })
    }
}

impl<'a> Func<'a> {
    /// The logical frames at `pc`, the innermost inlined call first and the function itself last; never
    /// empty. If the inline tree is damaged or was not read, only the function itself, with the location from
    /// the tables, which is that of the innermost call.
    pub fn inline_frames(&self, pc: u64) -> Vec<InlineFrame<'a>> {
        let mut frames = Vec::new();
        let mut pc = pc;
        if let Some(tree) = self.funcdata_offset(INLINE_TREE) {
            while frames.len() < MAX_DEPTH {
                let index = self.pcdata(INLINE_INDEX, pc).filter(|&index| index >= 0);
                let Some(call) = index.and_then(|index| Call::read(self.table(), tree, index)) else { break };
                let name = String::from_utf8_lossy(self.table().name_at(call.name));
                frames.push(self.frame(pc, name, call.id, call.start_line, true));
                pc = self.entry().wrapping_add(call.parent.into());
            }
        }
        frames.push(self.frame(pc, self.name(), self.id(), self.start_line(), false));
        frames
    }

    fn frame(
        &self,
        pc: u64,
        name: Cow<'a, str>,
        id: FuncId,
        start_line: Option<u32>,
        inlined: bool,
    ) -> InlineFrame<'a> {
        let (file, line) = self.file_line(pc).unwrap_or((Cow::Borrowed("?"), 0));
        let table = self.table();
        InlineFrame {
            name,
            file,
            line,
            id,
            kind: table.kind(id),
            start_line,
            inlined,
            type_arguments: table.type_arguments,
        }
    }
}
