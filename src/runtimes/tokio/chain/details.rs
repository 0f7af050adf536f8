//! What a leaf waits for in detail: the object, its state, the time.

use super::leaves::{LeafKind, Words};
use super::values::{self, Value, Values};
use super::word::Word;
use super::{ChannelWords, HandleWords, Leaf, Wanted};
use crate::snapshot::{ObjectKind, WaitClass};
use crate::symbols::types::TypeId;

/// Tasks of a set that are listed.
const MAX_TASKS: usize = 1 << 10;

/// An object that is waited for.
struct Thing {
    /// Its address; for a descriptor its number.
    address: Word,
    channel: Option<ChannelWords>,
    handles: Option<HandleWords>,
}

impl From<Word> for Thing {
    fn from(address: Word) -> Thing {
        Thing { address, channel: None, handles: None }
    }
}

pub(super) struct Details<'a, 'b> {
    pub(super) values: Values<'a, 'b>,
    /// The states of the library's functions around it, innermost first: their types and addresses.
    pub(super) around: Vec<(TypeId, Word)>,
}

impl Details<'_, '_> {
    /// The leaf of this kind, of a type, at an address.
    pub(super) fn leaf(&mut self, kind: LeafKind, words: Words, of: TypeId, at: Word) -> Leaf {
        let mut leaf = Leaf { class: words.class, reason: words.reason.to_owned(), ..Leaf::default() };
        let mut own = Value { of, at };
        match kind {
            LeafKind::Tick => own = self.of_tick(own).unwrap_or(own),
            LeafKind::Read | LeafKind::Write if self.is_network(own) => leaf.class = WaitClass::Network,
            _ => {}
        }
        let is_timer = matches!(kind, LeafKind::Sleep | LeafKind::Tick);
        let deadline = if is_timer { self.deadline(own) } else { None };
        let Some((op, object)) = words.wait else { return leaf };
        if kind == LeafKind::JoinSet {
            let set = self.captured(own).unwrap_or(own);
            let (tasks, is_whole) = self.tasks_of(set);
            let wanted =
                |address| Wanted { op, kind: object, address, channel: None, handles: None, deadline: None };
            leaf.objects.extend(tasks.into_iter().map(wanted));
            leaf.is_partial = !is_whole;
            return leaf;
        }
        let Some(thing) = self.object(kind, object, own) else { return leaf };
        let Thing { address, channel, handles } = thing;
        leaf.objects.push(Wanted { op, kind: object, address, channel, handles, deadline });
        leaf
    }

    /// The tasks of a `JoinSet` that were not joined yet, by their headers, and whether these are all.
    fn tasks_of(&mut self, set: Value) -> (Vec<Word>, bool) {
        let mut tasks = Vec::new();
        let counted = self.values.member(set, "length");
        let counted = counted.and_then(|length| self.values.window.number(length.at, 8));
        let lists = self.values.member(set, "lists").and_then(|lists| self.values.shared(lists));
        for name in ["idle", "notified"] {
            let list = lists.and_then(|lists| self.values.member(lists, name));
            let mut link = list.and_then(|list| self.values.member(list, "head"));
            while let Some(entry) = link.and_then(|link| self.values.member(link, "pointer"))
                && tasks.len() < MAX_TASKS
            {
                let Some(entry) = self.values.behind(entry) else { break };
                tasks.extend(self.joined_by(entry));
                link = self.values.member(entry, "next");
            }
        }
        let is_whole = counted == Some(tasks.len() as u64);
        (tasks, is_whole)
    }

    /// The header of the task that a `JoinHandle`, itself or in something, is for.
    fn joined_by(&mut self, own: Value) -> Option<Word> {
        let raw = self.values.member(own, "raw")?;
        let pointer = self.values.member(raw, "pointer")?;
        self.values.window.pointer(pointer.at)
    }

    /// What it waits for.
    fn object(&mut self, kind: LeafKind, object: ObjectKind, own: Value) -> Option<Thing> {
        match kind {
            LeafKind::Sleep | LeafKind::Tick => Some(own.at.into()),
            LeafKind::Oneshot => {
                let inner = self.values.member(own, "inner")?;
                Some(self.values.window.pointer(inner.at)?.into())
            }
            LeafKind::Acquire => {
                let semaphore = self.values.member(own, "semaphore")?;
                let address = self.values.window.pointer(semaphore.at)?;
                let channel = if object == ObjectKind::Channel { self.sent_on(address) } else { None };
                Some(channel.unwrap_or_else(|| address.into()))
            }
            LeafKind::Notified | LeafKind::Cancelled | LeafKind::Tracker => {
                let notify = self.values.member(own, "notify")?;
                Some(self.values.window.pointer(notify.at)?.into())
            }
            LeafKind::Broadcast => {
                let receiver = self.values.member(own, "receiver")?;
                let receiver = self.values.behind(receiver).unwrap_or(receiver);
                let shared = self.values.member(receiver, "shared")?;
                let address = self.values.window.pointer(shared.at)?;
                let handles = self.values.shared(shared).and_then(|data| self.senders(data, "num_tx"));
                Some(Thing { handles, ..address.into() })
            }
            LeafKind::Join => Some(self.joined_by(own)?.into()),
            LeafKind::Mpsc => {
                let receiver = self.captured(own).unwrap_or(own);
                self.channel_of(receiver)
            }
            LeafKind::Receiver => self.channel_of(own),
            LeafKind::Connection => {
                let io = self.values.member(own, "io")?;
                let number = self.values.only_member(io, "fd")?;
                Some(self.open(number)?.into())
            }
            LeafKind::Readiness | LeafKind::Read | LeafKind::Write => Some(self.descriptor(own)?.into()),
            _ => None,
        }
    }

    /// Whether a timer is not set: it was never polled, and wakes nobody. Source: `src/time/sleep.rs` of tokio 1.54 (`timer`),
    /// `src/runtime/time/entry.rs` of 1.28 to 1.47 (`registered`).
    pub(super) fn is_not_set(&mut self, timer: Value) -> bool {
        if let Some(inner) = values::direct(&mut self.values, timer, "timer") {
            return matches!(values::optional(&mut self.values, inner), Some(None));
        }
        let registered = self.values.only_member(timer, "registered");
        registered.is_some_and(|registered| self.values.window.number(registered.at, 1) == Some(0))
    }

    /// Whether a channel has a waker for its receiver: it was polled, and nothing came since.
    pub(super) fn is_awaited(&mut self, receiver: Value) -> bool {
        let channel = self.values.member(receiver, "inner").and_then(|inner| self.values.shared(inner));
        let waker = channel.and_then(|channel| self.values.member(channel, "rx_waker"));
        waker.is_some_and(|waker| self.values.member(waker, "vtable").is_some())
    }

    /// What a closure that a library polls works on: the method's own object, or a part of it.
    fn captured(&mut self, own: Value) -> Option<Value> {
        let closure = self.values.member(own, "f")?;
        let found = self.values.layouts.types.get(closure.of)?;
        let captured = found.members.iter().find(|member| member.name.contains("self"))?;
        Some(self.values.all_behind(Value { of: captured.of, at: closure.at.wrapping_add(captured.offset) }))
    }

    /// The `Sleep` of an interval.
    fn of_tick(&mut self, own: Value) -> Option<Value> {
        let interval = self.captured(own).unwrap_or(own);
        let delay = self.values.member(interval, "delay")?;
        let pointer =
            self.values.member(delay, "pointer").or_else(|| self.values.member(delay, "__pointer"))?;
        self.values.behind(pointer)
    }

    /// The channel of one of its ends: the address of its semaphore, which both ends wait for, and its state. One of
    /// futures-channel has no semaphore.
    fn channel_of(&mut self, end: Value) -> Option<Thing> {
        let channel = self.values.member(end, "inner")?;
        let data = self.values.shared(channel)?;
        let Some(semaphore) = self.values.member(data, "semaphore") else {
            let handles = self.senders(data, "num_senders")?;
            return Some(Thing { handles: Some(handles), ..data.at.into() });
        };
        let own = self.values.member(semaphore, "semaphore").unwrap_or(semaphore);
        let mut handles = self.senders(data, "tx_count");
        if let Some(handles) = handles.as_mut().filter(|_| self.is_without_limit(semaphore)) {
            handles.queued = self.values.window.count(own.at, 8);
        }
        Some(Thing { address: own.at, channel: self.channel(semaphore), handles })
    }

    /// Whether a channel has no limit, by the type of its semaphore.
    fn is_without_limit(&mut self, semaphore: Value) -> bool {
        let found = self.values.layouts.types.get(semaphore.of);
        found.is_some_and(|found| found.name.starts_with("tokio::sync::mpsc::unbounded::") && found.size == 8)
    }

    /// How many handles can send on a channel, by the member that counts them.
    fn senders(&mut self, channel: Value, name: &str) -> Option<HandleWords> {
        let count = self.values.member(channel, name)?;
        self.values.layouts.types.get(count.of).filter(|found| found.size == 8)?;
        Some(HandleWords { senders: self.values.window.count(count.at, 8)?, queued: None })
    }

    /// The state of the channel that the functions around send on, if it is the one with this semaphore.
    fn sent_on(&mut self, address: Word) -> Option<Thing> {
        for nth in 0..self.around.len() {
            let Some(sender) = self.own_object(nth) else { continue };
            if let Some(thing) = self.channel_of(sender)
                && self.values.window.same(thing.address, address)
            {
                return Some(thing);
            }
        }
        None
    }

    /// The object that the method at a place of the chain belongs to.
    fn own_object(&mut self, nth: usize) -> Option<Value> {
        let (of, at) = *self.around.get(nth)?;
        let state = self.values.layouts.types.get(of)?;
        let own = state.members.iter().find(|member| member.name == "self")?;
        let own = Value { of: own.of, at: at.wrapping_add(own.offset) };
        Some(self.values.all_behind(own))
    }

    /// The state of a channel: bounded ones have a semaphore with a permit for each free place.
    fn channel(&mut self, semaphore: Value) -> Option<ChannelWords> {
        let found = self.values.layouts.types.get(semaphore.of)?;
        // The model has no word for a channel without a limit: its state is unknown.
        if !found.members.iter().any(|member| member.name == "bound") {
            return None;
        }
        let bound = self.values.member(semaphore, "bound")?;
        let permits = self.values.member(semaphore, "permits")?;
        let permits = self.values.window.keep(permits.at, 8)?;
        let cap = self.values.window.keep(bound.at, 8)?;
        Some(ChannelWords { permits, cap })
    }

    /// The descriptor that it reads or writes.
    fn descriptor(&mut self, own: Value) -> Option<Word> {
        let direct = ["reader", "writer", "inner", "a"].iter().find_map(|name| self.values.member(own, name));
        let mut from: Vec<Value> = direct.into_iter().map(|end| self.values.all_behind(end)).collect();
        from.extend((0..self.around.len()).filter_map(|nth| self.own_object(nth)));
        // The objects of one chain are the same connection at different depths: the innermost with a number counts.
        let number = from.into_iter().find_map(|end| self.values.only_member(end, "fd"))?;
        self.open(number)
    }

    /// The descriptor with this number.
    fn open(&mut self, number: Value) -> Option<Word> {
        // A number below 0 is none.
        self.values.window.is_below(number.at, 4, 31).filter(|is_number| *is_number)?;
        self.values.window.keep(number.at, 4)
    }

    /// Whether the other end of what it reads or writes is a connection, by its type.
    fn is_network(&mut self, own: Value) -> bool {
        let end = ["reader", "writer"].iter().find_map(|name| self.values.member(own, name));
        let end = end.map(|end| self.values.all_behind(end));
        end.and_then(|end| self.values.layouts.types.get(end.of))
            .is_some_and(|found| found.name.contains("tokio::net::"))
    }

    /// When a timer fires, by CLOCK_MONOTONIC: seconds and nanoseconds.
    fn deadline(&mut self, own: Value) -> Option<(Word, Word)> {
        let deadline = self.values.member(own, "deadline")?;
        let seconds = self.values.member(deadline, "tv_sec")?;
        let nanos = self.values.member(deadline, "tv_nsec")?;
        Some((self.values.window.keep(seconds.at, 8)?, self.values.window.keep(nanos.at, 4)?))
    }
}
