//! Functions that timers will call (`time.AfterFunc`) and that have a channel at hand that goroutines wait for.
//!
//! A closure is its code's address and the variables that it captured. What it will do is not run ahead: a channel
//! among the variables is a "perhaps".

use rustc_hash::FxHashMap;

use super::budget::Budget;
use super::heaps::{self, Purpose, Purposes};
use super::parked::Structs;
use super::raw_timer::RawTimer;
use super::{BATCH, Search};
use crate::process::bytes::words;
use crate::process::{Target, TargetError};
use crate::runtimes::go::{Go, arch};
use crate::runtimes::{Pause, ReadOptions};
use crate::snapshot::{Action, Actor, By, Certainty, ObjectId, ObjectKind, TimerState};

/// Words of a closure that are read: its code and the first variables.
const CLOSURE: usize = 16;
/// Functions with more code than this are not searched for calls, bytes.
const MAX_CODE: u64 = 64 << 10;
/// Actors of one search.
const MAX_ACTORS: usize = 1 << 16;

/// The functions that timers will call: when, and the address of the closure. The second result says whether all
/// timers were read.
pub(in super::super) fn timer_calls(
    go: &Go,
    target: &dyn Target,
    options: &ReadOptions,
) -> Result<(Vec<(u64, u64)>, bool), TargetError> {
    let still = target.is_static() || options.pause == Pause::Everything;
    let mut structs = Structs::new(target, &go.offsets, go.links, still);
    let mut timers = Vec::new();
    let is_whole = heaps::each(go, &mut structs, &Budget::new(options.actors), |timer| {
        if let TimerState::At(when) = timer.state {
            timers.push((timer.f, when, timer.data));
        }
    })?;
    let mut purposes = Purposes::new(go);
    timers.retain(|(f, ..)| purposes.of(*f, &structs) == Purpose::Call);
    Ok((timers.into_iter().map(|(_, when, closure)| (when, closure)).collect(), is_whole))
}

impl Search<'_, '_> {
    /// Finds timers whose functions will act on channels that goroutines wait for.
    pub(super) fn functions(&mut self) -> Result<(), TargetError> {
        let objects = (0..).map(ObjectId).zip(self.into.objects()).skip(self.scope.first_object);
        let channels: FxHashMap<u64, ObjectId> = objects
            .filter(|(_, object)| object.kind == ObjectKind::Channel)
            .map(|(id, object)| (object.address, id))
            .collect();
        if channels.is_empty() {
            return Ok(());
        }
        let mut timers = Vec::new();
        let is_whole = heaps::each(self.go, &mut self.structs, &self.budget, |timer| {
            if matches!(timer.state, TimerState::At(_)) {
                timers.push(timer);
            }
        })?;
        if !is_whole {
            let unknown = "the functions that timers will call are not all known: not all timers were read";
            self.into.links.unknown.push(unknown.to_owned());
        }
        let mut purposes = Purposes::new(self.go);
        timers.retain(|timer| purposes.of(timer.f, &self.structs) == Purpose::Call);
        let mut actions = FxHashMap::default();
        for batch in timers.chunks(BATCH) {
            for (timer, entry, object) in self.captured(batch, &channels)? {
                let TimerState::At(when) = timer.state else { continue };
                if self.into.links.actors.len() >= MAX_ACTORS {
                    return Ok(());
                }
                let (go, structs) = (self.go, &self.structs);
                let action = *actions.entry(entry).or_insert_with(|| action(go, structs.memory, entry));
                let location = Some(self.resolver.within(entry, &mut self.into.code));
                let (by, certainty) = (By::Timer(when), Certainty::Perhaps);
                self.into.links.actors.push(Actor { object, by, action, certainty, location, hops: 0 });
            }
        }
        Ok(())
    }

    /// The closures of these timers that captured one of the channels: the timer, the closure's function, the channel.
    fn captured(
        &mut self,
        timers: &[RawTimer],
        channels: &FxHashMap<u64, ObjectId>,
    ) -> Result<Vec<(RawTimer, u64, ObjectId)>, TargetError> {
        let closures: Vec<u64> = timers.iter().map(|timer| timer.data).collect();
        let (go, mut found) = (self.go, Vec::new());
        self.structs.each(&closures, 8 * CLOSURE, |i, bytes| {
            let mut words = words(bytes);
            let entry = words.next().filter(|entry| go.function(*entry).is_some_and(|f| f.entry() == *entry));
            let Some(entry) = entry else { return };
            let captured = words.find_map(|word| channels.get(&word));
            found.extend(captured.map(|object| (timers[i], entry, *object)));
        })?;
        Ok(found)
    }
}

/// What a function does with channels, by the runtime's functions that it calls.
fn action(go: &Go, memory: &dyn crate::process::Memory, entry: u64) -> Action {
    let calls = || {
        let len = go.function(entry)?.end().checked_sub(entry).filter(|len| *len <= MAX_CODE)?;
        let code = memory.read_vec(entry, len as usize).ok()?;
        Some(arch::calls(&code, entry))
    };
    let (mut closes, mut sends) = (false, false);
    for called in calls().unwrap_or_default() {
        match go.function(called).map(|function| function.name()).as_deref() {
            Some("runtime.closechan") => closes = true,
            Some("runtime.chansend1" | "runtime.selectnbsend" | "runtime.selectgo") => sends = true,
            _ => {}
        }
    }
    match (closes, sends) {
        (true, false) => Action::Close,
        (false, true) => Action::Send,
        _ => Action::Unknown,
    }
}
