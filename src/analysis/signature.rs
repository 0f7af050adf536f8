//! What tasks of different snapshots share.
//!
//! Ids of interned things are valid within one snapshot only, so a signature is made of text: the functions of
//! the shown frames and of the place that started the task. Argument values, wait minutes and addresses are not
//! part of it. The work is done once for each distinct stack and creator of a snapshot; a task costs one
//! look-up.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use rustc_hash::{FxHashMap, FxHashSet};

use super::frames::{creator_frame, shown_frames};
use super::modules::Owners;
use super::owner::Code;
use crate::analysis::parse_error::ParseError;
use crate::snapshot::{Frame, FunctionRole, Snapshot, StrId, Task};

/// What a signature is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum By {
    /// The functions of the stack and of the creator.
    #[default]
    Function,
    /// The same, with files and lines.
    Line,
    /// Only the function that started the task.
    Creator,
}

impl fmt::Display for By {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            By::Function => "function",
            By::Line => "line",
            By::Creator => "creator",
        })
    }
}

impl FromStr for By {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        [By::Function, By::Line, By::Creator]
            .into_iter()
            .find(|by| by.to_string() == text)
            .ok_or(ParseError::new("use function, line or creator"))
    }
}

/// How signatures are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SignatureOptions {
    /// What they are made of.
    pub by: By,
    /// Only this many of the innermost shown frames. None: all.
    pub top: Option<usize>,
    /// Leave the creator out, because one of the sources does not know it. Not with [`By::Creator`].
    pub ignore_creator: bool,
    /// Include the frames of the runtime's machinery.
    pub all_frames: bool,
}

/// Identifies a [`Signature`] of [`Signatures`]. Never refers to another one, even after its signature was
/// released.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SignatureId {
    slot: u32,
    /// How many signatures had the slot before.
    generation: u32,
}

impl SignatureId {
    /// The position of its slot. A slot is reused after its signature was released.
    pub fn index(self) -> usize {
        self.slot as usize
    }
}

/// A function and the place where it was when it was first met.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct SignatureFrame {
    /// Full name of the function. Empty if unknown.
    pub function: Arc<str>,
    /// Its package. Empty if it has none.
    pub package: Arc<str>,
    /// Source file. Empty if unknown.
    pub file: Arc<str>,
    /// Line, from 1. 0 if unknown.
    pub line: u32,
    /// What the function is for.
    pub role: FunctionRole,
}

impl SignatureFrame {
    /// What decides who owns the code.
    fn code(&self) -> Code<'_> {
        Code { function: &self.function, package: &self.package, file: &self.file, role: self.role }
    }
}

/// What tasks of one kind share.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Signature {
    /// Name of the runtime that they belong to.
    pub runtime: Arc<str>,
    /// The shown frames, innermost first. If grouped by function, files and lines are those of the first task met.
    pub frames: Vec<SignatureFrame>,
    /// Where the first task met was started.
    pub creator: Option<SignatureFrame>,
    /// What the first task met was doing: why it waited, or else its state.
    pub doing: Arc<str>,
}

impl Signature {
    /// The frame that the user looks for; see [`Owners::user_frame`].
    pub fn user_frame(&self, owners: &Owners) -> Option<&SignatureFrame> {
        self.frames.get(owners.user_frame(self.frames.iter().map(SignatureFrame::code))?)
    }
}

/// A frame as it is compared: the text numbers of function and file, and the line.
type FrameKey = [u32; 3];

/// What decides which signature a task has: the numbers of its runtime's name, its stack and its creator.
type Key = [u32; 3];

/// Texts, frames and signatures of any number of snapshots.
#[derive(Debug, Default)]
pub struct Signatures {
    options: SignatureOptions,
    texts: FxHashMap<Arc<str>, u32>,
    text_numbers: Numbers,
    stacks: FxHashMap<Vec<FrameKey>, u32>,
    stack_numbers: Numbers,
    by_key: FxHashMap<Key, SignatureId>,
    slots: Vec<Slot>,
    free: Vec<u32>,
}

/// The slot of a signature.
#[derive(Debug, Default)]
struct Slot {
    generation: u32,
    signature: Option<Signature>,
}

/// Assigns numbers; returned numbers are reused first.
#[derive(Debug, Default)]
struct Numbers {
    next: u32,
    free: Vec<u32>,
}

impl Numbers {
    fn give(&mut self) -> u32 {
        self.free.pop().unwrap_or_else(|| {
            self.next += 1;
            self.next - 1
        })
    }
}

impl Signatures {
    /// An empty table.
    pub fn new(options: SignatureOptions) -> Self {
        Signatures { options, ..Signatures::default() }
    }

    /// The options that they are made with.
    pub fn options(&self) -> SignatureOptions {
        self.options
    }

    /// All of them, in the order of their slots.
    pub fn iter(&self) -> impl Iterator<Item = (SignatureId, &Signature)> {
        (0..).zip(&self.slots).filter_map(|(slot, held)| {
            Some((SignatureId { slot, generation: held.generation }, held.signature.as_ref()?))
        })
    }

    /// How many slots there are, including free ones.
    pub fn slots(&self) -> usize {
        self.slots.len()
    }

    /// How many signatures there are.
    pub fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// There is no signature.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A signature by its id. None if it was released.
    pub fn get(&self, id: SignatureId) -> Option<&Signature> {
        let slot = self.slots.get(id.index()).filter(|slot| slot.generation == id.generation)?;
        slot.signature.as_ref()
    }

    /// Releases every signature that `keep` rejects, and returns them with their ids, in the order of their
    /// slots. After they are dropped, [`Signatures::forget_parts`] frees the rest of their space.
    pub fn retain(&mut self, mut keep: impl FnMut(SignatureId) -> bool) -> Vec<(SignatureId, Signature)> {
        let mut gone = Vec::new();
        for (slot, held) in (0..).zip(&mut self.slots) {
            let id = SignatureId { slot, generation: held.generation };
            if held.signature.is_some() && !keep(id) {
                held.generation = held.generation.wrapping_add(1);
                gone.extend(held.signature.take().map(|signature| (id, signature)));
                self.free.push(slot);
            }
        }
        let slots = &self.slots;
        self.by_key
            .retain(|_, id| slots.get(id.index()).is_some_and(|slot| slot.generation == id.generation));
        gone
    }

    /// Drops the texts and stacks that no signature uses any more.
    pub fn forget_parts(&mut self) {
        let keys = || self.by_key.keys();
        let used: FxHashSet<u32> = keys().flat_map(|&[_, stack, creator]| [stack, creator]).collect();
        let mut texts: FxHashSet<u32> = keys().map(|&[runtime, ..]| runtime).collect();
        let numbers = &mut self.stack_numbers;
        self.stacks.retain(|frames, number| {
            let keep = used.contains(number);
            match keep {
                true => texts.extend(frames.iter().flat_map(|&[function, file, _]| [function, file])),
                false => numbers.free.push(*number),
            }
            keep
        });
        let numbers = &mut self.text_numbers;
        self.texts.retain(|text, number| {
            // The frames of a signature share the text.
            let keep = texts.contains(number) || Arc::strong_count(text) > 1;
            if !keep {
                numbers.free.push(*number);
            }
            keep
        });
        // Freed space is returned, too, if there is much of it.
        self.stacks.shrink_to(self.stacks.len() * 2);
        self.texts.shrink_to(self.texts.len() * 2);
        self.by_key.shrink_to(self.by_key.len() * 2);
    }

    /// How many texts and stacks are kept.
    #[cfg(test)]
    pub(crate) fn parts(&self) -> (usize, usize) {
        (self.texts.len(), self.stacks.len())
    }

    fn add(&mut self, key: Key, signature: Signature) -> SignatureId {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot::default());
            self.slots.len() as u32 - 1
        });
        let mut generation = 0;
        if let Some(held) = self.slots.get_mut(slot as usize) {
            held.signature = Some(signature);
            generation = held.generation;
        }
        let id = SignatureId { slot, generation };
        self.by_key.insert(key, id);
        id
    }

    /// Prepares to give the tasks of `snapshot` their signatures.
    pub fn reader<'a>(&'a mut self, snapshot: &'a Snapshot) -> SignatureReader<'a> {
        SignatureReader {
            texts: vec![UNKNOWN; snapshot.code.strings.len()],
            stacks: vec![UNKNOWN; snapshot.code.stacks.len()],
            creators: vec![UNKNOWN; snapshot.code.locations.len()],
            entries: FxHashMap::default(),
            runtimes: snapshot.header.runtimes.iter().map(|r| self.number(&r.name)).collect(),
            known: FxHashMap::default(),
            last: None,
            signatures: self,
            snapshot,
        }
    }

    fn number(&mut self, text: &str) -> u32 {
        if let Some(&number) = self.texts.get(text) {
            return number;
        }
        let number = self.text_numbers.give();
        self.texts.insert(text.into(), number);
        number
    }

    /// The one copy of a text that is kept.
    fn shared(&mut self, text: &str) -> Arc<str> {
        self.number(text);
        self.texts.get_key_value(text).map_or_else(|| text.into(), |(shared, _)| Arc::clone(shared))
    }

    fn stack(&mut self, keys: Vec<FrameKey>) -> u32 {
        *self.stacks.entry(keys).or_insert_with(|| self.stack_numbers.give())
    }
}

/// Not computed yet.
const UNKNOWN: u32 = u32::MAX;
/// There is none.
const NONE: u32 = u32::MAX - 1;

/// Gives the tasks of one snapshot their signatures.
#[derive(Debug)]
pub struct SignatureReader<'a> {
    signatures: &'a mut Signatures,
    snapshot: &'a Snapshot,
    texts: Vec<u32>,
    stacks: Vec<u32>,
    creators: Vec<u32>,
    /// For tasks without a stack: the stack number of their entry function alone.
    entries: FxHashMap<u32, u32>,
    runtimes: Vec<u32>,
    /// Known signatures by runtime, stack number and creator number.
    known: FxHashMap<Key, SignatureId>,
    /// Neighbours are often alike: stack, creator and runtime of the previous task.
    last: Option<(Alike, SignatureId)>,
}

/// What decides the signature within one snapshot: runtime, stack, entry (without a stack), creator.
type Alike = (u8, Option<u32>, Option<u32>, Option<u32>);

impl SignatureReader<'_> {
    /// The signature of a task of the snapshot.
    pub fn of(&mut self, task: &Task) -> SignatureId {
        let entry = if task.stack.is_none() { task.entry.map(|id| id.0) } else { None };
        let alike = (task.runtime, task.stack.map(|id| id.0), entry, task.creator.map(|id| id.0));
        match self.last {
            Some((same, id)) if same == alike => return id,
            _ => {}
        }
        let runtime = self.runtimes.get(usize::from(task.runtime)).copied().unwrap_or(NONE);
        let key = [runtime, self.stack_of(task), self.creator_of(task)];
        let id = match self.known.get(&key) {
            Some(&id) => id,
            None => {
                let id = self.find(key, task);
                self.known.insert(key, id);
                id
            }
        };
        self.last = Some((alike, id));
        id
    }

    /// The signature with this key, made from `task` if it is new.
    fn find(&mut self, key: Key, task: &Task) -> SignatureId {
        if let Some(&id) = self.signatures.by_key.get(&key) {
            return id;
        }
        let options = self.signatures.options;
        let frames = match options.by {
            By::Creator => Vec::new(),
            By::Function | By::Line => self.frames(task).into_iter().map(|f| self.place(f)).collect(),
        };
        let creator = (!options.ignore_creator || options.by == By::Creator)
            .then(|| task.creator.and_then(|id| creator_frame(self.snapshot, id)))
            .flatten()
            .map(|frame| self.place(frame));
        let runtime = self.snapshot.runtime_of(task).map_or("", |r| r.name.as_str());
        let runtime = self.signatures.shared(runtime);
        let doing = task.reason.map_or(task.state.name(), |id| self.snapshot.str(id));
        let doing = self.signatures.shared(doing);
        self.signatures.add(key, Signature { runtime, frames, creator, doing })
    }

    /// The frames of a task's signature: shown ones, or only its entry function if its stack is not known.
    fn frames(&self, task: &Task) -> Vec<Frame> {
        let mut frames: Vec<Frame> = match (task.stack, task.entry) {
            (None, Some(function)) => vec![Frame { function, file: StrId(UNKNOWN), line: 0 }],
            _ => {
                shown_frames(self.snapshot, self.snapshot.stack_of(task), self.signatures.options.all_frames)
                    .iter()
                    .map(|shown| shown.frame)
                    .collect()
            }
        };
        frames.truncate(self.signatures.options.top.unwrap_or(usize::MAX));
        frames
    }

    fn stack_of(&mut self, task: &Task) -> u32 {
        if self.signatures.options.by == By::Creator {
            return NONE;
        }
        let known = match (task.stack, task.entry) {
            (Some(stack), _) => self.stacks.get(stack.index()).copied(),
            (None, Some(entry)) => self.entries.get(&entry.0).copied().or(Some(UNKNOWN)),
            (None, None) => Some(NONE),
        };
        match known {
            Some(UNKNOWN) => {}
            Some(number) => return number,
            None => return NONE,
        }
        let frames = self.frames(task);
        let keys = frames.into_iter().map(|frame| self.key(frame)).collect();
        let number = self.signatures.stack(keys);
        match (task.stack, task.entry) {
            (Some(stack), _) => {
                self.stacks.get_mut(stack.index()).into_iter().for_each(|slot| *slot = number)
            }
            (None, Some(entry)) => drop(self.entries.insert(entry.0, number)),
            (None, None) => {}
        }
        number
    }

    fn creator_of(&mut self, task: &Task) -> u32 {
        let options = self.signatures.options;
        if options.ignore_creator && options.by != By::Creator {
            return NONE;
        }
        let Some(id) = task.creator else { return NONE };
        match self.creators.get(id.index()) {
            Some(&UNKNOWN) => {}
            Some(&number) => return number,
            None => return NONE,
        }
        let number = match creator_frame(self.snapshot, id) {
            Some(frame) => {
                let key = self.key(frame);
                self.signatures.stack(vec![key])
            }
            None => NONE,
        };
        self.creators.get_mut(id.index()).into_iter().for_each(|slot| *slot = number);
        number
    }

    /// A frame as it is compared. A function without a name is identified by its place.
    fn key(&mut self, frame: Frame) -> FrameKey {
        let name = self.snapshot.code.functions.get(frame.function.index()).map(|f| f.name);
        let named = name.is_some_and(|id| !self.snapshot.str(id).is_empty());
        let function = name.map_or(NONE, |id| self.text(id));
        match self.signatures.options.by {
            By::Function | By::Creator if named => [function, NONE, 0],
            _ => [function, self.text(frame.file), frame.line],
        }
    }

    /// The number of a string of the snapshot.
    fn text(&mut self, id: StrId) -> u32 {
        match self.texts.get(id.index()) {
            Some(&UNKNOWN) => {}
            Some(&number) => return number,
            // Out of range counts as empty.
            None => return self.signatures.number(""),
        }
        let number = self.signatures.number(self.snapshot.str(id));
        self.texts.get_mut(id.index()).into_iter().for_each(|slot| *slot = number);
        number
    }

    fn place(&mut self, frame: Frame) -> SignatureFrame {
        let function = self.snapshot.code.functions.get(frame.function.index());
        let (name, package) = function.map_or((StrId(UNKNOWN), StrId(UNKNOWN)), |f| (f.name, f.package));
        SignatureFrame {
            function: self.signatures.shared(self.snapshot.str(name)),
            package: self.signatures.shared(self.snapshot.str(package)),
            file: self.signatures.shared(self.snapshot.str(frame.file)),
            line: frame.line,
            role: function.map_or(FunctionRole::default(), |function| function.role),
        }
    }
}
