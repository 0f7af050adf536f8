//! The futures of `block_on`: that of `main`, those of threads that enter a runtime, and that of a `LocalSet`.
//!
//! They are no tasks: Tokio keeps no list of them. A thread in `block_on` has its future on its stack, so all stacks are
//! unwound and searched for the functions that [`names`] knows; [`stack`] looks at a thread without disturbing one that is
//! blocked. With debug information of types, the future's type is a parameter of the function, and its place that of a
//! variable; without, only that a thread is in `block_on` is known.

mod names;
mod stack;

use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::chain::{Chains, Found, Seen};
use super::names::Name;
use super::{Learned, Tokio, code_of};
use crate::code::{CodeBuilder, LocationId};
use crate::process::{Target, TargetError};
use crate::runtimes::native::{BareCode, NativeLocations, status_of};
use crate::runtimes::{Pause, ReadOptions};
use crate::snapshot::{SnapshotBuilder, StackStatus};
use crate::symbols::native::{NativeCode, NativeFrame, StackBytes};
use crate::symbols::types::Frame;
use names::Role;
use stack::{Block, Call, Look, Stack, Step};

/// Threads examined in one reading.
const MAX_THREADS: usize = 4096;
/// Frames of one thread.
const MAX_FRAMES: usize = 1024;
/// Addresses of code that are remembered.
const MAX_KNOWN: usize = 1 << 16;
/// How often a thread is looked at that moves meanwhile.
const ATTEMPTS: usize = 3;

/// What readings have learned of addresses of code.
#[derive(Default)]
pub(super) struct Known {
    /// By the address: the number of the image with debug information, and what that says.
    frames: FxHashMap<u64, Option<(usize, Arc<Frame>)>>,
    bare: Option<BareCode>,
}

/// What is done with a future.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Doing {
    /// Nobody polls it: its thread waits, or runs a task.
    Rests,
    Polled,
    Unknown,
}

/// A future of `block_on`.
#[derive(Debug)]
pub(super) struct Root {
    pub(super) tid: u32,
    /// Stands for it: the end of the frame of the function that pins it.
    pub(super) address: u64,
    pub(super) doing: Doing,
    /// The name of its type, or of its async function. None: unknown.
    pub(super) name: Option<String>,
    /// Where it awaits, if that is known.
    pub(super) chain: Found,
    /// There is debug information of types, and it does not say where the future is.
    pub(super) is_lost: bool,
    /// The function that called `block_on`.
    pub(super) caller: Option<LocationId>,
    /// The stack of its thread from there inwards, if it is polled.
    pub(super) stack: (Vec<LocationId>, StackStatus),
}

/// Reads the futures of `block_on`.
pub(super) struct Reader<'a> {
    pub(super) target: &'a dyn Target,
    pub(super) options: &'a ReadOptions,
    pub(super) chains: &'a mut [Chains],
    pub(super) code: &'a mut NativeCode,
    pub(super) known: &'a mut Known,
    /// Nothing moves.
    pub(super) still: bool,
    /// Locations of the present snapshot.
    pub(super) locations: NativeLocations,
    /// Threads whose stacks were not read, or not to their end: there may be more futures.
    pub(super) unfollowed: usize,
}

/// The futures of `block_on` that were found.
pub(super) struct Roots {
    pub(super) found: Vec<Root>,
    pub(super) unfollowed: usize,
}

impl Roots {
    /// How many there are, and how sure that is: one line.
    pub(super) fn line(&self) -> String {
        let unfollowed = match self.unfollowed {
            0 => String::new(),
            1 => ", of which one was not read to its end".to_owned(),
            n => format!(", of which {n} were not read to their ends"),
        };
        format!("{} futures of block_on, by the stacks of all threads{unfollowed}", self.found.len())
    }
}

impl Tokio {
    /// The futures of `block_on`.
    pub(super) fn roots(
        &self,
        target: &dyn Target,
        options: &ReadOptions,
        learned: &mut Learned,
        into: &mut SnapshotBuilder,
    ) -> Result<Roots, TargetError> {
        let Learned { code, chains, roots: known, .. } = learned;
        let code = code_of(code, target, options)?;
        let mut reader = Reader {
            target,
            options,
            chains: chains.get_or_insert_with(|| self.open(options)),
            code,
            known,
            still: target.is_static() || options.pause == Pause::Everything,
            locations: NativeLocations::default(),
            unfollowed: 0,
        };
        let found = reader.roots(into)?;
        Ok(Roots { found, unfollowed: reader.unfollowed })
    }
}

impl Reader<'_> {
    /// All of them.
    ///
    /// # Errors
    /// If the target cannot be read.
    pub(super) fn roots(&mut self, into: &mut SnapshotBuilder) -> Result<Vec<Root>, TargetError> {
        let mut roots = Vec::new();
        let threads = self.target.threads()?;
        self.unfollowed = threads.len().saturating_sub(MAX_THREADS);
        for tid in threads.into_iter().take(MAX_THREADS) {
            roots.extend(self.of_thread(tid, into));
        }
        Ok(roots)
    }

    /// Those of one thread, the innermost first: one may block on another one within a task or a future.
    fn of_thread(&mut self, tid: u32, into: &mut SnapshotBuilder) -> Vec<Root> {
        for attempt in 1..=ATTEMPTS {
            let Some((look, frame)) = Look::at(self.target, self.options, tid, into) else {
                self.unfollowed += 1;
                break;
            };
            let stack = self.unwound(look, frame);
            let mut moved = false;
            let mut roots = Vec::new();
            for block in stack.blocks() {
                let root = self.root(&stack, &block, into);
                moved |= matches!(root.chain, Found::Moved);
                roots.push(root);
            }
            if !moved || attempt == ATTEMPTS {
                self.unfollowed += usize::from(stack.status != StackStatus::Complete);
                return roots;
            }
        }
        Vec::new()
    }

    /// Unwinds a stack.
    fn unwound(&mut self, look: Look, mut frame: NativeFrame) -> Stack {
        let bytes = StackBytes { base: look.base, bytes: &look.bytes };
        let mut frames = vec![frame];
        let bare = self.known.bare.get_or_insert_with(|| BareCode::of(self.target));
        let status = loop {
            match bare.step(self.code, &frame, bytes) {
                Ok(_) if frames.len() >= MAX_FRAMES => break StackStatus::Truncated,
                Ok(caller) => frame = caller,
                Err(why) => break status_of(why),
            }
            frames.push(frame);
        };
        let mut steps = Vec::new();
        for (nth, frame) in frames.iter().enumerate() {
            self.steps(nth, frame.lookup(), &mut steps);
        }
        Stack { look, frames, status, steps }
    }

    /// Adds the functions at an address.
    fn steps(&mut self, frame: usize, address: u64, steps: &mut Vec<Step>) {
        if let Some((image, said)) = self.frame(address) {
            for (nth, function) in said.functions.iter().enumerate() {
                let name = function.name.clone();
                let said = Some((image, Arc::clone(&said), nth));
                steps.push(Step { role: names::role(&name), name, frame, said });
            }
            return;
        }
        let name = self.code.function(address).map(|function| function.name).unwrap_or_default();
        steps.push(Step { role: names::role(&name), name, frame, said: None });
    }

    /// What debug information says of an address.
    fn frame(&mut self, address: u64) -> Option<(usize, Arc<Frame>)> {
        if let Some(known) = self.known.frames.get(&address) {
            return known.clone();
        }
        let has_it = |name: &str| matches!(names::role(name), Role::Pins | Role::Blocks);
        let mut images = self.chains.iter_mut().enumerate();
        let found =
            images.find_map(|(image, chains)| Some((image, Arc::new(chains.frame(address, has_it)?))));
        if self.known.frames.len() < MAX_KNOWN {
            self.known.frames.insert(address, found.clone());
        }
        found
    }

    /// The future that a call of `block_on` polls.
    fn root(&mut self, stack: &Stack, block: &Block, into: &mut SnapshotBuilder) -> Root {
        let steps = stack.steps.get(block.begin..=block.last).unwrap_or_default();
        let named = steps.iter().filter_map(|step| names::future(&step.name)).next_back();
        let mut root = Root {
            tid: stack.look.tid,
            address: block.address,
            doing: block.doing,
            name: named.map(|name| Name::of_type(name).text),
            chain: Found::Unknown,
            is_lost: false,
            caller: self.caller(stack, block.last, &mut into.code),
            stack: (Vec::new(), StackStatus::Unknown),
        };
        let typed =
            |step: &Step| step.function().is_some_and(|(.., function)| !function.parameters.is_empty());
        if let Some(step) = block.pins.and_then(|pins| stack.steps.get(pins)).filter(|step| typed(step)) {
            self.typed(&mut root, step, stack);
        }
        if block.doing == Doing::Polled {
            let inside = stack.frames.get(..block.inside).unwrap_or_default();
            root.stack = (self.located(inside, &mut into.code), stack.status);
        }
        root
    }

    /// Adds what types say.
    fn typed(&mut self, root: &mut Root, pins: &Step, stack: &Stack) {
        let Some((image, _, function)) = pins.function() else { return };
        let Some(chains) = self.chains.get_mut(image) else { return };
        if let Some(name) = chains.pinned_name(function) {
            root.name = Some(Name::of_type(&name).text);
        }
        if root.doing != Doing::Rests {
            return;
        }
        let Some(seen) = self.pinned(pins, stack) else {
            root.is_lost = true;
            return;
        };
        if self.still || self.is_same(stack, root, &seen) {
            if let Some(outermost) = seen.chain.awaits.last() {
                root.name = Some(outermost.name().to_owned());
            }
            root.chain = seen.found();
        } else {
            root.chain = Found::Moved;
        }
    }

    /// The future at the place that the function says that pins it.
    fn pinned(&mut self, pins: &Step, stack: &Stack) -> Option<Seen> {
        let (image, said, function) = pins.function()?;
        let (chains, frame) = (self.chains.get_mut(image)?, stack.frames.get(pins.frame)?);
        let pinned = chains.pinned(said, function, &Call { frame, bytes: stack.bytes() })?;
        let is_within = chains.is_within(pinned, frame.sp, stack.end());
        is_within.then(|| chains.seen(pinned, self.target)).flatten()
    }

    /// The function that called `block_on`: the first one that is not Tokio's.
    fn caller(&mut self, stack: &Stack, last: usize, into: &mut CodeBuilder) -> Option<LocationId> {
        let outside = stack.steps.get(last + 1..)?;
        let caller = outside.iter().find(|step| step.role == Role::Other)?;
        let frame = stack.frames.get(caller.frame)?;
        Some(self.locations.of(frame.into(), self.code, |_| None, into))
    }

    fn located(&mut self, frames: &[NativeFrame], into: &mut CodeBuilder) -> Vec<LocationId> {
        let Reader { locations, code, .. } = self;
        frames.iter().map(|frame| locations.of(frame.into(), code, |_| None, into)).collect()
    }
}
