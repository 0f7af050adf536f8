//! The field numbers of `profile.proto` (github.com/google/pprof, proto/profile.proto), and the words that
//! loiter's own profiles use.

/// Fields of the message Profile.
pub mod profile {
    /// The meaning of each sample value, one ValueType each.
    pub const SAMPLE_TYPE: u32 = 1;
    /// A Sample.
    pub const SAMPLE: u32 = 2;
    /// A Mapping; the first one is the executable.
    pub const MAPPING: u32 = 3;
    /// A Location.
    pub const LOCATION: u32 = 4;
    /// A Function.
    pub const FUNCTION: u32 = 5;
    /// A string; the first one is empty.
    pub const STRING_TABLE: u32 = 6;
    /// When it was taken, nanoseconds since the Unix epoch.
    pub const TIME_NANOS: u32 = 9;
    /// How long it took, nanoseconds.
    pub const DURATION_NANOS: u32 = 10;
    /// The subject of a period, a ValueType.
    pub const PERIOD_TYPE: u32 = 11;
    /// Events between two samples.
    pub const PERIOD: u32 = 12;
    /// Text for people. `go tool pprof` hides text that begins with `#`.
    pub const COMMENT: u32 = 13;
    /// The type of sample that readers show first.
    pub const DEFAULT_SAMPLE_TYPE: u32 = 14;
}

/// Fields of the message ValueType.
pub mod value_type {
    /// What is counted.
    pub const TYPE: u32 = 1;
    /// Its unit.
    pub const UNIT: u32 = 2;
}

/// Fields of the message Sample.
pub mod sample {
    /// Ids of locations, the innermost first.
    pub const LOCATION: u32 = 1;
    /// A value for each sample type.
    pub const VALUE: u32 = 2;
    /// A Label.
    pub const LABEL: u32 = 3;
}

/// Fields of the message Label.
pub mod label {
    /// Its key.
    pub const KEY: u32 = 1;
    /// Its value, if that is text.
    pub const STR: u32 = 2;
    /// Its value, if that is a number.
    pub const NUM: u32 = 3;
    /// The unit of the number.
    pub const UNIT: u32 = 4;
}

/// Fields of the message Mapping.
pub mod mapping {
    /// Its id, not 0.
    pub const ID: u32 = 1;
    /// Its first address.
    pub const START: u32 = 2;
    /// The address after its last.
    pub const LIMIT: u32 = 3;
    /// The file offset of its first address.
    pub const OFFSET: u32 = 4;
    /// The file.
    pub const FILENAME: u32 = 5;
    /// The file's build id.
    pub const BUILD_ID: u32 = 6;
    /// Functions are known: symbols need not be looked up.
    pub const HAS_FUNCTIONS: u32 = 7;
    /// Files are known.
    pub const HAS_FILENAMES: u32 = 8;
    /// Lines are known.
    pub const HAS_LINE_NUMBERS: u32 = 9;
    /// Inlined functions are known.
    pub const HAS_INLINE_FRAMES: u32 = 10;
}

/// Fields of the message Location.
pub mod location {
    /// Its id, not 0.
    pub const ID: u32 = 1;
    /// Id of its mapping.
    pub const MAPPING: u32 = 2;
    /// The address of the call, which is below the return address.
    pub const ADDRESS: u32 = 3;
    /// A Line; inlined functions first.
    pub const LINE: u32 = 4;
}

/// Fields of the message Line.
pub mod line {
    /// Id of the function.
    pub const FUNCTION: u32 = 1;
    /// The line.
    pub const LINE: u32 = 2;
}

/// Fields of the message Function.
pub mod function {
    /// Its id, not 0.
    pub const ID: u32 = 1;
    /// Its name.
    pub const NAME: u32 = 2;
    /// Its name before demangling.
    pub const SYSTEM_NAME: u32 = 3;
    /// Its file.
    pub const FILENAME: u32 = 4;
}

/// A runtime's description of goroutines in the labels of samples, one sample per goroutine: the profile with
/// debug=3 that CockroachDB's Go writes and that was proposed for Go. Values are numbers or texts.
pub mod single {
    /// The goroutine's id.
    pub const ID: &str = "go::goroutine";
    /// Id of the goroutine that started it.
    pub const CREATED_BY: &str = "go::goroutine_created_by";
    /// Its state or wait reason, as in debug=2: "running", "chan receive".
    pub const STATE: &str = "go::goroutine_state";
    /// Why it waits, if the state does not say it.
    pub const WAIT_REASON: &str = "go::goroutine_wait_reason";
    /// Its minimum waiting time, minutes.
    pub const WAIT_MINUTES: &str = "go::goroutine_wait_minutes";

    /// The keys.
    pub const KEYS: [&str; 5] = [ID, CREATED_BY, STATE, WAIT_REASON, WAIT_MINUTES];
}

/// loiter's description of tasks in the labels of samples. A program's own label with one of these keys gets
/// the prefix [`own::PROGRAM`].
pub mod own {
    use serde::{Deserialize, Serialize};

    use crate::code::{Begins, FunctionKind, Layer};

    /// The comment that contains the snapshot's header as JSON; with it, labels have the meanings below.
    pub const HEADER: &str = "#loiter-header ";
    /// The comment that contains, as JSON, the functions whose names do not show their kind, role and
    /// package: a list of [`UnusualFunction`].
    pub const FUNCTIONS: &str = "#loiter-functions ";
    /// Number: the task's id.
    pub const ID: &str = "id";
    /// Text: its state, by the names of [`crate::snapshot::TaskState`].
    pub const STATE: &str = "state";
    /// Text: why it waits.
    pub const WAIT_REASON: &str = "wait_reason";
    /// Text: its kind of wait, by the names of [`crate::snapshot::WaitClass`].
    pub const WAIT_CLASS: &str = "wait_class";
    /// Number: its age at least, seconds.
    pub const WAIT_SECONDS: &str = "wait_seconds";
    /// Text: the function that started it.
    pub const CREATED_BY: &str = "created_by";
    /// Text: the file and line where it was started.
    pub const CREATED_AT: &str = "created_at";
    /// Number: id of the task that started it.
    pub const PARENT: &str = "parent";
    /// Text: how far its stack can be trusted, if not completely.
    pub const STACK: &str = "stack";
    /// Text: its other properties: [`LEAKED`], [`LOCKED`], [`SYSTEM`].
    pub const IS: &str = "is";
    /// The runtime has proved that it will never run again.
    pub const LEAKED: &str = "leaked";
    /// It may run on one thread only.
    pub const LOCKED: &str = "locked to thread";
    /// It belongs to the runtime.
    pub const SYSTEM: &str = "system";
    /// Number: its runtime among several, unless that is the first.
    pub const RUNTIME: &str = "runtime";
    /// What only profiles of recordings have.
    pub mod recording {
        /// The comment that contains the recording's header as JSON.
        pub const HEADER: &str = "#loiter-recording ";
        /// Number: the id of the thread.
        pub const THREAD: &str = "thread";
        /// Text: whose time it is, if it is no task's: [`SCHEDULER`], [`NATIVE`], [`UNKNOWN`].
        pub const WHOSE: &str = "whose";
        /// The scheduler's.
        pub const SCHEDULER: &str = "scheduler";
        /// Of a thread that runs no tasks.
        pub const NATIVE: &str = "native thread";
        /// Not known.
        pub const UNKNOWN: &str = "unknown";
    }

    /// The prefix of a program's own key that would look like one of loiter's.
    pub const PROGRAM: &str = "label:";
    /// Unit of seconds.
    pub const SECONDS: &str = "seconds";

    /// A function whose name does not show its kind, role and package.
    #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
    pub struct UnusualFunction {
        /// Its name.
        pub name: String,
        /// Its file.
        pub file: String,
        /// Its package.
        pub package: String,
        /// Its kind, by the names of [`FunctionKind`].
        #[serde(with = "kind_by_name")]
        pub kind: FunctionKind,
        /// The layer of its code, by the names of [`Layer`].
        #[serde(with = "layer_by_name")]
        pub layer: Layer,
        /// What starts with it, by the names of [`Begins`].
        #[serde(with = "begins_by_name")]
        pub begins: Begins,
    }

    /// An enum of the model, as its name.
    macro_rules! by_name {
        ($module:ident, $type:ty, $what:literal) => {
            mod $module {
                use serde::{Deserialize, Deserializer, Serializer};

                pub(super) fn serialize<S: Serializer>(value: &$type, to: S) -> Result<S::Ok, S::Error> {
                    to.serialize_str(value.name())
                }

                pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<$type, D::Error> {
                    let name = String::deserialize(from)?;
                    <$type>::from_name(&name)
                        .ok_or_else(|| serde::de::Error::custom(concat!("an unknown ", $what)))
                }
            }
        };
    }

    by_name!(kind_by_name, crate::snapshot::FunctionKind, "kind of function");
    by_name!(layer_by_name, crate::snapshot::Layer, "layer of code");
    by_name!(begins_by_name, crate::snapshot::Begins, "beginning");

    /// The keys.
    pub const KEYS: [&str; 13] = [
        ID,
        STATE,
        WAIT_REASON,
        WAIT_CLASS,
        WAIT_SECONDS,
        CREATED_BY,
        CREATED_AT,
        PARENT,
        STACK,
        IS,
        RUNTIME,
        recording::THREAD,
        recording::WHOSE,
    ];

    /// Would a program's own label with this key look like one of loiter's?
    pub fn is_taken(key: &str) -> bool {
        KEYS.contains(&key) || key.starts_with(PROGRAM)
    }
}
