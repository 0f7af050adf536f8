//! The system calls that threads are in: which one, since when, and what it waits for.

mod age;
mod awaited;
mod names;
mod sched;

pub use awaited::{Awaited, Child, Until, awaited};
pub use names::name;

use super::{ThreadCall, proc};

/// The system call that a thread sleeps in. None if it runs, sleeps elsewhere in the kernel, may not be read, or went
/// on meanwhile.
pub(super) fn of_thread(pid: u32, tid: u32) -> Option<ThreadCall> {
    let folder = format!("/proc/{pid}/task/{tid}");
    let sleeps = || {
        let status = proc::read_text(format!("{folder}/status")).ok()?;
        proc::number_field(&status, "voluntary_ctxt_switches")
    };
    let before = sleeps()?;
    let line = parse(&proc::read_text(format!("{folder}/syscall")).ok()?)?;
    let function = proc::read_text(format!("{folder}/wchan")).unwrap_or_default();
    let age = age::of_thread(pid, tid);
    if sleeps()? != before {
        return None;
    }
    let function = function.trim();
    let kernel_function = (!matches!(function, "" | "0")).then(|| function.to_owned());
    Some(ThreadCall { sleeps: before, kernel_function, age, ..line })
}

/// A line of /proc/PID/task/TID/syscall: "0 0x3 0x7ffe... (six arguments) sp pc". A thread that runs, or sleeps without
/// a call, has fewer words.
fn parse(line: &str) -> Option<ThreadCall> {
    let mut words = line.split_ascii_whitespace();
    let number = words.next()?.parse().ok()?;
    let mut hex = || u64::from_str_radix(words.next()?.strip_prefix("0x")?, 16).ok();
    let mut arguments = [0; 6];
    for argument in &mut arguments {
        *argument = hex()?;
    }
    let (sp, pc) = (hex()?, hex()?);
    let age = crate::snapshot::Age::Unknown;
    Some(ThreadCall { number, arguments, sp, pc, sleeps: 0, kernel_function: None, age })
}
