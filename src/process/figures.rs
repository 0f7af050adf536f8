//! What the operating system reports about a process.

use std::path::{Path, PathBuf};

use super::proc::{self, Stat};
use super::sys;
use crate::snapshot::ProcessFigures;

/// Open files counted at most: the kernel's default for the most that a process may have.
const MAX_FILES: usize = 1 << 20;
/// The greatest depth of a control group.
const MAX_DEPTH: usize = 64;
/// A memory limit above this is cgroup v1's way of saying "none".
const NO_LIMIT: u64 = 1 << 62;

/// How long a process has been running, nanoseconds.
pub(super) fn age_ns(stat: &Stat) -> u64 {
    let start = u128::from(stat.start_ticks) * 1_000_000_000 / u128::from(sys::ticks_per_second());
    let age = u128::from(sys::boottime_ns()).saturating_sub(start);
    u64::try_from(age).unwrap_or(0)
}

/// The current figures of a process. What cannot be read is left out.
pub(super) fn of_process(pid: u32) -> ProcessFigures {
    let stat = Stat::read(pid).ok();
    let status = proc::status(pid).unwrap_or_default();
    let tick_ns = 1_000_000_000 / sys::ticks_per_second();
    let groups = Groups::of(pid);
    ProcessFigures {
        threads: stat.as_ref().map(|stat| stat.threads),
        open_files: open_files(pid),
        open_files_limit: open_files_limit(pid),
        rss: proc::number_field(&status, "VmRSS").and_then(|kib| kib.checked_mul(1024)),
        cpu_ns: stat.as_ref().map(|stat| stat.utime.saturating_add(stat.stime).saturating_mul(tick_ns)),
        cpus_allowed: proc::field(&status, "Cpus_allowed_list").and_then(count_cpus),
        cgroup_cpu_milli: groups.cpu_milli(),
        cgroup_memory: groups.memory(),
    }
}

fn open_files(pid: u32) -> Option<u32> {
    let count = std::fs::read_dir(format!("/proc/{pid}/fd")).ok()?.take(MAX_FILES).count();
    u32::try_from(count).ok()
}

fn open_files_limit(pid: u32) -> Option<u64> {
    let limits = proc::read_text(format!("/proc/{pid}/limits")).ok()?;
    // "Max open files            1024                 524288               files"
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

/// Counts the CPUs of a list like "0-3,8".
fn count_cpus(list: &str) -> Option<u32> {
    let mut count = 0u32;
    for part in list.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last): (u32, u32) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
        count = count.checked_add(last.checked_sub(first)?.checked_add(1)?)?;
    }
    Some(count)
}

/// The folders of the control groups that govern a process.
#[derive(Debug, Default, PartialEq, Eq)]
struct Groups {
    /// Version 2, innermost first, up to the root of the mount.
    unified: Vec<PathBuf>,
    /// Version 1's cpu controller.
    cpu: Vec<PathBuf>,
    /// Version 1's memory controller.
    memory: Vec<PathBuf>,
}

impl Groups {
    fn of(pid: u32) -> Groups {
        let memberships = proc::read_text(format!("/proc/{pid}/cgroup")).unwrap_or_default();
        let mounts = proc::read_text("/proc/self/mountinfo").unwrap_or_default();
        Self::parse(&memberships, &mounts)
    }

    /// `memberships` has lines "hierarchy:controllers:path" (cgroups(7)).
    fn parse(memberships: &str, mounts: &str) -> Groups {
        let mut groups = Groups::default();
        for line in memberships.lines().take(MAX_DEPTH) {
            let mut parts = line.splitn(3, ':');
            let (Some(hierarchy), Some(controllers), Some(path)) = (parts.next(), parts.next(), parts.next())
            else {
                continue;
            };
            let has = |wanted: &str| controllers.split(',').any(|controller| controller == wanted);
            if hierarchy == "0" && controllers.is_empty() {
                groups.unified = folders(mounts, None, path);
            }
            if has("cpu") {
                groups.cpu = folders(mounts, Some("cpu"), path);
            }
            if has("memory") {
                groups.memory = folders(mounts, Some("memory"), path);
            }
        }
        groups
    }

    /// The narrowest CPU quota of all groups around the process, in thousandths of a CPU.
    fn cpu_milli(&self) -> Option<u64> {
        let unified = self.unified.iter().filter_map(|folder| {
            let text = proc::read_text(folder.join("cpu.max")).ok()?;
            let (quota, period) = text.trim().split_once(' ')?;
            milli(quota.parse().ok()?, period.parse().ok()?)
        });
        let first = self.cpu.iter().filter_map(|folder| {
            let number = |file: &str| proc::read_text(folder.join(file)).ok()?.trim().parse::<i64>().ok();
            // A quota of -1 means none.
            let quota = u64::try_from(number("cpu.cfs_quota_us")?).ok()?;
            milli(quota, u64::try_from(number("cpu.cfs_period_us")?).ok()?)
        });
        unified.chain(first).min()
    }

    /// The narrowest memory limit of all groups around the process, bytes.
    fn memory(&self) -> Option<u64> {
        let limit = |folder: &PathBuf, file: &str| {
            let limit = proc::read_text(folder.join(file)).ok()?.trim().parse().ok()?;
            (limit < NO_LIMIT).then_some(limit)
        };
        let unified = self.unified.iter().filter_map(|folder| limit(folder, "memory.max"));
        unified.chain(self.memory.iter().filter_map(|folder| limit(folder, "memory.limit_in_bytes"))).min()
    }
}

fn milli(quota: u64, period: u64) -> Option<u64> {
    quota.checked_mul(1000)?.checked_div(period)
}

/// The folder of a group and those around it, up to the mount of its hierarchy: version 2's, or version 1's
/// with that controller.
fn folders(mounts: &str, controller: Option<&str>, path: &str) -> Vec<PathBuf> {
    let Some((root, mount)) = mounts.lines().find_map(|line| mount_of(line, controller)) else {
        return Vec::new();
    };
    // A container sees only its own part of the tree, mounted from `root`.
    let Some(inner) = path.strip_prefix(root.trim_end_matches('/')) else { return Vec::new() };
    let inner = Path::new(inner.trim_start_matches('/'));
    // "/../x" is a group outside our cgroup namespace.
    if inner.components().any(|part| !matches!(part, std::path::Component::Normal(_))) {
        return Vec::new();
    }
    inner.ancestors().take(MAX_DEPTH).map(|folder| Path::new(&mount).join(folder)).collect()
}

/// Root and mount point from a line of mountinfo (proc(5)), if it mounts that hierarchy.
fn mount_of(line: &str, controller: Option<&str>) -> Option<(String, String)> {
    let (before, after) = line.split_once(" - ")?;
    let mut before = before.split(' ').skip(3);
    let (root, mount) = (unescape(before.next()?), unescape(before.next()?));
    let mut after = after.split(' ');
    let kind = after.next()?;
    let options = after.nth(1)?;
    let wanted = match controller {
        None => kind == "cgroup2",
        Some(controller) => kind == "cgroup" && options.split(',').any(|option| option == controller),
    };
    wanted.then_some((root, mount))
}

/// Undoes the kernel's octal escapes of space, tab, newline and backslash.
fn unescape(text: &str) -> String {
    text.replace("\\040", " ").replace("\\011", "\t").replace("\\012", "\n").replace("\\134", "\\")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_lists() {
        assert_eq!(count_cpus("0-3,8"), Some(5));
        assert_eq!(count_cpus("0"), Some(1));
        for odd in ["", "3-1", "a", "0-4294967295,0-4294967295", "1-"] {
            assert_eq!(count_cpus(odd), None, "{odd}");
        }
    }

    #[test]
    fn groups_of_both_versions() {
        let mounts = "30 23 0:26 / /sys/fs/cgroup/unified rw,nosuid - cgroup2 cgroup2 rw\n\
            31 23 0:27 /docker/x /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n\
            32 23 0:28 / /sys/fs/cgroup/m\\040y rw - cgroup cgroup rw,memory\n";
        let groups = Groups::parse("4:memory:/a/b\n3:cpu,cpuacct:/docker/x/y\n0::/\n", mounts);
        assert_eq!(groups.unified, [Path::new("/sys/fs/cgroup/unified")]);
        assert_eq!(
            groups.cpu,
            [Path::new("/sys/fs/cgroup/cpu,cpuacct/y"), Path::new("/sys/fs/cgroup/cpu,cpuacct")]
        );
        let memory = ["/sys/fs/cgroup/m y/a/b", "/sys/fs/cgroup/m y/a", "/sys/fs/cgroup/m y"];
        assert_eq!(groups.memory, memory.map(PathBuf::from));
    }

    #[test]
    fn groups_that_we_cannot_see() {
        let mounts = "30 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n";
        assert_eq!(Groups::parse("0::/../other\n", mounts), Groups::default());
        assert_eq!(Groups::parse("0::/a\nx\n::\n", ""), Groups::default());
    }

    #[test]
    fn our_own_figures() {
        let figures = of_process(std::process::id());
        assert!(figures.threads.is_some_and(|threads| threads >= 1));
        assert!(figures.open_files.is_some_and(|files| files >= 3));
        assert!(figures.rss.is_some_and(|rss| rss > 1 << 20));
        assert!(figures.cpus_allowed.is_some_and(|cpus| cpus >= 1));
        assert!(figures.cpu_ns.is_some());
    }
}
