//! The await chain of a Tokio task: from the future that the task runs inwards to what it waits for.
//!
//! The layout of futures comes from DWARF. Without it there is no chain: [`Chains::lack`] says what would show it.

// The reader of the runtime uses all of it.
#![allow(dead_code)]

use std::sync::Arc;

use crate::code::{LocationId, StrId};
use crate::process::{Image, Memory, Target};
use crate::snapshot::{SnapshotBuilder, StackStatus, Wait, WaitClass};

/// The await chains of one process, with what was learned about its types so far.
#[derive(Debug)]
pub(super) struct Chains {
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
    /// In words: "channel receive".
    pub(super) reason: Option<StrId>,
    /// The kind of wait.
    pub(super) class: WaitClass,
    /// The objects that it waits for.
    pub(super) waits: Vec<Wait>,
    /// The header of the task that it waits for.
    pub(super) task: Option<u64>,
}

impl Chains {
    /// Prepares reading chains in an image of a target. Its types are read when they are needed.
    pub(super) fn open(_target: &dyn Target, _image: &Image) -> Chains {
        Chains { lack: None }
    }

    /// The type of the futures that this function polls: `tokio::runtime::task::raw::poll::<T, S>`, at an address of
    /// the target. None if the debug information does not say.
    pub(super) fn future(&mut self, _poll: u64) -> Option<FutureKind> {
        None
    }

    /// The chain of a future of this kind at an address of the target.
    pub(super) fn chain(
        &mut self,
        _kind: &FutureKind,
        _memory: &dyn Memory,
        _at: u64,
        _builder: &mut SnapshotBuilder,
    ) -> Chain {
        Chain::default()
    }

    /// Why there are no chains, and what would show them: one sentence. None if types are known.
    pub(super) fn lack(&self) -> Option<&str> {
        self.lack.as_deref()
    }
}
