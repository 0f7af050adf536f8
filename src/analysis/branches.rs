//! The futures that tasks poll together, of one task and of a group.

use crate::snapshot::{Branch, Snapshot};

/// What the tasks of a group poll together.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Branches<'a> {
    /// Each of them these, as the first of them.
    Same(&'a [Branch]),
    /// Not all of them the same.
    Differ,
}

/// What some tasks, given by their rows, poll together: nothing, if the first of `Same` is empty.
pub fn of_tasks<'a>(snapshot: &'a Snapshot, rows: &[u32]) -> Branches<'a> {
    let Some((&first, rest)) = rows.split_first().filter(|_| !snapshot.links.branches.is_empty()) else {
        return Branches::Same(&[]);
    };
    let first = snapshot.branches_of(first);
    let is_same = |row: &u32| {
        let other = snapshot.branches_of(*row);
        other.len() == first.len() && other.iter().zip(first).all(|(a, b)| key(a) == key(b))
    };
    if rest.iter().all(is_same) { Branches::Same(first) } else { Branches::Differ }
}

/// What two equal branches of different tasks share.
fn key(branch: &Branch) -> impl PartialEq + use<> {
    let Branch { depth, nth, of, stack, stack_status, reason, .. } = *branch;
    (depth, nth, of, stack, stack_status, reason)
}

/// How many of the branches that are polled together with a branch, the last of those that were read, were not read.
pub fn missing_after(branches: &[Branch], nth: usize) -> u64 {
    let Some(branch) = branches.get(nth) else { return 0 };
    let behind = branches.get(nth.saturating_add(1)..).unwrap_or_default();
    let next = behind.iter().find(|other| other.depth <= branch.depth);
    if next.is_some_and(|next| next.depth == branch.depth) { 0 } else { branch.of.saturating_sub(branch.nth) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::{Span, StackStatus, WaitClass};

    fn branch(task: u32, number: u32, depth: u32, (nth, of): (u64, u64)) -> Branch {
        Branch {
            task,
            number,
            depth,
            nth,
            of,
            stack: None,
            stack_status: StackStatus::Complete,
            reason: None,
            wait_class: WaitClass::Other,
            waits: Span::default(),
        }
    }

    #[test]
    fn tasks_of_a_group_have_the_same_branches_or_not() {
        let mut snapshot = Snapshot::default();
        for task in [0, 1] {
            snapshot.links.branches.extend([branch(task, 0, 1, (1, 2)), branch(task, 1, 1, (2, 2))]);
        }
        snapshot.links.branches.push(branch(2, 0, 1, (1, 2)));
        assert_eq!(of_tasks(&snapshot, &[0, 1]), Branches::Same(snapshot.branches_of(0)));
        assert_eq!(of_tasks(&snapshot, &[0, 2]), Branches::Differ);
        assert_eq!(of_tasks(&snapshot, &[0, 7]), Branches::Differ);
        assert_eq!(of_tasks(&snapshot, &[7]), Branches::Same(&[]));
    }

    #[test]
    fn branches_that_were_not_read_are_counted_behind_the_last_one() {
        let all = [
            branch(0, 0, 1, (1, 5)),
            branch(0, 1, 2, (1, 9)),
            branch(0, 2, 1, (2, 5)),
            branch(0, 3, 2, (1, 1)),
        ];
        let missing: Vec<u64> = (0..4).map(|nth| missing_after(&all, nth)).collect();
        assert_eq!(missing, [0, 8, 3, 0]);
    }
}
