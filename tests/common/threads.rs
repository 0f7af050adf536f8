//! What the kernel says of a process's threads.

use std::fs;

/// Thread ids with their state letters (`R`, `S`, `t` ...); threads that end meanwhile are left out.
pub fn states(pid: u32) -> Vec<(u32, char)> {
    let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else {
        return Vec::new();
    };
    tasks
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter_map(|tid: u32| {
            let stat = fs::read_to_string(format!("/proc/{pid}/task/{tid}/stat")).ok()?;
            // The name before it may hold anything, closing parentheses too.
            let state = stat.get(stat.rfind(')')? + 2..)?.chars().next()?;
            Some((tid, state))
        })
        .collect()
}

/// The threads that a tracer or a signal holds.
pub fn stopped(pid: u32) -> Vec<(u32, char)> {
    states(pid).into_iter().filter(|(_, state)| matches!(state, 't' | 'T')).collect()
}

/// The tracer of each traced thread.
pub fn tracers(pid: u32) -> Vec<(u32, u32)> {
    states(pid)
        .into_iter()
        .filter_map(|(tid, _)| {
            let status = fs::read_to_string(format!("/proc/{pid}/task/{tid}/status")).ok()?;
            let line = status.lines().find_map(|line| line.strip_prefix("TracerPid:"))?;
            Some((tid, line.trim().parse().ok()?))
        })
        .filter(|&(_, tracer)| tracer != 0)
        .collect()
}
