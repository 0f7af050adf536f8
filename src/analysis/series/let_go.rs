//! What remains of signatures that a series no longer remembers.

use rustc_hash::FxHashMap;

use super::Track;
use crate::analysis::signature::{Signature, SignatureFrame};

/// Released signatures are added up by at most this many creators.
const CREATORS: usize = 1_024;

/// The sums that remain of signatures that had no tasks for long. They were released so that a series does not
/// grow forever.
#[derive(Debug, Clone, Default)]
pub struct LetGo {
    signatures: u64,
    born: u64,
    gone: u64,
    creators: FxHashMap<SignatureFrame, Track>,
    /// Tasks without a creator, and those of creators beyond the limit.
    others: Track,
}

impl LetGo {
    /// How many signatures were released.
    pub fn signatures(&self) -> u64 {
        self.signatures
    }

    /// Tasks that were born with a released signature.
    pub fn born(&self) -> u64 {
        self.born
    }

    /// Tasks that ended with a released signature.
    pub fn gone(&self) -> u64 {
        self.gone
    }

    /// What happened to the tasks of each creator.
    pub fn by_creator(&self) -> impl Iterator<Item = (&SignatureFrame, &Track)> {
        self.creators.iter()
    }

    /// What happened to the tasks of one creator.
    pub fn of_creator(&self, creator: &SignatureFrame) -> Option<&Track> {
        self.creators.get(creator)
    }

    /// What happened to all other tasks.
    pub fn others(&self) -> &Track {
        &self.others
    }

    pub(super) fn add(&mut self, signature: Signature, track: &Track) {
        self.signatures += 1;
        self.born = self.born.saturating_add(track.born);
        self.gone = self.gone.saturating_add(track.gone);
        let room = self.creators.len() < CREATORS;
        match signature.creator {
            Some(creator) if room || self.creators.contains_key(&creator) => {
                self.creators.entry(creator).or_default().add(track);
            }
            _ => self.others.add(track),
        }
    }

    /// The readings from `first` to just before `end` are kept.
    pub(super) fn keep(&mut self, first: u32, end: u32) {
        self.creators.values_mut().chain([&mut self.others]).for_each(|track| track.steps.keep(first, end));
    }

    /// What the user should know.
    pub(super) fn warning(&self) -> Option<String> {
        (self.signatures > 0).then(|| {
            let groups = if self.signatures == 1 { "group" } else { "groups" };
            format!(
                "{} {groups} of tasks that had all ended were let go to save memory: totals have them, but a group \
                 that comes again looks new",
                self.signatures
            )
        })
    }
}
