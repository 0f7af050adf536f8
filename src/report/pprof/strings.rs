//! The table of strings of a profile.

use std::borrow::Cow;

use rustc_hash::FxHashMap;

use crate::formats::pprof::fields::own;
use crate::snapshot::{Snapshot, StrId};

/// The table of strings, filled while the profile is written.
pub(super) struct Strings<'a> {
    pub(super) texts: Vec<Cow<'a, str>>,
    index: FxHashMap<Cow<'a, str>, u64>,
    /// The index of each of the snapshot's strings; 0 if not added (yet).
    known: Vec<u64>,
}

impl<'a> Strings<'a> {
    /// The table with only the empty string, which is always the first.
    pub(super) fn new(snapshot: &Snapshot) -> Self {
        Strings {
            texts: vec!["".into()],
            index: FxHashMap::from_iter([("".into(), 0)]),
            known: vec![0; snapshot.code.strings.len()],
        }
    }

    /// The index of a text.
    pub(super) fn text(&mut self, text: impl Into<Cow<'a, str>>) -> u64 {
        let text = text.into();
        if let Some(&known) = self.index.get(&text) {
            return known;
        }
        let at = self.texts.len() as u64;
        self.texts.push(text.clone());
        self.index.insert(text, at);
        at
    }

    /// The index of one of the snapshot's strings.
    pub(super) fn of(&mut self, snapshot: &'a Snapshot, id: StrId) -> u64 {
        match self.known.get(id.index()) {
            Some(&known) if known != 0 => known,
            _ => {
                let at = self.text(snapshot.str(id));
                if let Some(known) = self.known.get_mut(id.index()) {
                    *known = at;
                }
                at
            }
        }
    }
}

/// loiter's keys in the table of strings.
pub(super) struct Keys {
    pub(super) id: u64,
    pub(super) state: u64,
    pub(super) wait_reason: u64,
    pub(super) wait_class: u64,
    pub(super) wait_seconds: u64,
    pub(super) seconds: u64,
    pub(super) created_by: u64,
    pub(super) created_at: u64,
    pub(super) parent: u64,
    pub(super) stack: u64,
    pub(super) is: u64,
    pub(super) runtime: u64,
}

impl Keys {
    pub(super) fn new(strings: &mut Strings<'_>) -> Self {
        Keys {
            id: strings.text(own::ID),
            state: strings.text(own::STATE),
            wait_reason: strings.text(own::WAIT_REASON),
            wait_class: strings.text(own::WAIT_CLASS),
            wait_seconds: strings.text(own::WAIT_SECONDS),
            seconds: strings.text(own::SECONDS),
            created_by: strings.text(own::CREATED_BY),
            created_at: strings.text(own::CREATED_AT),
            parent: strings.text(own::PARENT),
            stack: strings.text(own::STACK),
            is: strings.text(own::IS),
            runtime: strings.text(own::RUNTIME),
        }
    }
}
