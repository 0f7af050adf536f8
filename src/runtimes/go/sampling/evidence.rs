//! A moment that is being traced: what was found so far, and whose it therefore is.

use super::threads::Machine;
use crate::process::Moment;
use crate::process::bytes::u64_at;
use crate::runtimes::go::unwind::CodeAddress;
use crate::runtimes::native::NativePlace;
use crate::snapshot::StackStatus;
use crate::symbols::native::NativeFrame;

/// Frames of one stack; deeper ones are left out and said.
pub(super) const MAX_FRAMES: usize = 1024;

/// One place of a stack.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Place {
    /// In Go code.
    Go(CodeAddress),
    /// Somewhere in the Go function that begins here.
    Within(u64),
    /// In other code.
    Native(NativePlace),
}

/// What a thread was doing for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ran {
    /// The goroutine with this struct.
    Goroutine(u64),
    /// A goroutine, but not certain which.
    SomeGoroutine,
    /// The scheduler.
    Scheduler,
    /// Go code, but not certain for whom.
    Unknown,
    /// No Go code.
    Native,
}

/// The stack of a moment, and whose it is.
#[derive(Debug)]
pub(super) struct Trace {
    pub(super) places: Vec<Place>,
    pub(super) status: StackStatus,
    pub(super) ran: Ran,
}

/// A moment that is being traced.
pub(super) struct Tracing<'m> {
    pub(super) moment: &'m Moment<'m>,
    pub(super) machine: Option<Machine>,
    pub(super) places: Vec<Place>,
    pub(super) status: StackStatus,
    /// Goroutines that something names.
    pub(super) named: Option<u64>,
    /// Two things name different goroutines.
    pub(super) contradiction: bool,
    pub(super) scheduler: bool,
    pub(super) go_code: bool,
    /// The stack is a goroutine's: it ends where goroutines end.
    pub(super) is_goroutine: bool,
    /// Frames are missing between those that were found.
    pub(super) gaps: bool,
}

impl<'m> Tracing<'m> {
    pub(super) fn new(moment: &'m Moment<'m>, machine: Option<Machine>) -> Self {
        Tracing {
            moment,
            machine,
            places: Vec::with_capacity(32),
            status: StackStatus::Broken,
            named: None,
            contradiction: false,
            scheduler: false,
            go_code: false,
            is_goroutine: false,
            gaps: false,
        }
    }
}

impl Tracing<'_> {
    pub(super) fn name(&mut self, goroutine: u64) {
        match self.named {
            None => self.named = Some(goroutine),
            Some(other) if other != goroutine => self.contradiction = true,
            Some(_) => {}
        }
    }

    pub(super) fn push(&mut self, place: Place) {
        if self.places.len() < MAX_FRAMES {
            self.places.push(place);
        }
    }

    pub(super) fn is_full(&self) -> bool {
        self.places.len() >= MAX_FRAMES
    }

    pub(super) fn word(&self, address: u64) -> Option<u64> {
        let at = usize::try_from(address.checked_sub(self.moment.registers.sp)?).ok()?;
        u64_at(self.moment.stack, at)
    }

    /// Is the address on the thread's own stack?
    pub(super) fn is_own(&self, address: u64) -> bool {
        self.machine.is_some_and(|machine| machine.stack_end(address).is_some())
    }

    pub(super) fn ends(&mut self, status: StackStatus) -> Option<NativeFrame> {
        self.status = status;
        None
    }

    pub(super) fn finish(self) -> Trace {
        let Tracing { places, mut status, .. } = self;
        if places.len() >= MAX_FRAMES {
            status = StackStatus::Truncated;
        }
        if self.gaps && status == StackStatus::Complete {
            status = StackStatus::Gaps;
        }
        let ran = match self.named {
            Some(goroutine) if !self.contradiction => Ran::Goroutine(goroutine),
            _ if self.is_goroutine => Ran::SomeGoroutine,
            Some(_) => Ran::Unknown,
            None if self.scheduler => Ran::Scheduler,
            None if self.go_code => Ran::Unknown,
            None => Ran::Native,
        };
        Trace { places, status, ran }
    }
}
