//! Closures that poll, by what they captured.

use std::sync::Arc;

use super::kinds::Lead;
use super::layout::{Layouts, Several, Shape};
use super::{Place, leaves};
use crate::symbols::types::{Type, TypeKind};

impl Layouts {
    /// A closure that polls: what it captured says what.
    pub(super) fn poll_fn(&mut self, found: &Type) -> Option<Shape> {
        let closure = found.members.first()?;
        let start = closure.offset;
        let closure = self.types.get(closure.of)?;
        if let Some(leaf) = leaves::by_closure(&closure.name) {
            return Some(Shape::Leaf(leaf));
        }
        if leaves::polls_itself(&closure.name) {
            let own = closure.members.iter().find(|member| member.name.contains("self"))?;
            let inside = Place { offset: start.checked_add(own.offset)?, of: own.of };
            return Some(Shape::One { inside, is_all: true });
        }
        if !closure.members.is_empty() && closure.members.iter().all(|member| leaves::is_joined(&member.name))
        {
            let places = closure
                .members
                .iter()
                .map(|member| Some(Place { offset: start.checked_add(member.offset)?, of: member.of }));
            let futures = places.collect::<Option<_>>()?;
            return Some(Shape::Several(Arc::new(Several::of("join", futures))));
        }
        let mut several = None;
        let mut disabled = None;
        for member in &closure.members {
            let offset = start.checked_add(member.offset)?;
            let inside = self.types.get(member.of)?;
            let (behind, inside) = match inside.kind {
                TypeKind::Pointer(Some(to)) => (Some(offset), self.types.get(to)?),
                _ => (None, inside),
            };
            if member.name.ends_with("disabled") && matches!(inside.kind, TypeKind::Scalar) {
                disabled = behind.zip(Some(inside.size).filter(|size| (1..=8).contains(size)));
            }
            // As Tokio's macros call it: what other closures hold may be anything.
            let is_tuple = inside.name.starts_with('(') && matches!(inside.kind, TypeKind::Structure);
            if !is_tuple || !member.name.ends_with("futures") {
                continue;
            }
            let base = if behind.is_some() { 0 } else { offset };
            let futures: Option<Vec<_>> = inside
                .members
                .iter()
                .map(|part| Some(Place { offset: base.checked_add(part.offset)?, of: part.of }))
                .collect();
            if several.replace((behind, futures?)).is_some() {
                return None;
            }
        }
        let Some((behind, futures)) = several else { return self.captured(start, &closure) };
        let word = if disabled.is_some() { "select" } else { "join" };
        Some(Shape::Several(Arc::new(Several { behind, disabled, ..Several::of(word, futures) })))
    }

    /// The futures that a closure written by hand captured, that of `futures::select!` among them; or the receiver.
    fn captured(&mut self, start: u64, closure: &Type) -> Option<Shape> {
        let (mut futures, mut resources) = (Vec::new(), Vec::new());
        for member in &closure.members {
            let place = Place { offset: start.checked_add(member.offset)?, of: member.of };
            match self.lead(member.of, 0) {
                Lead::No | Lead::Remote => {}
                Lead::Resource | Lead::Hidden => resources.push(place),
                Lead::Leaf | Lead::Deep => futures.push(place),
            }
        }
        let known = match (futures.as_slice(), resources.as_slice()) {
            ([], [only]) if self.receives(only.of) => resources,
            ([], _) => return Some(Shape::Unknown { has_futures: true }),
            _ => futures,
        };
        Some(Shape::Several(Arc::new(Several::by_hand(known))))
    }
}
