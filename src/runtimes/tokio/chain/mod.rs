//! The await chain of a Tokio task: from the future that the task runs inwards to what it waits for.
//!
//! The layout of futures comes from DWARF ([`layout`]); without it there is no chain, and [`Chains::lack`] says what would
//! show it. [`walk`] follows a future in memory, [`leaves`] says what the innermost one waits for.

// The reader of the runtime uses all of it.
#![allow(dead_code)]

mod details;
mod layout;
mod leaves;
mod names;
mod places;
mod walk;
mod window;

use std::sync::Arc;
use std::time::Duration;

use rustc_hash::FxHashMap;

use crate::code::{LocationId, StrId};
use crate::process::{Image, Memory, Target};
use crate::snapshot::{SnapshotBuilder, StackStatus, Wait, WaitClass};
use crate::symbols::types::{TypeId, TypeKind, Types};
use layout::Layouts;
use places::Places;
use walk::Walk;

/// Bytes of debug information that are read of one image.
const MAX_DEBUG: usize = 1 << 30;
/// The time for reading types in all.
const MAX_TIME: Duration = Duration::from_secs(20);
/// Functions that are remembered.
const MAX_FUNCTIONS: usize = 1 << 16;

/// The await chains of one process, with what was learned about its types so far.
#[derive(Debug)]
pub(super) struct Chains {
    bias: u64,
    layouts: Option<Layouts>,
    /// The types of futures by the function that polls them: a task's, or that of a vtable.
    futures: FxHashMap<u64, Option<FutureKind>>,
    boxed: FxHashMap<u64, Option<(TypeId, u64)>>,
    places: Places,
    lack: Option<String>,
}

/// The type of a task's future.
#[derive(Debug, Clone)]
pub(super) struct FutureKind {
    /// The type's name as the debug information has it. Raw from the target.
    pub(super) name: Arc<str>,
    /// Its size, bytes.
    pub(super) size: u64,
    /// Whether its layout is known, so that a chain can be read.
    pub(super) is_known: bool,
    of: TypeId,
}

/// The await chain of a task.
#[derive(Debug, Clone, Default)]
pub(super) struct Chain {
    /// Where it awaits, innermost first.
    pub(super) locations: Vec<LocationId>,
    /// How far the locations can be trusted.
    pub(super) status: StackStatus,
    /// What the innermost future waits for.
    pub(super) leaf: Option<Leaf>,
    /// What goes on at the innermost location at the same time: the arms of a `select!`, the futures of a `join!`.
    pub(super) branches: Vec<Branch>,
}

/// One of several futures that a task awaits at the same place.
#[derive(Debug, Clone, Default)]
pub(super) struct Branch {
    /// What distinguishes it from the others: "1 of 3".
    pub(super) name: String,
    /// Where it awaits and what for.
    pub(super) chain: Chain,
}

/// What a future waits for.
#[derive(Debug, Clone, Default)]
pub(super) struct Leaf {
    /// In words: "mpsc receive".
    pub(super) reason: Option<StrId>,
    /// The kind of wait.
    pub(super) class: WaitClass,
    /// The objects that it waits for.
    pub(super) waits: Vec<Wait>,
    /// The address of the header of the task that it waits for.
    pub(super) task: Option<u64>,
    /// The time that it waits for, nanoseconds of CLOCK_MONOTONIC.
    pub(super) deadline_ns: Option<u64>,
}

impl Chains {
    /// Prepares reading chains in an image of a target. Its types are read when they are needed.
    pub(super) fn open(_target: &dyn Target, image: &Image) -> Chains {
        let (types, lack) = match Types::load(image, MAX_DEBUG, MAX_TIME) {
            Ok(Some(types)) => (Some(types), None),
            Ok(None) => (
                None,
                Some(
                    "no debug information: await chains need it (add debug = 2 to the profile, or a separate debug file)"
                        .to_owned(),
                ),
            ),
            Err(why) => (None, Some(format!("await chains are not known: {why}"))),
        };
        Chains::new(image.bias, types, lack)
    }

    fn new(bias: u64, types: Option<Types>, lack: Option<String>) -> Chains {
        Chains {
            bias,
            layouts: types.map(Layouts::new),
            futures: FxHashMap::default(),
            boxed: FxHashMap::default(),
            places: Places::default(),
            lack,
        }
    }

    /// The type of the futures that this function polls: `tokio::runtime::task::raw::poll::<T, S>`, at an address of
    /// the target. None if the debug information does not say.
    pub(super) fn future(&mut self, poll: u64) -> Option<FutureKind> {
        if let Some(known) = self.futures.get(&poll) {
            return known.clone();
        }
        let found = self.find_future(poll);
        if self.futures.len() < MAX_FUNCTIONS {
            self.futures.insert(poll, found.clone());
        }
        found
    }

    fn find_future(&mut self, poll: u64) -> Option<FutureKind> {
        let types = &mut self.layouts.as_mut()?.types;
        let function = types.function(poll.wrapping_sub(self.bias))?;
        if function.parameters.is_empty() {
            self.lack.get_or_insert_with(|| {
                "line tables only: await chains need types (add debug = 2 to the profile, or a separate debug file)"
                    .to_owned()
            });
            return None;
        }
        let of = function.parameters.iter().find(|parameter| parameter.name == "T")?.of;
        let found = types.get(of)?;
        let is_known = found.kind != TypeKind::Other;
        Some(FutureKind { name: Arc::clone(&found.name), size: found.size, is_known, of })
    }

    /// The type of the futures that this function polls, as a vtable of `dyn Future` names it, and its size.
    fn boxed(&mut self, poll: u64) -> Option<(TypeId, u64)> {
        if let Some(known) = self.boxed.get(&poll) {
            return *known;
        }
        let found = self.find_boxed(poll);
        if self.boxed.len() < MAX_FUNCTIONS {
            self.boxed.insert(poll, found);
        }
        found
    }

    /// The function takes a `Pin<&mut T>`.
    fn find_boxed(&mut self, poll: u64) -> Option<(TypeId, u64)> {
        let types = &mut self.layouts.as_mut()?.types;
        let argument = types.function(poll.wrapping_sub(self.bias))?.first_argument?;
        let pin = types.get(argument)?;
        if names::base(&pin.name) != "core::pin::Pin" {
            return None;
        }
        let pointer = types.get(pin.members.first()?.of)?;
        let TypeKind::Pointer(Some(to)) = pointer.kind else { return None };
        Some((to, types.get(to)?.size))
    }

    /// The chain of a future of this kind at an address of the target.
    pub(super) fn chain(
        &mut self,
        kind: &FutureKind,
        memory: &dyn Memory,
        at: u64,
        builder: &mut SnapshotBuilder,
    ) -> Chain {
        Walk::new(self, memory, builder).chain(kind.of, at)
    }

    /// Why there are no chains, and what would show them: one sentence. None if types are known.
    pub(super) fn lack(&self) -> Option<&str> {
        self.lack.as_deref()
    }
}
