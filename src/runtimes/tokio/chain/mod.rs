//! The await chain of a Tokio task: from the future that the task runs inwards to what it waits for.
//!
//! The layout of futures comes from DWARF ([`layout`]); without it there is no chain, and [`Chains::lack`] says what would
//! show it. [`walk`] follows a future in memory, [`leaves`] says what the innermost one waits for.

mod branches;
mod closures;
mod details;
mod guards;
mod held;
mod http;
mod kinds;
mod layout;
mod leads;
mod leaves;
mod many;
mod names;
mod places;
mod ready;
mod replay;
mod root;
mod routes;
mod scheduler;
mod sets;
mod stream_kinds;
mod streams;
mod template;
mod values;
mod walk;
mod way;
mod window;
mod word;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustc_hash::FxHashMap;

use super::find::Vtable;
use super::scan::Header;
use crate::process::Image;
use crate::snapshot::{ObjectKind, StackStatus, WaitClass, WaitOp};
use crate::symbols::types::{TypeId, TypeKind, Types};
pub(super) use branches::Branch;
pub(super) use held::Held;
use layout::{Layouts, StateMachine};
pub(super) use many::{Found, FoundChains};
pub(super) use places::Places;
pub(super) use ready::{HeldLock, Ready};
pub(super) use root::Seen;
use routes::Routes;
pub(super) use scheduler::{Figures, Pool};
pub(super) use template::Template;
use window::Windows;
use word::Word;

/// Bytes of debug information that are read of one image.
const MAX_DEBUG: usize = 1 << 30;
/// The time for reading types in all.
const MAX_TIME: Duration = Duration::from_secs(20);
/// How the function that polls a task is called.
const POLL: &str = "tokio::runtime::task::raw::poll<";
/// Where the stage of a task is defined.
const CORE: &str = "tokio::runtime::task::core";
/// What would show chains.
const NO_DEBUG: &str = "the program has no debug information: where tasks await is unknown (add debug = \"full\" to the \
                        profile, or bring its separate debug file: --debug-file)";
const STRIPPED: &str = "the program is stripped: what tasks run and where tasks await is unknown (set strip = false and debug = \
                        \"full\" in the profile, or bring its separate debug file: --debug-file)";
const NO_TYPES: &str = "the program's debug information does not say the types of its tasks, as if it had line tables only: where \
                        tasks await is unknown (set debug = \"full\" in the profile)";
const SPLIT: &str = "a part of the program's debug information is in other files (.dwo, .dwp), which are neither beside the \
                     program nor where it was built, or are of another build: where tasks await is unknown (bring them, \
                     or set split-debuginfo = \"off\" in the profile)";
/// Functions that are remembered.
const MAX_FUNCTIONS: usize = 1 << 16;

/// The await chains of the tasks whose code is in one image, with what was learned about its types so far.
#[derive(Debug)]
pub(super) struct Chains {
    bias: u64,
    layouts: Option<Layouts>,
    /// The types of futures by the function that polls them: a task's, or that of a vtable.
    futures: FxHashMap<u64, Option<FutureKind>>,
    boxed: FxHashMap<u64, Option<(TypeId, u64)>>,
    lack: Option<&'static str>,
    problem: Option<String>,
    /// The ways of walks so far.
    routes: Routes,
    /// Kept for the next tasks.
    windows: Windows,
}

/// The type of a task's future.
#[derive(Debug, Clone)]
pub(super) struct FutureKind {
    /// Its name: that of the async function or block, or the type's as the debug information has it.
    pub(super) name: String,
    /// Its place in the task. None: unknown.
    stage: Option<Stage>,
    /// The type of what schedules it.
    scheduler: Option<TypeId>,
}

/// A task whose chain is wanted.
pub(super) struct Asked<'a> {
    pub(super) kind: &'a FutureKind,
    pub(super) header: &'a Header,
    pub(super) vtable: &'a Vtable,
}

impl Asked<'_> {
    /// The address of the task, and its length, bytes.
    fn extent(&self) -> (u64, u64) {
        (self.header.address, self.vtable.trailer)
    }
}

/// The stage of a task: its future, its output, or nothing (tokio, src/runtime/task/core.rs).
#[derive(Debug, Clone, Copy)]
struct Stage {
    /// Where the value is that says which one: offset and size, bytes.
    discriminant: (u64, u64),
    /// The value for the future. None: all but these.
    running: Option<u64>,
    others: [Option<u64>; 2],
    /// The offset of the future, bytes, and its type.
    future: (u64, TypeId),
    /// The alignment of the stage, bytes: 1 if it is unknown.
    alignment: u64,
}

impl Stage {
    /// The layout of `Stage<T>`.
    fn of(types: &mut Types, id: TypeId) -> Option<Stage> {
        let found = types.get(id)?;
        let variants = found.variants.as_ref()?;
        let mut named = Vec::new();
        for variant in &variants.list {
            let inside = types.get(variant.member.of)?;
            named.push((names::last(&inside.name).to_owned(), variant, inside));
        }
        let [(_, variant, inside)] =
            named.iter().filter(|(name, ..)| name == "Running").collect::<Vec<_>>()[..]
        else {
            return None;
        };
        let [future] = inside.members.as_slice() else { return None };
        let mut others = [None; 2];
        let values =
            named.iter().filter(|(name, ..)| name != "Running").filter_map(|(_, other, _)| other.value);
        others.iter_mut().zip(values).for_each(|(other, value)| *other = Some(value));
        Some(Stage {
            discriminant: variants.discriminant?,
            running: variant.value,
            others,
            future: (variant.member.offset.checked_add(future.offset)?, future.of),
            alignment: found.alignment.max(1),
        })
    }

    /// Whether this value of the discriminant stands for the future.
    fn is_future(&self, value: u64) -> bool {
        match self.running {
            Some(running) => value == running,
            None => !self.others.contains(&Some(value)),
        }
    }
}

/// A part of a type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    /// Its offset, bytes.
    pub(super) offset: u64,
    /// Its type.
    pub(super) of: TypeId,
}

/// The await chain of a task.
#[derive(Debug, Clone, Default)]
pub(super) struct Chain {
    /// Where it awaits, innermost first.
    pub(super) awaits: Vec<Await>,
    /// How far they go.
    pub(super) status: StackStatus,
    /// What the innermost future waits for.
    pub(super) leaf: Option<Leaf>,
    /// The locks that it may hold.
    pub(super) held: Vec<Held>,
}

/// An async function or block at one of its states.
#[derive(Debug, Clone)]
pub(super) struct Await {
    machine: Arc<StateMachine>,
    state: usize,
}

impl Await {
    /// The function's name as people read it.
    pub(super) fn name(&self) -> &str {
        &self.machine.name
    }
}

/// What a future waits for.
#[derive(Debug, Clone, Default)]
pub(super) struct Leaf {
    /// In words: "mpsc receive".
    pub(super) reason: String,
    /// The kind of wait.
    pub(super) class: WaitClass,
    /// The objects that it waits for.
    pub(super) objects: Vec<Wanted>,
    /// There are more than these.
    pub(super) is_partial: bool,
    /// The futures that are polled together here, each before those within it.
    pub(super) branches: Vec<Branch>,
}

/// The state of a bounded channel: the permits of its semaphore, which are its free places, and how many places there are.
#[derive(Debug, Clone, Copy)]
pub(super) struct ChannelWords {
    permits: Word,
    cap: Word,
}

/// Who can still use a channel.
#[derive(Debug, Clone, Copy)]
pub(super) struct HandleWords {
    /// How many can send.
    senders: Word,
    /// For a channel without a limit: twice the elements in it, and one more if it is closed.
    queued: Option<Word>,
}

/// An object that a future waits for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted {
    pub(super) op: WaitOp,
    pub(super) kind: ObjectKind,
    /// Its address, or a descriptor's number.
    pub(super) address: Word,
    pub(super) channel: Option<ChannelWords>,
    pub(super) handles: Option<HandleWords>,
    /// When a timer fires, by CLOCK_MONOTONIC: seconds and nanoseconds.
    pub(super) deadline: Option<(Word, Word)>,
}

impl Chains {
    /// Reads the debug information of an image, for the executable from the file that the user gave. What it says about a
    /// type is read when it is needed; `cache` is the folder that has what is known from the last time.
    pub(super) fn open(image: &Image, user: Option<&Path>, cache: Option<&Path>) -> Chains {
        match Types::load(image, user, MAX_DEBUG, MAX_TIME, cache) {
            Ok(Some(types)) => Chains::new(image.bias, Some(types), None),
            Ok(None) => {
                let is_stripped = image.symbols().is_ok_and(|symbols| symbols.is_empty());
                Chains::new(image.bias, None, Some(if is_stripped { STRIPPED } else { NO_DEBUG }))
            }
            Err(why) => {
                Chains { problem: Some(why), ..Chains::new(image.bias, None, Some("cannot be read")) }
            }
        }
    }

    fn new(bias: u64, types: Option<Types>, lack: Option<&'static str>) -> Chains {
        Chains {
            bias,
            layouts: types.map(Layouts::new),
            futures: FxHashMap::default(),
            boxed: FxHashMap::default(),
            lack,
            problem: None,
            routes: Routes::default(),
            windows: Windows::default(),
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
        let layouts = self.layouts.as_mut()?;
        let function = layouts.types.function(poll.wrapping_sub(self.bias))?;
        let arguments = function.name.strip_prefix(POLL)?;
        let scheduler = function.parameters.iter().find(|parameter| parameter.name == "S");
        let scheduler = scheduler.map(|parameter| parameter.of);
        let Some(parameter) = function.parameters.iter().find(|parameter| parameter.name == "T") else {
            self.lack.get_or_insert(NO_TYPES);
            let name = (*super::names::arguments(arguments).first()?).to_owned();
            return Some(FutureKind { name, stage: None, scheduler });
        };
        let found = layouts.types.get(parameter.of)?;
        let name = match layouts.shape(parameter.of) {
            layout::Shape::Async(machine) => machine.name.clone(),
            _ => found.name.to_string(),
        };
        let address = poll.wrapping_sub(self.bias);
        let stage = layouts.types.beside(address, CORE, "Stage", &found.name);
        let stage = stage.and_then(|stage| Stage::of(&mut layouts.types, stage));
        Some(FutureKind { name, stage, scheduler })
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

    /// The chain with a number of [`Found::Known`].
    pub(super) fn template(&self, number: u32) -> Option<&Arc<Template>> {
        self.routes.end(number)
    }

    /// Why there are no chains, and what would show them: one sentence. None if types are known.
    pub(super) fn lack(&self) -> Option<String> {
        let later = || self.layouts.as_ref().and_then(|layouts| layouts.types.problem());
        if let Some(problem) = self.problem.as_deref().or_else(later) {
            return Some(format!("where tasks await is unknown: {problem}"));
        }
        let is_split = self.layouts.as_ref().is_some_and(|layouts| layouts.types.is_incomplete());
        let lack = if is_split { SPLIT } else { NO_TYPES };
        let is_unknown = |future: &Option<_>| future.is_none();
        let lacks = || match is_split {
            true => self.futures.values().any(is_unknown),
            false => !self.futures.is_empty() && self.futures.values().all(is_unknown),
        };
        self.lack.or_else(|| lacks().then_some(lack)).map(str::to_owned)
    }

    /// Keeps what was found out about types for the next loiter. `repeated`: the target will be read again.
    pub(super) fn keep(&mut self, repeated: bool) {
        if let Some(layouts) = &mut self.layouts {
            layouts.types.keep(repeated);
        }
    }

    /// Whether the time for reading types is over: types that were not met by then stay unknown.
    pub(super) fn is_over(&self) -> bool {
        self.layouts.as_ref().is_some_and(|layouts| layouts.types.is_over())
    }
}

/// The task ran while its future was read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moved;
