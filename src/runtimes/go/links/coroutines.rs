//! Coroutines, as behind `iter.Pull`: who waits for whom, by the runtime's own data.
//!
//! A `coro` names the goroutine that is blocked on it. While the coroutine rests, that is the coroutine itself; while it runs
//! or waits for something else, it is the goroutine that resumed it. Which goroutine is the coroutine, the `coro` does not say:
//! its address is in `g.coroarg` until the coroutine begins, then in the frame of `runtime.corostart`, the outermost one of
//! the stack. Source: `src/runtime/coro.go` of Go 1.22 to 1.27.

use rustc_hash::{FxHashMap, FxHashSet};

use super::parked::{Parked, Structs};
use super::{BATCH, Candidates, Search};
use crate::process::TargetError;
use crate::process::bytes::{word, words};
use crate::runtimes::go::Go;
use crate::runtimes::go::goroutine::Raw;
use crate::snapshot::{Action, Actor, By, Certainty, ObjectKind, Task, WaitOp};

/// Bytes of a stack in which the frame of `runtime.corostart`, the outermost one, is: it has less than 128, and a word for
/// its caller.
const OUTERMOST: u64 = 256;
/// `coro { gp guintptr; f func(*coro); ... }`: what is read of it.
const CORO: usize = 16;

/// A coroutine, as one look found it.
struct Coroutine {
    /// Number of its task in the builder.
    task: usize,
    raw: Raw,
    /// Addresses of what may be its `coro`.
    candidates: Vec<u64>,
}

/// A coroutine, its `coro`, and the goroutine that is blocked on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Link {
    /// Number of the coroutine's task.
    coroutine: usize,
    coro: u64,
    /// Address of the goroutine's struct.
    blocked: u64,
}

impl Search<'_, '_> {
    /// What goroutines that are blocked on a `coro` wait for.
    pub(super) fn coroutines(&mut self) -> Result<(), TargetError> {
        let Candidates { blocked_on_coroutines: waiting, coroutines, .. } = self.scope.candidates;
        if waiting.is_empty() {
            return Ok(());
        }
        let mut parked: FxHashMap<u64, Parked> = FxHashMap::default();
        for batch in waiting.chunks(BATCH) {
            let batch = self.structs.parked(batch, self.into)?;
            parked.extend(batch.into_iter().map(|parked| (parked.raw.address, parked)));
        }
        let mut links: Vec<Link> = Vec::new();
        for batch in coroutines.chunks(BATCH) {
            if self.budget.is_over() {
                break;
            }
            links.extend(self.links_of(batch, &parked)?);
        }
        let known = self.add_links(links, parked)?;
        let unknown = waiting.len() - known;
        if unknown > 0 {
            self.into.links.unknown.push(format!(
                "the coroutines on which {unknown} of {} goroutines are blocked are unknown: the goroutines have run \
                 meanwhile, or there was no time",
                waiting.len()
            ));
        }
        Ok(())
    }

    /// Who is blocked on what belongs to these coroutines.
    fn links_of(
        &mut self,
        tasks: &[usize],
        parked: &FxHashMap<u64, Parked>,
    ) -> Result<Vec<Link>, TargetError> {
        let tasks: Vec<(usize, Task)> =
            tasks.iter().filter_map(|&number| Some((number, *self.into.tasks().get(number)?))).collect();
        let (go, structs) = (self.go, &mut self.structs);
        let mut coroutines = look(go, structs, &tasks)?;
        let candidates: Vec<(usize, u64)> = (0..)
            .zip(&coroutines)
            .flat_map(|(nth, of)| of.candidates.iter().map(move |&coro| (nth, coro)))
            .collect();
        let addresses: Vec<u64> = candidates.iter().map(|&(_, coro)| coro).collect();
        let mut found: Vec<(usize, u64, u64, u64)> = Vec::new();
        structs.each(&addresses, CORO, |i, bytes| {
            let (nth, coro) = candidates[i];
            let (blocked, function) = (word(bytes, 0), word(bytes, 8));
            if parked.contains_key(&blocked) {
                found.push((nth, coro, blocked, function));
            }
        })?;
        // What it runs is a closure, which begins with the address of a function.
        let closures: Vec<u64> = found.iter().map(|&(.., function)| function).collect();
        let entries = structs.words(&closures)?;
        let is_entry = |entry: &u64| go.function(*entry).is_some_and(|function| function.entry() == *entry);
        let mut entries = entries.into_iter().map(|entry| entry.as_ref().is_some_and(is_entry));
        found.retain(|_| entries.next().unwrap_or(false));
        // Is each still the same coroutine, on the same stack?
        let again = look(go, structs, &tasks)?;
        let now: FxHashMap<usize, Raw> = again.iter().map(|of| (of.task, of.raw)).collect();
        coroutines.iter_mut().for_each(|of| {
            let same = now.get(&of.task).is_some_and(|now| {
                (now.goid, now.startpc, now.stack_hi) == (of.raw.goid, of.raw.startpc, of.raw.stack_hi)
            });
            if !same {
                of.candidates.clear();
            }
        });
        let link = |(nth, coro, blocked, _): (usize, u64, u64, u64)| {
            let of: &Coroutine = coroutines.get(nth)?;
            of.candidates.contains(&coro).then_some(Link { coroutine: of.task, coro, blocked })
        };
        Ok(found.into_iter().filter_map(link).collect())
    }

    /// Adds what is certain: the goroutine did not move, and only one coroutine has the `coro`. Returns for how many goroutines
    /// it is known what they wait for.
    fn add_links(
        &mut self,
        links: Vec<Link>,
        mut parked: FxHashMap<u64, Parked>,
    ) -> Result<usize, TargetError> {
        let links = unambiguous(links);
        let found =
            links.into_iter().filter_map(|link| Some((parked.remove(&link.blocked)?, link))).collect();
        let mut known = 0;
        for (Parked { task, .. }, Link { coroutine, coro, .. }) in self.structs.unmoved(found)? {
            let rests = task == coroutine;
            let op = if rests { WaitOp::Resume } else { WaitOp::Receive };
            if !self.wait(task, ObjectKind::Coroutine, coro, op) {
                continue;
            }
            known += 1;
            if !rests {
                let object = self.into.object(ObjectKind::Coroutine, coro, |_| None);
                let by = By::Task(coroutine as u32);
                self.into.links.actors.push(Actor {
                    object,
                    by,
                    action: Action::Yield,
                    certainty: Certainty::Sure,
                    location: None,
                    hops: 0,
                });
            }
        }
        Ok(known)
    }
}

/// The coroutines among these tasks that are still what they were, each with what may be its `coro`.
fn look(go: &Go, structs: &mut Structs<'_>, tasks: &[(usize, Task)]) -> Result<Vec<Coroutine>, TargetError> {
    let (offsets, argument) = (&go.offsets, go.links.g_coroarg);
    let addresses: Vec<u64> = tasks.iter().map(|(_, task)| task.address).collect();
    let mut found: Vec<Coroutine> = Vec::new();
    let size = offsets.g_size.max(argument.map_or(0, |at| at + 8));
    structs.each(&addresses, size, |i, bytes| {
        let (number, task) = &tasks[i];
        let raw = Raw::parse(task.address, bytes, offsets);
        if task.id == Some(raw.goid) && !raw.is_over() && raw.on_stack(raw.stack_hi) {
            let begins_with = argument.map(|at| word(bytes, at)).filter(|&coro| coro != 0);
            found.push(Coroutine { task: *number, raw, candidates: begins_with.into_iter().collect() });
        }
    })?;
    let outermost: Vec<u64> = found.iter().map(|of| of.raw.stack_hi.saturating_sub(OUTERMOST)).collect();
    structs.each(&outermost, OUTERMOST as usize, |i, bytes| {
        let of = &mut found[i];
        let on_stack = of.raw.stack_lo..of.raw.stack_hi;
        let may_be = |&word: &u64| word >= 4096 && word.is_multiple_of(8) && !on_stack.contains(&word);
        let all: FxHashSet<u64> = of.candidates.drain(..).chain(words(bytes).filter(may_be)).collect();
        of.candidates.extend(all);
    })?;
    Ok(found)
}

/// Without those of which two contradict each other: one coroutine with two, or two with one.
fn unambiguous(mut links: Vec<Link>) -> Vec<Link> {
    links.sort_unstable_by_key(|link| (link.coroutine, link.coro, link.blocked));
    links.dedup();
    let mut times: FxHashMap<(u8, u64), u32> = FxHashMap::default();
    let keys = |link: &Link| [(0, link.coroutine as u64), (1, link.coro), (2, link.blocked)];
    for link in &links {
        keys(link).into_iter().for_each(|key| *times.entry(key).or_default() += 1);
    }
    links.retain(|link| keys(link).iter().all(|key| times.get(key) == Some(&1)));
    links
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_contradicts_itself_is_left_out() {
        let link = |coroutine, coro, blocked| Link { coroutine, coro, blocked };
        let good = [link(1, 0x10, 0x100), link(2, 0x20, 0x200)];
        assert_eq!(unambiguous(good.to_vec()), good);
        assert_eq!(unambiguous(vec![good[0], good[1], good[0]]), good, "the same twice is no contradiction");
        for bad in [link(1, 0x30, 0x300), link(3, 0x10, 0x300), link(3, 0x30, 0x100)] {
            assert_eq!(unambiguous(vec![good[0], good[1], bad]), good[1..], "{bad:?}");
        }
    }
}
