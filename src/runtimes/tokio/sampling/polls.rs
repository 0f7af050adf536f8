//! The innermost poll of a task on a thread's stack.
//!
//! A vtable of tasks names the function that polls them, and unwind tables say which code belongs to that function. Both are
//! there in a stripped program, too.

use rustc_hash::FxHashMap;

use super::kept::Keepers;
use crate::process::Target;
use crate::process::bytes::u32_at;
use crate::runtimes::native::BareCode;
use crate::runtimes::tokio::find::Vtable;
use crate::symbols::native::{NativeCode, NativeFrame, NoCaller, StackBytes};

/// Frames of one stack.
const MAX_FRAMES: usize = 1024;
/// Addresses of code whose functions are remembered.
const MAX_REMEMBERED: usize = 1 << 16;

/// What a stack shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shown {
    Poll(Poll),
    /// No task is polled.
    Nothing,
    /// The stack does not reach so far.
    Unknown,
}

/// A poll of a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Poll {
    /// The function that polls.
    pub(super) function: u64,
    /// Frames up to that function's, with it.
    pub(super) frames: usize,
    /// The task's header, if the stack shows it.
    pub(super) header: Option<u64>,
}

/// Finds polls on stacks.
pub(super) struct Polls<'a> {
    code: NativeCode,
    bare: BareCode,
    keepers: Keepers<'a>,
    /// The vtables of each function that polls, by their numbers.
    functions: FxHashMap<u64, Vec<u32>>,
    /// Where the function at an address begins.
    starts: FxHashMap<u64, Option<u64>>,
    /// The frames of the present stack.
    frames: Vec<NativeFrame>,
}

impl<'a> Polls<'a> {
    pub(super) fn new(target: &'a dyn Target, code: NativeCode, vtables: &[Vtable]) -> Self {
        let mut functions: FxHashMap<u64, Vec<u32>> = FxHashMap::default();
        for (vtable, number) in vtables.iter().zip(0..) {
            functions.entry(vtable.poll).or_default().push(number);
            // Its whole work may be another function's.
            if let Some(other) = jumps_to(target, vtable.poll) {
                functions.entry(other).or_default().push(number);
            }
        }
        Polls {
            code,
            bare: BareCode::of(target),
            keepers: Keepers::new(target),
            functions,
            starts: FxHashMap::default(),
            frames: Vec::new(),
        }
    }

    /// The target has other code now.
    pub(super) fn renew(&mut self, target: &dyn Target) {
        if self.code.renew(target).is_ok() {
            self.bare = BareCode::of(target);
            self.keepers.renew();
            self.starts.clear();
        }
    }

    /// The vtables of tasks that a function polls.
    pub(super) fn vtables(&self, function: u64) -> &[u32] {
        self.functions.get(&function).map(Vec::as_slice).unwrap_or_default()
    }

    /// What the stack of a thread shows whose innermost frame is this one.
    pub(super) fn find(&mut self, innermost: NativeFrame, stack: StackBytes<'_>) -> Shown {
        self.frames.clear();
        let mut frame = innermost;
        loop {
            if self.frames.len() >= MAX_FRAMES {
                return Shown::Unknown;
            }
            self.frames.push(frame);
            if let Some(function) =
                self.start(frame.lookup()).filter(|start| self.functions.contains_key(start))
            {
                let header = self.keepers.header(&self.frames, stack, &mut self.code);
                return Shown::Poll(Poll { function, frames: self.frames.len(), header });
            }
            frame = match self.bare.step(&mut self.code, &frame, stack) {
                Ok(caller) => caller,
                Err(NoCaller::Outermost) => return Shown::Nothing,
                Err(NoCaller::Cut | NoCaller::Unknown) => return Shown::Unknown,
            };
        }
    }

    /// Where the function at an address begins.
    fn start(&mut self, address: u64) -> Option<u64> {
        if let Some(&known) = self.starts.get(&address) {
            return known;
        }
        if self.starts.len() >= MAX_REMEMBERED {
            self.starts.clear();
        }
        let start = self.code.extent(address).map(|(start, _)| start);
        self.starts.insert(address, start);
        start
    }
}

/// Where a function leads to that does nothing but jump: `jmp rel32`, behind a mark of branch targets (`endbr64`).
fn jumps_to(target: &dyn Target, function: u64) -> Option<u64> {
    const MARK: [u8; 4] = [0xf3, 0x0f, 0x1e, 0xfa];
    const JUMP: u8 = 0xe9;
    let code = target.read_vec(function, 9).ok()?;
    let mark = if code.starts_with(&MARK) { MARK.len() } else { 0 };
    (*code.get(mark)? == JUMP).then_some(())?;
    let distance = i64::from(u32_at(&code, mark + 1)?.cast_signed());
    function.checked_add(mark as u64 + 5)?.checked_add_signed(distance)
}
