//! Members of one reading, joined with those of the next.

use std::iter::Peekable;
use std::slice;

use super::super::signature::SignatureId;
use super::member::Member;

/// What happened to a task from one reading to the next.
pub(super) enum Joined {
    /// It is new.
    Born(SignatureId),
    /// It lives, and has another signature now.
    Moved {
        /// The previous signature.
        from: SignatureId,
        /// The current signature.
        to: SignatureId,
    },
    /// It is no longer there.
    Gone {
        /// The signature that it had.
        signature: SignatureId,
        /// When it was first seen.
        first_seen: u32,
    },
}

/// What following tasks from one reading to the next has shown.
#[derive(Default)]
pub(super) struct Followed {
    /// What happened to tasks. Nothing, if they are not followed.
    pub(super) joined: Vec<Joined>,
    counts: Vec<Option<(SignatureId, u64, u64)>>,
}

impl Followed {
    /// For each signature with members: how many it has, and how many of them were there in the very first reading.
    pub(super) fn counts(&self) -> impl Iterator<Item = (SignatureId, u64, u64)> {
        self.counts.iter().copied().flatten()
    }

    fn count(&mut self, member: &Member) {
        let at = member.signature.index();
        if self.counts.len() <= at {
            self.counts.resize(at + 1, None);
        }
        let (_, count, old) = self.counts[at].get_or_insert((member.signature, 0, 0));
        *count += 1;
        *old += u64::from(member.first_seen == 0);
    }
}

/// Joins two sorted lists of members: those in both take over what is known, and the others are reported.
pub(super) struct Join<'b> {
    /// None: tasks cannot be found again.
    before: Option<Peekable<slice::Iter<'b, Member>>>,
    followed: Followed,
}

impl<'b> Join<'b> {
    /// With the earlier list. None if tasks cannot be found again.
    pub(super) fn new(before: Option<&'b [Member]>) -> Self {
        Join { before: before.map(|before| before.iter().peekable()), followed: Followed::default() }
    }

    /// The next member of the later list.
    pub(super) fn next(&mut self, member: &mut Member) {
        if let Some(before) = &mut self.before {
            let joined = &mut self.followed.joined;
            while let Some(other) = before.next_if(|other| other.identity() < member.identity()) {
                joined.push(gone(other));
            }
            match before.next_if(|other| other.identity() == member.identity()) {
                Some(same) => {
                    member.follow(same);
                    if same.signature != member.signature {
                        joined.push(Joined::Moved { from: same.signature, to: member.signature });
                    }
                }
                None => joined.push(Joined::Born(member.signature)),
            }
        }
        self.followed.count(member);
    }

    /// There are no more.
    pub(super) fn end(mut self) -> Followed {
        self.followed.joined.extend(self.before.into_iter().flatten().map(gone));
        self.followed
    }
}

fn gone(member: &Member) -> Joined {
    Joined::Gone { signature: member.signature, first_seen: member.first_seen }
}
