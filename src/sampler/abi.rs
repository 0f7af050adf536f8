//! What perf_event_open(2) and its rings exchange with the kernel: include/uapi/linux/perf_event.h and
//! arch/x86/include/uapi/asm/perf_regs.h.

/// `struct perf_event_attr` as of Linux 4.8 (PERF_ATTR_SIZE_VER5). Newer kernels accept it by its size.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Attr {
    pub(super) kind: u32,
    pub(super) size: u32,
    pub(super) config: u64,
    /// A period, or a frequency if [`flag::FREQ`] is set.
    pub(super) sample_period: u64,
    pub(super) sample_type: u64,
    pub(super) read_format: u64,
    pub(super) flags: u64,
    /// Bytes, because [`flag::WATERMARK`] is set.
    pub(super) wakeup_watermark: u32,
    pub(super) bp_type: u32,
    pub(super) config1: u64,
    pub(super) config2: u64,
    pub(super) branch_sample_type: u64,
    pub(super) sample_regs_user: u64,
    pub(super) sample_stack_user: u32,
    pub(super) clockid: i32,
    pub(super) sample_regs_intr: u64,
    pub(super) aux_watermark: u32,
    pub(super) sample_max_stack: u16,
    pub(super) reserved_2: u16,
}

/// Bytes of [`Attr`].
pub(super) const ATTR_SIZE: u32 = 112;
const _: () = assert!(size_of::<Attr>() == ATTR_SIZE as usize);

/// `enum perf_type_id`.
pub(super) const TYPE_HARDWARE: u32 = 0;
pub(super) const TYPE_SOFTWARE: u32 = 1;
/// `enum perf_hw_id`.
pub(super) const HARDWARE_CYCLES: u64 = 0;
/// `enum perf_sw_ids`.
pub(super) const SOFTWARE_CPU_CLOCK: u64 = 0;
pub(super) const SOFTWARE_CONTEXT_SWITCHES: u64 = 3;
pub(super) const SOFTWARE_DUMMY: u64 = 9;

/// Bits of `struct perf_event_attr`, counted from the word's lowest one.
pub(super) mod flag {
    pub(in super::super) const DISABLED: u64 = 1;
    pub(in super::super) const INHERIT: u64 = 1 << 1;
    pub(in super::super) const EXCLUDE_KERNEL: u64 = 1 << 5;
    pub(in super::super) const EXCLUDE_HV: u64 = 1 << 6;
    pub(in super::super) const EXCLUDE_IDLE: u64 = 1 << 7;
    pub(in super::super) const MMAP: u64 = 1 << 8;
    pub(in super::super) const COMM: u64 = 1 << 9;
    pub(in super::super) const FREQ: u64 = 1 << 10;
    pub(in super::super) const TASK: u64 = 1 << 13;
    pub(in super::super) const WATERMARK: u64 = 1 << 14;
    pub(in super::super) const SAMPLE_ID_ALL: u64 = 1 << 18;
    pub(in super::super) const EXCLUDE_CALLCHAIN_KERNEL: u64 = 1 << 21;
    pub(in super::super) const MMAP2: u64 = 1 << 23;
    pub(in super::super) const COMM_EXEC: u64 = 1 << 24;
    pub(in super::super) const USE_CLOCKID: u64 = 1 << 25;
    pub(in super::super) const CONTEXT_SWITCH: u64 = 1 << 26;
    /// Linux 5.13: threads inherit the event, processes that are forked do not.
    pub(in super::super) const INHERIT_THREAD: u64 = 1 << 35;
}

/// `enum perf_event_sample_format`.
pub(super) mod sample {
    pub(in super::super) const IP: u64 = 1;
    pub(in super::super) const TID: u64 = 1 << 1;
    pub(in super::super) const TIME: u64 = 1 << 2;
    pub(in super::super) const CALLCHAIN: u64 = 1 << 5;
    pub(in super::super) const CPU: u64 = 1 << 7;
    pub(in super::super) const PERIOD: u64 = 1 << 8;
    pub(in super::super) const REGS_USER: u64 = 1 << 12;
    pub(in super::super) const STACK_USER: u64 = 1 << 13;
    pub(in super::super) const IDENTIFIER: u64 = 1 << 16;
}

/// What reading an event gives besides its value: how many records it lost (`PERF_FORMAT_LOST`, Linux 6.0).
pub(super) const FORMAT_LOST: u64 = 1 << 4;

/// The registers of a sample: ax, bx, cx, dx, si, di, bp, sp, ip (bits 0 to 8 of `enum perf_event_x86_regs`), and
/// r8 to r15 (bits 16 to 23). A sample has them in this order.
pub(super) const REGISTERS: u64 = 0xff_01ff;
/// How many these are.
pub(super) const REGISTER_COUNT: usize = REGISTERS.count_ones() as usize;
/// The places, among them, of the registers in the order of [`Registers::general`](crate::process::Registers).
pub(super) const GENERAL: [usize; 16] = [0, 2, 3, 1, 7, 6, 4, 5, 9, 10, 11, 12, 13, 14, 15, 16];
/// The place, among them, of the program counter.
pub(super) const PROGRAM_COUNTER: usize = 8;

/// `enum perf_event_type`: kinds of records.
pub(super) mod record {
    pub(in super::super) const LOST: u32 = 2;
    pub(in super::super) const COMM: u32 = 3;
    pub(in super::super) const EXIT: u32 = 4;
    pub(in super::super) const THROTTLE: u32 = 5;
    pub(in super::super) const FORK: u32 = 7;
    pub(in super::super) const SAMPLE: u32 = 9;
    pub(in super::super) const MMAP2: u32 = 10;
    pub(in super::super) const LOST_SAMPLES: u32 = 13;
    pub(in super::super) const SWITCH: u32 = 14;
    pub(in super::super) const SWITCH_CPU_WIDE: u32 = 15;
}

/// Bits of a record's `misc`.
pub(super) mod misc {
    pub(in super::super) const MODE: u16 = 7;
    pub(in super::super) const MODE_KERNEL: u16 = 1;
    pub(in super::super) const COMM_EXEC: u16 = 1 << 13;
    pub(in super::super) const SWITCH_OUT: u16 = 1 << 13;
    pub(in super::super) const SWITCH_OUT_PREEMPT: u16 = 1 << 14;
}

/// Words of a call chain from here on are no addresses but say what follows (`enum perf_callchain_context`).
pub(super) const CONTEXT_MAX: u64 = -4095_i64 as u64;
pub(super) const CONTEXT_KERNEL: u64 = -128_i64 as u64;
pub(super) const CONTEXT_USER: u64 = -512_i64 as u64;

/// Executable, in the `prot` of a mapping (PROT_EXEC).
pub(super) const PROT_EXEC: u32 = 4;

/// `struct perf_event_mmap_page`: where the kernel says how far it has written, and loiter how far it has read.
pub(super) const DATA_HEAD: usize = 1024;
pub(super) const DATA_TAIL: usize = 1032;

/// perf_event_open(2): the descriptor is closed on exec.
pub(super) const FD_CLOEXEC: libc::c_ulong = 8;
/// ioctl(2) on an event: `_IO('$', 0)`, `_IO('$', 1)`, `_IO('$', 5)`, `_IOR('$', 7, u64 *)`.
pub(super) const ENABLE: libc::c_ulong = 0x2400;
pub(super) const DISABLE: libc::c_ulong = 0x2401;
pub(super) const SET_OUTPUT: libc::c_ulong = 0x2405;
pub(super) const ID: libc::c_ulong = 0x8008_2407;
