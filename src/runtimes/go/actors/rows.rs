//! The actors that were found, by object; of those that are only possible, the nearest ones.

use rustc_hash::FxHashMap;

use crate::runtimes::go::unwind::CodeAddress;
use crate::snapshot::{Action, By, Certainty, ObjectId};

/// Actors of one object that are only possible.
const MAX_PERHAPS: usize = 8;
/// Tasks recorded for an object although it is not known what they do with it, if nobody else is found.
const MAX_UNKNOWN: usize = 3;
/// Actors of one object.
const MAX_ACTORS: usize = 64;

/// Someone who acts, before its location is known to the snapshot.
#[derive(Debug, Clone, Copy)]
pub(in crate::runtimes::go) struct Found {
    pub(in crate::runtimes::go) object: ObjectId,
    pub(in crate::runtimes::go) by: By,
    pub(in crate::runtimes::go) action: Action,
    pub(in crate::runtimes::go) certainty: Certainty,
    /// The frame that acts.
    pub(in crate::runtimes::go) at: Option<CodeAddress>,
    pub(in crate::runtimes::go) hops: u8,
}

/// Actors of one object.
#[derive(Debug, Default)]
struct Row {
    good: Vec<Found>,
    perhaps: Vec<Found>,
    unknown: Vec<Found>,
    /// Some were left out.
    left_out: usize,
}

/// The actors that were found.
#[derive(Debug, Default)]
pub(super) struct Rows {
    rows: FxHashMap<ObjectId, Row>,
}

impl Rows {
    pub(super) fn add(&mut self, found: Found) {
        let row = self.rows.entry(found.object).or_default();
        let (list, most) = match (found.action, found.certainty) {
            (Action::Unknown, _) => (&mut row.unknown, MAX_UNKNOWN),
            (_, Certainty::Perhaps) => (&mut row.perhaps, MAX_PERHAPS),
            _ => (&mut row.good, MAX_ACTORS),
        };
        let at = list.partition_point(|known| (known.certainty, known.hops) <= (found.certainty, found.hops));
        list.insert(at, found);
        if list.len() > most {
            list.truncate(most);
            row.left_out += 1;
        }
    }

    /// The actors of an object.
    pub(super) fn of(&self, object: ObjectId) -> impl Iterator<Item = Found> {
        let row = self.rows.get(&object);
        let nobody = row.is_some_and(|row| row.good.is_empty() && row.perhaps.is_empty());
        row.into_iter()
            .flat_map(move |row| {
                let unknown = row.unknown.iter().filter(move |_| nobody);
                row.good.iter().chain(&row.perhaps).chain(unknown)
            })
            .copied()
    }

    /// How many objects have more actors than are recorded.
    pub(super) fn cut(&self) -> usize {
        self.rows.values().filter(|row| row.left_out > 0 && !row.good.is_empty()).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(by: u32, action: Action, certainty: Certainty, hops: u8) -> Found {
        Found { object: ObjectId(0), by: By::Task(by), action, certainty, at: None, hops }
    }

    fn who(rows: &Rows) -> Vec<By> {
        rows.of(ObjectId(0)).map(|found| found.by).collect()
    }

    #[test]
    fn the_best_and_nearest_come_first() {
        let mut rows = Rows::default();
        rows.add(found(1, Action::Unknown, Certainty::Perhaps, 0));
        assert_eq!(who(&rows), [By::Task(1)]);
        rows.add(found(2, Action::Send, Certainty::Perhaps, 3));
        rows.add(found(3, Action::Send, Certainty::Perhaps, 1));
        rows.add(found(4, Action::Close, Certainty::Likely, 2));
        rows.add(found(5, Action::Close, Certainty::Sure, 2));
        assert_eq!(who(&rows), [5, 4, 3, 2].map(By::Task), "a mere pointer is not worth a row now");
    }

    #[test]
    fn there_are_never_too_many() {
        let mut rows = Rows::default();
        for task in 0..100 {
            rows.add(found(task, Action::Send, Certainty::Perhaps, (task % 3) as u8 + 1));
            rows.add(found(task, Action::Send, Certainty::Likely, 0));
        }
        assert_eq!(who(&rows).len(), MAX_ACTORS + MAX_PERHAPS);
        assert!(rows.of(ObjectId(0)).skip(MAX_ACTORS).all(|found| found.hops == 1));
        assert_eq!(rows.cut(), 1);
    }
}
