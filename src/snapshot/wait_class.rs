//! Why a task waits, in terms that apply to every runtime.

/// Why a task waits.
///
/// The reader of a runtime decides it once, when it makes the task: it knows the runtime's words, the wait
/// objects, and the functions that wait for them. If a runtime cannot distinguish a finer class, the coarser
/// one is used: [`WaitClass::Receive`] for a channel without values, [`WaitClass::Io`] for a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
#[non_exhaustive]
pub enum WaitClass {
    /// Not known.
    #[default]
    Unknown,
    /// Nothing: it is running or runnable.
    Nothing,
    /// It waits for something that cannot come: a channel that is nil.
    NilChannel,
    /// It waits for nothing at all: a select without cases.
    NoCases,
    /// The runtime itself has proved that it will never run again.
    Leaked,
    /// To send on a channel.
    Send,
    /// For the next value of a channel, or its end.
    Range,
    /// For a value of a channel.
    Receive,
    /// For a channel that carries no values: it signals by being closed, like a context's.
    Signal,
    /// For one of several channels.
    Select,
    /// For a timer or ticker, perhaps among other things.
    Timer,
    /// For time to pass.
    Sleep,
    /// For a lock.
    Lock,
    /// For a wait group to reach zero.
    WaitGroup,
    /// For a condition variable or a notification.
    Cond,
    /// For a semaphore.
    Semaphore,
    /// For another task to end.
    Join,
    /// For a connection to be accepted.
    Accept,
    /// For a peer on the network.
    Network,
    /// For a file, a pipe or a device.
    Io,
    /// For a system call or foreign code to return.
    Call,
    /// For the runtime's own work, such as a garbage collection.
    Runtime,
    /// For something else, or for all of several things.
    Other,
}

impl WaitClass {
    /// All classes, in their order.
    pub const ALL: [WaitClass; 23] = [
        WaitClass::Unknown,
        WaitClass::Nothing,
        WaitClass::NilChannel,
        WaitClass::NoCases,
        WaitClass::Leaked,
        WaitClass::Send,
        WaitClass::Range,
        WaitClass::Receive,
        WaitClass::Signal,
        WaitClass::Select,
        WaitClass::Timer,
        WaitClass::Sleep,
        WaitClass::Lock,
        WaitClass::WaitGroup,
        WaitClass::Cond,
        WaitClass::Semaphore,
        WaitClass::Join,
        WaitClass::Accept,
        WaitClass::Network,
        WaitClass::Io,
        WaitClass::Call,
        WaitClass::Runtime,
        WaitClass::Other,
    ];

    /// It will never run again, whatever happens.
    pub fn never_ends(self) -> bool {
        matches!(self, WaitClass::NilChannel | WaitClass::NoCases | WaitClass::Leaked)
    }

    /// A task that waits like this for several things goes on when all of them have come, as far as is known. Otherwise it
    /// goes on with the first.
    pub fn is_for_all(self) -> bool {
        self == WaitClass::Other
    }

    /// Its name in files: "wait-group".
    pub fn name(self) -> &'static str {
        match self {
            WaitClass::Unknown => "unknown",
            WaitClass::Nothing => "nothing",
            WaitClass::NilChannel => "nil-channel",
            WaitClass::NoCases => "no-cases",
            WaitClass::Leaked => "leaked",
            WaitClass::Send => "send",
            WaitClass::Range => "range",
            WaitClass::Receive => "receive",
            WaitClass::Signal => "signal",
            WaitClass::Select => "select",
            WaitClass::Timer => "timer",
            WaitClass::Sleep => "sleep",
            WaitClass::Lock => "lock",
            WaitClass::WaitGroup => "wait-group",
            WaitClass::Cond => "cond",
            WaitClass::Semaphore => "semaphore",
            WaitClass::Join => "join",
            WaitClass::Accept => "accept",
            WaitClass::Network => "network",
            WaitClass::Io => "io",
            WaitClass::Call => "call",
            WaitClass::Runtime => "runtime",
            WaitClass::Other => "other",
        }
    }

    /// The class with this name.
    pub fn by_name(name: &str) -> Option<WaitClass> {
        WaitClass::ALL.into_iter().find(|class| class.name() == name)
    }

    /// A description, for sources without wait reasons.
    pub fn words(self) -> &'static str {
        match self {
            WaitClass::Unknown => "unknown",
            WaitClass::Nothing => "running",
            WaitClass::NilChannel => "nil channel",
            WaitClass::NoCases => "select without cases",
            WaitClass::Leaked => "leaked",
            WaitClass::Send => "channel send",
            WaitClass::Range | WaitClass::Receive | WaitClass::Signal => "channel receive",
            WaitClass::Select => "select",
            WaitClass::Timer => "timer",
            WaitClass::Sleep => "sleep",
            WaitClass::Lock => "lock",
            WaitClass::WaitGroup => "wait group",
            WaitClass::Cond => "condition variable",
            WaitClass::Semaphore => "semaphore",
            WaitClass::Join => "join",
            WaitClass::Accept => "accept",
            WaitClass::Network => "network",
            WaitClass::Io => "I/O",
            WaitClass::Call => "system call",
            WaitClass::Runtime => "the runtime's own work",
            WaitClass::Other => "waiting",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_back() {
        for class in WaitClass::ALL {
            assert_eq!(WaitClass::by_name(class.name()), Some(class));
        }
        assert_eq!(WaitClass::by_name("chan"), None);
        assert!(WaitClass::ALL.is_sorted(), "each is there once");
    }
}
