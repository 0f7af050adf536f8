//! One goroutine: its struct in memory, and what was read of it. Source: `src/runtime/runtime2.go` (`g`).

use super::mark;
use super::offsets::Offsets;
use super::stacks::StackNumber;
use crate::process::bytes::word;
use crate::process::{Memory, TargetError};
use crate::snapshot::{Span, StackStatus, TaskState};

/// Values of `g.atomicstatus`, without the bit that the collector sets while it scans the stack.
pub(super) mod status {
    pub(in super::super) const SCAN: u32 = 0x1000;
    pub(in super::super) const IDLE: u32 = 0;
    pub(in super::super) const RUNNABLE: u32 = 1;
    pub(in super::super) const RUNNING: u32 = 2;
    pub(in super::super) const SYSCALL: u32 = 3;
    pub(in super::super) const WAITING: u32 = 4;
    pub(in super::super) const DEAD: u32 = 6;
    pub(in super::super) const COPYSTACK: u32 = 8;
    pub(in super::super) const PREEMPTED: u32 = 9;
    /// From 1.26 on: proved to wait forever.
    pub(in super::super) const LEAKED: u32 = 10;
    /// From 1.26 on: of a thread that C made, not in use.
    pub(in super::super) const DEAD_EXTRA: u32 = 11;
}

/// Maximum size of a stack: `runtime.maxstackceiling` is twice 1 GB.
const MAX_STACK: u64 = 2 << 30;

/// What is read of a goroutine's struct, at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Raw {
    pub(super) address: u64,
    pub(super) goid: u64,
    pub(super) status: u32,
    pub(super) stack_lo: u64,
    pub(super) stack_hi: u64,
    pub(super) m: u64,
    pub(super) sched_sp: u64,
    pub(super) sched_pc: u64,
    pub(super) sched_bp: u64,
    pub(super) syscallsp: u64,
    pub(super) syscallpc: u64,
    pub(super) waitsince: i64,
    pub(super) waitreason: u8,
    pub(super) locked: bool,
    pub(super) parent: u64,
    pub(super) gopc: u64,
    pub(super) startpc: u64,
    pub(super) waiting: u64,
    pub(super) labels: u64,
    tracking_seq: u8,
}

/// What of a goroutine's struct tells whether the goroutine has run. All else is set before it waits, by itself or by the
/// goroutine that started it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Parked {
    pub(super) goid: u64,
    stack_lo: u64,
    stack_hi: u64,
    sched_sp: u64,
    sched_pc: u64,
    pub(super) status: u32,
    pub(super) waitreason: u8,
    locked: bool,
    tracking_seq: u8,
}

/// A first look at a goroutine's struct: enough for a goroutine that has not run.
#[derive(Debug, Clone, Copy)]
pub(super) struct Glance {
    pub(super) parked: Parked,
    /// A thread works for it.
    pub(super) has_thread: bool,
    pub(super) waitsince: i64,
}

impl Glance {
    /// Parses the fields from the bytes of a g.
    pub(super) fn parse(bytes: &[u8], o: &Offsets) -> Self {
        let get = |at| word(bytes, at);
        let byte = |at| bytes.get(at).copied().unwrap_or(0);
        let parked = Parked {
            goid: get(o.g_goid),
            stack_lo: get(o.g_stack_lo),
            stack_hi: get(o.g_stack_hi),
            sched_sp: get(o.g_sched_sp),
            sched_pc: get(o.g_sched_pc),
            status: get(o.g_status) as u32 & !status::SCAN,
            waitreason: byte(o.g_waitreason),
            locked: get(o.g_lockedm) != 0,
            tracking_seq: o.g_tracking_seq.map_or(0, byte),
        };
        Glance { parked, has_thread: get(o.g_m) != 0, waitsince: get(o.g_waitsince) as i64 }
    }
}

/// What is kept of a goroutine's struct for the next reading, if the goroutine may not have run by then. There may be a
/// million: it is small.
#[derive(Debug, Clone, Copy)]
pub(super) struct Kept {
    pub(super) parked: Parked,
    pub(super) address: u64,
    pub(super) waitsince: i64,
    parent: u64,
    gopc: u64,
    startpc: u64,
    pub(super) labels: u64,
}

impl Kept {
    /// The struct of a goroutine that waits, as far as it was kept. 0 stands for what is needed only to read its stack and
    /// what it waits for, which was done, and of goroutines that a thread works for, which this one is not.
    pub(super) fn raw(&self) -> Raw {
        let Kept { parked, address, waitsince, parent, gopc, startpc, labels } = *self;
        Raw { address, waitsince, parent, gopc, startpc, labels, ..Raw::of(parked) }
    }
}

impl Parked {
    /// How often it stopped running, modulo 256; 0 if the runtime does not count it.
    pub(super) fn stops(&self) -> u8 {
        self.tracking_seq
    }

    /// It is all zeros: a hole in a core file, from a bad sector or a partial copy. The runtime lists no
    /// goroutine in this state (`runtime.allgadd` refuses it), and none without an id.
    pub(super) fn is_blank(&self) -> bool {
        self.status == status::IDLE && self.goid == 0 && self.stack_hi == 0
    }
}

impl Raw {
    /// Parses the fields from the bytes of a g.
    pub(super) fn parse(address: u64, bytes: &[u8], o: &Offsets) -> Self {
        let get = |at| word(bytes, at);
        let Glance { parked, waitsince, .. } = Glance::parse(bytes, o);
        Raw {
            address,
            m: get(o.g_m),
            sched_bp: get(o.g_sched_bp),
            syscallsp: get(o.g_syscallsp),
            syscallpc: get(o.g_syscallpc),
            waitsince,
            parent: o.g_parent.map_or(0, get),
            gopc: get(o.g_gopc),
            startpc: get(o.g_startpc),
            waiting: get(o.g_waiting),
            labels: get(o.g_labels),
            ..Raw::of(parked)
        }
    }

    /// A struct of which only this is known; all else is 0.
    fn of(parked: Parked) -> Self {
        let Parked { goid, stack_lo, stack_hi, sched_sp, sched_pc, status, waitreason, locked, tracking_seq } =
            parked;
        Raw {
            goid,
            stack_lo,
            stack_hi,
            sched_sp,
            sched_pc,
            status,
            waitreason,
            locked,
            tracking_seq,
            ..Raw::default()
        }
    }

    /// A goroutine that waits, with the first wait reason.
    #[cfg(test)]
    pub(super) fn waiting(goid: u64, address: u64, stops: u8) -> Self {
        Raw {
            address,
            goid,
            status: status::WAITING,
            stack_lo: 0x1000,
            stack_hi: 0x2000,
            sched_sp: 0x1800,
            sched_pc: 0x10,
            waitreason: 1,
            parent: 1,
            gopc: 0x20,
            startpc: 0x30,
            tracking_seq: stops,
            ..Raw::default()
        }
    }

    /// Reads one g. None where there is no memory.
    pub(super) fn read(
        memory: &dyn Memory,
        address: u64,
        offsets: &Offsets,
    ) -> Result<Option<Self>, TargetError> {
        let mut bytes = vec![0; offsets.g_size];
        match memory.read(address, &mut bytes) {
            Ok(()) => Ok(Some(Raw::parse(address, &bytes, offsets))),
            Err(error) if error.is_absent() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Did the goroutine stay in place from this moment to the later one?
    ///
    /// The runtime counts in `trackingSeq` how often a goroutine stopped running, so a goroutine that ran and
    /// came back to the same place is noticed too. `waitsince` and `m` may change while it waits.
    pub(super) fn same_as(&self, later: &Raw) -> bool {
        Raw { waitsince: self.waitsince, m: self.m, ..*later } == *self
    }

    /// What is kept of a goroutine that waits.
    pub(super) fn kept(&self) -> Kept {
        let Raw { address, waitsince, parent, gopc, startpc, labels, .. } = *self;
        Kept { parked: self.glance().parked, address, waitsince, parent, gopc, startpc, labels }
    }

    /// What tells later whether it has run.
    pub(super) fn glance(&self) -> Glance {
        let Raw {
            goid,
            stack_lo,
            stack_hi,
            sched_sp,
            sched_pc,
            status,
            waitreason,
            locked,
            tracking_seq,
            ..
        } = *self;
        let parked =
            Parked { goid, stack_lo, stack_hi, sched_sp, sched_pc, status, waitreason, locked, tracking_seq };
        Glance { parked, has_thread: self.m != 0, waitsince: self.waitsince }
    }

    /// It has not begun, has ended, or is not in use. A goroutine is runnable for a moment before it gets its id
    /// (`proc.go`, `newproc1`, Go 1.19 to 1.27).
    pub(super) fn is_over(&self) -> bool {
        let has_no_id = self.status == status::RUNNABLE && self.goid == 0;
        has_no_id || matches!(self.status, status::IDLE | status::DEAD | status::DEAD_EXTRA)
    }

    /// Where its stack begins if it does not run: (pc, sp, frame pointer).
    pub(super) fn parked_at(&self) -> (u64, u64, u64) {
        // In a system call the frame that made it counts; sched is older.
        match self.left_at() {
            Some((pc, sp)) => (pc, sp, 0),
            None => (self.sched_pc, self.sched_sp, self.sched_bp),
        }
    }

    /// Where it made the system call or the call of C that it is in: (pc, sp). None if it is in none.
    pub(super) fn left_at(&self) -> Option<(u64, u64)> {
        (self.status == status::SYSCALL && self.syscallsp != 0).then_some((self.syscallpc, self.syscallsp))
    }

    /// What [`crate::snapshot::Task::mark`] holds. None while it runs.
    pub(super) fn mark(&self) -> Option<u64> {
        let (_, sp, _) = self.parked_at();
        let parked = !matches!(self.status, status::RUNNING | status::COPYSTACK);
        (parked && self.on_stack(sp)).then(|| mark::pack(self.stack_hi - sp, self.tracking_seq))
    }

    /// Do the bounds of the stack make sense, and is `sp` within them?
    pub(super) fn on_stack(&self, sp: u64) -> bool {
        self.stack_lo < self.stack_hi
            && self.stack_hi - self.stack_lo <= MAX_STACK
            && (self.stack_lo..=self.stack_hi).contains(&sp)
            && sp.is_multiple_of(8)
    }

    pub(super) fn state(&self) -> TaskState {
        match self.status {
            status::RUNNABLE => TaskState::Runnable,
            status::RUNNING | status::COPYSTACK => TaskState::Running,
            status::SYSCALL => TaskState::Syscall,
            status::WAITING | status::LEAKED => TaskState::Waiting,
            status::PREEMPTED => TaskState::Preempted,
            _ => TaskState::Unknown,
        }
    }
}

/// A goroutine that was read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Goroutine {
    pub(super) raw: Raw,
    pub(super) stack: Option<StackNumber>,
    pub(super) stack_status: StackStatus,
    /// Range in the waits of all goroutines that were read together.
    pub(super) waits: Span,
    /// The thread that it runs on, in loiter's pid namespace.
    pub(super) thread: Option<u32>,
    /// It has not run since the last reading.
    pub(super) unchanged: bool,
    /// Nor had it between that reading and the one before.
    pub(super) settled: bool,
}

impl Goroutine {
    pub(super) fn without_stack(raw: Raw, stack_status: StackStatus) -> Self {
        Goroutine {
            raw,
            stack: None,
            stack_status,
            waits: Span::default(),
            thread: None,
            unchanged: false,
            settled: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_task_is_made_of_is_kept() {
        let raw = Raw { locked: true, labels: 0x70, waitsince: 5, ..Raw::waiting(7, 0x1000, 9) };
        let read = Raw { sched_bp: 0x1900, waiting: 0x80, ..raw };
        assert_eq!(read.kept().raw(), raw, "what was needed only while it was read is not kept");
    }

    #[test]
    fn a_goroutine_without_an_id_has_not_begun() {
        let raw = Raw::waiting(7, 0x1000, 0);
        assert!(!Raw { status: status::RUNNABLE, ..raw }.is_over());
        assert!(Raw { status: status::RUNNABLE, goid: 0, ..raw }.is_over());
        assert!(!Raw { goid: 0, ..raw }.is_over(), "a hole in a core file");
        assert!(Raw { status: status::DEAD, ..raw }.is_over());
    }
}
