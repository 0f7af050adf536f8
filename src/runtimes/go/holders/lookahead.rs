//! Runs a function's code ahead, on the memory of a goroutine that does not move: which locks does it unlock
//! before it could lock them?

use std::hash::{Hash, Hasher};
use std::rc::Rc;

use rustc_hash::{FxHashMap, FxHasher};

use super::clock::Clock;
use super::code::{Function, Text};
use crate::runtimes::go::arch::machine::{Condition, Machine, Step};
use crate::runtimes::go::arch::state::{CpuState, Origin, Value, World};
use crate::runtimes::go::sync::{LockOp, waits_for_lock};

/// Instructions that are run ahead in one reading.
const MAX_ALL_STEPS: u64 = 2_000_000;
/// Instructions that are run for one frame. A frame that needs more is not followed to the end.
const MAX_STEPS: usize = 12_000;
/// Paths through the code that wait to be followed.
const MAX_PATHS: usize = 256;
/// Locks taken on one path.
const MAX_TAKEN: usize = 16;
/// Nested calls that are entered.
const MAX_DEPTH: usize = 4;
/// After this many visits to the same code (rounds of a loop), its branch conditions are treated as unknown.
const MAX_ROUNDS: u32 = 5;
/// Locks that one frame is found to hold.
const MAX_HELD: usize = 64;

/// A lock that is taken on the path, or that the goroutine was about to take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Taken {
    /// The lock at this address.
    Lock(u64),
    /// Some lock.
    Unknown,
}

/// What a frame's code does from its current instruction on.
#[derive(Default)]
pub(super) struct Outlook {
    /// Locks that it unlocks without having taken them on the path: (address, for reading).
    pub(super) held: Vec<(u64, bool)>,
    /// It unlocks something, but which lock is unknown.
    pub(super) more: bool,
    /// Locks that it has taken when it returns, on any path.
    pub(super) taken: Vec<Taken>,
    /// The state at the first return seen. None if no return was seen.
    pub(super) returned: Option<CpuState>,
    /// Not everything was followed.
    pub(super) cut: bool,
}

/// The memory that code is run on, and the calls that the goroutine deferred.
pub(in crate::runtimes::go) trait Goroutine: World {
    /// The closure of deferred call number `nth`, newest first. Counts only the calls on the goroutine's list
    /// that the function with this stack pointer deferred.
    fn deferred(&mut self, stack_pointer: u64, nth: usize) -> Deferred;
}

/// An entry of a goroutine's list of deferred calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::runtimes::go) enum Deferred {
    /// A call of this closure.
    Call(u64),
    /// There is none.
    None,
    /// The list cannot be read.
    Unknown,
}

/// Runs code ahead.
pub(super) struct Ahead<'a> {
    pub(super) text: Text<'a>,
    machine: Machine,
    /// Instructions that were run so far.
    steps: u64,
    pub(super) clock: Clock,
}

impl<'a> Ahead<'a> {
    pub(super) fn new(text: Text<'a>, clock: Clock) -> Self {
        Ahead { text, machine: Machine::new(), steps: 0, clock }
    }

    /// Is the budget of instructions or time used up? A goroutine may have any number of frames. A frame that
    /// was begun is always run to its end, so that every reading makes progress.
    pub(super) fn is_out_of_budget(&self) -> bool {
        self.steps > MAX_ALL_STEPS || self.clock.is_over() || self.text.is_out_of_budget()
    }

    /// Runs from `ip` on until the function there returns. `taken`: the locks that it is about to take.
    pub(super) fn run(
        &mut self,
        ip: u64,
        state: CpuState,
        taken: &[Taken],
        goroutine: &mut dyn Goroutine,
    ) -> Outlook {
        let first = Path { ip, state, calls: Vec::new(), taken: taken.to_vec(), deferred: 0, loose: false };
        let mut walk = Walk {
            ahead: self,
            goroutine,
            seen: FxHashMap::default(),
            todo: vec![first],
            steps: 0,
            outlook: Outlook::default(),
        };
        walk.run();
        let (steps, outlook) = (walk.steps, walk.outlook);
        self.steps += steps as u64;
        self.clock.look();
        outlook
    }

    /// What these closures unlock if they are called in order, on a stack that begins at `stack_pointer`.
    pub(super) fn run_closures(
        &mut self,
        closures: &[u64],
        stack_pointer: u64,
        taken: &[Taken],
        goroutine: &mut dyn Goroutine,
    ) -> Vec<(u64, bool)> {
        let mut held = Vec::new();
        for closure in closures {
            let Some(entry) = goroutine.word(*closure).map(|entry| entry.number) else { continue };
            if self.text.is_helper(entry, &mut self.machine) {
                let mut state = CpuState::behind_call(stack_pointer);
                state.set_closure(*closure);
                held.append(&mut self.run(entry, state, taken, goroutine).held);
            }
        }
        held
    }
}

/// A path through the code.
#[derive(Clone)]
struct Path {
    ip: u64,
    state: CpuState,
    /// Return addresses of the entered functions.
    calls: Vec<u64>,
    taken: Vec<Taken>,
    /// How many calls on the goroutine's list of deferred calls were run.
    deferred: usize,
    /// It visited the same code too often: branch conditions are treated as unknown.
    loose: bool,
}

/// One look ahead.
struct Walk<'w, 'a> {
    ahead: &'w mut Ahead<'a>,
    goroutine: &'w mut dyn Goroutine,
    /// How often each address was reached with the same state.
    seen: FxHashMap<u64, u32>,
    todo: Vec<Path>,
    steps: usize,
    outlook: Outlook,
}

impl<'a> Walk<'_, 'a> {
    fn run(&mut self) {
        while let Some(mut path) = self.todo.pop() {
            let mut function: Option<Rc<Function<'a>>> = None;
            loop {
                self.steps += 1;
                if self.steps > MAX_STEPS {
                    self.outlook.cut = true;
                    return;
                }
                let inside = function.as_ref().and_then(|f| Some((Rc::clone(f), f.offset(path.ip)?)));
                let Some((current, at)) = inside.or_else(|| self.function(path.ip)) else {
                    self.outlook.cut = true;
                    break;
                };
                if !self.step(&mut path, &current, at) {
                    break;
                }
                function = Some(current);
            }
        }
    }

    fn function(&mut self, ip: u64) -> Option<(Rc<Function<'a>>, usize)> {
        let function = self.ahead.text.find(ip)?;
        let at = function.offset(ip)?;
        Some((function, at))
    }

    /// Runs one instruction; false where the path ends.
    fn step(&mut self, path: &mut Path, function: &Function<'a>, at: usize) -> bool {
        let ip = path.ip;
        let world: &mut dyn World = self.goroutine;
        let Some((step, len)) = self.ahead.machine.step(&function.code, at, ip, &mut path.state, world)
        else {
            self.outlook.cut = true;
            return false;
        };
        path.ip = ip.wrapping_add(len);
        match step {
            Step::Next => true,
            Step::Stop => {
                self.outlook.cut |= function.func.covers(ip) && !is_trap(&function.code, at);
                false
            }
            Step::Jump(to) => self.go(path, to),
            Step::Branch(to, Condition { firm: Some(taken), .. }) if !path.loose => {
                let next = if taken { to } else { path.ip };
                self.go(path, next)
            }
            Step::Branch(to, _) => {
                let mut other = path.clone();
                if self.go(&mut other, to) {
                    self.later(other);
                }
                let next = path.ip;
                self.go(path, next)
            }
            Step::Table(table) => {
                let cases = self.ahead.text.cases(function, table);
                self.steps += cases.len();
                for to in cases {
                    let mut case = path.clone();
                    if self.go(&mut case, to) {
                        self.later(case);
                    }
                }
                false
            }
            Step::Return => self.leave(path),
            Step::Atomic(atomic) => {
                if let Some((op, lock)) = function.lock_op(ip, len, atomic) {
                    self.lock(path, op, lock);
                }
                true
            }
            Step::Call(target, origin) => self.call(path, ip, target, origin),
        }
    }

    fn later(&mut self, path: Path) {
        if self.todo.len() < MAX_PATHS {
            self.todo.push(path);
        } else {
            self.outlook.cut = true;
        }
    }

    /// Continues at `to`, unless this address was already reached with the same state.
    fn go(&mut self, path: &mut Path, to: u64) -> bool {
        path.ip = to;
        let rounds = |walk: &mut Self, path: &Path| {
            let mut hasher = FxHasher::default();
            (path.ip, &path.calls, &path.taken, path.deferred, path.loose).hash(&mut hasher);
            let rounds = walk.seen.entry(hasher.finish()).or_default();
            *rounds += 1;
            *rounds
        };
        if !path.loose {
            if rounds(self, path) <= MAX_ROUNDS {
                return true;
            }
            path.loose = true;
        }
        rounds(self, path) == 1
    }

    fn leave(&mut self, path: &mut Path) -> bool {
        path.state.leave();
        if let Some(back) = path.calls.pop() {
            return self.go(path, back);
        }
        self.outlook.returned.get_or_insert_with(|| path.state.clone());
        for taken in &path.taken {
            if !self.outlook.taken.contains(taken) {
                self.outlook.taken.push(*taken);
            }
        }
        false
    }

    fn call(&mut self, path: &mut Path, ip: u64, target: Value, origin: Origin) -> bool {
        let Some(target) = target else {
            self.outlook.more |= origin != Origin::Other;
            path.state.forget_registers();
            return true;
        };
        let entry = target.number;
        let name = self.ahead.text.name(entry).unwrap_or_default();
        if let Some(op) = LockOp::of(&name) {
            let lock = path.state.argument();
            self.lock(path, op, lock.map(|lock| lock.number));
        } else if waits_for_lock(&name) {
            // It has not got the lock. By its line, code on the way here may belong to who takes it, so that where this began
            // need not look like taking a lock.
            if path.taken.is_empty() {
                path.taken.push(Taken::Unknown);
            }
        } else if ends(&name) {
            return false;
        } else if keeps_registers(&name) {
            return true;
        } else if name == "runtime.deferreturn" {
            return self.deferred(path, ip);
        } else if self.ahead.text.is_helper(entry, &mut self.ahead.machine) {
            if path.calls.len() < MAX_DEPTH {
                return self.enter(path, entry, path.ip);
            }
            self.outlook.cut = true;
        }
        path.state.forget_registers();
        true
    }

    fn enter(&mut self, path: &mut Path, entry: u64, back: u64) -> bool {
        path.calls.push(back);
        path.state.enter();
        self.go(path, entry)
    }

    /// `runtime.deferreturn`, called at `ip`: runs the function's deferred calls on the goroutine's list.
    /// They are closures without arguments.
    fn deferred(&mut self, path: &mut Path, ip: u64) -> bool {
        let sp = path.state.stack_pointer().map_or(0, |sp| sp.number);
        let deferred = self.goroutine.deferred(sp, path.deferred);
        self.outlook.more |= deferred == Deferred::Unknown;
        path.state.forget_registers();
        let Deferred::Call(closure) = deferred else { return true };
        path.deferred += 1;
        let entry = self.goroutine.word(closure).map(|entry| entry.number);
        let Some(entry) = entry.filter(|entry| self.ahead.text.is_helper(*entry, &mut self.ahead.machine))
        else {
            return self.go(path, ip);
        };
        path.state.set_closure(closure);
        self.enter(path, entry, ip)
    }

    fn lock(&mut self, path: &mut Path, op: LockOp, lock: Option<u64>) {
        let this = lock.map_or(Taken::Unknown, Taken::Lock);
        let shared = match op {
            LockOp::Lock { .. } => {
                if path.taken.len() < MAX_TAKEN && !path.taken.contains(&this) {
                    path.taken.push(this);
                }
                return;
            }
            LockOp::Unlock { shared } => shared,
        };
        let same = |taken: &Taken| *taken == this || *taken == Taken::Unknown;
        match (path.taken.iter().rposition(same), lock) {
            (Some(at), _) => {
                path.taken.remove(at);
            }
            (None, Some(lock)) => {
                if self.outlook.held.len() < MAX_HELD && !self.outlook.held.contains(&(lock, shared)) {
                    self.outlook.held.push((lock, shared));
                }
            }
            // An unknown lock: most likely the one taken last.
            (None, None) => self.outlook.more |= path.taken.pop().is_none(),
        }
    }
}

/// `ud2`, which the compiler puts into unreachable code, and `int3` between functions.
pub(in crate::runtimes::go) fn is_trap(code: &[u8], at: usize) -> bool {
    code.get(at..).is_some_and(|code| code.starts_with(&[0x0f, 0x0b]) || code.starts_with(&[0xcc]))
}

/// Functions that do not return.
pub(in crate::runtimes::go) fn ends(name: &str) -> bool {
    const ENDS: [&str; 8] = [
        "runtime.panic",
        "runtime.goPanic",
        "runtime.gopanic",
        "runtime.throw",
        "runtime.fatal",
        "runtime.morestack",
        "runtime.Goexit",
        "os.Exit",
    ];
    ENDS.iter().any(|prefix| name.starts_with(prefix))
}

/// Functions with their own calling convention, which preserve the registers.
pub(in crate::runtimes::go) fn keeps_registers(name: &str) -> bool {
    name.starts_with("runtime.gcWriteBarrier") || name.starts_with("runtime.duff")
}
