//! From a channel that a goroutine waits for to the context that closes it, and to the context's parents.
//!
//! A context that can be cancelled has its channel in a field (`context.cancelCtx.done`). Whoever waits for the
//! channel mostly has a pointer to the context near at hand: on the stack, or in something that the stack points to.
//! An address is accepted only if that field holds this channel with its type, and a parent stands before it.
//! Source: `src/context/context.go` of Go 1.19 to 1.27.

use std::rc::Rc;

use rustc_hash::{FxHashMap, FxHashSet};

use super::layout::TimerLayout;
use crate::process::Memory;
use crate::process::paged::PagedMemory;
use crate::runtimes::go::module::Module;
use crate::runtimes::go::structs::StructLayout;
use crate::runtimes::go::types::{Described, TypeImage};
use crate::snapshot::TimerState;

/// Bytes of an object that are searched for pointers.
const OBJECT: usize = 256;
/// Pointers that are followed one after the other.
const HOPS: usize = 2;
/// Objects that are read for one channel.
const MAX_OBJECTS: usize = 4096;
/// Parents of one context that are followed.
const MAX_PARENTS: usize = 64;
/// Contexts that are kept.
const MAX_CONTEXTS: usize = 1 << 16;

/// Offsets in `context.cancelCtx` and `timerCtx`.
#[derive(Debug, Clone, Copy)]
pub(in super::super) struct ContextLayout {
    parent: u64,
    done: u64,
    /// Set when it is cancelled; its first word is not 0 then.
    err: u64,
    timer: Option<u64>,
}

impl ContextLayout {
    /// None for a program without contexts that can be cancelled.
    pub(in super::super) fn find(types: &TypeImage) -> Option<Self> {
        let cancel = types.named("context", "cancelCtx")?;
        let timer = types.named("context", "timerCtx");
        let timer = timer.and_then(|layout| offset(&layout, "timer", 8));
        let word_pair = |path| offset(&cancel, path, 16);
        Some(ContextLayout {
            parent: word_pair("Context")?,
            done: word_pair("done")?,
            err: word_pair("err")?,
            timer,
        })
    }
}

fn offset(layout: &StructLayout, path: &str, size: u64) -> Option<u64> {
    layout.fields.get(path).filter(|field| field.size == size).map(|field| field.offset)
}

/// A context.
#[derive(Debug, Clone)]
pub(super) struct RawContext {
    pub(super) address: u64,
    pub(super) type_name: Option<String>,
    pub(super) deadline: TimerState,
    pub(super) cancelled: Option<bool>,
    /// Number of its parent.
    pub(super) parent: Option<u32>,
    pub(super) is_root: bool,
}

/// A context as the word pair of an interface has it: its type, if that is known, and its address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Interface {
    ty: Option<u64>,
    address: u64,
}

/// What is known of the program whose contexts are searched for.
#[derive(Clone, Copy)]
pub(super) struct Program<'a> {
    pub(super) types: &'a TypeImage,
    pub(super) modules: &'a [Module],
    pub(super) timer: Option<TimerLayout>,
}

/// Finds contexts and their parents, each once.
pub(super) struct Contexts<'a> {
    program: Program<'a>,
    layout: ContextLayout,
    target: &'a dyn Memory,
    memory: PagedMemory<'a>,
    types: FxHashMap<u64, Option<Rc<Described>>>,
    known: FxHashMap<Interface, u32>,
    pub(super) all: Vec<RawContext>,
}

impl<'a> Contexts<'a> {
    pub(super) fn new(program: Program<'a>, layout: ContextLayout, target: &'a dyn Memory) -> Self {
        Contexts {
            program,
            layout,
            target,
            memory: PagedMemory::new(target),
            types: FxHashMap::default(),
            known: FxHashMap::default(),
            all: Vec::new(),
        }
    }

    /// What is read from now on is read anew.
    pub(super) fn forget_memory(&mut self) {
        self.memory = PagedMemory::new(self.target);
    }

    /// The number of the context that closes a channel, found from the words of a stack that waits for it.
    pub(super) fn of_channel(&mut self, channel: u64, stack: Vec<u64>) -> Option<u32> {
        let mut seen = FxHashSet::default();
        let mut blocks = vec![stack];
        for hop in 0..=HOPS {
            let mut next = Vec::new();
            for block in &blocks {
                if let Some(found) = self.in_block(channel, block) {
                    return self.add(found);
                }
                if hop < HOPS {
                    next.extend(block.iter().copied().filter(|word| self.may_be_pointer(*word)));
                }
            }
            next.retain(|address| seen.len() < MAX_OBJECTS && seen.insert(*address));
            blocks = next.into_iter().filter_map(|address| self.object(address)).collect();
        }
        None
    }

    /// The words of the object at an address. An object may end before that many bytes do, and the memory, too.
    fn object(&mut self, address: u64) -> Option<Vec<u64>> {
        let all: Vec<u64> =
            (0..OBJECT as u64 / 8).map_while(|nth| self.memory.word(address.wrapping_add(8 * nth))).collect();
        (!all.is_empty()).then_some(all)
    }

    fn may_be_pointer(&self, word: u64) -> bool {
        const LEAST: u64 = 4096;
        (LEAST..1 << 47).contains(&word)
            && word.is_multiple_of(8)
            && !self.program.modules.iter().any(|module| module.data.text.contains(word))
    }

    /// A pointer to the channel's context in these words; with its type if the word before it tells.
    fn in_block(&mut self, channel: u64, block: &[u64]) -> Option<Interface> {
        let mut found = None;
        for (at, &word) in block.iter().enumerate() {
            if found.is_some_and(|found: Interface| found.address != word) || !self.is_context(word, channel)
            {
                continue;
            }
            let before = at.checked_sub(1).and_then(|before| block.get(before));
            let ty = before.and_then(|itab| self.dynamic_type(*itab)).filter(|ty| self.is_cancel(*ty));
            if ty.is_some() {
                return Some(Interface { ty, address: word });
            }
            found = Some(Interface { ty: None, address: word });
        }
        found
    }

    /// Is this the address of a context that closes the channel?
    fn is_context(&mut self, address: u64, channel: u64) -> bool {
        if !self.may_be_pointer(address) {
            return false;
        }
        let ContextLayout { parent, done, .. } = self.layout;
        let data = self.memory.word(address.wrapping_add(done + 8));
        data == Some(channel)
            && self
                .memory
                .word(address.wrapping_add(done))
                .is_some_and(|ty| self.program.types.is_channel(ty))
            && self.interface(address.wrapping_add(parent)).is_some()
    }

    /// The context in the interface at this address.
    fn interface(&mut self, at: u64) -> Option<Interface> {
        let itab = self.memory.word(at)?;
        let address = self.memory.word(at.wrapping_add(8))?;
        let ty = self.dynamic_type(itab)?;
        Some(Interface { ty: Some(ty), address })
    }

    /// The dynamic type that an interface table names: its second word, after the interface's own type.
    fn dynamic_type(&mut self, itab: u64) -> Option<u64> {
        if !self.may_be_pointer(itab) {
            return None;
        }
        let (of, ty) = (self.memory.word(itab)?, self.memory.word(itab.wrapping_add(8))?);
        (self.described(of).is_some() && self.described(ty).is_some()).then_some(ty)
    }

    fn described(&mut self, ty: u64) -> Option<Rc<Described>> {
        let types = &self.program.types;
        self.types.entry(ty).or_insert_with(|| types.behind(ty).map(Rc::new)).clone()
    }

    /// Does a pointer of this type point to a context that can be cancelled?
    fn is_cancel(&mut self, ty: u64) -> bool {
        let done = self.layout.done;
        self.described(ty).is_some_and(|described| is_cancel(&described, done))
    }

    /// Adds a context and its parents; returns its number.
    fn add(&mut self, first: Interface) -> Option<u32> {
        let (mut next, mut child) = (Some(first), None::<u32>);
        let began = self.all.len();
        let mut result = None;
        for _ in 0..MAX_PARENTS {
            let Some(now) = next else { break };
            let key = self.key(now);
            let known = self.known.get(&key).copied();
            let number = match known {
                // Its own descendant: whatever made such memory, it is no tree of contexts.
                Some(number) if number as usize >= began => break,
                Some(number) => number,
                None if self.all.len() >= MAX_CONTEXTS => break,
                None => {
                    let number = self.all.len() as u32;
                    let (context, parent) = self.read(now);
                    self.all.push(context);
                    self.known.insert(key, number);
                    next = parent;
                    number
                }
            };
            if let Some(child) = child.and_then(|child| self.all.get_mut(child as usize)) {
                child.parent = Some(number);
            }
            result = result.or(Some(number));
            child = Some(number);
            if known.is_some() {
                break;
            }
        }
        result
    }

    /// What distinguishes a context from others: its address, but for those without contents, which share one.
    fn key(&mut self, context: Interface) -> Interface {
        let described = context.ty.and_then(|ty| self.described(ty));
        let is_empty = described.is_some_and(|described| ends(&described.name));
        Interface { ty: context.ty.filter(|_| is_empty), ..context }
    }

    /// One context, and its parent.
    fn read(&mut self, context: Interface) -> (RawContext, Option<Interface>) {
        let described = context.ty.and_then(|ty| self.described(ty));
        let mut raw = RawContext {
            address: context.address,
            type_name: described.as_ref().map(|described| described.name.clone()),
            deadline: TimerState::Unknown,
            cancelled: None,
            parent: None,
            is_root: false,
        };
        let ContextLayout { parent, done, err, timer } = self.layout;
        let parent = match &described {
            Some(described) if ends(&described.name) => {
                (raw.is_root, raw.deadline) = (true, TimerState::Stopped);
                None
            }
            Some(described) if !is_cancel(described, done) => {
                if matches!(described.name.as_str(), "context.valueCtx" | "context.stopCtx") {
                    raw.deadline = TimerState::Stopped;
                }
                // A struct that embeds its parent. Smaller ones are not behind a pointer.
                described.layout.as_ref().and_then(|layout| offset(layout, "Context", 16))
            }
            // A bare pointer: what it points to tells.
            described => {
                let of_type = described.as_ref().and_then(|of| offset(of.layout.as_ref()?, "timer", 8));
                let at = if described.is_some() { of_type } else { timer };
                let found = at.and_then(|at| self.deadline(context.address.wrapping_add(at)));
                raw.deadline = found.unwrap_or(TimerState::Stopped);
                if described.is_none() {
                    let name = if found.is_some() { "context.timerCtx" } else { "context.cancelCtx" };
                    raw.type_name = Some(name.to_owned());
                }
                raw.cancelled = self.memory.word(context.address.wrapping_add(err)).map(|error| error != 0);
                Some(parent)
            }
        };
        (raw, parent.and_then(|at| self.interface(context.address.wrapping_add(at))))
    }

    /// When the `time.Timer` fires whose address stands here. None if there is none.
    fn deadline(&mut self, at: u64) -> Option<TimerState> {
        let layout: TimerLayout = self.program.timer?;
        let timer = self.memory.word(at).filter(|timer| self.may_be_pointer(*timer))?;
        // Before the runtime's timer there is a channel, and from 1.23 on a flag.
        let inside = if layout.next_when.is_some() { 8 } else { 16 };
        let bytes = self.target.read_vec(timer.wrapping_add(inside), layout.size).ok()?;
        let timer = layout.parse(&bytes);
        let entry = self.memory.word(timer.f)?;
        let function = self.program.modules.iter().find_map(|module| module.pclntab.find(entry))?;
        (function.name() == "time.goFunc").then_some(timer.state)
    }
}

/// Is cancellation from above impossible?
fn ends(name: &str) -> bool {
    matches!(
        name,
        "context.backgroundCtx" | "context.todoCtx" | "context.emptyCtx" | "context.withoutCancelCtx"
    )
}

/// Is it a pointer to a struct that begins with a `context.cancelCtx`?
fn is_cancel(described: &Described, done: u64) -> bool {
    let layout = described.layout.as_ref();
    described.is_pointer
        && described.name.starts_with("context.")
        && layout.and_then(|layout| offset(layout, "done", 16)) == Some(done)
}

#[cfg(test)]
#[path = "contexts/tests.rs"]
mod tests;
