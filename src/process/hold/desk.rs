//! Where held calls arrive: those of the program's children go on at once.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::Ordering;

use nix::errno::Errno;

use super::filter::{self, Answer, Call};
use super::shared::Page;

/// After the end of the keeper, so many calls beyond the last one that it noted may have been received by it.
const UNNOTED: u64 = 4;

/// The receiving end of the filter.
#[derive(Debug)]
pub(super) struct Desk {
    pub(super) listener: OwnedFd,
    /// The pid of the program.
    pub(super) program: u32,
    pub(super) page: Page,
}

impl Desk {
    /// Takes the next call. Some if it is the program's own end; others are answered here.
    pub(super) fn next(&self) -> io::Result<Option<Call>> {
        let Some(call) = filter::receive(&self.listener)? else { return Ok(None) };
        let words = self.page.words();
        words.last.store(call.id, Ordering::SeqCst);
        if call.is_probe {
            let is_first = !words.probed.swap(true, Ordering::SeqCst);
            self.answer(call.id, if is_first { Answer::Probed } else { Answer::NoSuchCall });
            return Ok(None);
        }
        if self.is_of_program(call.tid) {
            return Ok(Some(call));
        }
        self.answer(call.id, Answer::GoOn);
        Ok(None)
    }

    /// Answers a call. It may have been answered, or its thread be gone: then there is nothing to do.
    pub(super) fn answer(&self, id: u64, answer: Answer) {
        let _ = filter::answer(&self.listener, id, answer);
    }

    /// Answers what the keeper received before it ended, and did not tell: all of `told` is known.
    pub(super) fn answer_untold(&self, told: &[Call]) {
        let last = self.page.words().last.load(Ordering::SeqCst);
        if last == 0 {
            return;
        }
        for id in (0..=UNNOTED).map(|more| last.wrapping_add(more)) {
            if !told.iter().any(|call| call.id == id) {
                self.answer(id, Answer::GoOn);
            }
        }
    }

    /// Whether a thread is one of the program.
    fn is_of_program(&self, tid: u32) -> bool {
        // SAFETY: tgkill takes three integers; signal 0 sends nothing.
        let sent =
            unsafe { libc::syscall(libc::SYS_tgkill, self.program as libc::pid_t, tid as libc::pid_t, 0) };
        // EPERM: the thread is there, and may not be sent signals by us.
        sent == 0 || Errno::last() == Errno::EPERM
    }
}
