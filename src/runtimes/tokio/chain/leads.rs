//! Whether a type can lead to a future, and how pointers to futures look.

use rustc_hash::FxHashSet;

use super::kinds::{Lead, is_exclusive, is_pointer_to_dyn, is_state_machine, is_wide};
use super::layout::Layouts;
use super::{leaves, names, stream_kinds};
use crate::symbols::types::{Type, TypeId, TypeKind};

/// How deep a type is searched for a future inside of it.
const MAX_DEPTH: usize = 32;
/// Types inside of one that are looked at for what they refer to.
const MAX_PARTS: usize = 256;

impl Layouts {
    /// Whether a type can lead to a future.
    pub(super) fn lead(&mut self, id: TypeId, depth: usize) -> Lead {
        if let Some(&known) = self.leads.get(&id) {
            return known;
        }
        if depth >= MAX_DEPTH {
            return Lead::Hidden;
        }
        // A type that is inside of itself adds nothing there.
        self.leads.insert(id, Lead::No);
        let found = self.find_lead(id, depth).unwrap_or(Lead::No);
        self.leads.insert(id, found);
        found
    }

    fn find_lead(&mut self, id: TypeId, depth: usize) -> Option<Lead> {
        let found = self.types.get(id)?;
        if is_state_machine(&found) || self.dyn_future(&found).is_some() {
            return Some(Lead::Deep);
        }
        let base = names::base(&found.name);
        let is_together = leaves::together(base).is_some()
            || leaves::set_by_type(base).is_some()
            || stream_kinds::by_type(base, &found.members).is_some_and(|kind| !kind.is_general())
            || base == leaves::HTTP;
        if leaves::is_poll_fn(base) || is_together {
            return Some(Lead::Deep);
        }
        if leaves::is_resource(base) {
            return Some(Lead::Resource);
        }
        if leaves::by_type(base).is_some() {
            return Some(Lead::Leaf);
        }
        if leaves::is_collection(base) {
            let elements = found.parameters.iter().map(|parameter| self.lead(parameter.of, depth + 1));
            return elements.max().map(|lead| lead.min(Lead::Hidden));
        }
        match found.kind {
            TypeKind::Pointer(Some(to)) if is_exclusive(&found.name) => {
                // The end of a channel or a connection that is only referred to belongs to another future.
                Some(self.lead(to, depth + 1))
            }
            TypeKind::Pointer(Some(to)) => {
                let is_struct = matches!(self.types.get(to)?.kind, TypeKind::Structure | TypeKind::Union);
                Some(if is_struct { Lead::Remote } else { Lead::No })
            }
            TypeKind::Array(Some(of)) => Some(self.lead(of, depth + 1).min(Lead::Hidden)),
            TypeKind::Union => {
                let inside = found.members.iter().map(|member| self.lead(member.of, depth + 1));
                inside.max().map(|lead| lead.min(Lead::Hidden))
            }
            TypeKind::Structure if is_wide(&found) => {
                Some(if is_exclusive(&found.name) { Lead::Hidden } else { Lead::Remote })
            }
            TypeKind::Structure => {
                // A pointer to several values.
                if let [data, length] = found.members.as_slice()
                    && (data.name.as_str(), length.name.as_str()) == ("data_ptr", "length")
                {
                    let TypeKind::Pointer(Some(to)) = self.types.get(data.of)?.kind else { return None };
                    return Some(self.lead(to, depth + 1).min(Lead::Hidden));
                }
                let variants = found.variants.iter().flat_map(|variants| &variants.list);
                let inside: Vec<_> = found
                    .members
                    .iter()
                    .map(|member| member.of)
                    .chain(variants.map(|v| v.member.of))
                    .collect();
                inside.into_iter().map(|of| self.lead(of, depth + 1)).max()
            }
            _ => None,
        }
    }

    /// The offsets of the pointer and the vtable in a pointer to `dyn Future`.
    pub(super) fn dyn_future(&mut self, found: &Type) -> Option<(u64, u64)> {
        if !is_pointer_to_dyn(&found.name) || found.members.len() != 2 {
            return None;
        }
        let offset = |names: &[&str]| {
            found
                .members
                .iter()
                .find(|member| names.contains(&member.name.as_str()))
                .map(|member| member.offset)
        };
        Some((offset(&["pointer", "data_ptr"])?, offset(&["vtable"])?))
    }

    /// Whether a type without futures refers to something that has some, or that can be waited for: a connection that
    /// several have in common.
    pub(super) fn is_elsewhere(&mut self, id: TypeId) -> bool {
        let (mut left, mut seen) = (vec![id], FxHashSet::default());
        while let Some(id) = left.pop().filter(|_| seen.len() < MAX_PARTS) {
            if self.lead(id, 0) != Lead::Remote || !seen.insert(id) {
                continue;
            }
            let Some(found) = self.types.get(id) else { continue };
            if let TypeKind::Pointer(Some(to)) = found.kind
                && self.lead(to, 0) > Lead::Remote
            {
                return true;
            }
            let variants = found.variants.iter().flat_map(|variants| &variants.list);
            left.extend(found.members.iter().chain(variants.map(|v| &v.member)).map(|member| member.of));
        }
        false
    }
}
