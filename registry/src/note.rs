//! The note that loiter finds. It points to the main registry.

/// The name of the note's symbol. It differs for each version of this crate, so that two of them can be
/// linked into one program.
macro_rules! note_symbol {
    () => {
        concat!("__loiter_registry_note_", env!("CARGO_PKG_VERSION"))
    };
}

// Only the assembler can write "address of that, less the address of this", which needs no relocation at run
// time. "R" keeps the section when unused ones are dropped. The alignment of 4 is part of the format: with 8,
// readers would expect the parts of a note to be padded to 8.
std::arch::global_asm!(
    ".pushsection .note.loiter.registry,\"aR\",%note",
    ".balign 4",
    concat!(".globl ", note_symbol!()),
    concat!(".hidden ", note_symbol!()),
    concat!(note_symbol!(), ":"),
    ".4byte 7",
    ".4byte 8",
    ".4byte 1",
    ".ascii \"loiter\\0\\0\"",
    ".8byte {registry} - .",
    ".popsection",
    registry = sym crate::registry::MAIN,
);
