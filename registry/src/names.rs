//! Names made at run time, each kept once and for ever.

use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::{Mutex, TryLockError};

use crate::registry::Registry;

/// Bytes of different names kept at most. Later names are counted but not kept.
const MOST_BYTES: usize = 4 << 20;
/// How often a thread tries to lock the table. Limited, because after a fork the lock may be held by a thread
/// that the child does not have.
const TRIES: u32 = 1000;

/// The name of a task: a literal, or text made at run time.
#[derive(Debug, Clone, Copy)]
pub struct Name(Option<&'static str>);

impl Name {
    pub(crate) fn get(self) -> Option<&'static str> {
        self.0
    }
}

impl From<&'static str> for Name {
    fn from(name: &'static str) -> Name {
        Name(Some(name))
    }
}

impl From<String> for Name {
    fn from(name: String) -> Name {
        Name(keep(Cow::Owned(name)))
    }
}

impl From<Cow<'static, str>> for Name {
    fn from(name: Cow<'static, str>) -> Name {
        match name {
            Cow::Borrowed(name) => name.into(),
            Cow::Owned(name) => name.into(),
        }
    }
}

struct Names {
    known: Option<HashSet<&'static str>>,
    bytes: usize,
}

static NAMES: Mutex<Names> = Mutex::new(Names { known: None, bytes: 0 });

fn keep(name: Cow<'_, str>) -> Option<&'static str> {
    let kept = with_names(|names| {
        let known = names.known.get_or_insert_default();
        if let Some(name) = known.get(name.as_ref()) {
            return Some(*name);
        }
        // The set's own memory is included.
        let bytes = names.bytes + name.len() + size_of::<&str>() * 2;
        if bytes > MOST_BYTES {
            return None;
        }
        names.bytes = bytes;
        let name: &'static str = Box::leak(name.into_owned().into_boxed_str());
        known.insert(name);
        Some(name)
    });
    if kept.is_none() {
        Registry::main().string_dropped();
    }
    kept
}

fn with_names<T>(action: impl FnOnce(&mut Names) -> Option<T>) -> Option<T> {
    for _ in 0..TRIES {
        match NAMES.try_lock() {
            Ok(mut names) => return action(&mut names),
            Err(TryLockError::Poisoned(names)) => return action(&mut names.into_inner()),
            Err(TryLockError::WouldBlock) => std::thread::yield_now(),
        }
    }
    None
}
