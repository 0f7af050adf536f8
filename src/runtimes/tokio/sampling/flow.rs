//! Where a function keeps the address of a task's header, at each of its instructions.
//!
//! All ways through the function are followed. A place counts only if it holds the address on every way that leads there.

use std::collections::{BTreeMap, BTreeSet};

use iced_x86::{Decoder, DecoderOptions, FlowControl, Instruction, InstructionInfoFactory, OpKind, Register};

use super::values::{Place, RAX, RSP, State, Value, general, is_entry};

/// Instructions of one function that are looked at.
const MAX_INSTRUCTIONS: usize = 1 << 16;
/// Instructions followed, for each that a function has: loops are followed until nothing new is learned.
const MAX_VISITS: usize = 32;
/// How often a function is followed anew because a table leads to more places in it.
const MAX_ROUNDS: usize = 16;

/// What must be known of the program besides the function's own code.
pub(super) trait Surroundings {
    /// The word at an address of constants: where a call through a table of addresses leads to.
    fn constant(&mut self, address: u64) -> Option<u64>;

    /// Where the entries of a table of jumps lead to, as far as they may lead into `function`.
    /// `relative`: they are 32-bit distances from the table, and not addresses.
    /// None if there is no such table, or it has no end.
    fn table(&mut self, address: u64, relative: bool, function: (u64, u64)) -> Option<Vec<u64>>;

    /// What a function returns that is called with these arguments: of the header's address, what is added to it.
    fn returned(&mut self, function: u64, arguments: &[(usize, i64)]) -> Option<i64>;
}

/// What is known of a function that was followed.
#[derive(Debug)]
pub(super) struct Flow {
    code: Vec<Instruction>,
    /// What is known at those instructions where several ways meet, by their numbers.
    meetings: BTreeMap<usize, State>,
    /// What it returns. None: nothing, or not always the same.
    pub(super) returned: Option<i64>,
}

/// A call that a function has made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Call {
    /// The function, if it is always the same.
    pub(super) function: Option<u64>,
    /// Arguments that are the header's address plus a number of bytes.
    pub(super) arguments: Vec<(usize, i64)>,
}

/// How following a function ended.
enum Followed {
    Done,
    /// A table leads to a place where no ways met so far.
    Anew,
    /// It cannot be followed.
    Lost,
}

impl Flow {
    /// Follows a function whose code is at `start`, called with these arguments. None if it cannot be followed.
    pub(super) fn of(
        code: &[u8],
        start: u64,
        arguments: &[(usize, i64)],
        around: &mut dyn Surroundings,
    ) -> Option<Flow> {
        let code = decoded(code, start)?;
        let mut facts = InstructionInfoFactory::new();
        let left = code.len().saturating_mul(MAX_VISITS);
        let mut walk = Walk { meet: joints(&code), code: &code, around, start, facts: &mut facts, left };
        for _ in 0..MAX_ROUNDS {
            let mut found = Found::default();
            match walk.follow(State::at_start(arguments), &mut found) {
                Followed::Done => {
                    let returned = found.returned.flatten();
                    return Some(Flow { meetings: found.meetings, code, returned });
                }
                Followed::Anew => {}
                Followed::Lost => return None,
            }
        }
        None
    }

    fn index(&self, address: u64) -> Option<usize> {
        index(&self.code, address)
    }

    /// What is known before an instruction. `around` must answer as it did before.
    pub(super) fn before(&self, pc: u64, around: &mut dyn Surroundings) -> Option<State> {
        let wanted = self.index(pc)?;
        let (&from, state) = self.meetings.range(..=wanted).next_back()?;
        let mut state = state.clone();
        let mut facts = InstructionInfoFactory::new();
        for instruction in self.code.get(from..wanted)? {
            match instruction.flow_control() {
                FlowControl::Next => state.step(instruction, &mut facts),
                FlowControl::ConditionalBranch => {}
                FlowControl::Call | FlowControl::IndirectCall => after_call(&mut state, instruction, around),
                _ => return None,
            }
        }
        Some(state)
    }

    /// What is known where a call returns to, and the call.
    pub(super) fn calling(&self, returns_to: u64, around: &mut dyn Surroundings) -> Option<(State, Call)> {
        let after = self.code.partition_point(|instruction| instruction.ip() < returns_to);
        let call = self.code.get(after.checked_sub(1)?).filter(|call| call.next_ip() == returns_to)?;
        let mut state = self.before(call.ip(), around)?;
        let made = called(&state, call, around)?;
        after_call(&mut state, call, around);
        // What it returned is not there yet.
        state.set(RAX, Value::Unknown);
        Some((state, made))
    }

    /// Instructions kept.
    pub(super) fn len(&self) -> usize {
        self.code.len()
    }
}

/// What was found on the way.
#[derive(Default)]
struct Found {
    meetings: BTreeMap<usize, State>,
    /// What it returns, on all ways so far.
    returned: Option<Option<i64>>,
}

struct Walk<'a> {
    code: &'a [Instruction],
    start: u64,
    /// The instructions where ways may meet.
    meet: BTreeSet<usize>,
    around: &'a mut dyn Surroundings,
    facts: &'a mut InstructionInfoFactory,
    /// Instructions that may still be followed.
    left: usize,
}

impl Walk<'_> {
    fn end(&self) -> u64 {
        self.code.last().map_or(self.start, Instruction::next_ip)
    }

    fn follow(&mut self, first: State, found: &mut Found) -> Followed {
        let mut open = vec![(0, first)];
        while let Some((at, state)) = open.pop() {
            match self.straight(at, state, found, &mut open) {
                Followed::Done => {}
                over => return over,
            }
        }
        Followed::Done
    }

    /// Follows a function from one instruction on until it jumps away or ends.
    fn straight(
        &mut self,
        mut at: usize,
        mut state: State,
        found: &mut Found,
        open: &mut Vec<(usize, State)>,
    ) -> Followed {
        while let Some(instruction) = self.code.get(at) {
            if self.meet.contains(&at) {
                match found.meetings.get_mut(&at) {
                    Some(known) => {
                        if !known.join(&state) {
                            return Followed::Done;
                        }
                        state.clone_from(known);
                    }
                    None => {
                        found.meetings.insert(at, state.clone());
                    }
                }
            }
            let Some(left) = self.left.checked_sub(1) else { return Followed::Lost };
            self.left = left;
            match instruction.flow_control() {
                FlowControl::Next => state.step(instruction, self.facts),
                FlowControl::ConditionalBranch => {
                    if let Some(target) = index(self.code, instruction.near_branch_target()) {
                        open.push((target, state.clone()));
                    }
                }
                FlowControl::UnconditionalBranch => {
                    match index(self.code, instruction.near_branch_target()) {
                        Some(target) => {
                            at = target;
                            continue;
                        }
                        // Another function returns in its place.
                        None => found.returned = Some(None),
                    }
                    return Followed::Done;
                }
                FlowControl::IndirectBranch => return self.jump(instruction, &state, found, open),
                FlowControl::Call | FlowControl::IndirectCall => {
                    after_call(&mut state, instruction, self.around);
                }
                FlowControl::Return => {
                    let returned = match state.get(RAX) {
                        Value::Header(offset) => Some(offset),
                        _ => None,
                    };
                    let so_far = found.returned.get_or_insert(returned);
                    *so_far = so_far.filter(|so_far| Some(*so_far) == returned);
                    return Followed::Done;
                }
                FlowControl::Interrupt | FlowControl::Exception => return Followed::Done,
                FlowControl::XbeginXabortXend => return Followed::Lost,
            }
            at += 1;
        }
        Followed::Done
    }

    /// A jump to an address that was computed.
    fn jump(
        &mut self,
        instruction: &Instruction,
        state: &State,
        found: &mut Found,
        open: &mut Vec<(usize, State)>,
    ) -> Followed {
        let function = (self.start, self.end());
        let targets = match instruction.op0_kind() {
            OpKind::Register => match value_of(state, instruction.op0_register()) {
                Value::Target(table) => self.around.table(table, true, function),
                _ => None,
            },
            OpKind::Memory if instruction.memory_base() == Register::None => {
                let table = instruction.memory_displacement64();
                let is_entry = instruction.memory_index_scale() == 8
                    && instruction.memory_index() != Register::None
                    && !instruction.is_ip_rel_memory_operand();
                is_entry.then(|| self.around.table(table, false, function)).flatten()
            }
            // A table whose address was loaded before.
            OpKind::Memory if is_entry(instruction, 8) => match value_of(state, instruction.memory_base()) {
                Value::Constant(table) => self.around.table(table, false, function),
                _ => None,
            },
            _ => None,
        };
        let Some(targets) = targets else {
            // With its frame gone, another function returns in its place.
            let is_last = state.get(RSP) == Value::Stack(Place { aligned: false, offset: 0 });
            found.returned = Some(None);
            return if is_last { Followed::Done } else { Followed::Lost };
        };
        let targets: Vec<usize> = targets.into_iter().filter_map(|target| index(self.code, target)).collect();
        let before = self.meet.len();
        self.meet.extend(targets.iter().copied());
        if self.meet.len() > before {
            return Followed::Anew;
        }
        open.extend(targets.into_iter().map(|target| (target, state.clone())));
        Followed::Done
    }
}

/// The instructions of a function. None if there are too many.
fn decoded(code: &[u8], start: u64) -> Option<Vec<Instruction>> {
    let mut decoder = Decoder::with_ip(64, code, start, DecoderOptions::NONE);
    let mut all = Vec::new();
    while decoder.can_decode() {
        let instruction = decoder.decode();
        if instruction.is_invalid() {
            break;
        }
        if all.len() >= MAX_INSTRUCTIONS {
            return None;
        }
        all.push(instruction);
    }
    Some(all)
}

fn index(code: &[Instruction], address: u64) -> Option<usize> {
    code.binary_search_by_key(&address, Instruction::ip).ok()
}

/// The first instruction, and those that others jump to.
fn joints(code: &[Instruction]) -> BTreeSet<usize> {
    let jumps = code.iter().filter(|instruction| {
        matches!(
            instruction.flow_control(),
            FlowControl::ConditionalBranch | FlowControl::UnconditionalBranch
        )
    });
    let targets = jumps.filter_map(|jump| index(code, jump.near_branch_target()));
    targets.chain([0]).collect()
}

fn value_of(state: &State, register: Register) -> Value {
    general(register).map_or(Value::Unknown, |register| state.get(register))
}

/// A call that is about to be made.
fn called(state: &State, call: &Instruction, around: &mut dyn Surroundings) -> Option<Call> {
    let function = match call.flow_control() {
        FlowControl::Call => Some(call.near_branch_target()),
        FlowControl::IndirectCall if call.is_ip_rel_memory_operand() => {
            around.constant(call.ip_rel_memory_address())
        }
        FlowControl::IndirectCall => None,
        _ => return None,
    };
    Some(Call { function, arguments: state.arguments() })
}

/// What is known after a call.
fn after_call(state: &mut State, call: &Instruction, around: &mut dyn Surroundings) {
    let made = called(state, call, around);
    let returned = made.filter(|made| !made.arguments.is_empty()).and_then(|made| {
        let function = made.function?;
        around.returned(function, &made.arguments)
    });
    state.called(returned.map_or(Value::Unknown, Value::Header));
}

#[cfg(test)]
mod tests;
