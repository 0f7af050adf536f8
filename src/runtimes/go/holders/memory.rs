//! What one reading found out and the next can reuse.
//!
//! Code does not change. A goroutine at the same place, with the same bytes on its stack, will continue as it
//! would have before.

use std::hash::Hasher;

use rustc_hash::{FxHashMap, FxHasher};

use super::held_locks::{Held, Parts};
use super::lookahead::Taken;
use super::stopped::View;
use crate::snapshot::Task;

/// What was found out about code and goroutines. It is as large as one reading: goroutines not examined in
/// this reading are dropped.
#[derive(Debug, Default)]
pub(in super::super) struct Remembered {
    pub(super) parts: Parts,
    /// By the address of the goroutine's struct.
    before: FxHashMap<u64, Answer>,
    now: FxHashMap<u64, Answer>,
}

/// What a goroutine was found to hold.
#[derive(Debug, Clone)]
pub(super) struct Answer {
    pub(super) held: Box<[Held]>,
    /// All of its frames were examined.
    pub(super) is_whole: bool,
    print: u64,
}

impl Remembered {
    /// The answer for the goroutine at `g`, if the goroutine has not changed since.
    pub(super) fn recall(&mut self, g: u64, print: u64) -> Option<Answer> {
        let answer = self.before.remove(&g).filter(|answer| answer.print == print)?;
        self.now.insert(g, answer.clone());
        Some(answer)
    }

    /// Keeps what was found out.
    pub(super) fn keep(&mut self, g: u64, print: u64, held: &[Held], is_whole: bool) {
        self.now.insert(g, Answer { held: held.into(), is_whole, print });
    }

    /// Ends a reading: answers that it did not use are dropped.
    pub(super) fn turn_over(&mut self) {
        self.before = std::mem::take(&mut self.now);
    }
}

/// Equal for a goroutine that has not moved: same id, same place, same stack contents, same locks about to be
/// taken. None for one that ran until it was held: it will be elsewhere the next time.
pub(super) fn print(view: &View<'_>, task: &Task, taken: &[Taken]) -> Option<u64> {
    if view.state.is_some() {
        return None;
    }
    let mut hasher = FxHasher::default();
    hasher.write_u64(task.id?);
    hasher.write_u64(task.mark?);
    hasher.write_u64(view.frames.first()?.pc.pc());
    hasher.write_u64(view.stack.base);
    for one in taken {
        hasher.write_u64(match one {
            Taken::Lock(address) => *address,
            Taken::Unknown => u64::MAX,
        });
    }
    hasher.write(view.stack.bytes);
    Some(hasher.finish())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::super::held_locks::Frame;
    use super::*;
    use crate::runtimes::go::unwind::{CodeAddress, Window};

    #[test]
    fn an_answer_holds_as_long_as_nothing_moves() {
        let held = [Held { lock: 0x40, shared: true, pc: CodeAddress::after_call(0x1000) }];
        let mut remembered = Remembered::default();
        remembered.keep(7, 1, &held, true);
        remembered.turn_over();
        assert_eq!(*remembered.recall(7, 1).unwrap().held, held);
        remembered.turn_over();
        assert!(remembered.recall(7, 2).is_none(), "it has moved");
        remembered.turn_over();
        assert!(remembered.recall(7, 1).is_none(), "it was not there in the reading before");
    }

    #[test]
    fn whatever_decides_is_part_of_the_print() {
        let frames = [Frame { pc: CodeAddress::after_call(0x1000), sp: 0x8000 }];
        let task = Task { id: Some(9), mark: Some(3), ..Task::default() };
        let of = |task: &Task, bytes: &[u8], taken: &[Taken]| {
            let stack = Window { base: 0x8000, bytes, cut: false };
            print(&View { g: 7, frames: &frames, stack, state: None }, task, taken).unwrap()
        };
        let first = of(&task, &[1, 2], &[]);
        assert_eq!(first, of(&task, &[1, 2], &[]));
        for other in [
            of(&task, &[1, 3], &[]),
            of(&task, &[1, 2], &[Taken::Lock(0x40)]),
            of(&Task { id: Some(8), ..task }, &[1, 2], &[]),
            of(&Task { mark: Some(4), ..task }, &[1, 2], &[]),
        ] {
            assert_ne!(first, other);
        }
    }
}
