//! The code tables: strings, functions, images, locations, stacks and label sets, each stored once.
//!
//! They describe a program's code and its locations, not tasks or time: a snapshot of one moment and a
//! recording of a period refer to the same kind of tables by index. This module depends on no other.

mod builder;
mod ids;
mod interner;
mod validate;

pub use builder::CodeBuilder;
pub use ids::{FunctionId, ImageId, LabelSetId, LocationId, StackId, StrId};
pub(crate) use interner::Interner;
pub use validate::Invalid;
pub(crate) use validate::check;

/// Every string, function, image, location, stack and label set, each stored once.
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

    /// The position of a location in the file of its image: the distance of its address from the first byte
    /// of that file. It is the same in every process that has this file mapped, and the program headers of
    /// the file turn it into the address that its symbols have. None if the address or the image is unknown.
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
    /// Its purpose, as the runtime's reader decided.
    pub role: FunctionRole,
}

/// The purpose of a function. The reader of a runtime derives it from names; no other code examines names for that.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct FunctionRole {
    /// How far below the program its code is.
    pub layer: Layer,
    /// What starts with it.
    pub begins: Begins,
}

/// How far below the program the code of a function is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
#[non_exhaustive]
pub enum Layer {
    /// The program itself, or a library that it was built with.
    #[default]
    Application,
    /// The part of a standard library that programs call for their own purposes.
    Standard,
    /// The layer below that: files, the network, time; and foreign code.
    Base,
    /// The code of a lock: its caller is what waits.
    Lock,
    /// The runtime: its frames only say that a task is parked.
    Machinery,
}

/// What starts with a function.
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
    /// Every value with its name in files.
    const NAMES: [(Begins, &str); 4] = [
        (Begins::Nothing, "nothing"),
        (Begins::Task, "task"),
        (Begins::Program, "program"),
        (Begins::Package, "package"),
    ];

    /// Its name in files: "package".
    pub fn name(self) -> &'static str {
        Self::NAMES.into_iter().find(|known| known.0 == self).map_or("nothing", |known| known.1)
    }

    /// The value with this name. None for an unknown name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::NAMES.into_iter().find(|known| known.1 == name).map(|known| known.0)
    }
}

impl Layer {
    /// Every layer with its name in files.
    const NAMES: [(Layer, &str); 5] = [
        (Layer::Application, "application"),
        (Layer::Standard, "standard"),
        (Layer::Base, "base"),
        (Layer::Lock, "lock"),
        (Layer::Machinery, "machinery"),
    ];

    /// Its name in files: "standard".
    pub fn name(self) -> &'static str {
        Self::NAMES.into_iter().find(|known| known.0 == self).map_or("application", |known| known.1)
    }

    /// The layer with this name. None for an unknown name.
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
    /// Raises a panic: shown, as the border between ordinary code and code that runs because of the panic,
    /// unless it is the innermost frame.
    Panic,
    /// Turns a fault into a panic. Hidden like [`FunctionKind::Internal`].
    Fault,
    /// Foreign code (C), shown.
    Foreign,
}

impl FunctionKind {
    /// Every kind with its name in files.
    const NAMES: [(FunctionKind, &str); 6] = [
        (FunctionKind::Normal, "normal"),
        (FunctionKind::Internal, "internal"),
        (FunctionKind::Wrapper, "wrapper"),
        (FunctionKind::Panic, "panic"),
        (FunctionKind::Fault, "fault"),
        (FunctionKind::Foreign, "foreign"),
    ];

    /// Its name in files: "normal".
    pub fn name(self) -> &'static str {
        Self::NAMES.into_iter().find(|known| known.0 == self).map_or("normal", |known| known.1)
    }

    /// The kind with this name. None for an unknown name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::NAMES.into_iter().find(|known| known.1 == name).map(|known| known.0)
    }
}

/// A file with code that is mapped into the process: the executable, a library, a plugin. The vDSO counts
/// too, though it is not a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Image {
    /// Its path as the process sees it: "/usr/bin/api", `[vdso]`. Raw from the target.
    pub path: StrId,
    /// Its GNU or Go build id, hexadecimal or Go's own text. None if it has none or if unknown.
    pub build_id: Option<StrId>,
    /// The first address at which its code is mapped.
    pub start: u64,
    /// The address after the last one.
    pub end: u64,
    /// The offset in the file of the byte that is mapped at `start`.
    pub offset: u64,
}

impl Image {
    /// An image whose code is mapped at `start..end`, from `offset` in the file on.
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
    /// The image that it is in. None if unknown, like in most dumps. See [`CodeTables::offset_in_file`].
    pub image: Option<ImageId>,
    /// `address` less the start of the outermost frame's function. None if unknown.
    pub offset: Option<u32>,
    /// The frames at this location, innermost (inlined) first, never empty. The last frame is the function
    /// that really has code here; the frames before it were inlined into it.
    pub frames: Vec<Frame>,
}

/// A function with a line in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Frame {
    /// The function.
    pub function: FunctionId,
    /// Source file. Empty string if unknown.
    pub file: StrId,
    /// Line, from 1. 0 if unknown: see [`Frame::known_line`].
    pub line: u32,
}

impl Frame {
    /// Line, from 1. None if unknown.
    pub fn known_line(self) -> Option<u32> {
        Some(self.line).filter(|&line| line != 0)
    }
}

impl Location {
    /// A location in the source without a code address.
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
