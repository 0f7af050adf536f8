//! Whose code a function may be, and what that is told by.

use crate::snapshot::FunctionRole;

/// Whose code a function is, the program's own first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Owner {
    /// Of the program itself: the packages of its main module.
    Program,
    /// Of a module that the program depends on.
    ThirdParty,
    /// Of the standard library, where it does something that a program asks for by name.
    Standard,
    /// Of what all that stands on: locks, files, the network, the runtime; and foreign code.
    Below,
}

/// What is known of the function of a frame. Empty texts: unknown.
#[derive(Debug, Clone, Copy, Default)]
pub struct Code<'a> {
    /// Its full name.
    pub function: &'a str,
    /// The package or module part of the name.
    pub package: &'a str,
    /// Its source file.
    pub file: &'a str,
    /// What it is for.
    pub role: FunctionRole,
}
