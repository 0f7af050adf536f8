//! Searches a process's mappings, at a cost that does not depend on how much it claims to have.
//!
//! Only what an image's headers name is searched, never all of its file's mappings. Bytes that cannot differ
//! are read from the file; of memory, only pages that the program has used. All searches in one process share
//! a budget.

use super::span::Span;
use crate::process::{Image, Mapping, Segment, Target};

/// Maximum bytes searched in one process.
const MAX_BYTES: u64 = 2 << 30;
/// Maximum address space in one process that is checked for pages in use.
const MAX_SPAN: u64 = 16 << 30;
/// Minimum cost of one read, bytes.
const LEAST_COST: u64 = 16 << 10;
/// Failed reads after which the search ends.
const MAX_FAILURES: u32 = 64;
/// Bytes read at a time.
const BLOCK: u64 = 4 << 20;
/// Neighbouring blocks overlap by this many bytes, so that no word is cut.
const OVERLAP: u64 = 8;
/// `PT_LOAD`.
const PT_LOAD: u32 = 1;

/// What may still be searched in a process.
pub(super) struct Search<'a> {
    pub(super) target: &'a dyn Target,
    left: u64,
    span_left: u64,
    /// Some address space was not even checked.
    cut: bool,
    failures: u32,
    buffer: Vec<u8>,
}

/// What to do with a block.
type Look<'a> = dyn FnMut(u64, &[u8]) -> bool + 'a;

impl<'a> Search<'a> {
    pub(super) fn new(target: &'a dyn Target) -> Self {
        let (left, span_left) = (MAX_BYTES, MAX_SPAN);
        Search { target, left, span_left, cut: false, failures: 0, buffer: Vec::new() }
    }

    /// The budget is used up: what was not found may still exist.
    pub(super) fn gave_up(&self) -> bool {
        self.cut || self.is_over()
    }

    fn is_over(&self) -> bool {
        self.left == 0 || self.failures >= MAX_FAILURES
    }

    /// Takes bytes from the budget; returns how many may be read.
    fn take(&mut self, wanted: u64) -> u64 {
        if self.is_over() {
            return 0;
        }
        let len = wanted.min(BLOCK).min(self.left);
        self.left = self.left.saturating_sub(len.max(LEAST_COST));
        len
    }

    /// Calls `look` with the address and the bytes of each block of the parts of an image that are in its
    /// file, until it returns true.
    pub(super) fn file(&mut self, image: &Image, segments: &[Segment], look: &mut Look<'_>) {
        for segment in segments.iter().filter(|segment| segment.kind == PT_LOAD) {
            let end = segment.offset.saturating_add(segment.file_size).min(image.file.len());
            let mut at = segment.offset;
            while at < end {
                let Some((start, data_end)) = image.file.next_data(at).filter(|(start, _)| *start < end)
                else {
                    break;
                };
                at = start.max(at);
                let data_end = data_end.min(end);
                while at < data_end {
                    let len = self.take(data_end - at);
                    if len == 0 {
                        return;
                    }
                    let address = segment.address.wrapping_add(at - segment.offset);
                    match image.file.read_at(at, len as usize) {
                        Ok(bytes) if look(address, &bytes) => return,
                        Ok(_) => {}
                        Err(_) => self.failures += 1,
                    }
                    at = next(at, len, data_end);
                }
            }
        }
    }

    /// The same for memory: the pages of `spans` that are in use.
    pub(super) fn memory(&mut self, spans: &[Span], look: &mut Look<'_>) {
        for span in spans {
            let len = span.len().min(self.span_left);
            self.span_left -= len;
            self.cut |= len < span.len();
            for (start, end) in self.target.present(span.start, span.start.saturating_add(len)) {
                let mut at = start;
                while at < end {
                    let len = self.take(end - at);
                    if len == 0 {
                        return;
                    }
                    self.buffer.resize(BLOCK as usize, 0);
                    let Some(block) = self.buffer.get_mut(..len as usize) else { return };
                    match self.target.read(at, block) {
                        Ok(()) if look(at, block) => return,
                        Ok(()) => {}
                        Err(_) => self.failures += 1,
                    }
                    at = next(at, len, end);
                }
            }
        }
    }
}

/// Where the next block begins.
fn next(at: u64, len: u64, end: u64) -> u64 {
    let behind = at.saturating_add(len);
    if behind < end && len > OVERLAP { behind - OVERLAP } else { behind }
}

/// Parts of an image as its headers name them, as far as they are mapped and readable.
#[derive(Debug, Default)]
pub(super) struct Parts {
    /// Writable, with bytes in the file.
    pub(super) data: Vec<Span>,
    /// Neither writable nor code.
    pub(super) constants: Vec<Span>,
    /// Writable, not in the file (`.bss`).
    pub(super) bss: Vec<Span>,
}

impl Parts {
    /// `own` are the mappings of the image, in order.
    pub(super) fn of(segments: &[Segment], own: &[Mapping]) -> Parts {
        const EXECUTE: u32 = 1;
        const WRITE: u32 = 2;
        let mut parts = Parts::default();
        for segment in segments.iter().filter(|segment| segment.kind == PT_LOAD) {
            let behind = |size| segment.address.saturating_add(size);
            let in_file = Span { start: segment.address, end: behind(segment.file_size) };
            let into = match segment.flags {
                flags if flags & WRITE != 0 => &mut parts.data,
                flags if flags & EXECUTE == 0 => &mut parts.constants,
                _ => continue,
            };
            mapped(in_file, own, into);
            if segment.flags & WRITE != 0 && segment.memory_size > segment.file_size {
                mapped(Span { start: in_file.end, end: behind(segment.memory_size) }, own, &mut parts.bss);
            }
        }
        parts
    }
}

/// Adds the parts of a span that are mapped.
fn mapped(span: Span, own: &[Mapping], into: &mut Vec<Span>) {
    let first = own.partition_point(|mapping| mapping.end <= span.start);
    let own = own.iter().skip(first).take_while(|mapping| mapping.start < span.end);
    for mapping in own.filter(|mapping| mapping.read) {
        let (start, end) = (span.start.max(mapping.start), span.end.min(mapping.end));
        match into.last_mut() {
            Some(last) if last.end == start => last.end = end,
            _ => into.push(Span { start, end }),
        }
    }
}
