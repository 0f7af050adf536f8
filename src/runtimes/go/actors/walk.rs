//! Runs a frame's code ahead, on the memory of a goroutine that does not move: what will it do with the objects
//! that others wait for?
//!
//! Calls that block, and input and output, are assumed to return; their results are unknown.

use std::hash::{Hash, Hasher};
use std::rc::Rc;

use rustc_hash::{FxHashMap, FxHasher};

use super::calls::{Actions, Callee, Callees};
use super::ways::Ways;
use crate::runtimes::go::arch::machine::{Condition, Machine, Step};
use crate::runtimes::go::arch::state::{CpuState, Origin, Value, World};
use crate::runtimes::go::holders::clock::Clock;
use crate::runtimes::go::holders::code::{Function, Text};
use crate::runtimes::go::holders::lookahead::{Deferred, Goroutine, is_trap};
use crate::snapshot::Action;

/// Instructions that are run ahead in one reading.
const MAX_ALL_STEPS: u64 = 50_000_000;
/// Instructions that are run for one frame. A frame that needs more is not followed to the end.
const MAX_STEPS: usize = 12_000;
/// Paths through the code that wait to be followed.
const MAX_PATHS: usize = 256;
/// Nested calls that are entered.
const MAX_DEPTH: usize = 6;
/// After this many visits to the same code (rounds of a loop), its branch conditions are treated as unknown.
const MAX_ROUNDS: u32 = 4;

/// The address of something that goroutines wait for, and what is done with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Act {
    pub(super) address: u64,
    pub(super) action: Action,
    /// The address is from the goroutine's own stack: nothing else will change it.
    pub(super) firm: bool,
    /// The path to it needs other values in memory than those of now.
    pub(super) supposed: bool,
}

/// What a frame's code does from its current instruction on.
#[derive(Default)]
pub(super) struct Outlook {
    pub(super) acts: Vec<Act>,
    /// Which of them are met on every way: a bit each.
    pub(super) on_every_way: u64,
    /// What it does with any object, known or not.
    pub(super) actions: Actions,
    /// It calls something that is not known.
    pub(super) more: bool,
    /// The state at the first return seen. None if no return was seen.
    pub(super) returned: Option<CpuState>,
    /// Every way leads to a return.
    pub(super) returns: bool,
    /// Not everything was followed.
    pub(super) cut: bool,
}

/// Which objects are asked for.
pub(super) trait Wanted {
    /// Is the object at this address asked for?
    fn is_wanted(&self, address: u64) -> bool;

    /// The channels that are closed when the context at this address is cancelled, its own and those of contexts below
    /// it, as far as they are known.
    fn cancelled_with(&self, context: u64) -> &[u64];
}

/// The goroutine whose code is run.
pub(super) trait Subject: Goroutine {
    /// The variable on the goroutine's stack that contains an address, and that others may change: start and end.
    fn variable(&self, address: u64) -> Option<(u64, u64)>;
}

/// Runs code ahead.
pub(super) struct Ahead<'a> {
    pub(super) text: Text<'a>,
    machine: Machine,
    callees: Callees,
    /// Instructions that were run so far.
    steps: u64,
    pub(super) clock: Clock,
    /// `hchan.elemsize`.
    element_size: u64,
}

impl<'a> Ahead<'a> {
    pub(super) fn new(text: Text<'a>, clock: Clock, element_size: u64) -> Self {
        Ahead { text, machine: Machine::new(), callees: Callees::default(), steps: 0, clock, element_size }
    }

    /// Is the budget of instructions or time used up?
    pub(super) fn is_out_of_budget(&self) -> bool {
        self.steps > MAX_ALL_STEPS || self.clock.is_over()
    }

    /// Runs from `ip` on until the function there returns.
    pub(super) fn run(
        &mut self,
        ip: u64,
        state: CpuState,
        goroutine: &mut dyn Subject,
        wanted: &dyn Wanted,
    ) -> Outlook {
        let mut walk = self.walk(goroutine, wanted);
        walk.todo.push(Path::new(ip, state));
        walk.run();
        let Walk { ways, steps, mut outlook, .. } = walk;
        let complete = !outlook.cut;
        if outlook.cut {
            let whole = self.callees.of_function(ip, &mut self.text, &mut self.machine);
            outlook.actions = outlook.actions.and(whole);
        }
        outlook.returns = complete && ways.all_return();
        outlook.on_every_way = if complete { ways.on_all() } else { 0 };
        self.steps += steps as u64;
        self.clock.look();
        outlook
    }

    /// Runs a closure that is called without arguments; `state` knows the closure.
    pub(super) fn call(
        &mut self,
        entry: u64,
        state: CpuState,
        goroutine: &mut dyn Subject,
        wanted: &dyn Wanted,
    ) -> Outlook {
        match self.callees.of(entry, &mut self.text, &mut self.machine) {
            Callee::Operation(operation) => {
                let mut walk = self.walk(goroutine, wanted);
                walk.operation(&mut Path::new(entry, state), operation);
                walk.outlook
            }
            Callee::Entered => self.run(entry, state, goroutine, wanted),
            _ => Outlook::default(),
        }
    }

    fn walk<'w>(&'w mut self, goroutine: &'w mut dyn Subject, wanted: &'w dyn Wanted) -> Walk<'w, 'a> {
        Walk {
            ahead: self,
            goroutine,
            wanted,
            seen: FxHashMap::default(),
            ways: Ways::default(),
            todo: Vec::new(),
            steps: 0,
            outlook: Outlook::default(),
        }
    }

    /// The bytes of an element of the channel at this address.
    pub(super) fn element(&self, channel: u64, world: &mut dyn World) -> Option<usize> {
        let at = channel.checked_add(self.element_size)?;
        let word = world.word(at & !7)?;
        Some((word.number >> (8 * (at & 7)) & 0xffff) as usize)
    }
}

/// A path through the code.
#[derive(Clone)]
pub(super) struct Path {
    ip: u64,
    pub(super) state: CpuState,
    /// Return addresses of the entered functions.
    calls: Vec<u64>,
    /// How many calls on the goroutine's list of deferred calls were run.
    deferred: usize,
    /// It visited the same code too often: branch conditions are treated as unknown.
    loose: bool,
    /// It took a branch that would not be taken with what is in memory now.
    pub(super) supposed: bool,
    /// The acts that it met.
    pub(super) met: u64,
    /// Where it is in the graph of ways.
    node: u32,
}

impl Path {
    fn new(ip: u64, state: CpuState) -> Self {
        Path { ip, state, calls: Vec::new(), deferred: 0, loose: false, supposed: false, met: 0, node: 0 }
    }
}

/// One look ahead.
pub(super) struct Walk<'w, 'a> {
    pub(super) ahead: &'w mut Ahead<'a>,
    pub(super) goroutine: &'w mut dyn Subject,
    pub(super) wanted: &'w dyn Wanted,
    /// How often each address was reached in the same circumstances, and the node of each visit.
    seen: FxHashMap<(u64, u32), u32>,
    ways: Ways,
    todo: Vec<Path>,
    steps: usize,
    pub(super) outlook: Outlook,
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
        if path.state.has_lost() {
            self.outlook.cut = true;
            return false;
        }
        match step {
            Step::Next | Step::Atomic(_) => true,
            Step::Stop => {
                self.outlook.cut |= function.func.covers(ip) && !is_trap(&function.code, at);
                false
            }
            Step::Jump(to) => self.go(path, to),
            Step::Branch(to, condition) => self.branch(path, to, condition),
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
            Step::Call(target, origin) => self.call(path, ip, target, origin),
        }
    }

    fn branch(&mut self, path: &mut Path, to: u64, condition: Condition) -> bool {
        let next = path.ip;
        if let (Some(taken), false) = (condition.firm, path.loose) {
            return self.go(path, if taken { to } else { next });
        }
        let mut other = path.clone();
        // In a loop, values of now are those of the first rounds only.
        let now = condition.now.filter(|_| !path.loose);
        other.supposed |= now == Some(false);
        path.supposed |= now == Some(true);
        if self.go(&mut other, to) {
            self.later(other);
        }
        self.go(path, next)
    }

    fn later(&mut self, path: Path) {
        if self.todo.len() < MAX_PATHS {
            self.todo.push(path);
        } else {
            self.outlook.cut = true;
        }
    }

    /// Continues at `to`, unless this address was already reached in the same circumstances.
    fn go(&mut self, path: &mut Path, to: u64) -> bool {
        path.ip = to;
        if !path.loose {
            for round in 0..MAX_ROUNDS {
                if self.visit(path, round) {
                    return true;
                }
            }
            path.loose = true;
        }
        if self.visit(path, 0) {
            return true;
        }
        let key = (circumstances(path), 0);
        if let Some(&node) = self.seen.get(&key) {
            self.ways.edge(path.node, node);
        }
        false
    }

    /// Is this a new visit with that number? Then the path continues there.
    fn visit(&mut self, path: &mut Path, round: u32) -> bool {
        let key = (circumstances(path), round);
        if self.seen.contains_key(&key) {
            return false;
        }
        let node = self.ways.node(path.met);
        self.seen.insert(key, node);
        self.ways.edge(path.node, node);
        path.node = node;
        true
    }

    fn leave(&mut self, path: &mut Path) -> bool {
        path.state.leave();
        if let Some(back) = path.calls.pop() {
            return self.go(path, back);
        }
        self.outlook.returned.get_or_insert_with(|| path.state.clone());
        self.ways.returns(path.met);
        false
    }

    fn call(&mut self, path: &mut Path, ip: u64, target: Value, origin: Origin) -> bool {
        let Some(target) = target else {
            self.outlook.more |= origin != Origin::Other;
            self.weaken(path, false);
            path.state.forget_registers();
            return true;
        };
        let entry = target.number;
        let Ahead { text, machine, callees, .. } = &mut *self.ahead;
        match callees.of(entry, text, machine) {
            Callee::Operation(operation) => {
                self.outlook.actions = self.outlook.actions.and(Callees::actions(operation));
                if !self.operation(path, operation) {
                    self.outlook.cut = true;
                    return false;
                }
            }
            Callee::Panics => return false,
            Callee::Ends => {
                self.ways.ends(path.met);
                return false;
            }
            Callee::KeepsRegisters => return true,
            Callee::RunsDeferred => return self.deferred(path, ip),
            Callee::Entered if path.calls.len() < MAX_DEPTH => return self.enter(path, entry, path.ip),
            Callee::Entered | Callee::Other => self.weaken(path, false),
            Callee::Runtime => self.weaken(path, true),
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
        let Some(entry) = entry else { return self.go(path, ip) };
        path.state.set_closure(closure);
        let Ahead { text, machine, callees, .. } = &mut *self.ahead;
        match callees.of(entry, text, machine) {
            Callee::Operation(operation) => {
                self.operation(path, operation);
                self.go(path, ip)
            }
            Callee::Entered => self.enter(path, entry, ip),
            _ => self.go(path, ip),
        }
    }
}

/// What distinguishes visits to the same address.
fn circumstances(path: &Path) -> u64 {
    let mut hasher = FxHasher::default();
    (path.ip, &path.calls, path.deferred, path.loose, path.supposed, path.met).hash(&mut hasher);
    hasher.finish()
}
