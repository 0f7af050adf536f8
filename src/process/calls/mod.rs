//! The system calls that threads are in: which one, since when, and what it waits for.

mod age;
mod awaited;
mod names;
mod sched;

pub use awaited::{Awaited, Child, Until, awaited, path};
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
pub(super) fn parse(line: &str) -> Option<ThreadCall> {
    let mut words = line.split_ascii_whitespace();
    let number = words.next()?.parse().ok()?;
    let mut hex = || u64::from_str_radix(words.next()?.strip_prefix("0x")?, 16).ok();
    let mut arguments = [0; 6];
    for argument in &mut arguments {
        *argument = hex()?;
    }
    let (sp, pc) = (hex()?, hex()?);
    let age = crate::snapshot::Age::Unknown;
    Some(ThreadCall { number, arguments, sp, pc, foreign: false, sleeps: 0, kernel_function: None, age })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn lines_of_calls() {
        let call = parse("0 0x3 0x7ffe 0x400 0x0 0x0 0x6 0x7ffe07c46408 0x7f720d7ca2ad\n").expect("a call");
        assert_eq!((call.number, call.arguments), (0, [3, 0x7ffe, 0x400, 0, 0, 6]));
        assert_eq!((call.sp, call.pc), (0x7ffe_07c4_6408, 0x7f72_0d7c_a2ad));
        for line in ["running\n", "", "-1 0x7ffe07c46408 0x7f720d7ca2ad", "0 0x3", "0 1 2 3 4 5 6 7 8"] {
            assert_eq!(parse(line), None, "{line:?}");
        }
    }

    proptest! {
        #[test]
        fn any_line(line in "-?[0-9]{0,11}( (0x)?[0-9a-f]{0,17}){0,9}.{0,9}") {
            parse(&line);
        }
    }
}
