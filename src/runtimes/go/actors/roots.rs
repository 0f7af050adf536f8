//! What leads to objects besides stacks: package variables, and functions that timers will call.

use rustc_hash::FxHashSet;

use super::look::{Intent, Receiver, intent};
use super::reach::{Limits, is_address};
use super::rows::Found;
use super::{Plain, Search};
use crate::process::bytes::words;
use crate::runtimes::go::GoError;
use crate::runtimes::go::arch::state::{CpuState, World};
use crate::runtimes::go::holders::held_locks::StoppedGoroutine;
use crate::runtimes::go::links;
use crate::runtimes::go::unwind::{CodeAddress, Window};
use crate::snapshot::{Action, By, Certainty, ObjectId};

/// Bytes of package variables that are read.
const MAX_VARIABLES: u64 = 32 << 20;
/// Bytes read together.
const BLOCK: u64 = 1 << 20;
/// Objects and bytes that are read from each block on.
const LIMITS: Limits = Limits { objects: 1 << 16, bytes: 16 << 20 };
/// Timers' functions that are run ahead.
const MAX_CALLS: usize = 1 << 14;

/// Objects that package variables lead to.
#[derive(Debug, Default)]
pub(super) struct Globals {
    pub(super) objects: FxHashSet<ObjectId>,
    /// Everything was read.
    pub(super) is_whole: bool,
}

impl Search<'_> {
    /// The objects that are package variables, or that package variables lead to.
    pub(super) fn globals(&mut self) -> Globals {
        let go = self.reader.go;
        let mut globals = Globals { is_whole: true, ..Globals::default() };
        for data in go.modules.iter().map(|module| &module.data) {
            let all = [data.data, data.bss, data.noptrdata, data.noptrbss];
            let inside = |(address, object)| all.iter().any(|span| span.contains(address)).then_some(object);
            globals.objects.extend(self.exact.iter().copied().filter_map(inside));
        }
        let mut left = MAX_VARIABLES;
        for span in go.modules.iter().flat_map(|module| [module.data.data, module.data.bss]) {
            for (start, end) in self.reader.target.present(span.start, span.end) {
                let (mut at, end) = (start & !7, end & !7);
                while at < end {
                    let len = (end - at).min(BLOCK);
                    if left < len || self.ahead.is_out_of_budget() {
                        globals.is_whole = false;
                        return globals;
                    }
                    left -= len;
                    self.block(at, len as usize, &mut globals);
                    at += len;
                }
            }
        }
        globals
    }

    fn block(&mut self, at: u64, len: usize, globals: &mut Globals) {
        let Ok(bytes) = self.reader.target.read_vec(at, len) else {
            globals.is_whole = false;
            return;
        };
        let roots: Vec<u64> = words(&bytes).filter(|word| is_address(*word)).collect();
        let reach = self.heap_and_memory(|heap, objects, memory| heap.reach(roots, objects, memory, LIMITS));
        globals.objects.extend(reach.objects.iter().map(|(object, _)| *object));
        globals.is_whole &= !reach.cut;
        self.ahead.clock.look();
    }

    /// What functions that timers will call do. Returns whether all of them were examined.
    pub(super) fn timers(&mut self) -> Result<bool, GoError> {
        let go = self.reader.go;
        let (mut calls, mut is_whole) = links::timer_calls(go, self.reader.target, self.reader.options)?;
        is_whole &= calls.len() <= MAX_CALLS;
        calls.truncate(MAX_CALLS);
        for (when, closure) in calls {
            if self.ahead.is_out_of_budget() {
                return Ok(false);
            }
            let entry = Plain(&mut self.memory).word(closure).map(|entry| entry.number);
            let Some(entry) = entry else { continue };
            let at = CodeAddress::interrupted(entry);
            let mut known: Vec<ObjectId> = Vec::new();
            for Intent { address, action, certainty, .. } in self.call(entry, closure) {
                let Some(object) = self.objects.id(address) else { continue };
                if self.objects.helps(object).has(action) {
                    known.push(object);
                    // The timer may be stopped before.
                    let certainty = certainty.max(Certainty::Likely);
                    self.rows.add(Found {
                        object,
                        by: By::Timer(when),
                        action,
                        certainty,
                        at: Some(at),
                        hops: 0,
                    });
                }
            }
            let reach = self.reach(vec![closure]);
            is_whole &= !reach.cut;
            for (object, hops) in reach.objects {
                if !known.contains(&object) {
                    self.rows.add(Found {
                        object,
                        by: By::Timer(when),
                        action: Action::Unknown,
                        certainty: Certainty::Perhaps,
                        at: Some(at),
                        hops,
                    });
                }
            }
        }
        Ok(is_whole)
    }

    /// What a closure will do when it is called on a new stack.
    fn call(&mut self, entry: u64, closure: u64) -> Vec<Intent> {
        let nothing = Window { base: u64::MAX, bytes: &[], cut: false };
        let offsets = &self.reader.go.offsets;
        let inner = StoppedGoroutine::new(&mut self.memory, offsets, nothing, 0);
        let mut goroutine = Receiver { inner, written: Vec::new(), variables: Vec::new() };
        // No address of the target is that low.
        let mut state = CpuState::behind_call(8);
        state.set_closure(closure);
        let outlook = self.ahead.call(entry, state, &mut goroutine, &self.objects);
        let at = CodeAddress::interrupted(entry);
        outlook.acts.iter().map(|act| intent(act, false, false, at)).collect()
    }
}
