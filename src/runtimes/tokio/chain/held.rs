//! The locks that a suspended future may hold.
//!
//! The layout of a state has every variable that the compiler keeps over the await. It also keeps some that were moved out
//! before, as by `drop(guard)` of a guard that was used: their bytes stay. So a guard there does not prove that the lock is
//! still held. The arguments of a function that did not begin yet are all there.

use super::Await;
use super::guards::guards;
use super::layout::{State, StateKind};
use super::values::{Value, Values};
use super::word::Word;
use crate::snapshot::{HoldKind, ObjectKind};

/// What all of these locks are made of: the tasks that wait for one name it.
const SEMAPHORE: &str = "tokio::sync::batch_semaphore::Semaphore";

/// A lock that a task may hold.
#[derive(Debug, Clone)]
pub(in super::super) struct Held {
    /// The address of the lock's semaphore.
    pub(in super::super) lock: Word,
    pub(in super::super) kind: ObjectKind,
    pub(in super::super) how: HoldKind,
    /// The function that has the guard.
    pub(in super::super) at: Await,
    /// Where the guard is.
    pub(super) guard: Word,
}

/// The locks that the guards of a state are for, as far as these are not free.
pub(super) fn held(values: &mut Values<'_, '_>, state: &State, at: Word, by: &Await) -> Vec<Held> {
    let mut all = Vec::new();
    for guard in &state.guards {
        let own = Value { of: guard.place.of, at: at.wrapping_add(guard.place.offset) };
        match guard.of {
            Some(of) => all.extend(one(values, of, own, state.kind, by)),
            None => {
                let Some(found) = values.layouts.types.get(own.of) else { continue };
                let Some(variant) = values.variant(&found, own.at) else { continue };
                for guard in guards(&mut values.layouts.types, variant.of, 0, false) {
                    let own = Value { of: guard.place.of, at: variant.at.wrapping_add(guard.place.offset) };
                    all.extend(guard.of.and_then(|of| one(values, of, own, state.kind, by)));
                }
            }
        }
    }
    all
}

/// The lock of one guard. None if it is free.
fn one(
    values: &mut Values<'_, '_>,
    (kind, is_shared): (ObjectKind, bool),
    own: Value,
    state: StateKind,
    by: &Await,
) -> Option<Held> {
    let semaphore = semaphore(values, own)?;
    if !is_shared {
        // A mutex has one permit; who writes has them all. The lowest bit says that it is closed.
        let permits = values.member(semaphore, "permits")?;
        values.window.is_below(permits.at, 8, 1).filter(|is_taken| *is_taken)?;
    }
    if kind == ObjectKind::Semaphore {
        let permits = values.member(own, "permits")?;
        values.window.is_below(permits.at, 4, 0).filter(|is_none| !is_none)?;
    }
    let how = match (state, is_shared) {
        (StateKind::Unresumed, true) => HoldKind::Shared,
        (StateKind::Unresumed, false) => HoldKind::Exclusive,
        _ => HoldKind::Perhaps,
    };
    Some(Held { lock: semaphore.at, kind, how, at: by.clone(), guard: own.at })
}

/// The semaphore of the lock that a guard refers to: directly, through the lock, or through an `Arc` of it.
fn semaphore(values: &mut Values<'_, '_>, guard: Value) -> Option<Value> {
    let link = ["s", "lock", "sem"].iter().find_map(|name| values.member(guard, name))?;
    let lock = values.behind(link).or_else(|| values.shared(link))?;
    let is_semaphore = |values: &mut Values<'_, '_>, value: Value| {
        values.layouts.types.get(value.of).is_some_and(|found| *found.name == *SEMAPHORE)
    };
    if is_semaphore(values, lock) {
        return Some(lock);
    }
    let inner = ["s", "ll_sem"].iter().find_map(|name| values.member(lock, name))?;
    is_semaphore(values, inner).then_some(inner)
}
