//! Sorts the tasks of a snapshot.

use crate::snapshot::Task;

/// Ids are sorted by this many bits at a time.
const DIGIT_BITS: u32 = 11;
/// Ids that differ in more bits than this are compared instead.
const MOST_BITS: u32 = 4 * DIGIT_BITS;

/// Sorts tasks by runtime, id and address; equal ones stay in their order. Each row is moved once: rows are large.
/// Returns the new row of each task, or None if all stay where they are.
pub(super) fn sort(tasks: &mut [Task]) -> Option<Vec<u32>> {
    if tasks.is_sorted_by_key(key) {
        return None;
    }
    let mut from = by_id(tasks).unwrap_or_else(|| by_key(tasks));
    let mut to = vec![0; from.len()];
    for (&before, row) in from.iter().zip(0u32..) {
        to[before as usize] = row;
    }
    // One cycle of the permutation after another. What is in its place becomes a cycle of its own.
    for start in 0..from.len() {
        let (first, mut at) = (tasks[start], start);
        loop {
            let next = std::mem::replace(&mut from[at], at as u32) as usize;
            if next == start {
                tasks[at] = first;
                break;
            }
            tasks[at] = tasks[next];
            at = next;
        }
    }
    Some(to)
}

/// What tasks are sorted by.
pub(super) fn key(task: &Task) -> (u8, Option<u64>, u64) {
    (task.runtime, task.id, task.address)
}

/// The numbers of the tasks in ascending order, by comparing.
fn by_key(tasks: &[Task]) -> Vec<u32> {
    let mut order: Vec<_> = tasks.iter().zip(0u32..).map(|(task, at)| (key(task), at)).collect();
    order.sort_unstable();
    order.into_iter().map(|(_, at)| at).collect()
}

/// The same, digit by digit: where all tasks are of one runtime, and their ids differ and are not far apart. Those without
/// an id are few, and come first.
fn by_id(tasks: &[Task]) -> Option<Vec<u32>> {
    let runtime = tasks.first()?.runtime;
    let (mut order, mut nameless) = (Vec::with_capacity(tasks.len()), Vec::new());
    for (task, at) in tasks.iter().zip(0u32..) {
        match task.id.filter(|_| task.runtime == runtime) {
            Some(id) => order.push((id, at)),
            None if task.runtime == runtime => nameless.push((task.address, at)),
            None => return None,
        }
    }
    nameless.sort_unstable();
    let least = order.iter().map(|(id, _)| *id).min()?;
    order.iter_mut().for_each(|(id, _)| *id -= least);
    let bits = u64::BITS - order.iter().fold(0, |all, (id, _)| all | id).leading_zeros();
    if bits > MOST_BITS {
        return None;
    }
    let mut sorted = order.clone();
    for shift in (0..bits).step_by(DIGIT_BITS as usize) {
        let digit = |id: u64| (id >> shift) as usize & ((1 << DIGIT_BITS) - 1);
        let mut places = [0; 1 << DIGIT_BITS];
        order.iter().for_each(|(id, _)| places[digit(*id)] += 1);
        let mut sum = 0;
        for place in &mut places {
            sum += std::mem::replace(place, sum);
        }
        for task in &order {
            let place = &mut places[digit(task.0)];
            sorted[*place] = *task;
            *place += 1;
        }
        std::mem::swap(&mut order, &mut sorted);
    }
    let differ = order.is_sorted_by(|a, b| a.0 < b.0);
    differ.then(|| nameless.into_iter().chain(order).map(|(_, at)| at).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(mut tasks: Vec<Task>) {
        let before = tasks.clone();
        let mut expected = tasks.clone();
        expected.sort_by_key(key);
        let to = sort(&mut tasks);
        assert_eq!(tasks, expected);
        let to = to.unwrap_or_else(|| (0..).take(before.len()).collect());
        assert!(before.iter().zip(to).all(|(task, row)| tasks[row as usize] == *task));
    }

    /// Tasks with ids and addresses made of random numbers.
    fn random(len: u64, make: impl Fn(u64, u64) -> Task) -> Vec<Task> {
        let mut random = 12345u64;
        (0..len)
            .map(|nth| {
                random ^= random << 13;
                random ^= random >> 7;
                random ^= random << 17;
                Task { mark: Some(nth), ..make(random, nth) }
            })
            .collect()
    }

    #[test]
    fn tasks_are_sorted_and_equal_ones_stay_in_their_order() {
        for len in [0, 1, 2, 3, 17, 1000] {
            check(random(len, |random, _| {
                let id = (!random.is_multiple_of(7)).then_some(random % 300);
                Task { runtime: (random % 2) as u8, id, address: random % 3, ..Task::default() }
            }));
        }
    }

    #[test]
    fn ids_that_differ_are_sorted_digit_by_digit() {
        for (len, apart) in [(2, 1), (3, 1 << 20), (1000, 1), (5000, 7), (5000, 1 << 30), (1000, 1 << 44)] {
            // Each number below 5,003, once.
            let tasks = random(len, |_, nth| Task {
                id: Some(1_000_000 + nth * 2741 % 5003 * apart),
                ..Task::default()
            });
            assert_eq!(by_id(&tasks).is_some(), apart < 1 << 40, "{len} {apart}");
            check(tasks);
        }
        let mut some = random(100, |random, nth| {
            let id = (!nth.is_multiple_of(9)).then_some(5000 - nth);
            Task { id, address: random % 5, ..Task::default() }
        });
        assert!(by_id(&some).is_some());
        check(some.clone());
        some[50].runtime = 1;
        assert_eq!(by_id(&some), None);
        let twice = |_, nth: u64| Task { id: Some(100 - nth / 2), address: nth % 2, ..Task::default() };
        assert_eq!(by_id(&random(20, twice)), None);
        check(random(20, twice));
        check(vec![Task { id: Some(u64::MAX), ..Task::default() }, Task { id: Some(0), ..Task::default() }]);
    }
}
