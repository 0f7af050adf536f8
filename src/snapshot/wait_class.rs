//! What keeps a task waiting, in terms that hold for every runtime.

/// What keeps a task waiting.
///
/// The reader of a runtime says it once, when it makes the task: it knows the runtime's words, the things that
/// are waited for, and the functions that wait for them. What is finer than a runtime can tell is said as the
/// coarser class: [`WaitClass::Receive`] for a channel without values, [`WaitClass::Io`] for a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
#[non_exhaustive]
pub enum WaitClass {
    /// Nobody knows.
    #[default]
    Unknown,
    /// Nothing: it runs or could run.
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
    /// For a channel that carries no values: it tells by being closed, like that of a context.
    Signal,
    /// For one of several channels.
    Select,
    /// For a timer or ticker, perhaps beside other things.
    Timer,
    /// For time to pass.
    Sleep,
    /// For a lock.
    Lock,
    /// For a wait group to come to zero.
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
    /// For a system call or foreign code to come back.
    Call,
    /// For the runtime's own work, such as a garbage collection.
    Runtime,
    /// For something else.
    Other,
}

impl WaitClass {
    /// All of them, in their order.
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

    /// The name that files use: "wait-group".
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

    /// The class of this name.
    pub fn by_name(name: &str) -> Option<WaitClass> {
        WaitClass::ALL.into_iter().find(|class| class.name() == name)
    }

    /// In words, for sources that have none of their own.
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
