//! A table that stores every value once.

use std::hash::{BuildHasher, Hash};

use hashbrown::{DefaultHashBuilder, HashTable};

/// A table that stores every value once, also in memory: the index refers to the values by number. Hashed
/// with its own seed, because the values come from programs that may be hostile.
#[derive(Debug)]
pub(crate) struct Interner<T> {
    values: Vec<T>,
    index: HashTable<Slot>,
    hasher: DefaultHashBuilder,
}

/// The number of a value, and enough of its hash that a growing table need not visit the values.
#[derive(Debug, Clone, Copy)]
struct Slot {
    hash: u32,
    id: u32,
}

/// Proof of [`Interner::find`] that a value is missing, for [`Interner::push`].
#[derive(Debug, Clone, Copy)]
pub(crate) struct Missing(u32);

/// A hash whose upper and lower bits are those of `part`: the table uses both.
fn spread(part: u32) -> u64 {
    u64::from(part) << 32 | u64::from(part)
}

impl<T> Default for Interner<T> {
    fn default() -> Self {
        Interner { values: Vec::new(), index: HashTable::new(), hasher: DefaultHashBuilder::default() }
    }
}

impl<T> Interner<T> {
    /// The number of the value whose key, given by `key_of`, is `key`.
    pub(crate) fn find<Q: Eq + Hash + ?Sized>(
        &self,
        key: &Q,
        key_of: impl Fn(&T) -> &Q,
    ) -> Result<u32, Missing> {
        let hash = self.hasher.hash_one(key) as u32;
        let is_it = |slot: &Slot| {
            slot.hash == hash && self.values.get(slot.id as usize).is_some_and(|value| key_of(value) == key)
        };
        self.index.find(spread(hash), is_it).map(|slot| slot.id).ok_or(Missing(hash))
    }

    /// Adds a value that was not found.
    pub(crate) fn push(&mut self, Missing(hash): Missing, value: T) -> u32 {
        let id = self.values.len() as u32;
        self.values.push(value);
        self.index.insert_unique(spread(hash), Slot { hash, id }, |slot| spread(slot.hash));
        id
    }

    /// How many values there are.
    pub(crate) fn len(&self) -> usize {
        self.values.len()
    }

    /// Removes all values from number `len` on.
    pub(crate) fn truncate(&mut self, len: usize) {
        self.values.truncate(len);
        self.index.retain(|slot| (slot.id as usize) < len);
    }

    /// The value with this number.
    pub(crate) fn get(&self, id: u32) -> Option<&T> {
        self.values.get(id as usize)
    }

    /// All values, by number.
    pub(crate) fn into_values(self) -> Vec<T> {
        self.values
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_is_there_once() {
        let mut table = Interner::<String>::default();
        let mut add = |text: &str| match table.find(text, String::as_str) {
            Ok(id) => id,
            Err(missing) => table.push(missing, text.to_owned()),
        };
        let ids: Vec<_> = (0..5000).map(|number| add(&number.to_string())).collect();
        assert_eq!(ids, (0..5000).collect::<Vec<_>>());
        assert_eq!((add("0"), add("4999"), add("5000")), (0, 4999, 5000));
        assert_eq!(table.get(17).map(String::as_str), Some("17"));
        table.truncate(18);
        assert!(table.find("17", String::as_str).is_ok() && table.find("18", String::as_str).is_err());
        assert_eq!(table.into_values().len(), 18);
    }
}
