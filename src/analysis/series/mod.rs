//! Snapshots of one target in time order, folded together as they arrive.
//!
//! Only the last snapshot is kept whole. Earlier readings leave, for each signature, how many tasks it had and
//! how many came and went. For each live task they leave since when it exists, since when it is at its place,
//! and since when it has certainly not run. Tasks are distinguished by runtime, id and address; tables are
//! sorted by them, so that two snapshots are joined in one pass.
//!
//! A series that keeps a bounded number of readings is bounded as a whole, for any duration and any number of
//! signatures: see [`SeriesOptions::keep`].

use std::collections::VecDeque;
use std::sync::Arc;

use rustc_hash::FxHashSet;

use super::signature::{Signature, SignatureId, SignatureOptions, Signatures};
use crate::snapshot::{Header, Snapshot, Task, count_tasks};

mod group;
mod join;
mod lacking;
mod let_go;
mod matching;
mod member;
mod members;
mod steps;
mod times;

pub use group::{SeriesGroup, groups};
use join::Joined;
use lacking::Lacking;
pub use let_go::LetGo;
pub use matching::Matching;
pub use member::Member;
use members::Moment;
pub use steps::{Step, Steps, StepsIter};
use times::Times;

/// A bounded series remembers this many signatures without tasks. At twice this number, those without tasks for
/// the longest time are released.
const REMEMBERED: usize = 16_384;

/// This many intervals with equal marks prove that a task did not run.
const PROOF: u32 = 3;

/// How a series is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SeriesOptions {
    /// What tasks of one kind have in common.
    pub signature: SignatureOptions,
    /// Include the runtime's own tasks.
    pub system: bool,
    /// Counts of this many readings are kept. None: of all readings and all signatures.
    ///
    /// With a number, signatures without tasks are also released if there are tens of thousands of them: first
    /// those without tasks for the longest time. A signature that had tasks in the very first reading stays.
    /// [`Series::let_go`] adds up what was released, and [`Series::warning`] mentions it.
    pub keep: Option<usize>,
}

/// What remains of a reading.
#[derive(Debug, Clone, PartialEq)]
pub struct Point {
    /// Its number, from 0.
    pub number: u32,
    /// Its header.
    pub header: Header,
    /// Nanoseconds since the first reading. None if one of the two does not know its time.
    pub elapsed_ns: Option<u64>,
    /// Tasks, with the runtime's own only if the series includes them.
    pub tasks: u64,
    /// Every task, including the runtime's own.
    pub listed: u64,
    /// How many of `tasks` were not there in the reading before.
    pub born: u64,
    /// Tasks that were there in the reading before and are gone.
    pub gone: u64,
}

/// How the tasks of one signature came and went, reading by reading.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Track {
    /// For each kept reading, in the order of [`Series::points`].
    pub steps: Steps,
    /// How many there were in the very first reading.
    pub first: u64,
    /// Tasks of the first reading that had this signature when they ended.
    pub first_gone: u64,
    /// Total births since the first reading.
    pub born: u64,
    /// Total ends since the first reading.
    pub gone: u64,
    /// The longest possible life of a task that was born and ended during the series, nanoseconds. None if
    /// there was none, or times are unknown.
    pub longest_ended_ns: Option<u64>,
    /// Number of the last reading in which it had tasks, or lost some.
    last_seen: u32,
}

impl Track {
    /// Adds what happened to another signature.
    fn add(&mut self, other: &Track) {
        self.steps.add(&other.steps);
        self.first = self.first.saturating_add(other.first);
        self.first_gone = self.first_gone.saturating_add(other.first_gone);
        self.born = self.born.saturating_add(other.born);
        self.gone = self.gone.saturating_add(other.gone);
        self.longest_ended_ns = self.longest_ended_ns.max(other.longest_ended_ns);
        self.last_seen = self.last_seen.max(other.last_seen);
    }
}

/// Snapshots of one target in time order. See the [module](self).
#[derive(Debug)]
pub struct Series {
    options: SeriesOptions,
    signatures: Signatures,
    points: VecDeque<Point>,
    times: Times,
    first: Option<Header>,
    /// Indexed by the slots of the signatures.
    tracks: Vec<Track>,
    let_go: LetGo,
    /// How many signatures without tasks are remembered, if the series is bounded.
    remembered: usize,
    members: Vec<Member>,
    proved_ns: Arc<Vec<u64>>,
    /// Tasks of the last reading without an identity, with their signatures.
    anonymous: Vec<(u32, SignatureId)>,
    matching: Matching,
    lacking: Lacking,
    last: Option<Arc<Snapshot>>,
}

impl Series {
    /// A series without readings.
    pub fn new(options: SeriesOptions) -> Self {
        Series {
            options,
            signatures: Signatures::new(options.signature),
            points: VecDeque::new(),
            times: Times::default(),
            first: None,
            tracks: Vec::new(),
            let_go: LetGo::default(),
            remembered: REMEMBERED,
            members: Vec::new(),
            proved_ns: Arc::default(),
            anonymous: Vec::new(),
            matching: Matching::default(),
            lacking: Lacking::default(),
            last: None,
        }
    }

    /// A series of snapshots, in the order given.
    pub fn of(options: SeriesOptions, snapshots: impl IntoIterator<Item: Into<Arc<Snapshot>>>) -> Self {
        let mut series = Series::new(options);
        snapshots.into_iter().for_each(|snapshot| series.push(snapshot));
        series
    }

    /// Adds the next reading.
    pub fn push(&mut self, snapshot: impl Into<Arc<Snapshot>>) {
        self.push_each(snapshot.into(), |_| {});
    }

    /// Adds the next reading, and calls `each` with each of its tasks, in their order. A pass over many tasks waits for memory:
    /// so one pass may serve others.
    pub fn push_each(&mut self, snapshot: Arc<Snapshot>, each: impl FnMut(&Task)) {
        let header = &snapshot.header;
        if let Some(last) = &self.last {
            self.matching.check(&last.header, header);
        }
        let elapsed = self.elapsed_to(header);
        let number = self.times.readings();
        self.times.push(elapsed);
        self.lacking.check(number, &header.reading);
        let gap = self.gap(number);
        let follows = number > 0 && self.matching.by_id();
        let before = std::mem::take(&mut self.members);
        let members = members::members(
            &snapshot,
            self.options.system,
            Moment { number, gap, times: &self.times },
            follows.then_some(&before),
            &mut self.signatures,
            each,
        );
        self.tracks.resize_with(self.signatures.slots(), Track::default);
        let (born, gone) = self.note(&members.followed.joined, number);
        for (id, count, old) in members.followed.counts() {
            self.at(id, number, |_, step| {
                step.count += count;
                step.old += old;
            });
        }
        for &(index, id) in &members.anonymous {
            let count = snapshot.tasks.get(index as usize).map_or(0, Task::count);
            self.at(id, number, |_, step| step.count = step.count.saturating_add(count));
        }
        if number == 0 {
            for track in &mut self.tracks {
                track.first = track.steps.last_count();
            }
        }
        self.first.get_or_insert_with(|| snapshot.header.clone());
        let header = snapshot.header.clone();
        let (tasks, listed) = (members.count, members.listed);
        self.points.push_back(Point { number, header, elapsed_ns: elapsed, tasks, listed, born, gone });
        self.anonymous = members.anonymous;
        self.members = members.list;
        self.proved_ns = Arc::new(members.proved_ns);
        self.last = Some(snapshot);
        self.forget();
    }

    /// Notes what happened to tasks between the last reading and reading `number`, and counts those that came and went.
    fn note(&mut self, joined: &[Joined], number: u32) -> (u64, u64) {
        let (mut all_born, mut all_gone) = (0, 0);
        for joined in joined {
            match *joined {
                Joined::Born(id) => {
                    all_born += 1;
                    self.at(id, number, |track, step| {
                        step.born += 1;
                        track.born += 1;
                    });
                }
                Joined::Moved { from, to } => {
                    self.at(from, number, |_, step| step.left += 1);
                    self.at(to, number, |_, step| step.arrived += 1);
                }
                Joined::Gone { signature, first_seen } => {
                    all_gone += 1;
                    let lived = self.lived_at_most(first_seen, number);
                    self.at(signature, number, |track, step| {
                        step.gone += 1;
                        step.old_gone += u64::from(first_seen == 0);
                        track.gone += 1;
                        track.first_gone += u64::from(first_seen == 0);
                        track.longest_ended_ns = track.longest_ended_ns.max(lived);
                    });
                }
            }
        }
        (all_born, all_gone)
    }

    /// When another reading was made, nanoseconds since the first one.
    fn elapsed_to(&self, header: &Header) -> Option<u64> {
        match &self.first {
            None => header.taken_at_ns.map(|_| 0),
            Some(first) => matching::elapsed_ns(first, header),
        }
    }

    /// The time from the last reading to another one, nanoseconds. None if there is none, or the time is unknown.
    pub fn gap_to(&self, header: &Header) -> Option<u64> {
        self.elapsed_to(header)?.checked_sub(self.times.last()?)
    }

    /// The time from the reading before `number` to it, nanoseconds.
    fn gap(&self, number: u32) -> Option<u64> {
        let before = self.elapsed_at(number.checked_sub(1)?)?;
        self.elapsed_at(number)?.checked_sub(before)
    }

    /// The longest possible life of a task that is missing in reading `number`; unknown if it was there from
    /// the beginning.
    fn lived_at_most(&self, first_seen: u32, number: u32) -> Option<u64> {
        let before = self.elapsed_at(first_seen.checked_sub(1)?)?;
        self.elapsed_at(number)?.checked_sub(before)
    }

    /// Calls `with` with a signature's track and its step of reading `number`, which is the current one.
    fn at(&mut self, id: SignatureId, number: u32, with: impl FnOnce(&mut Track, &mut Step)) {
        let Some(track) = self.tracks.get_mut(id.index()) else { return };
        track.last_seen = number;
        let mut step = track.steps.take(number);
        with(track, &mut step);
        track.steps.put(number, step);
    }

    /// Drops the counts of readings that are too old, signatures without tasks for long, and times that are no
    /// longer needed.
    fn forget(&mut self) {
        let keep = self.options.keep.unwrap_or(usize::MAX).max(2);
        while self.points.len() > keep {
            self.points.pop_front();
        }
        let (first, end) = (self.points.front().map_or(0, |point| point.number), self.times.readings());
        let mut without = 0;
        for track in &mut self.tracks {
            track.steps.keep(first, end);
            without += usize::from(track.last_seen + 1 < end && track.first == 0);
        }
        if self.options.keep.is_none() {
            return;
        }
        // Free slots have no tasks, either.
        let free = self.signatures.slots() - self.signatures.len();
        self.let_go.keep(first, end);
        if without.saturating_sub(free) > self.remembered.saturating_mul(2) {
            self.let_signatures_go();
        }
        if self.times.are_many() {
            let numbers =
                |m: &Member| [m.first_seen, m.first_seen.saturating_sub(1), m.here_since, m.still_since];
            let needed = self.members.iter().flat_map(numbers).collect();
            self.times.retain(&needed, first);
        }
    }

    /// Drops signatures without tasks, except those that had some most recently.
    fn let_signatures_go(&mut self) {
        // A task with a new signature is still known by its first one.
        let named = self.members.iter().flat_map(|member| [member.signature, member.first_signature]);
        let named: FxHashSet<SignatureId> = named.chain(self.anonymous.iter().map(|(_, id)| *id)).collect();
        let end = self.times.readings();
        let mut idle: Vec<(u32, SignatureId)> = (self.signatures.iter())
            .filter_map(|(id, _)| Some((id, self.tracks.get(id.index())?)))
            .filter(|(id, track)| track.last_seen + 1 < end && track.first == 0 && !named.contains(id))
            .map(|(id, track)| (track.last_seen, id))
            .collect();
        idle.sort_unstable();
        idle.truncate(idle.len().saturating_sub(self.remembered));
        let gone: FxHashSet<SignatureId> = idle.into_iter().map(|(_, id)| id).collect();
        for (id, signature) in self.signatures.retain(|id| !gone.contains(&id)) {
            let track = self.tracks.get_mut(id.index()).map(std::mem::take);
            self.let_go.add(signature, &track.unwrap_or_default());
        }
        self.signatures.forget_parts();
    }

    /// The kept readings, the oldest first.
    pub fn points(&self) -> &VecDeque<Point> {
        &self.points
    }

    /// How many readings there were, including those no longer kept.
    pub fn readings(&self) -> u32 {
        self.times.readings()
    }

    /// The header of the very first reading.
    pub fn first(&self) -> Option<&Header> {
        self.first.as_ref()
    }

    /// The last snapshot, whole.
    pub fn last(&self) -> Option<&Snapshot> {
        self.last.as_deref()
    }

    /// The same, to be kept.
    pub fn last_shared(&self) -> Option<&Arc<Snapshot>> {
        self.last.as_ref()
    }

    /// When a reading was made, nanoseconds since the first one. None if that is unknown, or no longer kept
    /// because neither [`Series::points`] nor [`Series::members`] refer to that reading.
    pub fn elapsed_at(&self, number: u32) -> Option<u64> {
        self.times.get(number)
    }

    /// The time from reading `number` to the last one, nanoseconds.
    pub fn since(&self, number: u32) -> Option<u64> {
        self.times.since(number)
    }

    /// How long the readings prove that a task has not run, nanoseconds. None if they prove nothing.
    ///
    /// Equal marks of a busy task are a coincidence once in 256 times (Go's count of how often a goroutine
    /// stopped has eight bits), so among many busy tasks some always have them. Only several equal marks in a
    /// row count as a proof: by chance they happen once in millions of times.
    pub fn still_ns(&self, member: &Member) -> Option<u64> {
        still_ns(&self.times, member)
    }

    /// How long every reading has found a task waiting at the same place for the same things until the same time,
    /// nanoseconds, where its runtime does not tell whether it ran in between. None for others.
    pub fn seen_ns(&self, member: &Member) -> Option<u64> {
        self.since(member.still_since).filter(|&ns| member.by_look && ns > 0)
    }

    /// The time from the first reading to the last, nanoseconds.
    pub fn span_ns(&self) -> Option<u64> {
        self.since(0)
    }

    /// Every remembered signature, and how its tasks came and went.
    pub fn tracks(&self) -> impl Iterator<Item = (SignatureId, &Signature, &Track)> {
        self.signatures
            .iter()
            .filter_map(|(id, signature)| Some((id, signature, self.tracks.get(id.index())?)))
    }

    /// What remains of signatures that are no longer remembered.
    pub fn let_go(&self) -> &LetGo {
        &self.let_go
    }

    /// A signature and how its tasks came and went. None if it was released.
    pub fn track(&self, id: SignatureId) -> Option<(&Signature, &Track)> {
        self.signatures.get(id).zip(self.tracks.get(id.index()))
    }

    /// The tasks of the last reading that have an identity, sorted by it.
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// [`Series::still_ns`] of each task of the last reading, in its order; 0 for none. Made while tasks are followed, because
    /// another pass over all of them would take longer.
    pub fn proved_ns(&self) -> &Arc<Vec<u64>> {
        &self.proved_ns
    }

    /// How many tasks of the last reading have no identity (see [`crate::snapshot::SourceKind::Profile`]).
    pub fn anonymous(&self) -> u64 {
        let task = |&(index, _): &(u32, SignatureId)| self.last.as_ref()?.tasks.get(index as usize);
        count_tasks(self.anonymous.iter().filter_map(task))
    }

    /// How tasks of one reading are found again in the next.
    pub fn matching(&self) -> &Matching {
        &self.matching
    }

    /// What the user should know about how the readings were compared.
    pub fn warning(&self) -> Option<String> {
        join(self.matching.warning().map(str::to_owned).into_iter().chain(self.lacks()))
    }

    /// What the user should know about readings that lack tasks, and about what is no longer remembered.
    pub(crate) fn lacks(&self) -> Option<String> {
        join(self.lacking.warning().into_iter().chain(self.let_go.warning()))
    }

    /// The options that it was made with.
    pub fn options(&self) -> SeriesOptions {
        self.options
    }
}

/// See [`Series::still_ns`].
fn still_ns(times: &Times, member: &Member) -> Option<u64> {
    let intervals = times.readings().saturating_sub(1).saturating_sub(member.still_since);
    let proved = intervals > 0 && !member.by_look && (member.exact || intervals >= PROOF);
    if proved { times.since(member.still_since).filter(|&ns| ns > 0) } else { None }
}

fn join(texts: impl Iterator<Item = String>) -> Option<String> {
    texts.reduce(|one, other| format!("{one}; {other}"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]
mod tests;
