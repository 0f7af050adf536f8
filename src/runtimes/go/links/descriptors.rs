//! The descriptors that goroutines wait for.

use super::poll::{Polled, Polls};
use super::{BATCH, Search};
use crate::cause::full_text;
use crate::process::TargetError;
use crate::snapshot::{Descriptor, ObjectKind, TaskState, WaitClass};

/// CPU time that the details of one descriptor take, about.
const PER_DESCRIPTOR_NS: u128 = 20_000;

impl Search<'_, '_> {
    /// The descriptors of goroutines in IO wait.
    pub(super) fn polls(&mut self) -> Result<(), TargetError> {
        let tasks = self.tasks(|task| task.state == TaskState::Waiting && task.wait_class == WaitClass::Io);
        let Some(mut polls) = Polls::new(self.go).filter(|_| !tasks.is_empty()) else { return Ok(()) };
        let (mut moved, mut not_found, mut left_out) = (0, 0, 0);
        for batch in tasks.chunks(BATCH) {
            if self.budget.is_over() {
                left_out += batch.len();
                continue;
            }
            let parked = self.structs.parked(batch, self.into)?;
            let tasks = self.into.tasks();
            let stack_of = |number: usize| tasks.get(number)?.stack;
            let found = polls.of(parked, self.stacks, stack_of, &mut self.structs)?;
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
        let row = self.descriptors.entry(polled.fd).or_insert_with(|| Descriptor::new(polled.fd));
        (row.read_deadline, row.write_deadline) = (polled.read_deadline, polled.write_deadline);
    }

    /// What the kernel says of the descriptors, as far as there is time.
    pub(super) fn details(&mut self) -> Result<(), TargetError> {
        let enough = usize::try_from(self.budget.left().as_nanos() / PER_DESCRIPTOR_NS).unwrap_or(usize::MAX);
        let all: Vec<u32> = self.descriptors.keys().copied().collect();
        let asked = all.get(..enough.min(all.len())).unwrap_or_default();
        if !asked.is_empty() {
            match self.target.descriptors(asked) {
                Ok(details) => details.into_iter().for_each(|row| self.detail(row)),
                Err(error @ TargetError::Ended { .. }) => return Err(error),
                Err(error) => self
                    .into
                    .links
                    .unknown
                    .push(format!("what the descriptors are is unknown: {}", full_text(&error))),
            }
        }
        if asked.len() < all.len() {
            self.into.links.unknown.push(format!(
                "what {} of {} descriptors are is unknown: they were left out for lack of time",
                all.len() - asked.len(),
                all.len()
            ));
        }
        self.into.links.descriptors.extend(std::mem::take(&mut self.descriptors).into_values());
        Ok(())
    }

    fn detail(&mut self, row: Descriptor) {
        if let Some(known) = self.descriptors.get_mut(&row.fd) {
            let (read_deadline, write_deadline) = (known.read_deadline, known.write_deadline);
            *known = Descriptor { read_deadline, write_deadline, ..row };
        }
    }
}
