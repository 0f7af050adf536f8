//! What a system call waits for, from its number and arguments (section 2 of the manual).

use std::ops::RangeInclusive;

use crate::process::{Memory, ThreadCall};
use crate::snapshot::WaitOp;

/// More descriptors of one poll(2) or select(2) are left out.
const MAX_POLLED: usize = 4096;
/// Bits of `poll` events: what can be read, and written.
const POLL_READ: u16 = 0x0001 | 0x0002 | 0x0040 | 0x2000;
const POLL_WRITE: u16 = 0x0004 | 0x0100;

/// What a thread waits for in a system call.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Awaited {
    /// Something else, or not known.
    Unknown,
    /// Any of these descriptors, each once with what it is to do. Empty: only a signal or the end of the time.
    Descriptors {
        /// The descriptors.
        any: Vec<(u32, WaitOp)>,
        /// It waits for ever. Otherwise it also goes on when some time has passed.
        forever: bool,
        /// There are more: they were not read.
        more: bool,
    },
    /// A set of descriptors (epoll): see [`watched_by`](crate::process::descriptors::watched_by).
    Poll {
        /// The descriptor of the set.
        fd: u32,
        /// It waits for ever.
        forever: bool,
    },
    /// A word in memory (futex).
    Futex {
        /// Its address.
        address: u64,
        /// The kernel knows it as a lock with an owner (`FUTEX_LOCK_PI`): the word has the owner's thread id.
        is_lock: bool,
        /// It waits for ever.
        forever: bool,
    },
    /// The end of another process.
    Child(Child),
    /// A lock of a file.
    FileLock {
        /// The file's descriptor.
        fd: u32,
        /// To take the lock, or to take it for reading.
        op: WaitOp,
    },
    /// Time to pass, or until a time.
    Time(Until),
    /// The other end of a named pipe, or a file system, to open a path.
    Open {
        /// Address of the path in the target's memory, without its directory.
        path: u64,
    },
    /// A signal.
    Signal,
}

/// The process that a thread waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Child {
    /// This process, by its pid as the waiting process knows it.
    Pid(u32),
    /// The process behind a pidfd.
    Descriptor(u32),
    /// Any child, or any of a group.
    Any,
}

/// Until when a thread sleeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Until {
    /// Not known.
    Unknown,
    /// Until this time on CLOCK_MONOTONIC of the target, nanoseconds.
    At(u64),
    /// For this long since the call began, nanoseconds.
    For(u64),
}

/// What a call waits for. `memory` is that of the target: some calls keep there what they wait for.
pub fn awaited(call: &ThreadCall, memory: &dyn Memory) -> Awaited {
    let [first, second, third, fourth, fifth, _] = call.arguments;
    let Some(name) = super::name(call.number).filter(|_| !call.foreign) else { return Awaited::Unknown };
    if let Some(op) = on_descriptor(name) {
        return Awaited::one(first, op);
    }
    match name {
        "poll" => polled(memory, first, second, is_negative(third)),
        "ppoll" => polled(memory, first, second, third == 0),
        "select" | "pselect6" => selected(memory, first, [second, third], fifth == 0),
        "epoll_wait" | "epoll_pwait" => poll_set(first, is_negative(fourth)),
        "epoll_pwait2" => poll_set(first, fourth == 0),
        "futex" => futex(first, second, fourth == 0),
        "futex_wait" => Awaited::Futex { address: first, is_lock: false, forever: fifth == 0 },
        "wait4" => child(first),
        "waitid" => match first {
            1 => descriptor(second).map_or(Awaited::Unknown, |pid| Awaited::Child(Child::Pid(pid))),
            3 => descriptor(second).map_or(Awaited::Unknown, |fd| Awaited::Child(Child::Descriptor(fd))),
            _ => Awaited::Child(Child::Any),
        },
        "flock" => file_lock(first, if second & 1 != 0 { WaitOp::ReadLock } else { WaitOp::Lock }),
        // F_SETLKW and F_OFD_SETLKW; the lock begins with its type, of which 0 is F_RDLCK.
        "fcntl" if matches!(second, 7 | 38) => {
            let shared = memory.read_u32(third).is_ok_and(|word| word & 0xffff == 0);
            file_lock(first, if shared { WaitOp::ReadLock } else { WaitOp::Lock })
        }
        "nanosleep" => Awaited::Time(time(memory, first).map_or(Until::Unknown, Until::For)),
        "clock_nanosleep" => Awaited::Time(clock_sleep(memory, first, second, third)),
        "open" => Awaited::Open { path: first },
        "openat" | "openat2" => Awaited::Open { path: second },
        "pause" | "rt_sigsuspend" | "rt_sigtimedwait" => Awaited::Signal,
        _ => Awaited::Unknown,
    }
}

/// The path at an address of the target, as far as it can be read. "a file" if it cannot.
pub fn path(memory: &dyn Memory, address: u64) -> String {
    /// A path is read up to this length, and not across pages.
    const MAX: usize = 4096;
    let page_rest = MAX - usize::try_from(address % MAX as u64).unwrap_or(0);
    let bytes = memory.read_vec(address, page_rest).unwrap_or_default();
    let path = bytes.split(|&byte| byte == 0).next().unwrap_or_default();
    if path.is_empty() { "a file".to_owned() } else { String::from_utf8_lossy(path).into_owned() }
}

/// What calls do to the descriptor that is their first argument.
fn on_descriptor(name: &str) -> Option<WaitOp> {
    Some(match name {
        "read" | "pread64" | "readv" | "preadv" | "preadv2" | "recvfrom" | "recvmsg" | "recvmmsg" => {
            WaitOp::Read
        }
        "write" | "pwrite64" | "writev" | "pwritev" | "pwritev2" | "sendto" | "sendmsg" | "sendmmsg" => {
            WaitOp::Write
        }
        "accept" | "accept4" => WaitOp::Accept,
        "connect" => WaitOp::Connect,
        "sendfile" => WaitOp::Write,
        "splice" | "tee" => WaitOp::Read,
        "fsync" | "fdatasync" | "ioctl" => WaitOp::Wait,
        _ => return None,
    })
}

impl Awaited {
    fn one(fd: u64, op: WaitOp) -> Awaited {
        descriptor(fd).map_or(Awaited::Unknown, |fd| Awaited::Descriptors {
            any: vec![(fd, op)],
            forever: true,
            more: false,
        })
    }
}

/// A descriptor or a pid in an argument. The upper half of the register has no meaning.
fn descriptor(argument: u64) -> Option<u32> {
    let number = argument as u32;
    i32::try_from(number).is_ok().then_some(number)
}

/// Whether an `int` argument is negative: no limit of time.
fn is_negative(argument: u64) -> bool {
    (argument as u32).cast_signed() < 0
}

fn poll_set(fd: u64, forever: bool) -> Awaited {
    descriptor(fd).map_or(Awaited::Unknown, |fd| Awaited::Poll { fd, forever })
}

fn file_lock(fd: u64, op: WaitOp) -> Awaited {
    descriptor(fd).map_or(Awaited::Unknown, |fd| Awaited::FileLock { fd, op })
}

/// The first argument of wait4(2): a pid, -1 for any child, 0 and other numbers for groups.
fn child(argument: u64) -> Awaited {
    Awaited::Child(descriptor(argument).filter(|&pid| pid != 0).map_or(Child::Any, Child::Pid))
}

/// The operation of futex(2), without the flags for private words and another clock.
fn futex(address: u64, operation: u64, forever: bool) -> Awaited {
    let is_lock = match operation & 0x7f {
        0 | 9 | 11 => false,
        6 | 13 => true,
        _ => return Awaited::Unknown,
    };
    Awaited::Futex { address, is_lock, forever }
}

/// An array of `struct pollfd`: a descriptor, the events wanted, those that came.
fn polled(memory: &dyn Memory, address: u64, count: u64, forever: bool) -> Awaited {
    let count = count & u64::from(u32::MAX);
    let read = usize::try_from(count).unwrap_or(MAX_POLLED).min(MAX_POLLED);
    let Ok(bytes) = memory.read_vec(address, read * 8) else {
        return if count == 0 {
            Awaited::Descriptors { any: Vec::new(), forever, more: false }
        } else {
            Awaited::Unknown
        };
    };
    let (entries, _) = bytes.as_chunks::<8>();
    let mut any = Vec::new();
    for &[a, b, c, d, events, more_events, ..] in entries {
        let (fd, events) = (u32::from_le_bytes([a, b, c, d]), u16::from_le_bytes([events, more_events]));
        let Some(fd) = descriptor(fd.into()) else { continue };
        any.extend(ops(fd, events & POLL_READ != 0, events & POLL_WRITE != 0));
    }
    Awaited::Descriptors { any, forever, more: count > read as u64 }
}

/// Sets of bits, of what is to be read and of what is to be written.
fn selected(memory: &dyn Memory, count: u64, sets: [u64; 2], forever: bool) -> Awaited {
    let all = descriptor(count).map_or(0, |count| count as usize);
    let read = all.min(MAX_POLLED);
    let bytes =
        sets.map(|set| if set == 0 { Ok(Vec::new()) } else { memory.read_vec(set, read.div_ceil(64) * 8) });
    let [Ok(reads), Ok(writes)] = bytes else { return Awaited::Unknown };
    let has = |set: &[u8], fd: usize| set.get(fd / 8).is_some_and(|byte| byte >> (fd % 8) & 1 != 0);
    let wanted = (0..read).filter(|&fd| has(&reads, fd) || has(&writes, fd));
    let any = wanted.flat_map(|fd| ops(fd as u32, has(&reads, fd), has(&writes, fd))).collect();
    Awaited::Descriptors { any, forever, more: all > read }
}

fn ops(fd: u32, read: bool, write: bool) -> impl Iterator<Item = (u32, WaitOp)> {
    let other = (!read && !write).then_some(WaitOp::Wait);
    [read.then_some(WaitOp::Read), write.then_some(WaitOp::Write), other]
        .into_iter()
        .flatten()
        .map(move |op| (fd, op))
}

/// clock_nanosleep(2): an absolute time counts only on CLOCK_MONOTONIC (1).
fn clock_sleep(memory: &dyn Memory, clock: u64, flags: u64, request: u64) -> Until {
    const ABSOLUTE: u64 = 1;
    match (time(memory, request), flags & ABSOLUTE != 0, clock as u32) {
        (Some(at), true, 1) => Until::At(at),
        (Some(time), false, _) => Until::For(time),
        _ => Until::Unknown,
    }
}

/// A `struct timespec`, in nanoseconds.
fn time(memory: &dyn Memory, address: u64) -> Option<u64> {
    const NANOS: RangeInclusive<u64> = 0..=999_999_999;
    let seconds = memory.read_u64(address).ok()?;
    let nanos = memory.read_u64(address.checked_add(8)?).ok().filter(|nanos| NANOS.contains(nanos))?;
    seconds.checked_mul(1_000_000_000)?.checked_add(nanos)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::process::{Range, Result, TargetError};
    use crate::snapshot::Age;

    /// Memory in which every byte is the same; above this address there is none.
    struct Same(u8, u64);

    impl Memory for Same {
        fn read(&self, address: u64, buf: &mut [u8]) -> Result<()> {
            if address > self.1 {
                return Err(TargetError::Unmapped { address, len: buf.len() });
            }
            buf.fill(self.0);
            Ok(())
        }

        fn read_many(&self, _: &[Range], buf: &mut [u8], ok: &mut [bool]) -> Result<()> {
            buf.fill(self.0);
            ok.fill(true);
            Ok(())
        }
    }

    fn call(number: i64, arguments: [u64; 6]) -> ThreadCall {
        let number = u32::try_from(number).expect("small");
        let (sp, pc, sleeps, kernel_function, age) = (0, 0, 0, None, Age::Unknown);
        ThreadCall { number, foreign: false, arguments, sp, pc, sleeps, kernel_function, age }
    }

    #[test]
    fn numbers_that_are_no_descriptors() {
        let memory = Same(0, 0);
        let minus_one = u64::from(u32::MAX);
        assert_eq!(awaited(&call(libc::SYS_read, [minus_one, 0, 0, 0, 0, 0]), &memory), Awaited::Unknown);
        // The upper half of a register is not looked at.
        let read = call(libc::SYS_read, [0xffff_ffff_0000_0003, 0, 0, 0, 0, 0]);
        let any = vec![(3, WaitOp::Read)];
        assert_eq!(awaited(&read, &memory), Awaited::Descriptors { any, forever: true, more: false });
        let wait = |pid| awaited(&call(libc::SYS_wait4, [pid, 0, 0, 0, 0, 0]), &memory);
        assert_eq!((wait(7), wait(minus_one)), (Awaited::Child(Child::Pid(7)), Awaited::Child(Child::Any)));
        assert_eq!(wait(0), Awaited::Child(Child::Any));
    }

    #[test]
    fn sleeps() {
        let absolute = call(libc::SYS_clock_nanosleep, [1, 1, 8, 0, 0, 0]);
        let wall = call(libc::SYS_clock_nanosleep, [0, 1, 8, 0, 0, 0]);
        assert_eq!(awaited(&absolute, &Same(0, 100)), Awaited::Time(Until::At(0)));
        assert_eq!(awaited(&wall, &Same(0, 100)), Awaited::Time(Until::Unknown));
        assert_eq!(awaited(&absolute, &Same(0, 0)), Awaited::Time(Until::Unknown), "it cannot be read");
    }

    proptest! {
        #[test]
        fn any_call(number in 0u32..480, arguments: [u64; 6], byte: u8, end: u64) {
            let call = ThreadCall { number, ..call(0, arguments) };
            if let Awaited::Descriptors { any, .. } = awaited(&call, &Same(byte, end)) {
                prop_assert!(any.len() <= 2 * MAX_POLLED);
            }
        }
    }
}
