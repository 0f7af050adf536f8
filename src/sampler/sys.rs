//! System calls on perf events, and the mapping of a ring.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::abi::{self, Attr};

/// Opens an event of a thread (of all threads: None) on a CPU (on any: None).
pub(super) fn open(attr: &Attr, tid: Option<u32>, cpu: Option<u32>) -> io::Result<OwnedFd> {
    let number = |number: Option<u32>| match number {
        None => Ok(-1),
        Some(number) => libc::c_int::try_from(number).map_err(|_| io::Error::from_raw_os_error(libc::ESRCH)),
    };
    let (tid, cpu, no_group): (_, _, libc::c_int) = (number(tid)?, number(cpu)?, -1);
    // SAFETY: the kernel reads `attr.size` bytes at `attr`, which is the size of `Attr`; the rest are integers.
    let fd = unsafe {
        libc::syscall(libc::SYS_perf_event_open, &raw const *attr, tid, cpu, no_group, abi::FD_CLOEXEC)
    };
    match RawFd::try_from(fd) {
        // SAFETY: the kernel has just returned this descriptor, and it has no other owner.
        Ok(fd) if fd >= 0 => Ok(unsafe { OwnedFd::from_raw_fd(fd) }),
        _ => Err(io::Error::last_os_error()),
    }
}

fn control(event: &OwnedFd, request: libc::c_ulong, argument: libc::c_ulong) -> io::Result<()> {
    // SAFETY: these requests take an integer (a descriptor, or 0) and touch no memory of ours.
    let done = unsafe { libc::ioctl(event.as_raw_fd(), request, argument) };
    if done < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Starts an event and those that threads inherited of it.
pub(super) fn enable(event: &OwnedFd) -> io::Result<()> {
    control(event, abi::ENABLE, 0)
}

/// Ends it again.
pub(super) fn disable(event: &OwnedFd) -> io::Result<()> {
    control(event, abi::DISABLE, 0)
}

/// Makes an event write to the ring of another one on the same CPU.
pub(super) fn set_output(event: &OwnedFd, to: &OwnedFd) -> io::Result<()> {
    let to = libc::c_ulong::try_from(to.as_raw_fd()).map_err(io::Error::other)?;
    control(event, abi::SET_OUTPUT, to)
}

/// The number by which records name an event.
pub(super) fn id(event: &OwnedFd) -> io::Result<u64> {
    let mut id = 0_u64;
    // SAFETY: this request writes one u64 to the address that it is given.
    let done = unsafe { libc::ioctl(event.as_raw_fd(), abi::ID, &raw mut id) };
    if done < 0 { Err(io::Error::last_os_error()) } else { Ok(id) }
}

/// Records that an event lost, if it was opened with [`abi::FORMAT_LOST`].
pub(super) fn lost(event: &OwnedFd) -> Option<u64> {
    // Its value, then the count.
    let mut bytes = [0; 16];
    let read = nix::unistd::read(event, &mut bytes).ok()?;
    let (_, count) = bytes.get(..read)?.split_last_chunk()?;
    (read == bytes.len()).then_some(u64::from_le_bytes(*count))
}

/// Raises the number of files that this process may open to what it may have at most. False if that changes nothing.
pub(super) fn raise_open_files() -> bool {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is a valid rlimit to write to.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) } != 0
        || limit.rlim_cur >= limit.rlim_max
    {
        return false;
    }
    limit.rlim_cur = limit.rlim_max;
    // SAFETY: `limit` is a valid rlimit to read.
    unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) == 0 }
}

/// The niceness of the calling thread: -20 runs first, 19 last.
pub(super) fn niceness() -> libc::c_int {
    // SAFETY: getpriority takes integers; 0 is the calling thread.
    unsafe { libc::getpriority(libc::PRIO_PROCESS, 0) }
}

/// Sets it. False if that is not allowed.
pub(super) fn set_niceness(niceness: libc::c_int) -> bool {
    // SAFETY: setpriority takes integers; 0 is the calling thread.
    unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, niceness) == 0 }
}

/// What [`wait`] found out about a descriptor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Readiness {
    /// Nothing happened.
    Quiet,
    /// There is something to read.
    Ready,
    /// The event's thread has ended, and so have those that inherited the event.
    HungUp,
}

/// Waits until one of the descriptors is ready, or the time is over. A signal ends it early.
pub(super) fn wait(fds: &[BorrowedFd<'_>], timeout: Duration) -> Vec<Readiness> {
    let poll = |fd: &BorrowedFd<'_>| libc::pollfd { fd: fd.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    let mut polled: Vec<libc::pollfd> = fds.iter().map(poll).collect();
    // Rounded up, so that a short time is not none.
    let milliseconds = timeout.as_nanos().div_ceil(1_000_000).try_into().unwrap_or(libc::c_int::MAX);
    let count = libc::nfds_t::try_from(polled.len()).unwrap_or(0);
    // SAFETY: `polled` is an array of `count` valid pollfds.
    let ready = unsafe { libc::poll(polled.as_mut_ptr(), count, milliseconds) };
    let readiness = |poll: &libc::pollfd| match poll.revents {
        _ if ready <= 0 => Readiness::Quiet,
        0 => Readiness::Quiet,
        events if events & libc::POLLIN != 0 => Readiness::Ready,
        _ => Readiness::HungUp,
    };
    polled.iter().map(readiness).collect()
}

/// Bytes of a page of memory.
pub(super) fn page_size() -> usize {
    // SAFETY: sysconf takes an integer and returns one.
    usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap_or(4096)
}

/// The memory of a ring: a page of positions, then the data.
#[derive(Debug)]
pub(super) struct Memory {
    base: NonNull<u8>,
    page: usize,
    /// Bytes of data, a power of two.
    size: usize,
}

// SAFETY: the mapping belongs to this value alone, and mapped memory is not tied to a thread.
unsafe impl Send for Memory {}
// SAFETY: through a shared reference there are only reads, of atomics and of bytes that nothing writes.
unsafe impl Sync for Memory {}

impl Memory {
    /// Maps the ring of an event with this many pages of data, a power of two.
    pub(super) fn map(event: &OwnedFd, pages: usize) -> io::Result<Memory> {
        let page = page_size();
        let size = pages.checked_mul(page).filter(|size| size.is_power_of_two());
        let size = size.ok_or(io::ErrorKind::InvalidInput)?;
        let (prot, fd) = (libc::PROT_READ | libc::PROT_WRITE, event.as_raw_fd());
        // SAFETY: a new mapping at an address of the kernel's choice replaces no memory of ours.
        let base = unsafe { libc::mmap(std::ptr::null_mut(), page + size, prot, libc::MAP_SHARED, fd, 0) };
        if base == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let base = NonNull::new(base.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Memory { base, page, size })
    }

    /// Bytes of data.
    pub(super) fn size(&self) -> usize {
        self.size
    }

    fn position(&self, offset: usize) -> &AtomicU64 {
        // SAFETY: both positions are aligned words in the first page of the mapping, which lives as long as
        // `self`. The kernel and loiter access them as atomics.
        unsafe { &*self.base.as_ptr().add(offset).cast::<AtomicU64>() }
    }

    /// How far loiter has read.
    fn tail(&self) -> u64 {
        self.position(abi::DATA_TAIL).load(Ordering::Relaxed)
    }

    /// Gives this many bytes from the tail on back to the kernel.
    pub(super) fn advance(&mut self, bytes: usize) {
        let tail = self.tail().wrapping_add(bytes as u64);
        self.position(abi::DATA_TAIL).store(tail, Ordering::Release);
    }

    /// What the kernel has written since the tail, in two parts if it wraps.
    pub(super) fn unread(&self) -> (&[u8], &[u8]) {
        let head = self.position(abi::DATA_HEAD).load(Ordering::Acquire);
        let tail = self.tail();
        // The kernel never writes further than one ring beyond the tail.
        let len = usize::try_from(head.wrapping_sub(tail)).unwrap_or(usize::MAX).min(self.size);
        let start = usize::try_from(tail & (self.size as u64 - 1)).unwrap_or(0);
        let first = len.min(self.size - start);
        let data = self.base.as_ptr().wrapping_add(self.page);
        // SAFETY: both parts are inside the data of the mapping: `start + first <= size`, `len - first <= start`.
        // The kernel writes nothing between tail and head, and the tail moves only through `&mut self`.
        unsafe {
            (
                std::slice::from_raw_parts(data.wrapping_add(start), first),
                std::slice::from_raw_parts(data, len - first),
            )
        }
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: this is the mapping that `map` made, and no reference into it outlives `self`.
        unsafe { libc::munmap(self.base.as_ptr().cast(), self.page + self.size) };
    }
}
