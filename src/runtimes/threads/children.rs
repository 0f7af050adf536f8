//! The children of a process.

use crate::process::proc;

/// More children are left out.
const MAX: usize = 1 << 16;

/// The children of a process, read when they are first asked for.
#[derive(Debug)]
pub(super) struct Children {
    pid: u32,
    /// The process has pids of its own.
    other_namespace: bool,
    known: Option<Vec<u32>>,
}

impl Children {
    pub(super) fn new(pid: u32, other_namespace: bool) -> Children {
        Children { pid, other_namespace, known: None }
    }

    /// All of them. Empty on kernels that do not list them (CONFIG_PROC_CHILDREN).
    pub(super) fn all(&mut self) -> &[u32] {
        let pid = self.pid;
        self.known.get_or_insert_with(|| {
            let threads = proc::threads(pid).unwrap_or_default();
            let of = |tid: u32| proc::read_text(format!("/proc/{pid}/task/{tid}/children")).ok();
            let mut all: Vec<u32> = Vec::new();
            for text in threads.into_iter().filter_map(of) {
                all.extend(text.split_ascii_whitespace().filter_map(|pid| pid.parse::<u32>().ok()));
                all.truncate(MAX);
            }
            all
        })
    }

    /// loiter's pid of a child, from the pid by which its parent knows it.
    pub(super) fn outside(&mut self, inside: u32) -> Option<u32> {
        if !self.other_namespace {
            return Some(inside);
        }
        let is = |pid: &u32| {
            let status = proc::status(*pid).unwrap_or_default();
            let ids = proc::field(&status, "NSpid").unwrap_or_default();
            ids.split_ascii_whitespace().any(|id| id.parse() == Ok(inside))
        };
        self.all().to_vec().into_iter().find(is)
    }
}
