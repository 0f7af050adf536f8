//! What is kept for the next loiter: questions about types with their answers, in a [`Store`](crate::cache::Store).
//!
//! An answer depends on nothing but the file and the limits of this module's parent. One that was found while something was
//! missing (time, memory, a part of the file, another file) is not kept.

use gimli::{Encoding, Format};

use super::super::lines::units::Units;
use super::frame::{Activation, Code, Frame, Variable};
use super::question::{Conclusion, Question};
use super::{
    Awaited, FunctionTypes, Member, Parameter, Patience, Type, TypeId, TypeKind, Types, Variant, Variants,
};
use crate::cache::{Reader, Writer};
pub(crate) use crate::symbols::kept::Answer;
use crate::symbols::kept::{whole, written};

impl Types {
    /// The answer that is kept, or else what `find` finds.
    pub(super) fn asked<A: Answer>(
        &mut self,
        question: Question<'_>,
        find: impl FnOnce(&mut Types) -> A,
    ) -> A {
        let Some(store) = &self.store else { return find(self) };
        let question = question.bytes();
        if let Some(kept) = store.answer(&question).and_then(whole) {
            return kept;
        }
        let found = find(self);
        if !self.is_lacking()
            && let Some(store) = &mut self.store
        {
            store.add(&question, &written(&found));
        }
        found
    }

    /// The units: what is kept of them, or else what the file has.
    pub(super) fn find_units(&mut self, patience: &mut Patience) -> Units {
        let question = Question::Units.bytes();
        let kept = self.store.as_ref().and_then(|store| whole(store.answer(&question)?));
        if let Some(kept) = kept {
            return kept;
        }
        let found = Units::read(&mut self.sections, patience);
        if !self.is_lacking()
            && !patience.is_over()
            && let Some(store) = &mut self.store
        {
            store.add(&question, &written(&found));
        }
        found
    }

    /// What follows from a type and from those that it has, and from nothing else. It is kept as they are.
    pub(crate) fn concluded<A: Answer>(
        &mut self,
        what: Conclusion,
        of: TypeId,
        find: impl FnOnce(&mut Types) -> A,
    ) -> A {
        self.asked(Question::Conclusion(what, of), find)
    }

    /// Whether an answer may be another one the next time. What is in other files is found anew each time.
    fn is_lacking(&self) -> bool {
        self.is_over() || self.problem.is_some() || self.is_incomplete() || self.sections.are_split()
    }

    /// Keeps what was found since the last call for the next loiter. `repeated`: more may follow, so a little can wait.
    pub(crate) fn keep(&mut self, repeated: bool) {
        let is_sure = || self.image.as_ref().is_some_and(|image| image.file.is_intact());
        let has_news = self.store.as_ref().is_some_and(|store| store.has_news(repeated)) && is_sure();
        if let Some(store) = self.store.as_mut().filter(|_| has_news) {
            store.save();
        }
    }
}

impl Answer for TypeId {
    fn write(&self, into: &mut Writer) {
        into.number(self.0 as u64);
    }

    fn read(from: &mut Reader<'_>) -> Option<Self> {
        from.small().map(TypeId)
    }
}

impl Answer for TypeKind {
    fn write(&self, into: &mut Writer) {
        let (kind, of) = match self {
            TypeKind::Structure => (0, None),
            TypeKind::Union => (1, None),
            TypeKind::Pointer(of) => (2, Some(of)),
            TypeKind::Array(of) => (3, Some(of)),
            TypeKind::Scalar => (4, None),
            TypeKind::Other => (5, None),
        };
        into.number(kind);
        if let Some(of) = of {
            of.write(into);
        }
    }

    fn read(from: &mut Reader<'_>) -> Option<Self> {
        Some(match from.number()? {
            0 => TypeKind::Structure,
            1 => TypeKind::Union,
            2 => TypeKind::Pointer(Answer::read(from)?),
            3 => TypeKind::Array(Answer::read(from)?),
            4 => TypeKind::Scalar,
            5 => TypeKind::Other,
            _ => return None,
        })
    }
}

impl Answer for Member {
    fn write(&self, into: &mut Writer) {
        into.text(&self.name);
        into.number(self.offset);
        self.of.write(into);
    }

    fn read(from: &mut Reader<'_>) -> Option<Self> {
        let (name, offset) = (from.text()?.to_owned(), from.number()?);
        Some(Member { name, offset, of: Answer::read(from)? })
    }
}

impl Answer for Parameter {
    fn write(&self, into: &mut Writer) {
        into.text(&self.name);
        self.of.write(into);
    }

    fn read(from: &mut Reader<'_>) -> Option<Self> {
        Some(Parameter { name: from.text()?.to_owned(), of: Answer::read(from)? })
    }
}

impl Answer for Variant {
    fn write(&self, into: &mut Writer) {
        self.value.write(into);
        self.member.write(into);
        self.file.write(into);
        into.number(u64::from(self.line));
    }

    fn read(from: &mut Reader<'_>) -> Option<Self> {
        let (value, member, file) = (Answer::read(from)?, Answer::read(from)?, Answer::read(from)?);
        Some(Variant { value, member, file, line: from.small()? })
    }
}

impl Answer for Variants {
    fn write(&self, into: &mut Writer) {
        into.option(self.discriminant, |into, (offset, size)| {
            into.number(offset);
            into.number(size);
        });
        into.text(&self.discriminant_name);
        self.list.write(into);
    }

    fn read(from: &mut Reader<'_>) -> Option<Self> {
        let discriminant = from.option(|from| {
            let (offset, size) = (from.number()?, from.number()?);
            (1..=8).contains(&size).then_some((offset, size))
        })?;
        let discriminant_name = from.text()?.to_owned();
        Some(Variants { discriminant, discriminant_name, list: Answer::read(from)? })
    }
}

impl Answer for Type {
    fn write(&self, into: &mut Writer) {
        self.name.write(into);
        into.number(self.size);
        into.number(self.alignment);
        self.kind.write(into);
        self.members.write(into);
        self.variants.write(into);
        self.parameters.write(into);
    }

    fn read(from: &mut Reader<'_>) -> Option<Self> {
        let (name, size, alignment) = (Answer::read(from)?, from.number()?, from.number()?);
        let (kind, members) = (Answer::read(from)?, Answer::read(from)?);
        let (variants, parameters) = (Answer::read(from)?, Answer::read(from)?);
        Some(Type { name, size, alignment, kind, members, variants, parameters })
    }
}

impl Answer for Awaited {
    fn write(&self, into: &mut Writer) {
        self.of.write(into);
        self.file.write(into);
        into.number(u64::from(self.line));
    }

    fn read(from: &mut Reader<'_>) -> Option<Self> {
        Some(Awaited { of: Answer::read(from)?, file: Answer::read(from)?, line: from.small()? })
    }
}

impl Answer for FunctionTypes {
    fn write(&self, into: &mut Writer) {
        into.text(&self.name);
        self.parameters.write(into);
        self.first_argument.write(into);
    }

    fn read(from: &mut Reader<'_>) -> Option<Self> {
        let (name, parameters) = (from.text()?.to_owned(), Answer::read(from)?);
        Some(FunctionTypes { name, parameters, first_argument: Answer::read(from)? })
    }
}

impl Answer for Code {
    fn write(&self, into: &mut Writer) {
        let Encoding { address_size, format, version } = self.encoding;
        into.bytes(&self.bytes);
        [u64::from(address_size), u64::from(format.word_size()), u64::from(version)]
            .into_iter()
            .for_each(|number| into.number(number));
    }

    fn read(from: &mut Reader<'_>) -> Option<Self> {
        let bytes = from.bytes()?.to_vec();
        let address_size = from.small().filter(|size| [1, 2, 4, 8].contains(size))?;
        let format = match from.number()? {
            4 => Format::Dwarf32,
            8 => Format::Dwarf64,
            _ => return None,
        };
        let version = from.small().filter(|version| (2..=5).contains(version))?;
        Some(Code { bytes, encoding: Encoding { address_size, format, version } })
    }
}

impl Answer for Variable {
    fn write(&self, into: &mut Writer) {
        self.of.write(into);
        into.number(u64::from(self.is_argument));
        self.place.write(into);
    }

    fn read(from: &mut Reader<'_>) -> Option<Self> {
        Some(Variable { of: Answer::read(from)?, is_argument: from.flag()?, place: Answer::read(from)? })
    }
}

impl Answer for Activation {
    fn write(&self, into: &mut Writer) {
        into.text(&self.name);
        self.parameters.write(into);
        self.variables.write(into);
    }

    fn read(from: &mut Reader<'_>) -> Option<Self> {
        let (name, parameters) = (from.text()?.to_owned(), Answer::read(from)?);
        Some(Activation { name, parameters, variables: Answer::read(from)? })
    }
}

impl Answer for Frame {
    fn write(&self, into: &mut Writer) {
        self.functions.write(into);
        self.base.write(into);
    }

    fn read(from: &mut Reader<'_>) -> Option<Self> {
        Some(Frame { functions: Answer::read(from)?, base: Answer::read(from)? })
    }
}

/// Reads bytes as answers of each kind, and runs what there is to be run. How many kinds they may be.
#[cfg(feature = "test-support")]
pub fn read_as_each(bytes: &[u8], machine: &dyn super::Machine) -> usize {
    let frame = whole::<Option<Frame>>(bytes);
    for frame in frame.iter().flatten() {
        let variables = frame.functions.iter().flat_map(|function| &function.variables);
        variables.for_each(|variable| _ = frame.spot(variable, machine));
    }
    let others = [
        whole::<Option<Type>>(bytes).is_some(),
        whole::<Option<FunctionTypes>>(bytes).is_some(),
        whole::<Option<TypeId>>(bytes).is_some(),
        whole::<Vec<Awaited>>(bytes).is_some(),
    ];
    others.into_iter().chain([frame.is_some()]).filter(|is_it| *is_it).count()
}
