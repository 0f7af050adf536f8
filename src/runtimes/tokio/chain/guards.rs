//! Guards of Tokio's locks, and permits of its semaphores, in the variables of suspended async functions.

use super::{Place, names};
use crate::cache::{Reader, Writer};
use crate::snapshot::ObjectKind;
use crate::symbols::types::{Answer, Conclusion, Type, TypeId, TypeKind, Types};

/// How deep guards are looked for in variables that are structs or tuples.
const MAX_DEPTH: usize = 4;
/// Guards of one state.
const MAX_GUARDS: usize = 16;
/// Members of one state that are examined.
const MAX_MEMBERS: usize = 256;

/// The parts of Tokio's locks: their names, what they are of, and whether several tasks can have one.
const GUARDS: [(&str, ObjectKind, bool); 12] = [
    ("tokio::sync::mutex::MutexGuard", ObjectKind::Mutex, false),
    ("tokio::sync::mutex::OwnedMutexGuard", ObjectKind::Mutex, false),
    ("tokio::sync::mutex::MappedMutexGuard", ObjectKind::Mutex, false),
    ("tokio::sync::mutex::OwnedMappedMutexGuard", ObjectKind::Mutex, false),
    ("tokio::sync::rwlock::read_guard::RwLockReadGuard", ObjectKind::RwMutex, true),
    ("tokio::sync::rwlock::owned_read_guard::OwnedRwLockReadGuard", ObjectKind::RwMutex, true),
    ("tokio::sync::rwlock::write_guard::RwLockWriteGuard", ObjectKind::RwMutex, false),
    ("tokio::sync::rwlock::owned_write_guard::OwnedRwLockWriteGuard", ObjectKind::RwMutex, false),
    ("tokio::sync::rwlock::write_guard_mapped::RwLockMappedWriteGuard", ObjectKind::RwMutex, false),
    (
        "tokio::sync::rwlock::owned_write_guard_mapped::OwnedRwLockMappedWriteGuard",
        ObjectKind::RwMutex,
        false,
    ),
    ("tokio::sync::semaphore::SemaphorePermit", ObjectKind::Semaphore, true),
    ("tokio::sync::semaphore::OwnedSemaphorePermit", ObjectKind::Semaphore, true),
];

/// Where a guard is in a state.
#[derive(Debug, Clone, Copy)]
pub(super) struct Guard {
    pub(super) place: Place,
    /// What it is of, and whether several tasks can have one. None for an enum with a guard in one of its variants.
    pub(super) of: Option<(ObjectKind, bool)>,
}

impl Answer for Guard {
    fn write(&self, into: &mut Writer) {
        into.number(self.place.offset);
        self.place.of.write(into);
        let is_alike = |of| GUARDS.iter().position(|(_, kind, is_shared)| (*kind, *is_shared) == of);
        into.option(self.of.and_then(is_alike), |into, row| into.number(row as u64));
    }

    fn read(from: &mut Reader<'_>) -> Option<Self> {
        let (offset, of) = (from.number()?, Answer::read(from)?);
        let row = from.option(Reader::small::<usize>)?;
        let row = row.map(|row| GUARDS.get(row).map(|(_, kind, is_shared)| (*kind, *is_shared)));
        Some(Guard { place: Place { offset, of }, of: if let Some(row) = row { Some(row?) } else { None } })
    }
}

/// The guards in the members of a struct, or of a state, that begins at an offset. `enums`: enums are examined, too.
pub(super) fn guards(types: &mut Types, of: TypeId, offset: u64, enums: bool) -> Vec<Guard> {
    let what = if enums { Conclusion::GuardsAndEnums } else { Conclusion::Guards };
    let found = types.concluded(what, of, |types| find(types, of, enums));
    let placed = found.into_iter().filter_map(|guard| {
        let place = Place { offset: guard.place.offset.checked_add(offset)?, ..guard.place };
        Some(Guard { place, ..guard })
    });
    placed.collect()
}

fn find(types: &mut Types, of: TypeId, enums: bool) -> Vec<Guard> {
    let mut found = Vec::new();
    let mut level: Vec<_> = types.get(of).into_iter().map(|of| (0_u64, of)).collect();
    let mut examined = 0;
    for _ in 0..MAX_DEPTH {
        for (offset, of) in std::mem::take(&mut level) {
            for member in &of.members {
                examined += 1;
                if examined > MAX_MEMBERS || found.len() >= MAX_GUARDS {
                    return found;
                }
                let (Some(inside), Some(at)) = (types.get(member.of), offset.checked_add(member.offset))
                else {
                    continue;
                };
                // What is awaited is a future of its own.
                if member.name == "__awaitee" || inside.kind != TypeKind::Structure {
                    continue;
                }
                let place = Place { offset: at, of: member.of };
                let base = names::base(&inside.name);
                if let Some((_, kind, is_shared)) = GUARDS.iter().find(|(name, ..)| *name == base) {
                    found.push(Guard { place, of: Some((*kind, *is_shared)) });
                } else if inside.variants.is_none() {
                    level.push((at, inside));
                } else if enums && has_guard(types, &inside) {
                    found.push(Guard { place, of: None });
                }
            }
        }
    }
    found
}

/// Whether a variant of an enum that is no future has a guard.
fn has_guard(types: &mut Types, found: &Type) -> bool {
    let variants = found.variants.iter().filter(|variants| variants.discriminant_name != "__state");
    let mut variants = variants.flat_map(|variants| &variants.list).take(MAX_GUARDS);
    variants.any(|variant| !guards(types, variant.member.of, 0, false).is_empty())
}
