//! Examines one goroutine: what will it do with the objects that others wait for?
//!
//! Its frames are run ahead from the innermost outwards, as the goroutine will continue.

use rustc_hash::FxHashMap;

use super::calls::Actions;
use super::walk::{Act, Ahead, Outlook, Subject, Wanted};
use crate::runtimes::go::arch::state::{CpuState, Value, World};
use crate::runtimes::go::holders::code::Unknown;
use crate::runtimes::go::holders::held_locks::{Frame, StoppedGoroutine};
use crate::runtimes::go::holders::lookahead::{Deferred, Goroutine};
use crate::runtimes::go::sync::is_waiting_code;
use crate::runtimes::go::unwind::CodeAddress;
use crate::snapshot::{Action, Certainty};

/// Code addresses that are remembered.
const MAX_PARTS: usize = 1 << 18;
/// Acts of one goroutine.
const MAX_FOUND: usize = 128;
/// Frames of one goroutine that are run ahead.
const MAX_FRAMES: usize = 256;

/// What code on a stack does, by its address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// It waits inside the runtime or a lock.
    Waits,
    /// `runtime.deferreturn`: runs what its caller deferred.
    Defers,
    /// `runtime.asyncPreempt`: restores the registers of its interrupted caller.
    Restores,
    /// Panics or exits: its caller does not continue, but the caller's deferred calls are run.
    Leaves,
    /// Code of the program.
    Code(Course),
}

/// What a piece of code may do, whatever its values are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Course {
    /// What it does with any object.
    pub(super) actions: Actions,
    /// It calls something that only its values tell.
    pub(super) more: bool,
    /// Some way leads to a return, or may.
    pub(super) may_return: bool,
    /// Every way leads to a return.
    pub(super) returns: bool,
}

/// What code does, computed once for each address: code does not change.
#[derive(Debug, Default)]
pub(super) struct Parts {
    known: FxHashMap<CodeAddress, Part>,
}

impl Parts {
    pub(super) fn of(&mut self, pc: CodeAddress, ahead: &mut Ahead<'_>) -> Part {
        if let Some(&known) = self.known.get(&pc) {
            return known;
        }
        let part = part(pc, ahead);
        if self.known.len() >= MAX_PARTS {
            self.known.clear();
        }
        self.known.insert(pc, part);
        part
    }
}

fn part(pc: CodeAddress, ahead: &mut Ahead<'_>) -> Part {
    let unknown = Course { more: true, may_return: true, ..Course::default() };
    let Some(function) = ahead.text.find(pc.pc()) else { return Part::Code(unknown) };
    match function.name.as_str() {
        "runtime.deferreturn" => Part::Defers,
        "runtime.asyncPreempt" => Part::Restores,
        "runtime.gopanic" | "runtime.Goexit" => Part::Leaves,
        name if is_waiting_code(name) => Part::Waits,
        _ => {
            let outlook = ahead.run(pc.pc(), CpuState::behind_call(0), &mut Unknown, &Nothing);
            Part::Code(Course {
                actions: outlook.actions,
                more: outlook.more,
                may_return: outlook.returned.is_some() || outlook.cut,
                returns: outlook.returns,
            })
        }
    }
}

/// No object is asked for.
struct Nothing;

impl Wanted for Nothing {
    fn is_wanted(&self, _: u64) -> bool {
        false
    }

    fn cancelled_with(&self, _: u64) -> &[u64] {
        &[]
    }
}

impl Subject for Unknown {
    fn variable(&self, _: u64) -> Option<(u64, u64)> {
        None
    }
}

/// A goroutine that waits to receive: what it receives will be written to its memory.
pub(super) struct Receiver<'l, 'a> {
    pub(super) inner: StoppedGoroutine<'l, 'a>,
    /// Where, and how many bytes.
    pub(super) written: Vec<(u64, u64)>,
    /// Variables on its stack whose address is taken: start and end.
    pub(super) variables: Vec<(u64, u64)>,
}

impl World for Receiver<'_, '_> {
    fn word(&mut self, address: u64) -> Value {
        let inside = |&(start, len): &(u64, u64)| {
            address.saturating_add(8) > start && address < start.saturating_add(len)
        };
        if self.written.iter().any(inside) { None } else { self.inner.word(address) }
    }
}

impl Goroutine for Receiver<'_, '_> {
    fn deferred(&mut self, stack_pointer: u64, nth: usize) -> Deferred {
        self.inner.deferred(stack_pointer, nth)
    }
}

impl Subject for Receiver<'_, '_> {
    fn variable(&self, address: u64) -> Option<(u64, u64)> {
        self.variables.iter().copied().find(|(start, end)| (*start..*end).contains(&address))
    }
}

/// What a goroutine will do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Intent {
    pub(super) address: u64,
    pub(super) action: Action,
    pub(super) certainty: Certainty,
    /// The frame that does it.
    pub(super) pc: CodeAddress,
}

/// How certain an act is. `is_sure`: it is met on every way. `doubtful`: its frame may never be reached.
pub(super) fn intent(act: &Act, is_sure: bool, doubtful: bool, pc: CodeAddress) -> Intent {
    let certainty = match act {
        _ if doubtful => Certainty::Perhaps,
        Act { firm: true, .. } if is_sure => Certainty::Sure,
        Act { firm: false, supposed: true, .. } => Certainty::Perhaps,
        _ => Certainty::Likely,
    };
    Intent { address: act.address, action: act.action, certainty, pc }
}

/// The examination of one goroutine.
pub(super) struct Look<'l, 'm, 'a> {
    pub(super) goroutine: Receiver<'m, 'a>,
    pub(super) ahead: &'l mut Ahead<'a>,
    pub(super) parts: &'l mut Parts,
    pub(super) wanted: &'l dyn Wanted,
    /// The registers of its innermost frame, where they are known.
    pub(super) state: Option<CpuState>,
    pub(super) found: Vec<Intent>,
    /// Everything so far is done for certain.
    pub(super) sure: bool,
    /// It may never come to the frames that follow, as far as is known.
    pub(super) doubtful: bool,
}

impl Look<'_, '_, '_> {
    /// What the goroutine will do, and whether all of its frames were examined.
    pub(super) fn run(mut self, frames: &[Frame]) -> (Vec<Intent>, bool) {
        let mut left = false;
        for (nth, frame) in frames.iter().enumerate().take(MAX_FRAMES) {
            if self.ahead.is_out_of_budget() {
                return (self.found, false);
            }
            let state = self.state.take();
            let caller = frames.get(nth + 1);
            match self.parts.of(frame.pc, self.ahead) {
                Part::Waits => {}
                Part::Leaves => left = true,
                Part::Restores => {
                    let state = CpuState::behind_call(frame.sp);
                    self.state = self.ahead.run(frame.pc.pc(), state, &mut self.goroutine, &Nothing).returned;
                }
                _ if left => {
                    left = false;
                    self.sure = false;
                    self.leaves(*frame, caller);
                }
                Part::Defers => {
                    let Some(caller) = caller else { continue };
                    let closures = self.goroutine.inner.all_deferred(caller.sp);
                    self.closures(&closures, frame.sp, caller.pc);
                }
                Part::Code(course) => {
                    if !self.code(*frame, course, state) {
                        return (self.found, true);
                    }
                }
            }
        }
        (self.found, frames.len() <= MAX_FRAMES)
    }

    /// Runs a frame; false if it never returns.
    fn code(&mut self, frame: Frame, course: Course, state: Option<CpuState>) -> bool {
        if course.actions.is_empty() && !course.more && !frame.pc.is_interrupted() {
            self.sure &= course.returns;
            return course.may_return;
        }
        let state = state.unwrap_or_else(|| CpuState::behind_call(frame.sp));
        let outlook = self.ahead.run(frame.pc.pc(), state, &mut self.goroutine, self.wanted);
        self.keep(&outlook, frame.pc);
        self.sure &= outlook.returns;
        self.doubtful |= outlook.returned.is_none();
        outlook.returned.is_some() || outlook.cut
    }

    fn keep(&mut self, outlook: &Outlook, pc: CodeAddress) {
        for (nth, act) in outlook.acts.iter().enumerate() {
            let on_every_way = outlook.on_every_way >> nth & 1 == 1;
            let is_sure = on_every_way && self.sure;
            self.add(intent(act, is_sure, self.doubtful, pc));
        }
    }

    fn add(&mut self, intent: Intent) {
        let same = |known: &&mut Intent| (known.address, known.action) == (intent.address, intent.action);
        match self.found.iter_mut().find(same) {
            Some(known) if known.certainty <= intent.certainty => {}
            Some(known) => *known = intent,
            None => self.found.push(intent),
        }
        self.found.truncate(MAX_FOUND);
    }

    /// A frame that does not continue, because of a panic or because the goroutine ends: only its deferred calls
    /// are run.
    fn leaves(&mut self, frame: Frame, caller: Option<&Frame>) {
        let mut closures = self.goroutine.inner.all_deferred(frame.sp);
        let layout = self.ahead.text.open_defers(frame.pc.pc());
        if let (Some(layout), Some(caller)) = (layout, caller) {
            closures.append(&mut self.goroutine.inner.deferred_in_code(&layout, caller.sp));
        }
        self.closures(&closures, frame.sp, frame.pc);
    }

    /// Closures that are called one after the other below a frame.
    fn closures(&mut self, closures: &[u64], stack_pointer: u64, pc: CodeAddress) {
        const BELOW: u64 = 1 << 12;
        for closure in closures {
            let Some(entry) = self.goroutine.word(*closure).map(|entry| entry.number) else { continue };
            let mut state = CpuState::behind_call(stack_pointer.wrapping_sub(BELOW));
            state.set_closure(*closure);
            let outlook = self.ahead.call(entry, state, &mut self.goroutine, self.wanted);
            self.sure = false;
            self.keep(&outlook, pc);
        }
    }
}
