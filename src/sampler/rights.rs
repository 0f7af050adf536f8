//! Finds why the kernel refused a perf event, and what helps.

use std::io;

use super::SamplerError;
use super::events::{Manner, Scope};
use super::options::Event;
use crate::process::{permission, proc};

/// Bits of CapEff (linux/capability.h). Either of the first two is enough for perf events.
const CAP_PERFMON: u32 = 38;
const CAP_SYS_ADMIN: u32 = 21;
const CAP_SYS_PTRACE: u32 = 19;

/// What works where perf events do not.
const WITHOUT: &str = "Readings of all tasks (--mode wall) need no perf events.";

/// What was found out about the process, about loiter and about the kernel.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Findings {
    /// kernel.perf_event_paranoid. None if the kernel has no perf events.
    paranoid: Option<i64>,
    /// loiter has CAP_PERFMON or CAP_SYS_ADMIN, in the machine's first user namespace.
    has_perfmon: bool,
    has_ptrace: bool,
    /// loiter is in a user namespace of its own: what it has there does not count for perf events.
    own_user_namespace: bool,
    /// loiter's system calls are filtered.
    seccomp: bool,
    container: Option<&'static str>,
    /// The profile of a security module that confines loiter.
    confined: Option<String>,
    /// The effective user of the process, if it is not loiter's.
    other_user: Option<u32>,
    our_user: u32,
}

impl Findings {
    pub(super) fn look(pid: u32) -> Findings {
        let ours = proc::read_text("/proc/self/status").unwrap_or_default();
        let bits =
            proc::field(&ours, "CapEff").and_then(|hex| u64::from_str_radix(hex, 16).ok()).unwrap_or(0);
        let has = |bit: u32| bits >> bit & 1 == 1;
        // The first user namespace maps everything to itself (user_namespaces(7)).
        let map = proc::read_text("/proc/self/uid_map").unwrap_or_default();
        let map: Vec<&str> = map.split_ascii_whitespace().collect();
        let own_user_namespace = !map.is_empty() && map != ["0", "0", "4294967295"];
        let our_user = nix::unistd::Uid::effective().as_raw();
        let theirs = proc::status(pid).ok();
        let theirs = theirs.and_then(|status| {
            proc::field(&status, "Uid")?.split_ascii_whitespace().nth(1)?.parse::<u32>().ok()
        });
        let paranoid = proc::read_text("/proc/sys/kernel/perf_event_paranoid").ok();
        Findings {
            paranoid: paranoid.and_then(|text| text.trim().parse().ok()),
            has_perfmon: (has(CAP_PERFMON) || has(CAP_SYS_ADMIN)) && !own_user_namespace,
            has_ptrace: has(CAP_SYS_PTRACE) && !own_user_namespace,
            own_user_namespace,
            seccomp: proc::number_field(&ours, "Seccomp") == Some(2),
            container: permission::container(),
            confined: permission::confined(),
            other_user: theirs.filter(|&user| user != our_user),
            our_user,
        }
    }

    /// Turns a failed perf_event_open into an error that says why.
    pub(super) fn explain(&self, pid: u32, event: Event, manner: Manner, error: io::Error) -> SamplerError {
        let on = match manner.scope {
            Scope::EveryCpu => "every CPU".to_owned(),
            Scope::ThreadsOnCpus | Scope::Threads => format!("the threads of pid {pid}"),
        };
        let what = format!("perf_event_open({}) on {on}", event.name());
        match error.raw_os_error() {
            Some(errno @ (libc::EACCES | libc::EPERM)) => SamplerError::Refused {
                what,
                source: error.into(),
                remedy: self.refused(errno, manner.scope),
            },
            Some(errno @ (libc::ENOENT | libc::EOPNOTSUPP | libc::ENOSYS | libc::EINVAL | libc::E2BIG)) => {
                SamplerError::Missing { what, source: error.into(), remedy: self.missing(errno, event) }
            }
            _ => SamplerError::Io { what, source: error.into() },
        }
    }

    /// The reason, then what helps, one per line.
    fn refused(&self, errno: i32, scope: Scope) -> Vec<String> {
        let without = if self.has_perfmon { "" } else { ", and loiter runs without CAP_PERFMON" };
        let mut lines = Vec::new();
        // The kernel's own refusal is EACCES. A filter usually answers EPERM.
        let is_filtered = self.seccomp && (errno == libc::EPERM || self.has_perfmon);
        if is_filtered {
            lines.push(
                "loiter runs under a seccomp filter (Seccomp: 2), which forbids perf_event_open. The default filters \
                 of containers do."
                    .to_owned(),
            );
        } else if self.own_user_namespace && !self.has_perfmon && self.paranoid.is_some_and(|level| level > 2)
        {
            lines.push(format!(
                "loiter runs in a user namespace of its own, where no capability gives perf events, and \
                 kernel.perf_event_paranoid is {}.",
                self.level()
            ));
        } else if scope == Scope::EveryCpu && !self.has_perfmon {
            lines.push(format!(
                "Samples of every CPU take CAP_PERFMON, or a kernel.perf_event_paranoid of 0 or less. It is {}.",
                self.level()
            ));
        } else if self.paranoid.is_some_and(|level| level > 2) && !self.has_perfmon {
            lines.push(format!(
                "kernel.perf_event_paranoid is {}: this kernel allows perf events only with CAP_PERFMON.",
                self.level()
            ));
        } else if let Some(user) = self.other_user.filter(|_| !self.has_perfmon) {
            lines.push(format!(
                "This process belongs to another user ({}; loiter runs as {}){without}.",
                permission::user_name(user),
                permission::user_name(self.our_user)
            ));
        } else if !self.has_perfmon && !self.has_ptrace {
            lines.push(format!(
                "This process is not dumpable (it has changed its user or forbids being traced), or is in another \
                 user namespace{without}."
            ));
        } else if let Some(confined) = &self.confined {
            lines.push(format!("loiter is confined by a security module ({confined})."));
        }
        if is_filtered || self.container.is_some() {
            let sign =
                self.container.map_or_else(String::new, |sign| format!(" (this looks like one: {sign})"));
            lines.push(format!(
                "In a container{sign}: --cap-add PERFMON, with a seccomp profile that allows perf_event_open \
                 (Docker: --security-opt seccomp=FILE)."
            ));
        }
        if !self.has_perfmon && !is_filtered {
            lines.push("Try: sudo loiter, or give loiter CAP_PERFMON.".to_owned());
        }
        lines.push(WITHOUT.to_owned());
        lines
    }

    /// "3", or that there is no such setting.
    fn level(&self) -> String {
        self.paranoid.map_or_else(|| "unknown".to_owned(), |level| level.to_string())
    }

    fn missing(&self, errno: i32, event: Event) -> Vec<String> {
        let reason = match (errno, event) {
            (libc::ENOSYS, _) if self.seccomp => {
                "loiter runs under a seccomp filter (Seccomp: 2), which hides perf_event_open."
            }
            (libc::ENOSYS, _) => "This kernel was built without perf events (CONFIG_PERF_EVENTS).",
            (libc::ENOENT | libc::EOPNOTSUPP, Event::Cycles) => {
                "The processor's counters are not there; virtual machines often have none. Try: --event cpu-clock."
            }
            (libc::EINVAL | libc::E2BIG, _) => {
                "This kernel does not know something that loiter asks for. It takes Linux 4.8 or later."
            }
            _ => "This kernel does not have this event.",
        };
        vec![reason.to_owned(), WITHOUT.to_owned()]
    }
}

/// The error for a ring that may not be mapped, however small.
pub(super) fn ring(error: io::Error) -> SamplerError {
    let remedy = vec![
        "The limit of locked memory is reached: kernel.perf_event_mlock_kb for each CPU and user, then ulimit -l."
            .to_owned(),
        "Try: sudo loiter, CAP_IPC_LOCK, or a higher ulimit -l. Other programs of this user with perf events count, too."
            .to_owned(),
        WITHOUT.to_owned(),
    ];
    SamplerError::Limit { what: "mapping the rings of perf events".to_owned(), source: error.into(), remedy }
}

/// The error for a process that may not open enough files.
pub(super) fn files(error: io::Error) -> SamplerError {
    let remedy = vec![
        "loiter needs an open file for each thread of the process, or for each CPU, and may have no more.".to_owned(),
        "Try: a higher limit of open files (ulimit -n), or sudo loiter: with CAP_PERFMON one for each CPU is enough."
            .to_owned(),
        WITHOUT.to_owned(),
    ];
    SamplerError::Limit { what: "opening perf events".to_owned(), source: error.into(), remedy }
}

#[cfg(test)]
mod tests {
    use super::*;

    const THREADS: Manner = Manner { scope: Scope::ThreadsOnCpus, kernel: false };
    const EVERY_CPU: Manner = Manner { scope: Scope::EveryCpu, kernel: true };

    fn said(findings: &Findings, manner: Manner, event: Event, errno: i32) -> SamplerError {
        findings.explain(7, event, manner, io::Error::from_raw_os_error(errno))
    }

    #[test]
    fn each_refusal_has_one_cause() {
        let user = Findings { paranoid: Some(2), our_user: 65_534, ..Findings::default() };
        for (findings, manner, errno, cause) in [
            (
                Findings { other_user: Some(0), ..user.clone() },
                THREADS,
                libc::EACCES,
                "belongs to another user (root;",
            ),
            (
                Findings { paranoid: Some(4), ..user.clone() },
                THREADS,
                libc::EACCES,
                "perf_event_paranoid is 4",
            ),
            (user.clone(), THREADS, libc::EACCES, "not dumpable"),
            (user.clone(), EVERY_CPU, libc::EACCES, "of 0 or less. It is 2"),
            (Findings { seccomp: true, ..user.clone() }, THREADS, libc::EPERM, "seccomp filter"),
            (
                Findings { seccomp: true, has_perfmon: true, ..user.clone() },
                EVERY_CPU,
                libc::EPERM,
                "seccomp filter",
            ),
            (
                Findings { own_user_namespace: true, paranoid: Some(3), ..user.clone() },
                THREADS,
                libc::EACCES,
                "user namespace of its own",
            ),
        ] {
            let error = said(&findings, manner, Event::CpuClock, errno);
            assert!(matches!(error, SamplerError::Refused { .. }), "{error:?}");
            assert!(error.remedy()[0].contains(cause), "{cause}: {:?}", error.remedy());
            assert_eq!(error.remedy().last().map(String::as_str), Some(WITHOUT));
        }
    }

    #[test]
    fn a_capability_that_is_there_is_not_asked_for() {
        let findings =
            Findings { has_perfmon: true, seccomp: true, paranoid: Some(2), ..Findings::default() };
        let error = said(&findings, EVERY_CPU, Event::CpuClock, libc::EPERM);
        assert!(!error.remedy().iter().any(|line| line.contains("sudo")), "{:?}", error.remedy());
    }

    #[test]
    fn what_the_kernel_does_not_have() {
        let findings = Findings::default();
        for (event, errno, cause) in [
            (Event::Cycles, libc::ENOENT, "event cpu-clock"),
            (Event::CpuClock, libc::ENOSYS, "CONFIG_PERF_EVENTS"),
            (Event::CpuClock, libc::EINVAL, "Linux 4.8"),
        ] {
            let error = said(&findings, THREADS, event, errno);
            assert!(matches!(error, SamplerError::Missing { .. }), "{error:?}");
            assert!(error.remedy()[0].contains(cause), "{:?}", error.remedy());
        }
        let text = crate::full_text(&said(&findings, THREADS, Event::Cycles, libc::ENOENT));
        assert_eq!(
            text,
            "perf_event_open(cycles) on the threads of pid 7: ENOENT (no such file or directory)"
        );
    }
}
