//! A command in a terminal of its own.

// Every test file is a crate of its own and uses a part of this.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used)]

use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

use nix::pty::{Winsize, openpty};

/// Starts it in a terminal of this size. Gives our side of the terminal and, to be kept open or dropped,
/// that of the command.
///
/// # Panics
/// If it cannot be started.
pub fn start(mut command: Command, columns: u16, lines: u16) -> (Child, File, OwnedFd) {
    let size = Winsize { ws_row: lines, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    let pty = openpty(&size, None).unwrap();
    let theirs = || Stdio::from(pty.slave.try_clone().unwrap());
    command.stdin(theirs()).stdout(theirs()).stderr(theirs());
    // SAFETY: both calls are allowed between fork and exec: they are system calls that allocate nothing.
    unsafe {
        command.pre_exec(|| {
            if libc::setsid() < 0 || libc::ioctl(0, libc::TIOCSCTTY, 0) < 0 {
                return Err(std::io::Error::last_os_error());
            }
            Ok(())
        });
    }
    (command.spawn().unwrap(), File::from(pty.master), pty.slave)
}
