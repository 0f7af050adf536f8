//! Timers: of sleeping goroutines, and of channels that goroutines wait for.

use rustc_hash::{FxHashMap, FxHashSet};

use super::budget::Budget;
use super::heaps::{self, Purpose, Purposes};
use super::parked::{Parked, Structs};
use super::raw_timer::{RawTimer, at};
use crate::process::TargetError;
use crate::runtimes::go::Go;
use crate::snapshot::TimerState;

/// When sleeping goroutines are woken. A goroutine whose timer is not its own has none.
pub(super) fn sleeps(
    go: &Go,
    parked: Vec<Parked>,
    structs: &mut Structs<'_>,
) -> Result<Vec<(Parked, TimerState)>, TargetError> {
    let Some(layout) = go.links.timer else { return Ok(Vec::new()) };
    let addresses: Vec<u64> = parked.iter().map(|parked| parked.timer).collect();
    let mut found = Vec::with_capacity(parked.len());
    structs.each(&addresses, layout.size, |i, bytes| {
        let (parked, timer) = (parked[i], layout.parse(bytes));
        if parked.timer == 0 || timer.data != parked.raw.address {
            return;
        }
        // The timer itself is started just after the goroutine has parked.
        let state = match parked.sleep_when.or(timer.next_when) {
            _ if timer.is_fake => TimerState::Fake,
            Some(when) => at(when),
            None => timer.state,
        };
        found.push((parked, state));
    })?;
    structs.unmoved(found)
}

/// The timers that send on these channels. A channel without one is left out; the second result says whether none
/// of those that were left out can have one.
pub(super) fn of_channels(
    go: &Go,
    channels: &[u64],
    structs: &mut Structs<'_>,
    budget: &Budget,
) -> Result<(FxHashMap<u64, RawTimer>, bool), TargetError> {
    let mut found = named_by_channels(go, channels, structs)?;
    let mut is_whole = true;
    // A timer that moves within its heap, or to another one, can be overlooked once.
    for _ in 0..2 {
        let missing: FxHashSet<u64> =
            channels.iter().copied().filter(|channel| !found.contains_key(channel)).collect();
        if missing.is_empty() {
            break;
        }
        let mut candidates = Vec::new();
        is_whole = heaps::each(go, structs, budget, |timer| {
            if missing.contains(&timer.data) {
                candidates.push(timer);
            }
        })?;
        let mut purposes = Purposes::new(go);
        candidates.retain(|timer| purposes.of(timer.f, structs) == Purpose::Send);
        found.extend(candidates.into_iter().map(|timer| (timer.data, timer)));
        if !is_whole || structs.is_still() {
            break;
        }
    }
    Ok((found, is_whole))
}

/// The timers that channels themselves name, from Go 1.23 on.
fn named_by_channels(
    go: &Go,
    channels: &[u64],
    structs: &mut Structs<'_>,
) -> Result<FxHashMap<u64, RawTimer>, TargetError> {
    let mut found = FxHashMap::default();
    let (Some(layout), Some(at)) = (go.links.timer, go.links.hchan_timer) else { return Ok(found) };
    let fields: Vec<u64> = channels.iter().map(|channel| channel.wrapping_add(at as u64)).collect();
    let named = structs.words(&fields)?.into_iter().zip(channels);
    let (timers, channels): (Vec<u64>, Vec<u64>) =
        named.filter_map(|(timer, channel)| Some((timer.filter(|timer| *timer != 0)?, *channel))).unzip();
    structs.each(&timers, layout.size, |i, bytes| {
        let timer = layout.parse(bytes);
        if timer.data == channels[i] {
            found.insert(channels[i], timer);
        }
    })?;
    Ok(found)
}
