//! Follows a future in memory, from the outermost inwards.

use std::sync::Arc;

use super::details::Details;
use super::held::{self, Held};
use super::layout::{Alternative, Layouts, Shape, StateKind, StateMachine};
use super::leaves::{self, LeafKind};
use super::values::{Value, Values};
use super::window::Window;
use super::word::Word;
use super::{Await, Chain, Chains, Leaf, Wanted, names};
use crate::snapshot::{StackStatus, WaitClass};
use crate::symbols::types::TypeId;

/// Steps from a future to the one inside of it, in all branches of one task.
const MAX_STEPS: usize = 4 << 10;
/// Locations of one chain.
const MAX_LOCATIONS: usize = 1 << 10;
/// Guards of locks in one task.
const MAX_HELD: usize = 256;
/// How deep branches within branches are followed.
pub(super) const MAX_DEPTH: usize = 8;
/// In the vtable of a future, after what every vtable has: drop, size, alignment.
const VTABLE_SIZE: u64 = 8;
const VTABLE_POLL: u64 = 24;

/// One chain being read.
pub(super) struct Walk<'w, 'm> {
    pub(super) chains: &'w mut Chains,
    pub(super) window: &'w mut Window<'m>,
    steps: usize,
    /// A future on the way could wait for something else.
    pub(super) may_wait_elsewhere: bool,
    held: Vec<Held>,
}

/// An async function on the way.
struct Awaiting {
    at: Await,
    /// Its address.
    address: Word,
}

impl Awaiting {
    /// The type and the address of the data of its state.
    fn data(&self) -> Option<(TypeId, Word)> {
        let (_, state) = self.at.machine.states.get(self.at.state)?;
        Some((state.data.of, self.address.wrapping_add(state.data.offset)))
    }
}

/// Why the inside of a future is not shown.
pub(super) enum End {
    /// Nothing is inside.
    Leaf(Leaf),
    /// It was polled to its end.
    Done,
    /// There may be more inside, or there is too much, or memory contradicts the types.
    Gaps(Option<Leaf>),
}

/// What futures that are polled together come to.
pub(super) enum Branches {
    /// Several run.
    Of(End),
    /// Only this one runs: the chain goes on with it.
    One((TypeId, Word)),
    /// The chain goes on with a future, whose wait a timer ends.
    Limited((TypeId, Word), Value),
}

impl<'w, 'm> Walk<'w, 'm> {
    pub(super) fn new(chains: &'w mut Chains, window: &'w mut Window<'m>) -> Walk<'w, 'm> {
        Walk { chains, window, steps: 0, may_wait_elsewhere: false, held: Vec::new() }
    }

    /// The chain of a future of a type, at an address.
    pub(super) fn chain(mut self, of: TypeId, at: Word) -> Chain {
        let mut chain = self.follow(of, at, 0).0;
        if self.may_wait_elsewhere {
            chain.status = StackStatus::Gaps;
        }
        // A branch may have been followed twice.
        self.held.sort_by_key(|held| held.guard.value);
        self.held.dedup_by_key(|held| held.guard.value);
        chain.held = self.held;
        chain
    }

    /// The chain, and whether the future was polled to its end.
    pub(super) fn follow(&mut self, of: TypeId, at: Word, depth: usize) -> (Chain, bool) {
        let (mut frames, mut limits) = (Vec::new(), Vec::new());
        let mut end = self.inwards(of, at, depth, &mut frames, &mut limits);
        if let (End::Leaf(leaf) | End::Gaps(Some(leaf)), false) = (&mut end, limits.is_empty()) {
            leaf.reason.push_str(", or timeout");
            leaf.class = WaitClass::Timer;
            leaf.objects.append(&mut limits);
        }
        let mut chain = Chain { status: StackStatus::Complete, ..Chain::default() };
        chain.awaits = frames.into_iter().rev().map(|frame| frame.at).collect();
        let mut is_done = false;
        match end {
            End::Leaf(leaf) => {
                if leaf.is_partial {
                    chain.status = StackStatus::Gaps;
                }
                chain.leaf = Some(leaf);
            }
            End::Done => {
                chain.leaf = Some(leaf("done", WaitClass::Other));
                is_done = true;
            }
            End::Gaps(leaf) => (chain.status, chain.leaf) = (StackStatus::Gaps, leaf),
        }
        (chain, is_done)
    }

    /// Follows a future to its end; adds the async functions on the way, and the timers that end the wait.
    fn inwards(
        &mut self,
        mut of: TypeId,
        mut at: Word,
        depth: usize,
        frames: &mut Vec<Awaiting>,
        limits: &mut Vec<Wanted>,
    ) -> End {
        // The struct around the future, if that is in one.
        let mut around = None;
        loop {
            self.steps += 1;
            if self.steps > MAX_STEPS || frames.len() >= MAX_LOCATIONS {
                return End::Gaps(None);
            }
            let Some(layouts) = self.chains.layouts.as_mut() else { return End::Gaps(None) };
            let shape = layouts.shape(of);
            let next = match shape {
                Shape::Async(machine) => self.state(&machine, at, frames),
                Shape::Pointer(to) => self.window.pointer(at).map(|at| (to, at)).ok_or(End::Gaps(None)),
                Shape::Dyn { data, vtable } => self.dynamic(at, data, vtable),
                Shape::One { inside, is_all } => {
                    self.may_wait_elsewhere |= !is_all;
                    if layouts.types.get(of).is_some_and(|found| names::base(&found.name) != leaves::PIN) {
                        around = Some(of);
                    }
                    Ok((inside.of, at.wrapping_add(inside.offset)))
                }
                Shape::Enum(choice) => {
                    let values = choice.variants.iter().filter_map(|option| option.value);
                    let value = match choice.discriminant {
                        Some((offset, size)) => {
                            match self.window.among(at.wrapping_add(offset), size, values) {
                                Some(value) => value,
                                None => return End::Gaps(None),
                            }
                        }
                        None => Some(0),
                    };
                    let is_it = |option: &&Alternative| value.is_some() && option.value == value;
                    let exact = choice.variants.iter().find(is_it);
                    let other = || choice.variants.iter().find(|option| option.value.is_none());
                    match exact.or_else(other) {
                        Some(Alternative { inside: Some(place), .. }) => {
                            Ok((place.of, at.wrapping_add(place.offset)))
                        }
                        Some(option) if matches!(option.name.as_str(), "Done" | "Gone") => return End::Done,
                        // It was here, or it is a `Fuse` that has ended. What else has none may wait for anything.
                        Some(option)
                            if option.name == "None" && depth > 0 && is_gone(layouts, around, of) =>
                        {
                            return End::Done;
                        }
                        Some(option) => return self.unknown(of, option.has_others),
                        None => return End::Gaps(None),
                    }
                }
                Shape::Several(several) if several.word == leaves::TIMEOUT => {
                    let [inside, timer] = several.futures.as_slice() else { return End::Gaps(None) };
                    let timer = Value { of: timer.of, at: at.wrapping_add(timer.offset) };
                    let inside = (inside.of, at.wrapping_add(inside.offset));
                    self.onwards(Branches::Limited(inside, timer), depth, limits)
                }
                Shape::Several(several) => {
                    let found = self.several(&several, at, depth);
                    self.onwards(found, depth, limits)
                }
                Shape::Set(kind) => {
                    let found = self.set(kind, Value { of, at }, depth);
                    self.onwards(found, depth, limits)
                }
                Shape::Stream(kind) => {
                    let found = self.stream(kind, Value { of, at }, depth);
                    self.onwards(found, depth, limits)
                }
                Shape::Http => {
                    let found = self.http(Value { of, at }, depth);
                    self.onwards(found, depth, limits)
                }
                Shape::Leaf(kind) => {
                    let library =
                        frames.iter().rev().take_while(|frame| leaves::is_library(&frame.at.machine.name));
                    let around = library.clone().map(|frame| frame.at.machine.name.as_str());
                    let words = leaves::words(kind, around);
                    let around = library.filter_map(Awaiting::data).collect();
                    let mut details = Details { values: Values { layouts, window: self.window }, around };
                    // Code written by hand may have what it does not poll.
                    if kind == LeafKind::Receiver && !details.is_awaited(Value { of, at }) {
                        return self.unknown(of, true);
                    }
                    if kind == LeafKind::Sleep && details.is_not_set(Value { of, at }) {
                        return End::Leaf(leaf("not started", WaitClass::Other));
                    }
                    return End::Leaf(details.leaf(kind, words, of, at));
                }
                Shape::Unknown { has_futures } => return self.unknown(of, has_futures),
            };
            (of, at) = match next {
                Ok(next) => next,
                Err(end) => return end,
            };
        }
    }

    /// The end at a future of a type that says nothing else.
    fn unknown(&mut self, of: TypeId, has_futures: bool) -> End {
        let found = self.chains.layouts.as_mut().and_then(|layouts| layouts.types.get(of));
        let Some(found) = found else { return End::Gaps(None) };
        let name = names::base(&found.name);
        let leaf = leaf(if name.is_empty() { "unknown" } else { name }, WaitClass::Other);
        if has_futures { End::Gaps(Some(leaf)) } else { End::Leaf(leaf) }
    }

    /// The future that an async function awaits.
    fn state(
        &mut self,
        machine: &Arc<StateMachine>,
        at: Word,
        frames: &mut Vec<Awaiting>,
    ) -> Result<(TypeId, Word), End> {
        let (offset, size) = machine.discriminant;
        let value = self.window.number(at.wrapping_add(offset), size).ok_or(End::Gaps(None))?;
        let nth = machine.states.iter().position(|(known, _)| *known == value).ok_or(End::Gaps(None))?;
        let (_, state) = machine.states.get(nth).ok_or(End::Gaps(None))?;
        if state.kind == StateKind::Returned {
            return Err(End::Done);
        }
        let by = Await { machine: Arc::clone(machine), state: nth };
        if !state.guards.is_empty()
            && self.held.len() < MAX_HELD
            && let Some(layouts) = self.chains.layouts.as_mut()
        {
            let mut values = Values { layouts, window: self.window };
            self.held.extend(held::held(&mut values, state, at, &by));
        }
        frames.push(Awaiting { at: by, address: at });
        match state.kind {
            StateKind::Suspended => {
                let place = state.awaited.ok_or(End::Gaps(None))?;
                Ok((place.of, at.wrapping_add(place.offset)))
            }
            StateKind::Panicked => Err(End::Leaf(leaf("panicked", WaitClass::Other))),
            _ => Err(End::Leaf(leaf("not started", WaitClass::Other))),
        }
    }

    /// The future behind a pointer with a vtable.
    fn dynamic(&mut self, at: Word, data: u64, vtable: u64) -> Result<(TypeId, Word), End> {
        let data = self.window.pointer(at.wrapping_add(data)).ok_or(End::Gaps(None))?;
        let vtable = self.window.number(at.wrapping_add(vtable), 8).ok_or(End::Gaps(None))?;
        // What is in a vtable never changes.
        let size = self.window.aside(vtable.wrapping_add(VTABLE_SIZE), 8).ok_or(End::Gaps(None))?;
        let poll = self.window.aside(vtable.wrapping_add(VTABLE_POLL), 8).ok_or(End::Gaps(None))?;
        // The linker may have made one function of two with the same code: then the size of the type may differ.
        let (of, _) = self.chains.boxed(poll).filter(|(_, known)| *known == size).ok_or(End::Gaps(None))?;
        Ok((of, data))
    }

    /// How the chain goes on at futures that are polled together. The timer of a timeout is added.
    fn onwards(
        &mut self,
        found: Branches,
        depth: usize,
        limits: &mut Vec<Wanted>,
    ) -> Result<(TypeId, Word), End> {
        match found {
            Branches::Of(end) => Err(end),
            Branches::One(only) => Ok(only),
            Branches::Limited(inside, timer) => {
                if depth < MAX_DEPTH {
                    let (chain, _) = self.follow(timer.of, timer.at, depth + 1);
                    limits.extend(chain.leaf.into_iter().flat_map(|leaf| leaf.objects));
                }
                Ok(inside)
            }
        }
    }
}

/// Whether the future is gone that an enum without one had, by the struct around the enum.
fn is_gone(layouts: &mut Layouts, around: Option<TypeId>, of: TypeId) -> bool {
    let mut is = |of, base| layouts.types.get(of).is_some_and(|found| names::base(&found.name) == base);
    is(of, "core::option::Option") && around.is_none_or(|around| is(around, leaves::FUSE))
}

fn leaf(reason: &str, class: WaitClass) -> Leaf {
    Leaf { reason: reason.to_owned(), class, ..Leaf::default() }
}
