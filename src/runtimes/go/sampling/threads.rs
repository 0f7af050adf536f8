//! The Ms that threads are, with their system stacks and signal stacks.

use rustc_hash::{FxHashMap, FxHashSet};

use super::spared::Spared;
use crate::process::bytes::word;
use crate::process::{Memory, Range, Target};
use crate::runtimes::go::Go;
use crate::runtimes::go::goroutine::Raw;
use crate::runtimes::go::offsets::Offsets;
use crate::runtimes::go::scheduler;
use crate::runtimes::go::threads::{known_inside, thread_of};

/// How often a thread is looked for among the Ms before it counts as none of them.
const ATTEMPTS: u8 = 4;
/// Threads that are remembered.
const MAX_THREADS: usize = 1 << 16;

/// A thread that runs goroutines.
#[derive(Debug, Clone, Copy)]
pub(super) struct Machine {
    /// The address of its M.
    pub(super) m: u64,
    /// The goroutine struct of its system stack, and where that stack reaches.
    pub(super) g0: Raw,
    /// Of its signal stack. None if it has none.
    pub(super) gsignal: Option<Raw>,
}

impl Machine {
    /// Where the thread's system stack or signal stack ends, if the address is in it.
    pub(super) fn stack_end(&self, address: u64) -> Option<u64> {
        let contains = |g: &Raw| g.stack_lo <= address && address < g.stack_hi;
        [Some(self.g0), self.gsignal].into_iter().flatten().find(contains).map(|g| g.stack_hi)
    }

    /// Takes its bytes from those that were read: the fields of the M, then the structs. None if it is not as it was.
    fn again(&self, bytes: &mut &[u8], tid: u32, target: &dyn Target, offsets: &Offsets) -> Option<Machine> {
        let mut take = |len: usize| {
            let (taken, rest) = bytes.split_at_checked(len).unwrap_or_default();
            *bytes = rest;
            taken
        };
        let (g0, procid) = (word(take(8), 0), word(take(8), 0));
        let gsignal = offsets.m_gsignal.map_or(0, |_| word(take(8), 0));
        let mut parse = |g: &Raw| Raw::parse(g.address, take(offsets.g_size), offsets);
        let machine =
            Machine { m: self.m, g0: parse(&self.g0), gsignal: self.gsignal.as_ref().map(&mut parse) };
        let is_same = known_inside(target, procid) == Some(tid)
            && g0 == self.g0.address
            && gsignal == self.gsignal.map_or(0, |g| g.address);
        is_same.then_some(machine)
    }
}

/// The threads of a target that run goroutines.
pub(super) struct Machines<'a> {
    go: &'a Go,
    target: &'a dyn Target,
    known: FxHashMap<u32, Machine>,
    /// Structs of system stacks and signal stacks.
    own: FxHashSet<u64>,
    /// Threads that were not found among the Ms, and how often.
    missed: FxHashMap<u32, u8>,
    /// Looking for Ms.
    searches: Spared,
}

impl<'a> Machines<'a> {
    pub(super) fn new(go: &'a Go, target: &'a dyn Target) -> Self {
        Machines {
            go,
            target,
            known: FxHashMap::default(),
            own: FxHashSet::default(),
            missed: FxHashMap::default(),
            searches: Spared::default(),
        }
    }

    /// Finds the Ms of threads, and reads again where their stacks are: C's threads borrow Ms.
    pub(super) fn refresh(&mut self, threads: impl Iterator<Item = u32>) {
        let mut threads: Vec<u32> = threads.collect();
        threads.sort_unstable();
        threads.dedup();
        let mut search = false;
        for (tid, again) in self.again(&threads) {
            let again = again.or_else(|| self.read(self.known.get(&tid)?.m, Some(tid)));
            match again {
                Some(again) => drop(self.known.insert(tid, again)),
                None => drop(self.known.remove(&tid)),
            }
        }
        for tid in threads.iter().filter(|tid| !self.known.contains_key(tid)) {
            search |= self.missed.get(tid).is_none_or(|times| *times < ATTEMPTS);
        }
        if search && self.searches.may_be_done() {
            self.search();
        }
    }

    /// The thread's M. None if it has none.
    pub(super) fn of(&self, tid: u32) -> Option<&Machine> {
        self.known.get(&tid)
    }

    /// Finds it now, if it is new.
    pub(super) fn find(&mut self, tid: u32) -> Option<Machine> {
        self.refresh([tid].into_iter());
        self.of(tid).copied()
    }

    /// Is this the struct of a thread's own stack: no goroutine?
    pub(super) fn is_own(&self, goroutine: u64) -> bool {
        self.own.contains(&goroutine)
    }

    /// A thread that a sample named and that no search has found so far.
    pub(super) fn note_missing(&mut self, tid: u32) {
        if self.missed.len() >= MAX_THREADS {
            self.missed.clear();
        }
        let times = self.missed.entry(tid).or_default();
        *times = times.saturating_add(1);
    }

    fn search(&mut self) {
        let Some(allm) = self.go.globals.allm else { return };
        self.searches.begin();
        let mut known = FxHashMap::default();
        for m in scheduler::threads(self.target, allm, &self.go.offsets) {
            let Some(tid) = thread_of(self.target, self.go.offsets.m_procid, m) else { continue };
            if let Some(machine) = self.read(m, None) {
                self.own.insert(machine.g0.address);
                self.own.extend(machine.gsignal.map(|g| g.address));
                self.missed.remove(&tid);
                known.insert(tid, machine);
            }
        }
        self.known = known;
        self.searches.end();
    }

    /// Reads the Ms of threads that are known again, in one call. None for each that is not as it was.
    fn again(&self, threads: &[u32]) -> Vec<(u32, Option<Machine>)> {
        let offsets = &self.go.offsets;
        // In the order in which Go has them: what is close together is read as one.
        let fields = [Some(offsets.m_g0), Some(offsets.m_procid), offsets.m_gsignal];
        let known = |tid: &u32| Some((*tid, *self.known.get(tid)?));
        let all: Vec<(u32, Machine)> = threads.iter().filter_map(known).collect();
        let mut ranges = Vec::with_capacity(5 * all.len());
        for (_, machine) in &all {
            let at = |offset: u64| machine.m.saturating_add(offset);
            ranges.extend(fields.into_iter().flatten().map(|offset| Range { address: at(offset), len: 8 }));
            let structs = [Some(machine.g0), machine.gsignal].into_iter().flatten();
            ranges.extend(structs.map(|g| Range { address: g.address, len: offsets.g_size }));
        }
        let (mut bytes, mut ok) =
            (vec![0; ranges.iter().map(|range| range.len).sum()], vec![false; ranges.len()]);
        if self.target.read_many(&ranges, &mut bytes, &mut ok).is_err() {
            ok.fill(false);
        }
        let (mut bytes, mut ok) = (bytes.as_slice(), ok.as_slice());
        let mut found = Vec::with_capacity(all.len());
        for (tid, machine) in all {
            let count = fields.iter().flatten().count() + 1 + usize::from(machine.gsignal.is_some());
            let (its, rest) = ok.split_at_checked(count).unwrap_or_default();
            ok = rest;
            let again = machine.again(&mut bytes, tid, self.target, offsets);
            found.push((tid, again.filter(|_| its.iter().all(|ok| *ok))));
        }
        found
    }

    /// Reads an M. None if it is not that of the thread `tid`.
    fn read(&self, m: u64, tid: Option<u32>) -> Option<Machine> {
        let offsets = &self.go.offsets;
        let memory: &dyn Memory = self.target;
        let field = |offset: u64| memory.read_u64(m.checked_add(offset)?).ok();
        if tid.is_some() && thread_of(self.target, offsets.m_procid, m) != tid {
            return None;
        }
        let of = |address: u64| Raw::read(memory, address, offsets).ok().flatten();
        let gsignal = offsets.m_gsignal.and_then(field).filter(|address| *address != 0);
        Some(Machine { m, g0: of(field(offsets.m_g0)?)?, gsignal: gsignal.and_then(of) })
    }
}
