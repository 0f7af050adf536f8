//! Strings of the target, wait reasons included.

use crate::process::Memory;
use crate::process::bytes::word;
use crate::snapshot::{SnapshotBuilder, StrId, WaitClass};
use crate::words::go as words;

/// Reads the Go string (pointer, length) at `address`, if it is at most `max` bytes of UTF-8.
pub(super) fn string(memory: &dyn Memory, address: u64, max: u64) -> Option<String> {
    let mut header = [0; 16];
    memory.read(address, &mut header).ok()?;
    text(memory, word(&header, 0), word(&header, 8), max)
}

/// Reads `len` bytes of text at `data`, if they are at most `max` bytes of UTF-8.
pub(super) fn text(memory: &dyn Memory, data: u64, len: u64, max: u64) -> Option<String> {
    match len {
        0 => Some(String::new()),
        len if len > max => None,
        len => String::from_utf8(memory.read_vec(data, len as usize).ok()?).ok(),
    }
}

/// Reads the table of wait reasons: an array of strings that ends where the next string makes no sense.
pub(super) fn wait_reasons(memory: &dyn Memory, table: u64) -> Vec<String> {
    /// Wait reasons are numbered by a byte.
    const MAX: u64 = 256;
    let readable = |text: &String| text.bytes().all(|b| (b' '..0x7f).contains(&b));
    // The first is the empty string, for "no reason"; no other is empty.
    (0..MAX)
        .map_while(|i| {
            string(memory, table.wrapping_add(16 * i), 64)
                .filter(readable)
                .filter(|text| i == 0 || !text.is_empty())
        })
        .collect()
}

/// A wait reason, and what it means.
#[derive(Debug, Clone, Copy)]
pub(super) struct WaitReason {
    /// Its text in the snapshot.
    pub(super) text: StrId,
    pub(super) class: Option<WaitClass>,
    /// It is, or can be, the one of a lock.
    pub(super) is_of_lock: bool,
    /// It is the one of a goroutine that is blocked on a coroutine.
    pub(super) is_of_coroutine: bool,
}

/// The wait reasons by number.
pub(super) struct WaitReasons<'a> {
    texts: &'a [String],
    known: Vec<Option<WaitReason>>,
}

impl<'a> WaitReasons<'a> {
    /// `texts` is what [`wait_reasons`] found.
    pub(super) fn new(texts: &'a [String]) -> Self {
        WaitReasons { texts, known: vec![None; 256] }
    }

    /// The reason with this number; 0 is none.
    pub(super) fn of(&mut self, number: u8, into: &mut SnapshotBuilder) -> Option<WaitReason> {
        if number == 0 {
            return None;
        }
        let number = usize::from(number);
        let reason = self.known.get_mut(number)?.get_or_insert_with(|| {
            let unknown = || format!("wait reason {number}, name unknown");
            let text = self.texts.get(number).cloned().unwrap_or_else(unknown);
            WaitReason {
                text: into.code.string(&text),
                class: words::reason(&text),
                is_of_lock: words::is_of_lock(&text),
                is_of_coroutine: text == words::COROUTINE,
            }
        });
        Some(*reason)
    }
}
