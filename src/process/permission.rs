//! Finds why the kernel refused, and what helps.

use std::io;
use std::path::Path;

use nix::errno::Errno;
use nix::unistd::{Uid, User};

use super::proc::{self, Stat};
use super::{Result, TargetError};

/// Bits of CapEff (linux/capability.h).
const CAP_SYS_PTRACE: u32 = 19;

/// Turns a failed system call or file access on process `pid` into an error that says why.
pub(super) fn explain(pid: u32, what: &str, error: io::Error) -> TargetError {
    let errno = error.raw_os_error().map(Errno::from_raw);
    match errno {
        Some(errno @ (Errno::EPERM | Errno::EACCES | Errno::ENOSYS)) => TargetError::Permission {
            what: what.to_owned(),
            source: error.into(),
            remedy: Findings::look(pid).remedy(errno),
        },
        Some(Errno::ESRCH | Errno::ENOENT) if Stat::read(pid).is_err_and(|error| proc::is_gone(&error)) => {
            TargetError::Ended { pid }
        }
        _ => TargetError::io(what, error),
    }
}

/// The same for the first access to a process: it may never have existed.
pub(crate) fn no_process(pid: u32, what: &str, error: io::Error) -> TargetError {
    if proc::is_gone(&error) { TargetError::NoProcess { pid } } else { explain(pid, what, error) }
}

/// The same for something that exists as long as the process does.
pub(super) fn ended(pid: u32, what: &str, error: io::Error) -> TargetError {
    if proc::is_gone(&error) { TargetError::Ended { pid } } else { explain(pid, what, error) }
}

/// Refuses processes that can never be read, with a clear message.
pub(crate) fn check_readable(pid: u32, stat: &Stat) -> Result<()> {
    let name = stat.comm.clone();
    if stat.is_kernel_thread() {
        return Err(TargetError::KernelThread { pid, name });
    }
    // A leader that has ended while other threads run is also shown as a zombie.
    if stat.is_dead() && stat.threads <= 1 {
        return Err(TargetError::Zombie { pid, name });
    }
    Ok(())
}

/// The name of a user, or the number of a user without a name.
pub(crate) fn user_name(uid: u32) -> String {
    match User::from_uid(Uid::from_raw(uid)) {
        Ok(Some(user)) => user.name,
        _ => format!("uid {uid}"),
    }
}

/// What was found out about the process and about loiter.
#[derive(Debug, Default, PartialEq, Eq)]
struct Findings {
    /// Real, effective and saved uid of the target.
    target_uids: Option<[u32; 3]>,
    our_uid: u32,
    can_ptrace: bool,
    /// The target has forbidden it (prctl PR_SET_DUMPABLE), or its binary is not readable or changes the user
    /// when it is run.
    not_dumpable: bool,
    /// kernel.yama.ptrace_scope, where Yama is built in.
    ptrace_scope: Option<u64>,
    container: Option<&'static str>,
    /// loiter's system calls are filtered.
    seccomp: bool,
    /// Our user namespace is not the target's, so our capabilities do not apply to it.
    other_user_namespace: bool,
    /// An LSM that confines loiter: AppArmor's profile or SELinux's context.
    confined: Option<String>,
}

impl Findings {
    fn look(pid: u32) -> Findings {
        let ours = proc::read_text("/proc/self/status").unwrap_or_default();
        let target_uids = proc::status(pid).ok().and_then(|status| uids(&status));
        let capabilities = proc::field(&ours, "CapEff").and_then(|hex| u64::from_str_radix(hex, 16).ok());
        let owner = std::fs::metadata(format!("/proc/{pid}")).ok();
        let owner = owner.map(|metadata| std::os::unix::fs::MetadataExt::uid(&metadata));
        let effective = target_uids.map(|uids| uids[1]);
        let namespace = |of: &str| std::fs::read_link(format!("/proc/{of}/ns/user")).ok();
        let other_user_namespace = match (namespace("self"), namespace(&pid.to_string())) {
            (Some(ours), Some(its)) => ours != its,
            _ => false,
        };
        Findings {
            target_uids,
            our_uid: Uid::effective().as_raw(),
            can_ptrace: capabilities.is_some_and(|bits| bits >> CAP_SYS_PTRACE & 1 == 1),
            not_dumpable: owner.is_some() && effective.is_some() && owner != effective,
            ptrace_scope: proc::read_text("/proc/sys/kernel/yama/ptrace_scope")
                .ok()
                .and_then(|text| text.trim().parse().ok()),
            container: container(),
            seccomp: proc::number_field(&ours, "Seccomp") == Some(2),
            other_user_namespace,
            confined: confined(),
        }
    }

    /// The reasons, then what to do, one per line.
    fn remedy(&self, errno: Errno) -> Vec<String> {
        let mut lines = self.reasons(errno);
        if !self.can_ptrace || self.other_user_namespace {
            lines.push("Try: sudo loiter, or give loiter CAP_SYS_PTRACE.".to_owned());
            let sign =
                self.container.map_or_else(String::new, |sign| format!(" (this looks like one: {sign})"));
            lines.push(format!(
                "In a container{sign}: --cap-add SYS_PTRACE (Kubernetes: add SYS_PTRACE to the capabilities \
                 of the securityContext), or run loiter in the same pod as a debug container."
            ));
        }
        lines
    }

    fn reasons(&self, errno: Errno) -> Vec<String> {
        let mut lines = Vec::new();
        let without = if self.can_ptrace { "" } else { ", and loiter runs without CAP_SYS_PTRACE" };
        let foreign = self.target_uids.filter(|uids| uids.iter().any(|&uid| uid != self.our_uid));
        if let Some([_, effective, _]) = foreign.filter(|_| !self.can_ptrace) {
            lines.push(format!(
                "This process belongs to another user ({}; loiter runs as {}){without}.",
                user_name(effective),
                user_name(self.our_uid)
            ));
        } else if self.not_dumpable && !self.can_ptrace {
            lines.push(format!(
                "This process is not dumpable: it has changed its user or forbids being traced{without}."
            ));
        }
        match self.ptrace_scope {
            Some(1) if foreign.is_none() && !self.can_ptrace => lines.push(
                "kernel.yama.ptrace_scope is 1: without CAP_SYS_PTRACE only child processes may be read."
                    .to_owned(),
            ),
            Some(2) if !self.can_ptrace => lines.push(
                "kernel.yama.ptrace_scope is 2: only CAP_SYS_PTRACE may read other processes.".to_owned(),
            ),
            Some(3) => lines.push(
                "kernel.yama.ptrace_scope is 3: no process may be traced until the machine is restarted \
                 with another value."
                    .to_owned(),
            ),
            _ => {}
        }
        if self.can_ptrace && self.other_user_namespace {
            lines.push(
                "loiter has CAP_SYS_PTRACE only in its own user namespace, and this process is in another one."
                    .to_owned(),
            );
        }
        if self.seccomp && (errno == Errno::ENOSYS || self.can_ptrace || lines.is_empty()) {
            lines.push(
                "loiter runs under a seccomp filter (Seccomp: 2), which may forbid this system call \
                 (Docker: --security-opt seccomp=unconfined)."
                    .to_owned(),
            );
        } else if errno == Errno::ENOSYS {
            lines.push("This kernel does not have this system call.".to_owned());
        }
        if let Some(confined) = self.confined.as_ref().filter(|_| lines.is_empty()) {
            lines.push(format!("loiter is confined by a security module ({confined})."));
        }
        lines
    }
}

/// Real, effective and saved uid.
fn uids(status: &str) -> Option<[u32; 3]> {
    let mut uids = proc::field(status, "Uid")?.split_ascii_whitespace().map(|uid| uid.parse().ok());
    Some([uids.next()??, uids.next()??, uids.next()??])
}

/// A sign that loiter runs in a container.
pub(crate) fn container() -> Option<&'static str> {
    if std::env::var_os("KUBERNETES_SERVICE_HOST").is_some() {
        return Some("KUBERNETES_SERVICE_HOST is set");
    }
    for (path, sign) in
        [("/.dockerenv", "/.dockerenv exists"), ("/run/.containerenv", "/run/.containerenv exists")]
    {
        if Path::new(path).exists() {
            return Some(sign);
        }
    }
    let cgroup = proc::read_text("/proc/self/cgroup").unwrap_or_default();
    let signs = ["/docker", "/kubepods", "/libpod", "/containerd", "/lxc"];
    signs.iter().any(|sign| cgroup.contains(sign)).then_some("its control group is named so")
}

/// The name of the profile under which an LSM runs loiter, if the profile confines it.
pub(crate) fn confined() -> Option<String> {
    let text = proc::read_text("/proc/self/attr/current").ok()?;
    let text = text.trim_matches(['\0', '\n', ' ']);
    let free = text.is_empty() || text.starts_with("unconfined") || text.contains("unconfined_t");
    (!free).then(|| text.chars().filter(|c| !c.is_control()).take(80).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_user() {
        let findings = Findings { target_uids: Some([0; 3]), our_uid: 65_534, ..Findings::default() };
        let lines = findings.remedy(Errno::EPERM);
        assert!(lines[0].starts_with("This process belongs to another user (root; loiter runs as "));
        assert!(lines[0].ends_with("and loiter runs without CAP_SYS_PTRACE."));
        assert!(lines[1].contains("sudo") && lines[2].contains("--cap-add SYS_PTRACE"));
    }

    #[test]
    fn yama_is_named_only_where_it_is_the_reason() {
        let own =
            Findings { target_uids: Some([7; 3]), our_uid: 7, ptrace_scope: Some(1), ..Findings::default() };
        assert!(own.remedy(Errno::EPERM)[0].contains("ptrace_scope is 1"));
        let foreign = Findings { target_uids: Some([8; 3]), ..own };
        assert!(!foreign.remedy(Errno::EPERM).iter().any(|line| line.contains("ptrace_scope")));
    }

    #[test]
    fn a_filter_that_hides_the_call() {
        let findings = Findings { can_ptrace: true, seccomp: true, ..Findings::default() };
        let lines = findings.remedy(Errno::ENOSYS);
        assert!(lines[0].contains("seccomp"));
        assert_eq!(lines.len(), 1, "a capability that is there is not asked for: {lines:?}");
    }

    #[test]
    fn a_container_is_told_by_its_sign() {
        let findings = Findings { container: Some("/.dockerenv exists"), ..Findings::default() };
        let lines = findings.remedy(Errno::EPERM);
        assert!(lines.last().is_some_and(|line| line.contains("looks like one: /.dockerenv exists")));
    }

    #[test]
    fn nothing_is_guessed() {
        let findings = Findings { can_ptrace: true, ..Findings::default() };
        assert!(findings.remedy(Errno::EPERM).is_empty());
    }
}
