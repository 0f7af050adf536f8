//! The names in a flame graph.

use rustc_hash::FxHashMap;

/// Index into [`super::Flame::names`]; the lower of two is first in the alphabet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct NameId(pub u32);

impl NameId {
    /// The position in its table.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// What a name belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub enum NameKind {
    /// All tasks, a runtime, a state, a creator, a label, a thread.
    #[default]
    Row,
    /// A function.
    Function,
    /// Says that frames are not known.
    Unknown,
}

/// A name, as it came from the target: escape before printing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Name {
    /// The function, or the name of the row. Never empty.
    pub text: String,
    /// What it belongs to.
    pub kind: NameKind,
    /// The package of a function. Empty if it has none.
    pub package: String,
    /// The source file of a function. Empty if unknown.
    pub file: String,
    /// The function is part of the program itself, not of a library.
    pub own: bool,
}

/// Holds every name once. Names are equal if text and kind are; the other fields are those of the first.
#[derive(Debug, Default)]
pub(super) struct Names {
    names: Vec<Name>,
    index: FxHashMap<(NameKind, String), u32>,
}

impl Names {
    /// A temporary number of a name: [`Names::sort`] gives it its id.
    pub(super) fn add(&mut self, mut name: Name) -> u32 {
        if name.text.is_empty() {
            name.text.push_str("(no name)");
        }
        let next = self.names.len() as u32;
        let number = *self.index.entry((name.kind, name.text.clone())).or_insert(next);
        if number == next {
            self.names.push(name);
        }
        number
    }

    pub(super) fn row(&mut self, text: &str) -> u32 {
        self.add(Name { text: text.to_owned(), ..Name::default() })
    }

    pub(super) fn unknown(&mut self, text: &str) -> u32 {
        self.add(Name { text: text.to_owned(), kind: NameKind::Unknown, ..Name::default() })
    }

    /// The names in alphabetical order, and for each temporary number the id of its name.
    pub(super) fn sort(self) -> (Vec<Name>, Vec<NameId>) {
        let mut order: Vec<u32> = (0..self.names.len() as u32).collect();
        let key = |&number: &u32| self.names.get(number as usize).map(|name| (&name.text, name.kind));
        order.sort_by(|a, b| key(a).cmp(&key(b)));
        let mut ids = vec![NameId(0); order.len()];
        for (id, &number) in order.iter().enumerate() {
            if let Some(slot) = ids.get_mut(number as usize) {
                *slot = NameId(id as u32);
            }
        }
        let mut names = self.names;
        let sorted = order.iter().filter_map(|&number| names.get_mut(number as usize).map(std::mem::take));
        (sorted.collect(), ids)
    }
}
