//! What events are asked for.

use super::abi::{self, Attr, flag};
use super::events::{Manner, Scope};
use super::options::{Event, SamplerOptions};
use super::pages::Pages;
use super::parse::Layout;

/// Bytes of the stack that are copied when a thread leaves its CPU: there may be many thousand such samples in a second.
/// Go's stacks go on by the kernel's chain where the copy ends.
const DEPARTURE_STACK: u32 = 8 << 10;

/// What is in samples of time.
pub(super) fn layout(options: &SamplerOptions) -> Layout {
    Layout { moments: options.cpu, stack: options.cpu && options.stack_bytes > 0 }
}

/// What is in samples of threads that leave their CPU.
pub(super) const DEPARTURE: Layout = Layout { moments: true, stack: true };

/// The event of time, which tells everything else, too.
pub(super) fn of_time(options: &SamplerOptions, manner: Manner, pages: Pages) -> Attr {
    let layout = layout(options);
    let mut flags = flag::TASK | flag::COMM | flag::COMM_EXEC | flag::MMAP | flag::MMAP2;
    let mut set = |bit, is_set| flags |= if is_set { bit } else { 0 };
    set(flag::CONTEXT_SWITCH, options.switches);
    set(flag::EXCLUDE_KERNEL, !manner.kernel);
    set(flag::EXCLUDE_CALLCHAIN_KERNEL, !options.kernel || !manner.kernel);
    set(flag::INHERIT | flag::INHERIT_THREAD, manner.scope == Scope::ThreadsOnCpus);
    set(flag::FREQ, options.cpu && options.event == Event::Cycles);
    let (kind, config, period) = match options.event {
        _ if !options.cpu => (abi::TYPE_SOFTWARE, abi::SOFTWARE_DUMMY, 0),
        Event::CpuClock => (abi::TYPE_SOFTWARE, abi::SOFTWARE_CPU_CLOCK, options.period_ns()),
        Event::Cycles => (abi::TYPE_HARDWARE, abi::HARDWARE_CYCLES, u64::from(options.rate_hz)),
    };
    let stack = if layout.stack { options.stack_bytes.next_multiple_of(8) } else { 0 };
    Attr { kind, config, sample_period: period, ..with(layout, flags, stack, pages) }
}

/// The event that is raised each time when a thread leaves its CPU. The kernel raises it in its own mode: an event
/// without the kernel's time would never be raised.
pub(super) fn of_departures(options: &SamplerOptions, pages: Pages) -> Attr {
    let chain = if options.kernel { 0 } else { flag::EXCLUDE_CALLCHAIN_KERNEL };
    let flags = flag::INHERIT | flag::INHERIT_THREAD | chain;
    let (kind, config) = (abi::TYPE_SOFTWARE, abi::SOFTWARE_CONTEXT_SWITCHES);
    Attr { kind, config, sample_period: 1, ..with(DEPARTURE, flags, DEPARTURE_STACK, pages) }
}

/// What all events have.
fn with(layout: Layout, flags: u64, stack: u32, pages: Pages) -> Attr {
    let common = flag::DISABLED
        | flag::EXCLUDE_HV
        | flag::EXCLUDE_IDLE
        | flag::WATERMARK
        | flag::SAMPLE_ID_ALL
        | flag::USE_CLOCKID;
    Attr {
        size: abi::ATTR_SIZE,
        sample_type: layout.sample_type(),
        read_format: abi::FORMAT_LOST,
        flags: common | flags,
        wakeup_watermark: u32::try_from(pages.bytes() / 4).unwrap_or(u32::MAX),
        sample_regs_user: if layout.moments { abi::REGISTERS } else { 0 },
        sample_stack_user: stack,
        clockid: libc::CLOCK_MONOTONIC,
        ..Attr::default()
    }
}
