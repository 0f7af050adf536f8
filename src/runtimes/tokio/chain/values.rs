//! Values of known types in memory: their members, and what they point to.

use super::layout::Layouts;
use super::names;
use super::window::Window;
use super::word::Word;
use crate::symbols::types::{Type, TypeId, TypeKind};

/// How deep a member is looked for inside of members.
const MAX_DEPTH: usize = 16;
/// Members that are examined for one name.
const MAX_EXAMINED: usize = 512;
/// Pointers to pointers that are followed.
const MAX_POINTERS: usize = 4;

/// A value of a known type.
#[derive(Debug, Clone, Copy)]
pub(super) struct Value {
    pub(super) of: TypeId,
    /// Its address.
    pub(super) at: Word,
}

/// Reads values.
pub(super) struct Values<'a, 'b> {
    pub(super) layouts: &'a mut Layouts,
    pub(super) window: &'a mut Window<'b>,
}

impl Values<'_, '_> {
    /// What a pointer points to.
    pub(super) fn behind(&mut self, pointer: Value) -> Option<Value> {
        let TypeKind::Pointer(Some(of)) = self.layouts.types.get(pointer.of)?.kind else { return None };
        Some(Value { of, at: self.window.pointer(pointer.at)? })
    }

    /// What the pointer in a value points to: the value may be a struct around it, as `AtomicPtr`. Some(None) for a null
    /// pointer.
    pub(super) fn target(&mut self, value: Value) -> Option<Option<Value>> {
        let mut inner = value;
        for _ in 0..MAX_DEPTH {
            let found = self.layouts.types.get(inner.of)?;
            if let TypeKind::Pointer(Some(of)) = found.kind {
                return Some(self.window.link(inner.at)?.map(|at| Value { of, at }));
            }
            // Markers have no size.
            let mut parts = Vec::new();
            for member in &found.members {
                if self.layouts.types.get(member.of).is_none_or(|of| of.size > 0) {
                    parts.push(member);
                }
            }
            let [only] = parts.as_slice() else { return None };
            inner = Value { of: only.of, at: inner.at.wrapping_add(only.offset) };
        }
        None
    }

    /// A type that the type of a value is generic over.
    pub(super) fn parameter(&mut self, value: Value, name: &str) -> Option<TypeId> {
        let found = self.layouts.types.get(value.of)?;
        found.parameters.iter().find(|parameter| parameter.name == name).map(|parameter| parameter.of)
    }

    /// What an `Arc` has.
    pub(super) fn shared(&mut self, arc: Value) -> Option<Value> {
        let pointer = self.member(arc, "pointer")?;
        let inner = self.behind(pointer)?;
        self.member(inner, "data")
    }

    /// What a pointer to a pointer ends at; the value itself if it is no pointer.
    pub(super) fn all_behind(&mut self, value: Value) -> Value {
        let mut inner = value;
        for _ in 0..MAX_POINTERS {
            let Some(next) = self.behind(inner) else { break };
            inner = next;
        }
        inner
    }

    /// The present variant of an enum.
    pub(super) fn variant(&mut self, found: &Type, at: Word) -> Option<Value> {
        let variants = found.variants.as_ref()?;
        let values = variants.list.iter().filter_map(|variant| variant.value);
        let value = match variants.discriminant {
            Some((offset, size)) => self.window.among(at.wrapping_add(offset), size, values)?,
            None => Some(0),
        };
        let variant = variants.of(value)?;
        Some(Value { of: variant.member.of, at: at.wrapping_add(variant.member.offset) })
    }

    /// The only member with a name, in the value itself or in its members. None if there are several.
    pub(super) fn only_member(&mut self, own: Value, name: &str) -> Option<Value> {
        let mut found = self.members(own, name, 2);
        found.pop().filter(|_| found.is_empty())
    }

    /// The member with a name, in the value itself or in its members; the outermost if there are several.
    pub(super) fn member(&mut self, own: Value, name: &str) -> Option<Value> {
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

/// A member of the value itself.
pub(super) fn direct(values: &mut Values<'_, '_>, own: Value, name: &str) -> Option<Value> {
    let found = values.layouts.types.get(own.of)?;
    let member = found.members.iter().find(|member| member.name == name)?;
    Some(Value { of: member.of, at: own.at.wrapping_add(member.offset) })
}

/// What is in an `Option`.
pub(super) fn optional(values: &mut Values<'_, '_>, own: Value) -> Option<Option<Value>> {
    let found = values.layouts.types.get(own.of)?;
    let variant = values.variant(&found, own.at)?;
    let inside = values.layouts.types.get(variant.of)?;
    match names::last(&inside.name) {
        "None" => Some(None),
        "Some" => {
            let member = inside.members.first()?;
            Some(Some(Value { of: member.of, at: variant.at.wrapping_add(member.offset) }))
        }
        _ => None,
    }
}
