//! Places in the source that the compiler knows (`#[track_caller]`), converted to the format's own form, each
//! once, without a lock and without the allocator: this runs inside polls.

use std::panic;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::format::Location;
use crate::registry::Registry;

/// Different places at most; later ones are counted but unknown.
const PLACES: usize = 8192;
/// Twice as many, to keep the search short.
const BUCKETS: usize = PLACES * 2;

struct Place {
    location: Location,
    caller: &'static panic::Location<'static>,
    name: &'static str,
}

static KNOWN: [OnceLock<Place>; PLACES] = [const { OnceLock::new() }; PLACES];
static USED: AtomicU32 = AtomicU32::new(0);
/// Numbers of places, plus one; 0 is an empty bucket.
static TABLE: [AtomicU32; BUCKETS] = [const { AtomicU32::new(0) }; BUCKETS];

impl Place {
    /// Compares addresses, not texts: a place may occur twice, which costs 72 bytes.
    #[inline(always)]
    fn is(&self, caller: &'static panic::Location<'static>, name: &'static str) -> bool {
        std::ptr::eq(self.caller, caller) && std::ptr::eq(self.name, name)
    }
}

#[inline(always)]
fn hash(caller: &'static panic::Location<'static>, name: &'static str) -> usize {
    let key = std::ptr::from_ref(caller).addr() ^ name.as_ptr().addr().rotate_left(17) ^ name.len();
    (key.wrapping_mul(0x9e37_79b9_7f4a_7c15_usize) >> 40) % BUCKETS
}

fn known(number: u32) -> Option<&'static Place> {
    KNOWN.get((number as usize).checked_sub(1)?)?.get()
}

/// The place of a caller, with a name for it (empty for none). None: there are too many places.
#[inline]
pub(crate) fn of_caller(
    caller: &'static panic::Location<'static>,
    name: &'static str,
) -> Option<&'static Location> {
    let start = hash(caller, name);
    for step in 0..BUCKETS {
        let bucket = &TABLE[(start + step) % BUCKETS];
        let number = bucket.load(Ordering::Acquire);
        if number == 0 {
            return add(caller, name, start + step);
        }
        if let Some(place) = known(number)
            && place.is(caller, name)
        {
            return Some(&place.location);
        }
    }
    None
}

#[cold]
fn add(
    caller: &'static panic::Location<'static>,
    name: &'static str,
    start: usize,
) -> Option<&'static Location> {
    let Some(number) = next_number() else {
        Registry::main().string_dropped();
        return None;
    };
    let location = Location::new(caller.file(), caller.line(), caller.column(), name);
    KNOWN.get(number as usize - 1)?.set(Place { location, caller, name }).ok()?;
    for step in 0..BUCKETS {
        let bucket = &TABLE[(start + step) % BUCKETS];
        match bucket.compare_exchange(0, number, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => break,
            // Another thread was first with the same place: its place is used, and ours is lost.
            Err(other) => {
                if let Some(place) = known(other)
                    && place.is(caller, name)
                {
                    return Some(&place.location);
                }
            }
        }
    }
    known(number).map(|place| &place.location)
}

/// The next free number, from 1.
fn next_number() -> Option<u32> {
    let claimed = USED.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
        ((used as usize) < PLACES).then_some(used + 1)
    });
    claimed.ok().map(|used| used + 1)
}
