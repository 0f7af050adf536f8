//! The runtime's numbers for functions that it treats specially.

use super::Pclntab;

/// The number that the linker gave a function (`internal/abi.FuncID`). Its meaning depends on the version of
/// Go: see [`Pclntab::kind`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct FuncId(pub u8);

/// How the runtime classifies a function.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[allow(missing_docs, reason = "the runtime functions of the same names")]
pub enum FuncKind {
    /// Nothing special.
    Normal,
    Abort,
    AsmCgocall,
    AsyncPreempt,
    Cgocallback,
    Corostart,
    DebugCallV2,
    GcBgMarkWorker,
    Goexit,
    Gogo,
    Gopanic,
    Mcall,
    Morestack,
    Mstart,
    Panicwrap,
    Rt0Go,
    RuntimeMain,
    RunFinalizers,
    RunCleanups,
    Sigpanic,
    Systemstack,
    SystemstackSwitch,
    /// A method wrapper that the compiler made. Tracebacks leave such frames out, unless they called one of the
    /// panicking functions.
    Wrapper,
    /// Special in an unknown way.
    Other,
}

/// Functions that have an id of their own, and its meaning. Order does not matter.
const LANDMARKS: [(&str, FuncKind); 22] = [
    ("runtime.abort", FuncKind::Abort),
    ("runtime.asmcgocall", FuncKind::AsmCgocall),
    ("runtime.asyncPreempt", FuncKind::AsyncPreempt),
    ("runtime.cgocallback", FuncKind::Cgocallback),
    ("runtime.corostart", FuncKind::Corostart),
    ("runtime.debugCallV2", FuncKind::DebugCallV2),
    ("runtime.gcBgMarkWorker", FuncKind::GcBgMarkWorker),
    ("runtime.goexit", FuncKind::Goexit),
    ("runtime.gogo", FuncKind::Gogo),
    ("runtime.gopanic", FuncKind::Gopanic),
    ("runtime.main", FuncKind::RuntimeMain),
    ("runtime.mcall", FuncKind::Mcall),
    ("runtime.morestack", FuncKind::Morestack),
    ("runtime.mstart", FuncKind::Mstart),
    ("runtime.panicwrap", FuncKind::Panicwrap),
    ("runtime.rt0_go", FuncKind::Rt0Go),
    // Named runfinq up to 1.24.
    ("runtime.runfinq", FuncKind::RunFinalizers),
    ("runtime.runFinalizers", FuncKind::RunFinalizers),
    ("runtime.runCleanups", FuncKind::RunCleanups),
    ("runtime.sigpanic", FuncKind::Sigpanic),
    ("runtime.systemstack", FuncKind::Systemstack),
    ("runtime.systemstack_switch", FuncKind::SystemstackSwitch),
];

impl FuncKind {
    /// Whether it is a wrapper that the compiler made; tracebacks usually leave it out.
    pub fn is_wrapper(self) -> bool {
        self == FuncKind::Wrapper
    }

    /// Whether a wrapper that called a function of this kind is shown nevertheless, because the wrapper is
    /// what failed (`elideWrapperCalling` in `runtime/traceback.go`).
    #[cfg(any(test, feature = "test-support"))]
    pub fn shows_calling_wrapper(self) -> bool {
        matches!(self, FuncKind::Gopanic | FuncKind::Sigpanic | FuncKind::Panicwrap)
    }
}

/// The meaning of each number in one table.
#[derive(Debug)]
pub(super) struct Kinds([FuncKind; 256]);

impl Kinds {
    /// Learns the numbers from the runtime functions that have one. The enumeration is in alphabetical order
    /// with the wrapper last (1.18 to 1.27), so it grew in the middle. A function that is not in the binary
    /// leaves a number that no function has.
    pub(super) fn learn(table: &Pclntab) -> Self {
        let mut kinds = [FuncKind::Other; 256];
        let names = LANDMARKS.map(|(name, _)| name);
        for (func, (_, kind)) in table.by_names(&names).into_iter().zip(LANDMARKS) {
            let Some(id) = func.map(|func| func.id()).filter(|id| id.0 != 0) else { continue };
            kinds[usize::from(id.0)] = kind;
            if kind == FuncKind::SystemstackSwitch {
                let wrapper = &mut kinds[usize::from(id.0.saturating_add(1))];
                if *wrapper == FuncKind::Other {
                    *wrapper = FuncKind::Wrapper;
                }
            }
        }
        kinds[0] = FuncKind::Normal;
        Kinds(kinds)
    }

    pub(super) fn kind(&self, id: FuncId) -> FuncKind {
        self.0[usize::from(id.0)]
    }
}
