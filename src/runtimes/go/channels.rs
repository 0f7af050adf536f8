//! The channels that goroutines wait for, as objects of the snapshot.

use rustc_hash::FxHashMap;

use super::types::TypeImage;
use super::waits::{RawChannel, RawWait};
use crate::snapshot::{Channel, ObjectKind, SnapshotBuilder, Span, StrId, Wait};

/// Turns channels into objects; remembers the names of their elements' types.
pub(super) struct Channels<'a> {
    types: &'a TypeImage,
    elements: FxHashMap<u64, Option<StrId>>,
    /// Of one goroutine; empty in between.
    found: Vec<Wait>,
}

impl<'a> Channels<'a> {
    pub(super) fn new(types: &'a TypeImage) -> Self {
        Channels { types, elements: FxHashMap::default(), found: Vec::new() }
    }

    /// Adds the channels that a goroutine waits for; the result goes into [`crate::snapshot::Task::waits`].
    pub(super) fn waits(&mut self, waits: &[RawWait], into: &mut SnapshotBuilder) -> Span {
        if waits.is_empty() || !into.room_for_waits(waits.len()) {
            return Span::default();
        }
        for wait in waits {
            let RawWait::Channel { op, address, detail } = *wait else { continue };
            let channel = detail.map(|channel| self.channel(channel, into));
            let object = into.object(ObjectKind::Channel, address, |_| channel);
            into.count_waiter(object, op);
            self.found.push(Wait { op, object });
        }
        let waits = into.waits(self.found.iter().copied());
        self.found.clear();
        waits
    }

    fn channel(&mut self, raw: RawChannel, into: &mut SnapshotBuilder) -> Channel {
        let types = self.types;
        let name = || types.type_name(raw.element_type).map(|name| into.code.string(&name));
        Channel {
            len: raw.len,
            cap: raw.cap,
            closed: raw.closed,
            senders: 0,
            receivers: 0,
            more: false,
            element: *self.elements.entry(raw.element_type).or_insert_with(name),
        }
    }
}
