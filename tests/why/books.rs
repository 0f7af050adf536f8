//! What busy tasks note of themselves, and whether it was so.

use std::collections::BTreeMap;

use crate::plan::Place;
use crate::running::System;

/// Bytes of an entry.
const ENTRY: usize = 24;

/// What a task notes (`fixtures/why/busy.go`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    Wants = 1,
    Has,
    Gives,
    Asks,
    Asked,
    Answered,
    Got,
    Answers,
    Sent,
}

impl What {
    fn of(number: u64) -> What {
        use What::{Answered, Answers, Asked, Asks, Gives, Got, Has, Sent, Wants};
        let all = [Wants, Has, Gives, Asks, Asked, Answered, Got, Answers, Sent];
        *all.iter().find(|what| **what as u64 == number).expect("a task notes nothing else")
    }
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    at: u64,
    what: What,
    thing: u32,
}

/// From when to when a task had a lock.
type Owner = (u64, u64, Place);

/// The books of all processes of a system.
#[derive(Debug, Default)]
pub(crate) struct Books {
    /// What each task notes, in the order of time.
    of: BTreeMap<Place, Vec<Entry>>,
    /// For each lock of a process who had it: from when to when, ascending.
    owners: BTreeMap<(usize, u32), Vec<Owner>>,
}

impl Books {
    /// Reads them up to now. The system goes on.
    pub(crate) fn read(system: &System) -> Books {
        let mut books = Books::default();
        for process in 0..system.plan.processes.len() {
            let path = system.directory().join(format!("p{process}.books"));
            let Ok(bytes) = std::fs::read(path) else { continue };
            let word = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"));
            let count = word(0) as usize;
            assert!((count + 2) * ENTRY < bytes.len(), "the books of process {process} are full");
            // The last ones may be in the making.
            for at in (1..=count).map(|nth| nth * ENTRY).filter(|&at| word(at) != 0) {
                let (id, what) = (word(at + 8), word(at + 16));
                let place = system.task(process, id).expect("only tasks of the plan have books");
                let entry = Entry { at: word(at), what: What::of(what >> 32), thing: what as u32 };
                books.of.entry(place).or_default().push(entry);
            }
        }
        for (&place, entries) in &mut books.of {
            entries.sort_by_key(|entry| entry.at);
            let mut since = BTreeMap::new();
            for entry in entries.iter() {
                match entry.what {
                    What::Has => drop(since.insert(entry.thing, entry.at)),
                    What::Gives => {
                        let from = since.remove(&entry.thing).expect("who gives it has it");
                        let of_lock = books.owners.entry((place.0, entry.thing)).or_default();
                        of_lock.push((from, entry.at, place));
                    }
                    _ => {}
                }
            }
            for (thing, from) in since {
                books.owners.entry((place.0, thing)).or_default().push((from, u64::MAX, place));
            }
        }
        books.owners.values_mut().for_each(|owners| owners.sort_unstable());
        books
    }

    /// What a task noted until a time.
    fn until(&self, task: Place, at: u64) -> &[Entry] {
        let entries = self.of.get(&task).map_or(&[][..], Vec::as_slice);
        entries.get(..entries.partition_point(|entry| entry.at <= at)).unwrap_or_default()
    }

    /// Whether a task that has books waited for another one at this time. Between two entries about a change, both sides of
    /// the change are true.
    pub(crate) fn waited(&self, from: Place, to: Place, at: u64) -> bool {
        let (own, other) = (self.until(from, at), self.until(to, at));
        let count = |of: &[Entry], what| of.iter().filter(|entry| entry.what == what).count();
        match own.last().map(|entry| entry.what) {
            Some(What::Wants) => {
                let lock = own.last().map_or(0, |entry| entry.thing);
                from.0 == to.0 && self.had(from.0, lock, to, at)
            }
            Some(What::Asked) => count(other, What::Sent) < count(own, What::Asked),
            // One who answers waits for the next question, even before the first one.
            Some(What::Sent) | None => count(other, What::Asked) <= count(own, What::Sent),
            _ => false,
        }
    }

    /// Whether a task had a lock of its process at this time.
    fn had(&self, process: usize, lock: u32, task: Place, at: u64) -> bool {
        let Some(owners) = self.owners.get(&(process, lock)) else { return false };
        let behind = owners.partition_point(|&(from, ..)| from <= at);
        let (before, after) = (behind.checked_sub(1).and_then(|nth| owners.get(nth)), owners.get(behind));
        let is = |owner: Option<&Owner>| owner.is_some_and(|&(.., place)| place == task);
        // Between two owners both may have it: the one has noted that it gives it, the other one not yet that it has it.
        let given = before.is_none_or(|&(_, to, _)| to < at);
        is(before) || given && is(after)
    }
}
