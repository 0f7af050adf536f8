//! The code tables: strings, functions, images, locations, stacks and label sets, each of them once.
//!
//! They say what code a program has and where it stood, and nothing of tasks or time: a snapshot of one moment and
//! a recording of a while refer to the same kind of tables by index. Nothing here knows anybody else.

mod builder;
mod ids;
mod interner;

pub use builder::CodeBuilder;
pub use ids::{FunctionId, ImageId, LabelSetId, LocationId, StackId, StrId};
pub(crate) use interner::Interner;

/// Every string, function, image, location, stack and set of labels, once.
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub struct CodeTables {
    /// Every string. Raw from the target: escape before printing.
    pub strings: Vec<String>,
    /// Every function.
    pub functions: Vec<Function>,
    /// The images that locations are in.
    pub images: Vec<Image>,
    /// Every code address or await point, with its frames.
    pub locations: Vec<Location>,
    /// Every distinct stack.
    pub stacks: Vec<Stack>,
    /// Every distinct set of labels.
    pub label_sets: Vec<LabelSet>,
}

impl CodeTables {
    /// The text of a string. Empty for an index out of range.
    pub fn str(&self, id: StrId) -> &str {
        self.strings.get(id.index()).map_or("", String::as_str)
    }

    /// The name of a function. Empty for an index out of range.
    pub fn function_name(&self, id: FunctionId) -> &str {
        self.functions.get(id.index()).map_or("", |f| self.str(f.name))
    }

    /// Where a location stands in the file of its image: how many bytes its address is behind the first byte of
    /// that file. It is the same in every process that has this file mapped, and the program headers of the
    /// file turn it into the address that its symbols have. None if the address or the image is unknown.
    pub fn offset_in_file(&self, location: &Location) -> Option<u64> {
        let image = self.images.get(location.image?.index())?;
        image.offset.checked_add(location.address?.checked_sub(image.start)?)
    }

    /// The locations of a stack, innermost first. Empty for an index out of range.
    pub fn stack(&self, id: StackId) -> &[LocationId] {
        self.stacks.get(id.index()).map_or(&[], |stack| &stack.locations)
    }
}

/// A function.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Function {
    /// Full name: "internal/poll.(*FD).Read".
    pub name: StrId,
    /// Package or module part of the name: "internal/poll". Empty string if none.
    pub package: StrId,
    /// What kind of function it is, for deciding what to show.
    pub kind: FunctionKind,
    /// What it is for, as the reader of its runtime says.
    pub role: FunctionRole,
}

/// What a function is for. The reader of a runtime knows it from names; nobody else looks at them for that.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct FunctionRole {
    /// How far below the program its code is.
    pub layer: Layer,
    /// What begins with it.
    pub begins: Begins,
}

/// How far below the program the code of a function is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
#[non_exhaustive]
pub enum Layer {
    /// The program itself, or a library that it was built with.
    #[default]
    Application,
    /// The part of a standard library that a program calls for what it does.
    Standard,
    /// What that stands on: files, the network, time; and foreign code.
    Base,
    /// The code of a lock: its caller is what waits.
    Lock,
    /// The runtime: a frame of it only says that a task is parked.
    Machinery,
}

/// What begins with a function.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
#[non_exhaustive]
pub enum Begins {
    /// Nothing in particular.
    #[default]
    Nothing,
    /// Every task or thread: it is the outermost frame of each.
    Task,
    /// The program: its main function.
    Program,
    /// A package: it runs once, when the program starts.
    Package,
}

impl Begins {
    /// Every value with the name that files use.
    const NAMES: [(Begins, &str); 4] = [
        (Begins::Nothing, "nothing"),
        (Begins::Task, "task"),
        (Begins::Program, "program"),
        (Begins::Package, "package"),
    ];

    /// The name that files use: "package".
    pub fn name(self) -> &'static str {
        Self::NAMES.into_iter().find(|known| known.0 == self).map_or("nothing", |known| known.1)
    }

    /// The value of that name. None for an unknown name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::NAMES.into_iter().find(|known| known.1 == name).map(|known| known.0)
    }
}

impl Layer {
    /// Every layer with the name that files use.
    const NAMES: [(Layer, &str); 5] = [
        (Layer::Application, "application"),
        (Layer::Standard, "standard"),
        (Layer::Base, "base"),
        (Layer::Lock, "lock"),
        (Layer::Machinery, "machinery"),
    ];

    /// The name that files use: "standard".
    pub fn name(self) -> &'static str {
        Self::NAMES.into_iter().find(|known| known.0 == self).map_or("application", |known| known.1)
    }

    /// The layer of that name. None for an unknown name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::NAMES.into_iter().find(|known| known.1 == name).map(|known| known.0)
    }

    /// Is it the code of a lock, or of the runtime below it? Then its caller is what waits.
    pub fn is_lock_code(self) -> bool {
        matches!(self, Layer::Lock | Layer::Machinery)
    }
}

/// What kind of function it is, for deciding what to show.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum FunctionKind {
    /// Show it.
    #[default]
    Normal,
    /// Part of the runtime's machinery: hidden unless asked for.
    Internal,
    /// Made by the compiler to adapt one signature to another: hidden unless it called a
    /// [`FunctionKind::Panic`] or a [`FunctionKind::Fault`] function.
    Wrapper,
    /// Raises a panic: shown, as the border between ordinary code and what runs because of the
    /// panic, unless it is the innermost frame.
    Panic,
    /// Turns a fault into a panic. Hidden like [`FunctionKind::Internal`].
    Fault,
    /// Foreign code (C), shown.
    Foreign,
}

impl FunctionKind {
    /// Every kind with the name that files use.
    const NAMES: [(FunctionKind, &str); 6] = [
        (FunctionKind::Normal, "normal"),
        (FunctionKind::Internal, "internal"),
        (FunctionKind::Wrapper, "wrapper"),
        (FunctionKind::Panic, "panic"),
        (FunctionKind::Fault, "fault"),
        (FunctionKind::Foreign, "foreign"),
    ];

    /// The name that files use: "normal".
    pub fn name(self) -> &'static str {
        Self::NAMES.into_iter().find(|known| known.0 == self).map_or("normal", |known| known.1)
    }

    /// The kind of that name. None for an unknown name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::NAMES.into_iter().find(|known| known.1 == name).map(|known| known.0)
    }
}

/// A file with code in it that is mapped into the process: the executable, a library, a plugin. The vDSO is
/// one too, though it is no file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Image {
    /// Its path as the process sees it: "/usr/bin/api", "[vdso]". Raw from the target.
    pub path: StrId,
    /// Its GNU or Go build id, hexadecimal or Go's own text. None if it has none or it is unknown.
    pub build_id: Option<StrId>,
    /// Where its code is mapped: the first address.
    pub start: u64,
    /// The address behind the last one.
    pub end: u64,
    /// The place in the file, bytes from its start, of what is mapped at `start`.
    pub offset: u64,
}

impl Image {
    /// An image whose code is mapped at `start..end`, from `offset` of the file on.
    pub fn new(path: StrId, build_id: Option<StrId>, start: u64, end: u64, offset: u64) -> Self {
        Image { path, build_id, start, end, offset }
    }
}

/// A code address or an await point.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Location {
    /// The code address; for callers it is the return address. None for await points.
    pub address: Option<u64>,
    /// The image that it is in. None if unknown, as of most dumps. See [`CodeTables::offset_in_file`].
    pub image: Option<ImageId>,
    /// `address` less the start of the outermost frame's function. None if unknown.
    pub offset: Option<u32>,
    /// The frames at this place, innermost (inlined) first, never empty. The last one is the
    /// function that really has code here; those before it were inlined into it.
    pub frames: Vec<Frame>,
}

/// A function with the line it stands at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Frame {
    /// The function.
    pub function: FunctionId,
    /// Source file. Empty string if unknown.
    pub file: StrId,
    /// Line, from 1. 0 if unknown: [`Frame::known_line`] says so.
    pub line: u32,
}

impl Frame {
    /// Line, from 1. None if unknown.
    pub fn known_line(self) -> Option<u32> {
        Some(self.line).filter(|&line| line != 0)
    }
}

impl Location {
    /// A place in the source without a code address.
    pub fn in_source(frames: Vec<Frame>) -> Self {
        Location { frames, ..Location::default() }
    }

    /// A code address, in an image that is not known (yet).
    pub fn at(address: u64, offset: Option<u32>, frames: Vec<Frame>) -> Self {
        Location { address: Some(address), image: None, offset, frames }
    }
}

/// Locations from the innermost call outwards.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Stack {
    /// Innermost first.
    pub locations: Vec<LocationId>,
}

/// Labels of a task, sorted by key.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct LabelSet {
    /// Pairs of key and value, sorted by the text of the key.
    pub pairs: Vec<(StrId, StrId)>,
}
