//! The future that a thread polls itself, in `block_on`: it is pinned on the thread's stack.
//!
//! Its type and its place are those of a variable, as the debug information has them. Optimised code may keep a variable in
//! parts or nowhere; then nothing is known. What stood there before the future was first polled, and copies of it from before,
//! are told from it by its state: a future that is polled has begun.

use std::sync::Arc;

use super::layout::{Shape, StateKind};
use super::walk::Walk;
use super::window::Windows;
use super::{Chain, Chains, Found, Template, names};
use crate::process::Memory;
use crate::symbols::types::{Activation, Frame, Machine, Spot, TypeId};

/// Boxes and pins around a future that its name leaves out.
const MAX_AROUND: usize = 8;
/// What a pinned future is to the function that polls it.
const FUTURE: &str = "F";

/// A future on a stack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in super::super) struct Pinned {
    of: TypeId,
    at: u64,
}

/// The await chain of a future on a stack, with the memory that says so.
#[derive(Debug)]
pub(in super::super) struct Seen {
    pub(in super::super) chain: Chain,
    windows: Windows,
}

impl Seen {
    /// The chain as one of its own.
    pub(in super::super) fn found(self) -> Found {
        let Some(way) = self.windows.way(0) else { return Found::Unknown };
        let (template, kept) = Template::of(self.chain, way);
        Found::Own(Arc::new(template), kept)
    }

    /// Whether that memory is still the same.
    pub(in super::super) fn is_unchanged(&self, memory: &dyn Memory) -> bool {
        self.windows.unchanged(memory) == [true]
    }
}

impl Chains {
    /// The functions at an address of the target; the variables of those that are `wanted`.
    pub(in super::super) fn frame(&mut self, address: u64, wanted: fn(&str) -> bool) -> Option<Frame> {
        let bias = self.bias;
        self.layouts.as_mut()?.types.frame(address.wrapping_sub(bias), wanted)
    }

    /// The future that a function pins. None if it is not known for certain where it is: the variables must not contradict
    /// each other.
    pub(in super::super) fn pinned(
        &mut self,
        frame: &Frame,
        function: &Activation,
        machine: &dyn Machine,
    ) -> Option<Pinned> {
        let of = function.parameters.iter().find(|parameter| parameter.name == FUTURE)?.of;
        let types = &mut self.layouts.as_mut()?.types;
        let name = types.get(of)?.name.clone();
        let pin = format!("core::pin::Pin<&mut {name}>");
        let mut found = None;
        for variable in &function.variables {
            let Some(own) = types.get(variable.of) else { continue };
            let spot = || frame.spot(variable, machine);
            let at = match &*own.name {
                // An argument was moved to where it is pinned.
                own if *own == *name && !variable.is_argument => match spot() {
                    Some(Spot::Memory(at)) => Some(at),
                    _ => None,
                },
                own if *own == *pin => match spot() {
                    Some(Spot::Memory(pointer)) => machine.word(pointer),
                    Some(Spot::Value(at)) => Some(at),
                    None => None,
                },
                _ => None,
            };
            let Some(at) = at else { continue };
            if found.is_some_and(|other| other != at) {
                return None;
            }
            found = Some(at);
        }
        Some(Pinned { of, at: found? })
    }

    /// Whether a future is within these addresses.
    pub(in super::super) fn is_within(&mut self, pinned: Pinned, from: u64, to: u64) -> bool {
        let size = self.layouts.as_mut().and_then(|layouts| Some(layouts.types.get(pinned.of)?.size));
        let end = size.and_then(|size| pinned.at.checked_add(size));
        pinned.at >= from && end.is_some_and(|end| end <= to)
    }

    /// What a future is called that a function pins: the name of the async function or block, or its type's.
    pub(in super::super) fn pinned_name(&mut self, function: &Activation) -> Option<String> {
        let mut of = function.parameters.iter().find(|parameter| parameter.name == FUTURE)?.of;
        let layouts = self.layouts.as_mut()?;
        for _ in 0..MAX_AROUND {
            let name = layouts.types.get(of)?.name.clone();
            let inside = match layouts.shape(of) {
                Shape::Async(machine) => return Some(machine.name.clone()),
                Shape::Pointer(to) => Some(to),
                Shape::One { inside, .. } if names::base(&name) == "core::pin::Pin" => Some(inside.of),
                _ => None,
            };
            let Some(inside) = inside else { return Some(name.to_string()) };
            of = inside;
        }
        None
    }

    /// Where a future on a stack awaits, if nobody polls it. None if memory contradicts that it was ever polled.
    pub(in super::super) fn seen(&mut self, pinned: Pinned, memory: &dyn Memory) -> Option<Seen> {
        let Pinned { of, at } = pinned;
        let size = self.layouts.as_mut()?.types.get(of)?.size;
        let mut windows = Windows::default();
        windows.begin(std::iter::once((at, size.max(1))));
        windows.fetch(memory, &[0]);
        let mut window = windows.window(0, Some(memory))?;
        let at = window.task();
        let chain = Walk::new(self, &mut window).chain(of, at);
        let outermost = chain.awaits.last().and_then(|at| at.machine.states.get(at.state));
        let has_begun = outermost.map(|(_, state)| state.kind == StateKind::Suspended);
        let is_over =
            chain.leaf.as_ref().is_some_and(|leaf| leaf.reason == "done" && chain.awaits.is_empty());
        (has_begun != Some(false) && !is_over).then_some(Seen { chain, windows })
    }
}
