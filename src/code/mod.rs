//! The code tables: strings, functions, locations, stacks and label sets, each of them once.
//!
//! They say what code a program has and where it stood, and nothing of tasks or time: a snapshot of one moment and
//! a recording of a while refer to the same kind of tables by index. Nothing here knows anybody else.

mod builder;
mod interner;

use serde::{Deserialize, Serialize};

pub use builder::CodeBuilder;
pub(crate) use interner::Interner;

macro_rules! index {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub u32);

        impl $name {
            /// The position in its table.
            pub fn index(self) -> usize {
                self.0 as usize
            }
        }
    };
}

index!(
    /// Index into [`CodeTables::strings`].
    StrId
);
index!(
    /// Index into [`CodeTables::functions`].
    FunctionId
);
index!(
    /// Index into [`CodeTables::locations`].
    LocationId
);
index!(
    /// Index into [`CodeTables::stacks`].
    StackId
);
index!(
    /// Index into [`CodeTables::label_sets`].
    LabelSetId
);
/// Every string, function, location, stack and set of labels, once.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct CodeTables {
    /// Every string. Raw from the target: escape before printing.
    pub strings: Vec<String>,
    /// Every function.
    pub functions: Vec<Function>,
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

    /// The locations of a stack, innermost first. Empty for an index out of range.
    pub fn stack(&self, id: StackId) -> &[LocationId] {
        self.stacks.get(id.index()).map_or(&[], |stack| &stack.locations)
    }
}

/// A function.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct FunctionRole {
    /// How far below the program its code is.
    pub layer: Layer,
    /// What begins with it.
    pub begins: Begins,
}

/// How far below the program the code of a function is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
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

impl Layer {
    /// Is it the code of a lock, or of the runtime below it? Then its caller is what waits.
    pub fn is_lock_code(self) -> bool {
        matches!(self, Layer::Lock | Layer::Machinery)
    }
}

/// What kind of function it is, for deciding what to show.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
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

/// A code address or an await point.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Location {
    /// The code address; for callers it is the return address. None for await points.
    pub address: Option<u64>,
    /// `address` less the start of the outermost frame's function.
    pub offset: u32,
    /// The frames at this place, innermost (inlined) first, never empty. The last one is the
    /// function that really has code here; those before it were inlined into it.
    pub frames: Vec<Frame>,
}

/// A function with the line it stands at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Frame {
    /// The function.
    pub function: FunctionId,
    /// Source file. Empty string if unknown.
    pub file: StrId,
    /// Line, from 1. 0 if unknown.
    pub line: u32,
}

/// Locations from the innermost call outwards.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct Stack {
    /// Innermost first.
    pub locations: Vec<LocationId>,
}

/// Labels of a task, sorted by key.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct LabelSet {
    /// Pairs of key and value, sorted by the text of the key.
    pub pairs: Vec<(StrId, StrId)>,
}
