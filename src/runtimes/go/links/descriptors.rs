//! The descriptors that goroutines wait for.

use rustc_hash::FxHashSet;

use super::poll::{self, Identity, Polled, Polls};
use super::{BATCH, Search};
use crate::cause::full_text;
use crate::process::TargetError;
use crate::snapshot::{Descriptor, ObjectKind};

/// CPU time that the details of one descriptor take, about.
const PER_DESCRIPTOR_NS: u128 = 20_000;

impl Search<'_, '_> {
    /// The descriptors of goroutines in IO wait.
    pub(super) fn polls(&mut self) -> Result<(), TargetError> {
        let tasks = &self.scope.candidates.polled;
        let Some(mut polls) = Polls::new(self.go).filter(|_| !tasks.is_empty()) else { return Ok(()) };
        let (mut moved, mut not_found, mut left_out) = (0, 0, 0);
        for batch in tasks.chunks(BATCH) {
            if self.budget.is_over() {
                left_out += batch.len();
                continue;
            }
            let parked = self.structs.parked(batch, self.into)?;
            let found = polls.of(parked, self.scope.stacks, &mut self.structs)?;
            let found = self.structs.unmoved(found)?;
            moved += batch.len() - found.len();
            for (parked, polled) in found {
                let Some(polled) = polled else {
                    not_found += 1;
                    continue;
                };
                if self.wait(parked.task, ObjectKind::Descriptor, polled.fd.into(), polled.op) {
                    self.note(polled);
                }
            }
        }
        let unknown = moved + not_found + left_out;
        if unknown > 0 {
            self.into.links.unknown.push(format!(
                "the descriptors of {unknown} of {} goroutines in IO wait are unknown: {moved} have run meanwhile, \
                 {not_found} have none in their frames, {left_out} were left out for lack of time",
                tasks.len()
            ));
        }
        Ok(())
    }

    fn note(&mut self, polled: Polled) {
        let known = self.descriptors.entry(polled.fd).or_insert_with(|| Known::new(polled.fd));
        (known.row.read_deadline, known.row.write_deadline) = (polled.read_deadline, polled.write_deadline);
        known.polled = Some(polled.identity);
    }

    /// What the kernel says of the descriptors, as far as there is time.
    pub(super) fn details(&mut self) -> Result<(), TargetError> {
        let enough = usize::try_from(self.budget.left().as_nanos() / PER_DESCRIPTOR_NS).unwrap_or(usize::MAX);
        let all: Vec<u32> = self.descriptors.keys().copied().collect();
        let asked = all.get(..enough.min(all.len())).unwrap_or_default();
        if !asked.is_empty() {
            match self.target.descriptors(asked) {
                Ok(details) => self.add_details(details)?,
                Err(error @ TargetError::Ended { .. }) => return Err(error),
                Err(error) => {
                    let unknown = format!("what the descriptors are is unknown: {}", full_text(&error));
                    self.into.links.unknown.push(unknown);
                }
            }
        }
        if asked.len() < all.len() {
            self.into.links.unknown.push(format!(
                "what {} of {} descriptors are is unknown: they were left out for lack of time",
                all.len() - asked.len(),
                all.len()
            ));
        }
        let rows = std::mem::take(&mut self.descriptors).into_values().map(|known| known.row);
        self.into.links.descriptors.extend(rows);
        Ok(())
    }

    /// Adds what was found out. Its number may have been given to something else before that: what was closed
    /// meanwhile keeps its number only.
    fn add_details(&mut self, details: Vec<Descriptor>) -> Result<(), TargetError> {
        let polled: Vec<(u32, Identity)> =
            self.descriptors.iter().filter_map(|(fd, known)| Some((*fd, known.polled?))).collect();
        let identities: Vec<Identity> = polled.iter().map(|(_, identity)| *identity).collect();
        let mut open: FxHashSet<u32> = FxHashSet::default();
        if let Some(layout) = &self.go.links.poll {
            let same = poll::still_open(layout, &identities, &mut self.structs)?;
            open.extend(polled.iter().zip(same).filter(|(_, same)| *same).map(|((fd, _), _)| *fd));
        }
        for (fd, known) in &self.descriptors {
            let same = |(thread, sleeps): (u32, u64)| {
                self.target.call_of(thread).is_some_and(|call| call.sleeps == sleeps)
            };
            if known.called.is_some_and(same) {
                open.insert(*fd);
            }
        }
        for row in details.into_iter().filter(|row| open.contains(&row.fd)) {
            if let Some(known) = self.descriptors.get_mut(&row.fd) {
                let Descriptor { read_deadline, write_deadline, .. } = known.row;
                known.row = Descriptor { read_deadline, write_deadline, ..row };
            }
        }
        Ok(())
    }
}

/// A descriptor that a task waits for.
pub(super) struct Known {
    row: Descriptor,
    /// As the runtime's poller knows it.
    polled: Option<Identity>,
    /// The thread that waits for it in a system call, and how often that had gone to sleep then.
    pub(super) called: Option<(u32, u64)>,
}

impl Known {
    /// Only its number is known.
    pub(super) fn new(fd: u32) -> Self {
        Known { row: Descriptor::new(fd), polled: None, called: None }
    }

    /// Known to the runtime's poller.
    pub(super) fn polled(fd: u32, identity: Identity) -> Self {
        Known { polled: Some(identity), ..Known::new(fd) }
    }
}
