//! Sockets that were made in another network namespace than that of the process that has them: a unix socket that was accepted
//! is of the namespace of the process that connected (`unix_stream_connect` in net/unix/af_unix.c, Linux 6.18).

use std::cell::OnceCell;

use rustc_hash::FxHashSet;

use super::row::UnixRow;
use super::view::{View, namespace_of};
use crate::process::limit::Limit;
use crate::process::processes::pids;

/// More network namespaces are not looked at.
pub(super) const MAX_NAMESPACES: usize = 256;

/// The other network namespaces of this machine, found when they are needed.
#[derive(Debug)]
pub(super) struct Abroad {
    pid: u32,
    own: Option<u64>,
    views: OnceCell<Vec<View>>,
}

impl Abroad {
    /// Those that are not `own`, the namespace of this process.
    pub(super) fn new(pid: u32, own: Option<u64>) -> Abroad {
        Abroad { pid, own, views: OnceCell::new() }
    }

    /// The unix socket with this inode, and its namespace. Inodes of sockets are those of the whole machine. None also if loiter
    /// may not look into the namespace.
    pub(super) fn unix(&self, inode: u64, until: &Limit) -> Option<(&View, UnixRow)> {
        let open =
            || others(self.pid, self.own, until).into_iter().map(View::of).filter(View::can_ask).collect();
        let mut views = self.views.get_or_init(open).iter();
        views.find_map(|view| {
            let row = if until.is_over() { None } else { view.unix(inode, until).ok().flatten() };
            Some((view, row?))
        })
    }
}

/// One process of each network namespace but this one.
pub(super) fn others(pid: u32, own: Option<u64>, until: &Limit) -> Vec<u32> {
    let mut seen: FxHashSet<u64> = own.into_iter().collect();
    let all = pids().unwrap_or_default().into_iter().filter(|&other| other != pid);
    let new = |other: &u32| namespace_of(*other).is_some_and(|namespace| seen.insert(namespace));
    all.take_while(|_| !until.is_over()).filter(new).take(MAX_NAMESPACES).collect()
}
