//! Which function a return address is a return from, by the call instruction before it.
//!
//! A chain of frame pointers lacks functions that keep none: before Go 1.21 `systemstack` and `asmcgocall`, and
//! functions without a frame of their own. The call instructions show which ones.

use iced_x86::{Decoder, DecoderOptions, FlowControl};
use rustc_hash::FxHashMap;

use crate::process::Target;
use crate::runtimes::go::Go;
use crate::runtimes::go::unwind::CodeAddress;

/// Functions with more code than this are not searched for calls, bytes.
const MAX_CODE: u64 = 256 << 10;
/// Answers that are remembered.
const MAX_KNOWN: usize = 1 << 16;
/// Bytes of a direct call: `E8` and a distance.
const CALL: u64 = 5;

/// What is between a function and a return address further out in a chain of frame pointers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Link {
    /// Nothing: the function returns there.
    Direct,
    /// The call before the return address does not say what it calls.
    Indirect,
    /// One function, at this place.
    Through(CodeAddress),
    /// The function that begins here, at an unknown place, and perhaps more.
    Within(u64),
}

/// Reads call instructions, each once.
pub(super) struct Calls<'a> {
    go: &'a Go,
    target: &'a dyn Target,
    links: FxHashMap<(u64, u64), Link>,
}

impl<'a> Calls<'a> {
    pub(super) fn new(go: &'a Go, target: &'a dyn Target) -> Self {
        Calls { go, target, links: FxHashMap::default() }
    }

    /// What is between the function that begins at `callee` and a return address.
    pub(super) fn link(&mut self, callee: u64, return_address: u64) -> Link {
        let key = (callee, return_address);
        if let Some(&known) = self.links.get(&key) {
            return known;
        }
        if self.links.len() >= MAX_KNOWN {
            self.links.clear();
        }
        let link = self.look(callee, return_address);
        self.links.insert(key, link);
        link
    }

    fn look(&self, callee: u64, return_address: u64) -> Link {
        let Some(called) = self.called(return_address) else { return Link::Indirect };
        if called == callee {
            return Link::Direct;
        }
        match self.only_call(called, callee) {
            Some(place) => Link::Through(place),
            None => Link::Within(called),
        }
    }

    /// The function that the direct call before an address calls.
    fn called(&self, return_address: u64) -> Option<u64> {
        let mut bytes = [0; CALL as usize];
        self.target.read(return_address.checked_sub(CALL)?, &mut bytes).ok()?;
        let [0xe8, distance @ ..] = bytes else { return None };
        let called = return_address.wrapping_add_signed(i32::from_le_bytes(distance).into());
        // The same bytes may be the end of another instruction.
        self.go.function(called).filter(|function| function.entry() == called).map(|_| called)
    }

    /// Where the function that begins at `entry` calls `callee`, if it does so at one place only.
    fn only_call(&self, entry: u64, callee: u64) -> Option<CodeAddress> {
        let function = self.go.function(entry)?;
        let len = function.end().checked_sub(entry).filter(|len| *len <= MAX_CODE)?;
        let code = self.target.read_vec(entry, len as usize).ok()?;
        let mut decoder = Decoder::with_ip(64, &code, entry, DecoderOptions::NONE);
        let mut found = None;
        while decoder.can_decode() {
            let instruction = decoder.decode();
            let calls = instruction.flow_control() == FlowControl::Call;
            if calls && instruction.near_branch_target() == callee {
                if found.is_some() {
                    return None;
                }
                found = Some(CodeAddress::after_call(instruction.next_ip()));
            }
        }
        found
    }
}
