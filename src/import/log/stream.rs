//! One writer of a log: the reader of its lines, and the dumps that it has written so far.

use std::rc::Rc;

use super::super::go_call::Place;
use super::super::go_dump::Cut;
use super::super::go_lines::{DumpReader, Line};
use super::collect::{Collector, Dumps};
use super::prefix::{Prefix, Suffix};
use super::wrap::is_stack_line;

/// Votes on whether the lines are in the order in which they were written, one vote per header.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Order {
    pub(super) forward: u64,
    pub(super) backward: u64,
}

/// A writer.
pub(super) struct Stream {
    pub(super) writer: Rc<str>,
    pub(super) prefix: Prefix,
    pub(super) suffix: Suffix,
    pub(super) reader: DumpReader,
    pub(super) dumps: Collector,
    /// Something else was written since the last goroutine ended.
    pub(super) junk: bool,
    /// With GOTRACEBACK=crash one thread after the other adds to the dump; this line separates them.
    pub(super) another_thread: bool,
    /// The last line was a header.
    pub(super) at_header: bool,
    /// The message that the last header came from.
    pub(super) message: u64,
    pub(super) name: String,
}

impl Stream {
    pub(super) fn new(writer: Rc<str>, prefix: Prefix, suffix: Suffix, name: String) -> Self {
        Stream {
            writer,
            prefix,
            suffix,
            reader: DumpReader::default(),
            dumps: Collector::default(),
            junk: false,
            another_thread: false,
            at_header: false,
            message: 0,
            name,
        }
    }

    pub(super) fn keep_finished(&mut self, cut: Option<Cut>, into: &mut Dumps) {
        for goroutine in self.reader.take_finished() {
            self.dumps.add(goroutine, cut, &self.name, into);
        }
    }

    /// A part of a goroutine was read: the first line below a header shows the order of the lines.
    pub(super) fn after_part(&mut self, text: &str, order: &mut Order) {
        if self.at_header && is_stack_line(text) {
            self.at_header = false;
            let place = Place::parse(text.trim()).is_some_and(|place| place.is_sure());
            if place { order.backward += 1 } else { order.forward += 1 }
        }
    }

    /// A line outside of any goroutine.
    pub(super) fn between(&mut self, text: &str) -> Line {
        let kind = self.reader.line(text);
        let text = text.trim();
        self.junk |= !text.is_empty() && kind != Line::Header;
        self.another_thread |= text == "-----";
        kind
    }
}
