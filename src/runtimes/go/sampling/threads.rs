//! The Ms that threads are, with their system stacks and signal stacks.

use rustc_hash::{FxHashMap, FxHashSet};

use crate::process::bytes::word;
use crate::process::{Memory, Range, Target, monotonic_ns};
use crate::runtimes::go::Go;
use crate::runtimes::go::goroutine::Raw;
use crate::runtimes::go::scheduler;
use crate::runtimes::go::threads::{known_inside, thread_of};

/// How often a thread is looked for among the Ms before it counts as none of them.
const ATTEMPTS: u8 = 4;
/// Threads that are remembered.
const MAX_THREADS: usize = 1 << 16;
/// Looking for Ms takes at most one part in this many of a core's time.
const SHARE: u64 = 100;

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
    next_search_ns: u64,
}

impl<'a> Machines<'a> {
    pub(super) fn new(go: &'a Go, target: &'a dyn Target) -> Self {
        Machines {
            go,
            target,
            known: FxHashMap::default(),
            own: FxHashSet::default(),
            missed: FxHashMap::default(),
            next_search_ns: 0,
        }
    }

    /// Finds the Ms of threads, and reads again where their stacks are: C's threads borrow Ms.
    pub(super) fn refresh(&mut self, threads: impl Iterator<Item = u32>) {
        let mut threads: Vec<u32> = threads.collect();
        threads.sort_unstable();
        threads.dedup();
        let mut search = false;
        for tid in threads {
            if let Some(machine) = self.known.get(&tid)
                && let Some(again) = self.again(machine, tid).or_else(|| self.read(machine.m, Some(tid)))
            {
                self.known.insert(tid, again);
                continue;
            }
            self.known.remove(&tid);
            search |= self.missed.get(&tid).is_none_or(|times| *times < ATTEMPTS);
        }
        if search && monotonic_ns() >= self.next_search_ns {
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
        let begin = monotonic_ns();
        let Some(allm) = self.go.globals.allm else { return };
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
        let end = monotonic_ns();
        self.next_search_ns = end.saturating_add(end.saturating_sub(begin).saturating_mul(SHARE - 1));
    }

    /// Reads the M of a thread again, in one call. None if it is not as it was.
    fn again(&self, machine: &Machine, tid: u32) -> Option<Machine> {
        let offsets = &self.go.offsets;
        let [procid, g0, gsignal] = [Some(offsets.m_procid), Some(offsets.m_g0), offsets.m_gsignal];
        let structs = [Some(machine.g0), machine.gsignal];
        let size = offsets.g_size;
        let mut ranges = Vec::with_capacity(5);
        for offset in [procid, g0, gsignal].into_iter().flatten() {
            ranges.push(Range { address: machine.m.checked_add(offset)?, len: 8 });
        }
        ranges.extend(structs.into_iter().flatten().map(|g| Range { address: g.address, len: size }));
        let (mut bytes, mut ok) = (vec![0; 24 + 2 * size], [false; 5]);
        let ok = ok.get_mut(..ranges.len())?;
        self.target.read_many(&ranges, &mut bytes, ok).ok()?;
        let words = if gsignal.is_some() { 24 } else { 16 };
        let signal = if gsignal.is_some() { word(&bytes, 16) } else { 0 };
        let is_same = ok.iter().all(|ok| *ok)
            && known_inside(self.target, word(&bytes, 0)) == Some(tid)
            && word(&bytes, 8) == machine.g0.address
            && signal == machine.gsignal.map_or(0, |g| g.address);
        let parse = |nth: usize, g: Raw| {
            Some(Raw::parse(g.address, bytes.get(words + nth * size..)?.get(..size)?, offsets))
        };
        let gsignal = match machine.gsignal {
            Some(g) => Some(parse(1, g)?),
            None => None,
        };
        is_same.then_some(Machine { m: machine.m, g0: parse(0, machine.g0)?, gsignal })
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
