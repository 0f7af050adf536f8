//! What a type is for an await chain: a state machine with its awaits, a way to another future, several futures at once,
//! or the end.

use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::guards::{self, Guard};
use super::kinds::{Lead, is_exclusive, is_state_machine, is_wide};
use super::leaves::{self, LeafKind, SetKind};
use super::stream_kinds::{self, StreamKind};
use super::{Place, names};
use crate::symbols::types::{Type, TypeId, TypeKind, Types, Variant};

/// Types whose shape is remembered.
const MAX_KNOWN: usize = 1 << 16;

/// Types that a receiver is looked for in, one in another, through pointers, too.
const MAX_WITHIN: usize = 8;

/// What a type is for an await chain.
#[derive(Debug, Clone)]
pub(super) enum Shape {
    /// An async function or block.
    Async(Arc<StateMachine>),
    /// A pointer to a future.
    Pointer(TypeId),
    /// A pointer to a future of a type that only memory names: the offsets of the pointer and of the vtable.
    Dyn { data: u64, vtable: u64 },
    /// A struct with one future. Whether it has nothing else that it could wait for.
    One { inside: Place, is_all: bool },
    /// An enum that holds a future in some of its variants.
    Enum(Arc<Choice>),
    /// Futures that are polled together.
    Several(Arc<Several>),
    /// A collection of futures that are polled together.
    Set(SetKind),
    /// A stream that polls another one, and futures.
    Stream(StreamKind),
    /// A connection of HTTP/1.
    Http,
    /// What it waits for is known by its type.
    Leaf(LeafKind),
    /// It is not known what is inside. Whether there may be futures inside.
    Unknown { has_futures: bool },
}

/// The states of an async function or block.
#[derive(Debug)]
pub(super) struct StateMachine {
    /// Its path as people read it.
    pub(super) name: String,
    /// The offset of its state and its size, bytes.
    pub(super) discriminant: (u64, u64),
    /// Its states.
    pub(super) states: Vec<(u64, State)>,
}

/// A state of an async function or block.
#[derive(Debug)]
pub(super) struct State {
    pub(super) kind: StateKind,
    pub(super) file: Arc<str>,
    pub(super) line: u32,
    /// Its data.
    pub(super) data: Place,
    /// What it awaits.
    pub(super) awaited: Option<Place>,
    /// Guards of locks in its variables.
    pub(super) guards: Vec<Guard>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StateKind {
    Unresumed,
    Returned,
    Panicked,
    Suspended,
}

/// The variants of an enum that holds futures.
#[derive(Debug)]
pub(super) struct Choice {
    /// The offset of the discriminant and its size, bytes.
    pub(super) discriminant: Option<(u64, u64)>,
    pub(super) variants: Vec<Alternative>,
}

/// A variant of an enum that holds futures.
#[derive(Debug)]
pub(super) struct Alternative {
    /// The value of the discriminant. None: all others.
    pub(super) value: Option<u64>,
    pub(super) name: String,
    /// Its future.
    pub(super) inside: Option<Place>,
    /// There may be futures in it that are not reached.
    pub(super) has_others: bool,
}

/// Futures that are polled together.
#[derive(Debug)]
pub(super) struct Several {
    /// The word for it: "select".
    pub(super) word: &'static str,
    /// The pointer to follow first, if there is one.
    pub(super) behind: Option<u64>,
    /// Where the bits are that say which are polled no more: the offset of a pointer to them, and their size, bytes.
    pub(super) disabled: Option<(u64, u64)>,
    pub(super) futures: Vec<Place>,
    /// All of them are polled, and nothing else. Code written by hand may do anything.
    pub(super) is_all: bool,
}

impl Several {
    /// Futures that are members of a type of which the code is known.
    pub(super) fn of(word: &'static str, futures: Vec<Place>) -> Several {
        Several { word, behind: None, disabled: None, futures, is_all: true }
    }

    /// Futures of code written by hand.
    pub(super) fn by_hand(futures: Vec<Place>) -> Several {
        Several { is_all: false, ..Several::of(leaves::BY_HAND, futures) }
    }
}

/// The shapes of the types of one image.
#[derive(Debug)]
pub(super) struct Layouts {
    pub(super) types: Types,
    shapes: FxHashMap<TypeId, Shape>,
    pub(super) leads: FxHashMap<TypeId, Lead>,
    /// How many types, one in another, a receiver is being looked for in.
    within: usize,
}

impl Layouts {
    pub(super) fn new(types: Types) -> Layouts {
        Layouts { types, shapes: FxHashMap::default(), leads: FxHashMap::default(), within: 0 }
    }

    /// What a type is for an await chain.
    pub(super) fn shape(&mut self, id: TypeId) -> Shape {
        if let Some(known) = self.shapes.get(&id) {
            return known.clone();
        }
        let found = self.find(id).unwrap_or(Shape::Unknown { has_futures: true });
        if self.shapes.len() < MAX_KNOWN {
            self.shapes.insert(id, found.clone());
        }
        found
    }

    fn find(&mut self, id: TypeId) -> Option<Shape> {
        let found = self.types.get(id)?;
        if is_state_machine(&found) {
            return self.state_machine(id, &found).map(|machine| Shape::Async(Arc::new(machine)));
        }
        let base = names::base(&found.name);
        if leaves::is_poll_fn(base) {
            return self.poll_fn(&found);
        }
        if let Some(set) = leaves::set_by_type(base) {
            return Some(Shape::Set(set));
        }
        if let Some(stream) = stream_kinds::by_type(base, &found.members) {
            return Some(Shape::Stream(stream));
        }
        if base == leaves::HTTP {
            return Some(Shape::Http);
        }
        if let Some(leaf) = leaves::by_type(base) {
            return Some(Shape::Leaf(leaf));
        }
        if leaves::is_receiver(base) {
            return Some(Shape::Leaf(LeafKind::Receiver));
        }
        if let Some(member) = leaves::wrapped(base) {
            let member = found.members.iter().find(|other| other.name == member)?;
            let inside = Place { offset: member.offset, of: member.of };
            return Some(Shape::One { inside, is_all: true });
        }
        if let Some(word) = leaves::together(base) {
            // What is polled of an unknown type counts, too.
            let members = found.members.iter();
            let futures = members.map(|member| Place { offset: member.offset, of: member.of }).collect();
            return Some(Shape::Several(Arc::new(Several::of(word, futures))));
        }
        if let Some((data, vtable)) = self.dyn_future(&found) {
            return Some(Shape::Dyn { data, vtable });
        }
        if is_wide(&found) {
            return Some(Shape::Unknown { has_futures: true });
        }
        match found.kind {
            TypeKind::Pointer(Some(to)) if is_exclusive(&found.name) => Some(Shape::Pointer(to)),
            TypeKind::Structure => self.structure(&found),
            _ => Some(Shape::Unknown { has_futures: self.lead(id, 0) > Lead::No }),
        }
    }

    fn structure(&mut self, found: &Type) -> Option<Shape> {
        if let Some(variants) = &found.variants {
            let base = names::base(&found.name);
            let is_maybe_done = leaves::is_maybe_done(base);
            let mut list = Vec::new();
            for variant in &variants.list {
                let inside = self.types.get(variant.member.of);
                let name = inside.as_deref().map_or("", |inside| names::last(&inside.name)).to_owned();
                let lead = self.lead(variant.member.of, 0);
                let place = Place { offset: variant.member.offset, of: variant.member.of };
                let future = match inside.as_deref().map_or(&[][..], |inside| &inside.members) {
                    // Its future counts, whatever type it has.
                    [future] if is_maybe_done && name == "Future" => Some(future),
                    parts => leaves::of_variant(base, &name)
                        .and_then(|wanted| parts.iter().find(|member| member.name == wanted)),
                };
                let inside = match future {
                    Some(future) => {
                        Some(Place { offset: place.offset.checked_add(future.offset)?, of: future.of })
                    }
                    None => Some(place).filter(|_| lead >= Lead::Leaf),
                };
                let has_others = lead > Lead::Remote || self.is_elsewhere(variant.member.of);
                list.push(Alternative { value: variant.value, name, inside, has_others });
            }
            if list.iter().all(|option| option.inside.is_none() && !option.has_others) {
                return Some(Shape::Unknown { has_futures: false });
            }
            let choice = Choice { discriminant: variants.discriminant, variants: list };
            return Some(Shape::Enum(Arc::new(choice)));
        }
        let (mut futures, mut resources) = (Vec::new(), Vec::new());
        let (mut has_others, mut is_all, mut elsewhere) = (false, true, false);
        for member in &found.members {
            match self.lead(member.of, 0) {
                Lead::No => {}
                Lead::Remote => {
                    is_all = false;
                    elsewhere |= self.is_elsewhere(member.of);
                }
                lead => {
                    let place = Place { offset: member.offset, of: member.of };
                    let of_lead = if lead >= Lead::Leaf { &mut futures } else { &mut resources };
                    of_lead.push(place);
                    has_others |= lead < Lead::Leaf;
                }
            }
        }
        // Never a guess among several: each is shown.
        match (futures.as_slice(), resources.as_slice()) {
            ([inside], []) => Some(Shape::One { inside: *inside, is_all }),
            ([], [only]) if self.receives(only.of) => {
                Some(Shape::Several(Arc::new(Several::by_hand(resources))))
            }
            ([], _) => Some(Shape::Unknown { has_futures: has_others || elsewhere }),
            _ => Some(Shape::Several(Arc::new(Several::by_hand(futures)))),
        }
    }

    /// Whether a type that has no future has the receiver of a channel, and nothing else that it could wait for.
    pub(super) fn receives(&mut self, of: TypeId) -> bool {
        if self.within >= MAX_WITHIN {
            return false;
        }
        self.within += 1;
        let found = match self.shape(of) {
            Shape::Leaf(LeafKind::Receiver) => true,
            Shape::Pointer(to) => self.receives(to),
            Shape::Several(several) => match several.futures.as_slice() {
                [only] => !several.is_all && self.receives(only.of),
                _ => false,
            },
            _ => false,
        };
        self.within -= 1;
        found
    }

    fn state_machine(&mut self, id: TypeId, found: &Type) -> Option<StateMachine> {
        let variants = found.variants.as_ref()?;
        let mut states = Vec::new();
        for variant in &variants.list {
            states.push((variant.value?, self.state(variant)?));
        }
        self.place_macros(id, &mut states);
        let own = self.own_type(found);
        let name = names::function(&found.name, own.as_deref());
        Some(StateMachine { name, discriminant: variants.discriminant?, states })
    }

    /// An await in another crate's macro (`select!`) has the line of the macro's definition: its call has to be found. It is
    /// unknown where the function awaits the same type at several lines.
    fn place_macros(&mut self, id: TypeId, states: &mut [(u64, State)]) {
        let Some(own) = states.first().map(|(_, state)| Arc::clone(&state.file)) else { return };
        let is_elsewhere = |state: &State| state.kind == StateKind::Suspended && state.file != own;
        if !states.iter().any(|(_, state)| is_elsewhere(state)) {
            return;
        }
        let mut places = Vec::new();
        for awaited in self.types.awaits(id) {
            places.push((self.types.get(awaited.of).map(|found| Arc::clone(&found.name)), awaited));
        }
        for (_, state) in states.iter_mut().filter(|(_, state)| is_elsewhere(state)) {
            let of = state.awaited.and_then(|place| self.types.get(place.of)).map(|of| Arc::clone(&of.name));
            let mut same: Vec<_> = places
                .iter()
                .filter(|(name, _)| of.is_some() && *name == of)
                .map(|(_, awaited)| (Arc::clone(&awaited.file), awaited.line))
                .collect();
            same.sort();
            same.dedup();
            (state.file, state.line) = match same.pop() {
                Some(place) if same.is_empty() => place,
                _ => (Arc::from(""), 0),
            };
        }
    }

    fn state(&mut self, variant: &Variant) -> Option<State> {
        let inside = self.types.get(variant.member.of)?;
        let kind = match names::last(&inside.name) {
            "Unresumed" => StateKind::Unresumed,
            "Returned" => StateKind::Returned,
            "Panicked" => StateKind::Panicked,
            name if name.starts_with("Suspend") => StateKind::Suspended,
            _ => return None,
        };
        let mut awaited = inside.members.iter().filter(|member| member.name == "__awaitee");
        let place = |member: &crate::symbols::types::Member| {
            Some(Place { offset: variant.member.offset.checked_add(member.offset)?, of: member.of })
        };
        let first = awaited.next().and_then(place);
        let awaited = if awaited.next().is_none() { first } else { None };
        let file = variant.file.clone().unwrap_or_default();
        let data = Place { offset: variant.member.offset, of: variant.member.of };
        let guards = match kind {
            StateKind::Suspended | StateKind::Unresumed => {
                guards::guards(&mut self.types, variant.member.of, variant.member.offset, true)
            }
            _ => Vec::new(),
        };
        Some(State { kind, file, line: variant.line, data, awaited, guards })
    }

    /// The type that a method belongs to, by its `self`.
    fn own_type(&mut self, found: &Type) -> Option<String> {
        let first = &found.variants.as_ref()?.list.first()?.member;
        let state = self.types.get(first.of)?;
        let own = state.members.iter().find(|member| member.name == "self")?;
        let mut own = self.types.get(own.of)?;
        if let TypeKind::Pointer(Some(to)) = own.kind {
            own = self.types.get(to)?;
        }
        // `self: Arc<Self>` of a method of another type.
        if ["alloc::sync::Arc", "alloc::rc::Rc"].contains(&names::base(&own.name)) {
            let shared = own.parameters.iter().find(|parameter| parameter.name == "T")?.of;
            own = self.types.get(shared)?;
        }
        Some(names::base(&own.name).to_owned()).filter(|name| !name.is_empty() && !name.contains('{'))
    }
}
