//! What is asked about the types of a file, and how it is written.

use super::TypeId;
use crate::cache::Writer;

/// What is asked about a file.
#[derive(Debug, Clone, Copy)]
pub(super) enum Question<'a> {
    Type(TypeId),
    Function(u64),
    Beside {
        function: u64,
        path: &'a str,
        name: &'a str,
        parameters: &'a str,
    },
    Awaits(TypeId),
    Frame(u64),
    Conclusion(Conclusion, TypeId),
    /// Where all units are, and the code of each.
    Units,
}

/// What others conclude from a type and from those that it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Conclusion {
    /// Where guards of locks are in it.
    Guards,
    /// The same, also in enums.
    GuardsAndEnums,
}

impl Question<'_> {
    pub(super) fn bytes(self) -> Vec<u8> {
        let mut bytes = Writer::default();
        let (kind, number) = match self {
            Question::Type(TypeId(id)) => (0, id as u64),
            Question::Function(address) => (1, address),
            Question::Beside { function, .. } => (2, function),
            Question::Awaits(TypeId(id)) => (3, id as u64),
            Question::Frame(address) => (4, address),
            Question::Conclusion(Conclusion::Guards, TypeId(id)) => (5, id as u64),
            Question::Conclusion(Conclusion::GuardsAndEnums, TypeId(id)) => (6, id as u64),
            Question::Units => (7, 0),
        };
        bytes.number(kind);
        bytes.number(number);
        if let Question::Beside { path, name, parameters, .. } = self {
            [path, name, parameters].into_iter().for_each(|text| bytes.text(text));
        }
        bytes.into_bytes()
    }
}
