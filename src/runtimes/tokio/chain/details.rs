//! What a leaf waits for in detail: the object, its state, the time.

use super::layout::Layouts;
use super::leaves::{LeafKind, Words};
use super::window::Window;
use super::{Leaf, Wanted};
use crate::snapshot::{Channel, ObjectKind, WaitClass};
use crate::symbols::types::{Type, TypeId, TypeKind};

/// How deep a member is looked for inside of members.
const MAX_DEPTH: usize = 16;
/// Members that are examined for one name.
const MAX_EXAMINED: usize = 512;
/// Pointers to pointers that are followed.
const MAX_POINTERS: usize = 4;
const NANOS: u64 = 1_000_000_000;

pub(super) struct Details<'a, 'b> {
    pub(super) layouts: &'a mut Layouts,
    pub(super) window: &'a mut Window<'b>,
    /// The states of the library's functions around it, innermost first: their types and addresses.
    pub(super) around: Vec<(TypeId, u64)>,
}

/// A value of a known type.
#[derive(Debug, Clone, Copy)]
struct Value {
    of: TypeId,
    at: u64,
}

impl Details<'_, '_> {
    /// The leaf of this kind, of a type, at an address.
    pub(super) fn leaf(&mut self, kind: LeafKind, words: Words, of: TypeId, at: u64) -> Leaf {
        let mut leaf = Leaf { class: words.class, reason: words.reason.to_owned(), objects: Vec::new() };
        let mut own = Value { of, at };
        match kind {
            LeafKind::Tick => own = self.of_tick(own).unwrap_or(own),
            LeafKind::Read | LeafKind::Write if self.is_network(own) => leaf.class = WaitClass::Network,
            _ => {}
        }
        let is_timer = matches!(kind, LeafKind::Sleep | LeafKind::Tick);
        let deadline_ns = if is_timer { self.deadline(own) } else { None };
        let Some((op, object)) = words.wait else { return leaf };
        let Some((address, channel)) = self.object(kind, object, own) else { return leaf };
        leaf.objects.push(Wanted { op, kind: object, address, channel, deadline_ns });
        leaf
    }

    /// The address of what it waits for (for a descriptor its number), and its state if it is a channel.
    fn object(&mut self, kind: LeafKind, object: ObjectKind, own: Value) -> Option<(u64, Option<Channel>)> {
        match kind {
            LeafKind::Sleep | LeafKind::Tick => Some((own.at, None)),
            LeafKind::Oneshot => {
                let inner = self.member(own, "inner")?;
                Some((self.window.pointer(inner.at)?, None))
            }
            LeafKind::Acquire => {
                let semaphore = self.member(own, "semaphore")?;
                let address = self.window.pointer(semaphore.at)?;
                let channel = if object == ObjectKind::Channel { self.sent_on(address) } else { None };
                Some((address, channel))
            }
            LeafKind::Notified => {
                let notify = self.member(own, "notify")?;
                Some((self.window.pointer(notify.at)?, None))
            }
            LeafKind::Broadcast => {
                let receiver = self.member(own, "receiver")?;
                let receiver = self.behind(receiver).unwrap_or(receiver);
                let shared = self.member(receiver, "shared")?;
                Some((self.window.pointer(shared.at)?, None))
            }
            LeafKind::Mpsc => {
                let receiver = self.captured(own)?;
                self.channel_of(receiver)
            }
            LeafKind::Readiness | LeafKind::Read | LeafKind::Write => Some((self.descriptor(own)?, None)),
            _ => None,
        }
    }

    /// What a closure that a library polls works on: the method's own object, or a part of it.
    fn captured(&mut self, own: Value) -> Option<Value> {
        let closure = self.member(own, "f")?;
        let found = self.layouts.types.get(closure.of)?;
        let captured = found.members.iter().find(|member| member.name.contains("self"))?;
        Some(self.all_behind(Value { of: captured.of, at: closure.at.checked_add(captured.offset)? }))
    }

    /// The `Sleep` of an interval.
    fn of_tick(&mut self, own: Value) -> Option<Value> {
        let interval = self.captured(own)?;
        let delay = self.member(interval, "delay")?;
        let pointer = self.member(delay, "pointer").or_else(|| self.member(delay, "__pointer"))?;
        self.behind(pointer)
    }

    /// The channel of one of its ends: the address of its semaphore, which both ends wait for, and its state.
    fn channel_of(&mut self, end: Value) -> Option<(u64, Option<Channel>)> {
        let channel = self.member(end, "inner")?;
        let pointer = self.member(channel, "pointer")?;
        let inner = self.behind(pointer)?;
        let data = self.member(inner, "data")?;
        let semaphore = self.member(data, "semaphore")?;
        let own = self.member(semaphore, "semaphore").unwrap_or(semaphore);
        Some((own.at, self.channel(semaphore)))
    }

    /// The state of the channel that the functions around send on, if it is the one with this semaphore.
    fn sent_on(&mut self, address: u64) -> Option<Channel> {
        for nth in 0..self.around.len() {
            let Some(sender) = self.own_object(nth) else { continue };
            if let Some((other, channel)) = self.channel_of(sender)
                && other == address
            {
                return channel;
            }
        }
        None
    }

    /// The object that the method at a place of the chain belongs to.
    fn own_object(&mut self, nth: usize) -> Option<Value> {
        let (of, at) = *self.around.get(nth)?;
        let state = self.layouts.types.get(of)?;
        let own = state.members.iter().find(|member| member.name == "self")?;
        let own = Value { of: own.of, at: at.checked_add(own.offset)? };
        Some(self.all_behind(own))
    }

    /// The state of a channel: bounded ones have a semaphore with a permit for each free place.
    fn channel(&mut self, semaphore: Value) -> Option<Channel> {
        let found = self.layouts.types.get(semaphore.of)?;
        // The model has no word for a channel without a limit: its state is unknown.
        if !found.members.iter().any(|member| member.name == "bound") {
            return None;
        }
        let bound = self.member(semaphore, "bound")?;
        let permits = self.member(semaphore, "permits")?;
        let permits = self.window.number(permits.at, 8)?;
        let cap = self.window.number(bound.at, 8)?;
        let len = cap.saturating_sub(permits >> 1);
        // Threads, and the future of `block_on`, may wait, too: they are no tasks.
        Some(Channel { len, cap, closed: permits & 1 == 1, more: true, ..Channel::default() })
    }

    /// The descriptor that it reads or writes.
    fn descriptor(&mut self, own: Value) -> Option<u64> {
        let direct = ["reader", "writer", "inner", "a"].iter().find_map(|name| self.member(own, name));
        let mut from: Vec<Value> = direct.into_iter().map(|end| self.all_behind(end)).collect();
        from.extend((0..self.around.len()).filter_map(|nth| self.own_object(nth)));
        // The objects of one chain are the same connection at different depths: the innermost with a number counts.
        let number = from.into_iter().find_map(|end| self.only_member(end, "fd"))?;
        self.window.number(number.at, 4).filter(|number| i32::try_from(*number).is_ok())
    }

    /// Whether the other end of what it reads or writes is a connection, by its type.
    fn is_network(&mut self, own: Value) -> bool {
        let end = ["reader", "writer"].iter().find_map(|name| self.member(own, name));
        let end = end.map(|end| self.all_behind(end));
        end.and_then(|end| self.layouts.types.get(end.of))
            .is_some_and(|found| found.name.contains("tokio::net::"))
    }

    /// When a timer fires, nanoseconds of CLOCK_MONOTONIC.
    fn deadline(&mut self, own: Value) -> Option<u64> {
        let deadline = self.member(own, "deadline")?;
        let seconds = self.member(deadline, "tv_sec")?;
        let nanos = self.member(deadline, "tv_nsec")?;
        let seconds = self.window.number(seconds.at, 8)?;
        let nanos = self.window.number(nanos.at, 4)?;
        seconds.checked_mul(NANOS)?.checked_add(nanos)
    }

    /// What a pointer points to.
    fn behind(&mut self, pointer: Value) -> Option<Value> {
        let TypeKind::Pointer(Some(of)) = self.layouts.types.get(pointer.of)?.kind else { return None };
        Some(Value { of, at: self.window.pointer(pointer.at)? })
    }

    /// What a pointer to a pointer ends at; the value itself if it is no pointer.
    fn all_behind(&mut self, value: Value) -> Value {
        let mut inner = value;
        for _ in 0..MAX_POINTERS {
            let Some(next) = self.behind(inner) else { break };
            inner = next;
        }
        inner
    }

    /// The present variant of an enum.
    fn variant(&mut self, found: &Type, at: u64) -> Option<Value> {
        let variants = found.variants.as_ref()?;
        let value = match variants.discriminant {
            Some((offset, size)) => self.window.number(at.checked_add(offset)?, size)?,
            None => 0,
        };
        let variant = variants.of(value)?;
        Some(Value { of: variant.member.of, at: at.checked_add(variant.member.offset)? })
    }

    /// The only member with a name, in the value itself or in its members. None if there are several.
    fn only_member(&mut self, own: Value, name: &str) -> Option<Value> {
        let mut found = self.members(own, name, 2);
        found.pop().filter(|_| found.is_empty())
    }

    /// The member with a name, in the value itself or in its members; the outermost if there are several.
    fn member(&mut self, own: Value, name: &str) -> Option<Value> {
        self.members(own, name, 1).pop()
    }

    /// The first members with a name, the outermost first. None if there is too much to examine.
    fn members(&mut self, own: Value, name: &str, most: usize) -> Vec<Value> {
        let mut all = Vec::new();
        let mut level = vec![own];
        let mut examined = 0;
        for _ in 0..MAX_DEPTH {
            let mut next = Vec::new();
            for value in level {
                let Some(found) = self.layouts.types.get(value.of) else { continue };
                next.extend(self.variant(&found, value.at));
                for member in &found.members {
                    examined += 1;
                    if examined > MAX_EXAMINED {
                        return Vec::new();
                    }
                    let inner = Value { of: member.of, at: value.at.wrapping_add(member.offset) };
                    if member.name != name {
                        next.push(inner);
                        continue;
                    }
                    all.push(inner);
                    if all.len() >= most {
                        return all;
                    }
                }
            }
            level = next;
        }
        all
    }
}
