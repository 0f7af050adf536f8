//! Which goroutine waits for which semaphore, up to Go 1.25, where a goroutine's own struct does not tell.
//!
//! `runtime.semtable` holds 251 roots: trees of semaphores, each semaphore with a list of waiters. The
//! waiters of a condition variable are listed in the variable itself, which is found through a pointer on the
//! waiter's own stack. Source: `src/runtime/sema.go`.

use rustc_hash::{FxHashMap, FxHashSet};

use super::offsets::Offsets;
use crate::process::Memory;
use crate::process::paged::PagedMemory;

/// `semTabSize` and the size of an entry (padded to a cache line).
const ROOTS: u64 = 251;
const ROOT_SIZE: u64 = 64;
/// `semaRoot.treap` follows its lock.
const TREAP: u64 = 8;
/// `notifyList.head`, after two counters and a lock.
const LIST_HEAD: u64 = 16;
/// Bytes of a waiter's stack that are searched for its condition variable.
const FRAMES_SEARCHED: usize = 512;

/// Waiters by the address of their goroutine struct.
pub(super) struct Semaphores<'a> {
    memory: PagedMemory<'a>,
    offsets: &'a Offsets,
    /// The address that each goroutine waits for.
    waiters: FxHashMap<u64, u64>,
    /// No more than this many links are followed: there are no more goroutines than that.
    budget: usize,
}

impl<'a> Semaphores<'a> {
    /// Reads the table of semaphores; `tasks` bounds how many waiters there can be.
    pub(super) fn read(
        memory: &'a dyn Memory,
        offsets: &'a Offsets,
        semtable: Option<u64>,
        tasks: usize,
    ) -> Self {
        let mut this = Semaphores {
            memory: PagedMemory::new(memory),
            offsets,
            waiters: FxHashMap::default(),
            budget: 2 * tasks + 1024,
        };
        for root in
            semtable.iter().flat_map(|table| (0..ROOTS).map(move |i| table.wrapping_add(i * ROOT_SIZE)))
        {
            if let Some(treap) = this.memory.word(root + TREAP) {
                this.walk_tree(treap);
            }
        }
        this
    }

    fn walk_tree(&mut self, root: u64) {
        let mut todo = vec![root];
        let mut seen = FxHashSet::default();
        while let Some(node) = todo.pop() {
            if node == 0 || !seen.insert(node) || !self.spend() {
                continue;
            }
            let Some(semaphore) = self.memory.word(node.wrapping_add(self.offsets.sudog_elem as u64)) else {
                continue;
            };
            todo.extend(self.memory.word(node.wrapping_add(self.offsets.sudog_prev as u64)));
            todo.extend(self.memory.word(node.wrapping_add(self.offsets.sudog_next as u64)));
            self.walk_list(node, self.offsets.sudog_waitlink, semaphore);
        }
    }

    /// Records the goroutines of a list of sudogs as waiters for `address`.
    fn walk_list(&mut self, head: u64, link: usize, address: u64) -> Vec<u64> {
        let mut found = Vec::new();
        let mut at = head;
        while at != 0 && self.spend() {
            let Some(g) = self.memory.word(at.wrapping_add(self.offsets.sudog_g as u64)) else { break };
            found.push(g);
            at = self.memory.word(at.wrapping_add(link as u64)).unwrap_or(0);
        }
        for g in &found {
            self.waiters.insert(*g, address);
        }
        found
    }

    fn spend(&mut self) -> bool {
        self.budget = self.budget.saturating_sub(1);
        self.budget > 0
    }

    /// The address of the semaphore that a goroutine waits for.
    pub(super) fn of(&self, g: u64) -> Option<u64> {
        self.waiters.get(&g).copied()
    }

    /// The address of the `notifyList` of the condition variable that goroutine `g`, parked at `sp`, waits
    /// for. It is found by a pointer on the goroutine's stack to a list that contains the goroutine.
    pub(super) fn condition_of(&mut self, g: u64, sp: u64) -> Option<u64> {
        if let Some(&known) = self.waiters.get(&g) {
            return Some(known);
        }
        let mut tried = FxHashSet::default();
        for at in (0..FRAMES_SEARCHED as u64).step_by(8) {
            let candidate = self.memory.word(sp.checked_add(at)?)?;
            if candidate < 4096 || candidate % 8 != 0 || !tried.insert(candidate) {
                continue;
            }
            let Some(head) = self.memory.word(candidate.wrapping_add(LIST_HEAD)) else { continue };
            let Some(tail) = self.memory.word(candidate.wrapping_add(LIST_HEAD + 8)) else { continue };
            // A sudog of a condition variable has no channel. This rules out nearly everything else.
            let is_waiter = |this: &mut Self, sudog: u64| {
                sudog != 0 && this.memory.word(sudog.wrapping_add(this.offsets.sudog_c as u64)) == Some(0)
            };
            if !is_waiter(self, head) || !is_waiter(self, tail) || !self.is_list_with(head, tail, g) {
                continue;
            }
            self.walk_list(head, self.offsets.sudog_next, candidate);
            return Some(candidate);
        }
        None
    }

    /// Does the list from `head` end at `tail` and contain a sudog of `g`?
    fn is_list_with(&mut self, head: u64, tail: u64, g: u64) -> bool {
        let (mut at, mut last, mut member) = (head, 0, false);
        while at != 0 && self.spend() {
            member |= self.memory.word(at.wrapping_add(self.offsets.sudog_g as u64)) == Some(g);
            last = at;
            at = self.memory.word(at.wrapping_add(self.offsets.sudog_next as u64)).unwrap_or(0);
        }
        member && last == tail
    }
}
