//! One finding for each cause.

use std::cmp::Reverse;

use rustc_hash::{FxHashMap, FxHashSet};

use super::because_of;
use super::context::{Context, noun};
use super::evidence::Evidence;
use super::finding::{Finding, Hit, Holder, Part, Report, Sample, Sureness};
use super::ignore::Silenced;
use super::listed::Listed;
use super::rest;
use super::rules::{Claim, RULES, left, processors};
use super::task_group::{LeftOut, TaskGroup};
use crate::analysis::trend::Trend;
use crate::snapshot::Age;

/// Tasks that are named.
const SAMPLES: usize = 5;

/// Claims of one cause, each with the position of its rule in the list.
#[derive(Default)]
struct Cause {
    claims: Vec<(usize, Claim)>,
    kinds: Vec<usize>,
}

/// Asks every rule, and joins claims about the same tasks.
pub(super) fn report(context: &Context<'_>) -> Report {
    let claims = claims(context);
    let causes = causes(context, claims);
    let found: FxHashSet<usize> = causes.iter().flat_map(|cause| &cause.kinds).copied().collect();
    let with_kinds = |Cause { claims, kinds }: Cause| Some((finding(context, claims, &kinds)?, kinds));
    let mut findings: Vec<(Finding, Vec<usize>)> = causes.into_iter().filter_map(with_kinds).collect();
    findings.sort_by_key(|(finding, _)| Reverse((finding.sureness, finding.cost(), finding.now)));
    describe(context, because_of::join(context, findings), &found)
}

/// What every rule claims, each claim with the position of its rule in the list.
pub(super) fn claims(context: &Context<'_>) -> Vec<(usize, Claim)> {
    let of = |(nth, rule): (usize, &&dyn super::rules::Rule)| {
        rule.check(context).into_iter().map(move |claim| (nth, claim)).collect::<Vec<_>>()
    };
    RULES.iter().enumerate().flat_map(of).collect()
}

/// Joins claims that share tasks, and claims about tasks that were started at one place.
fn causes(context: &Context<'_>, claims: Vec<(usize, Claim)>) -> Vec<Cause> {
    let mut roots = Roots((0..context.kinds.len()).collect());
    // For each kind: whether a claim exists, and whether it is proven.
    let mut said: Vec<Option<bool>> = vec![None; context.kinds.len()];
    for (_, claim) in &claims {
        for &kind in &claim.kinds {
            if let Some(slot) = said.get_mut(kind) {
                *slot = Some(*slot == Some(true) || claim.sureness == Sureness::Proven);
            }
        }
        if let [first, others @ ..] = claim.kinds.as_slice() {
            others.iter().for_each(|&other| roots.join(*first, other));
        }
    }
    let (mut by_creator, mut by_stack) = (FxHashMap::default(), FxHashMap::default());
    for (nth, kind) in context.kinds.iter().enumerate() {
        // A proof about some tasks must not be extended to others.
        let (Some(Some(proven)), Some(creator)) = (said.get(nth), &kind.signature.creator) else { continue };
        // A server starts all its handlers with one statement: the function has to be the same, too.
        let function = kind.at.map(|at| &at.function);
        let other = *by_creator.entry((creator, function, *proven)).or_insert(nth);
        roots.join(other, nth);
        // Two statements of one function may start tasks that are at the same place.
        let frames: Vec<_> = kind.signature.frames.iter().map(|f| (&f.function, &f.file, f.line)).collect();
        let other = *by_stack.entry((&creator.function, frames, *proven)).or_insert(nth);
        roots.join(other, nth);
    }
    let mut causes: Vec<Cause> = Vec::new();
    let mut by_root: FxHashMap<usize, usize> = FxHashMap::default();
    for (rule, claim) in claims {
        let Some(&kind) = claim.kinds.first() else {
            causes.push(Cause { claims: vec![(rule, claim)], kinds: Vec::new() });
            continue;
        };
        let at = *by_root.entry(roots.of(kind)).or_insert_with(|| {
            causes.push(Cause::default());
            causes.len() - 1
        });
        if let Some(cause) = causes.get_mut(at) {
            cause.kinds.extend(
                claim.kinds.iter().filter(|kind| !cause.kinds.contains(kind)).copied().collect::<Vec<_>>(),
            );
            cause.claims.push((rule, claim));
        }
    }
    causes
}

/// Which kinds belong together: each points to another one of its set, or to itself.
struct Roots(Vec<usize>);

impl Roots {
    fn of(&self, mut nth: usize) -> usize {
        while let Some(&up) = self.0.get(nth).filter(|&&up| up != nth) {
            nth = up;
        }
        nth
    }

    fn join(&mut self, a: usize, b: usize) {
        // The larger one points to the smaller one, so that there is no cycle.
        let (a, b) = (self.of(a), self.of(b));
        if let Some(slot) = self.0.get_mut(a.max(b)) {
            *slot = a.min(b);
        }
    }
}

/// One finding about these groups, of claims with one cause. None without a claim.
pub(super) fn finding(
    context: &Context<'_>,
    mut claims: Vec<(usize, Claim)>,
    kinds: &[usize],
) -> Option<Finding> {
    // A stable sort: among equally sure claims the order of the list decides.
    claims.sort_by_key(|(nth, claim)| (Reverse(claim.sureness), *nth));
    let sureness = claims.first()?.1.sureness;
    let mut kinds: Vec<&TaskGroup<'_>> = kinds.iter().filter_map(|&nth| context.kinds.get(nth)).collect();
    let main =
        claims.first().and_then(|(_, claim)| claim.kinds.first()).and_then(|&nth| context.kinds.get(nth));
    // The first kind of the surest claim, then the largest.
    kinds.sort_by_key(|kind| (!main.is_some_and(|main| std::ptr::eq(main, *kind)), Reverse(kind.count())));
    // Rules with general causes come last in the list.
    let mut in_order: Vec<&(usize, Claim)> = claims.iter().collect();
    in_order.sort_by_key(|(nth, _)| *nth);
    let cause = in_order.into_iter().find_map(|(_, claim)| claim.cause);
    let followed = context.series.matching().by_id() && !context.is_single();
    let tracked = || kinds.iter().filter(|kind| kind.track.is_some());
    let all_tracked = kinds.iter().all(|kind| kind.track.is_some()) && !kinds.is_empty();
    let first = (all_tracked && !context.is_single())
        .then(|| tracked().filter_map(|kind| kind.track).map(|track| track.first).sum());
    Some(Finding {
        sureness,
        cause,
        noun: noun(context, &kinds),
        module: kinds.first().and_then(|kind| kind.module).cloned(),
        now: kinds.iter().map(|kind| kind.count()).sum(),
        first,
        stayed: (all_tracked && followed).then(|| tracked().map(|kind| kind.stayed).sum()),
        ended: (all_tracked && followed).then(|| tracked().filter_map(|kind| kind.ended()).sum()),
        watched_ns: context.watched_ns(),
        growth: growth(context, &kinds),
        age: oldest(context, &kinds),
        stack_bytes: kinds.iter().fold(0, |sum, kind| sum.saturating_add(kind.stack_bytes)),
        samples: samples(context, &kinds),
        holders: holders(&claims),
        parts: kinds.iter().copied().map(part).collect(),
        hits: hits(claims),
        because_of: None,
    })
}

/// Holders of locks that are named in one finding.
const HOLDERS: usize = 8;

/// The holders that the claims name, each once for each lock.
fn holders(claims: &[(usize, Claim)]) -> Vec<Holder> {
    let mut holders: Vec<Holder> = Vec::new();
    for holder in claims.iter().flat_map(|(_, claim)| &claim.holders) {
        let same = |other: &Holder| {
            (other.task.id, other.task.address, other.lock)
                == (holder.task.id, holder.task.address, holder.lock)
        };
        if holders.len() < HOLDERS && !holders.iter().any(same) {
            holders.push(holder.clone());
        }
    }
    holders.sort_by_key(|holder| holder.how);
    holders
}

/// At most this many pieces of evidence of one rule: more places with the same evidence say nothing new.
const PIECES: usize = 8;

/// The rules and what they saw; each rule is named once.
fn hits(claims: Vec<(usize, Claim)>) -> Vec<Hit> {
    let mut hits: Vec<Hit> = Vec::new();
    for (nth, claim) in claims {
        let rule = RULES.get(nth).map_or(left::NAME, |rule| rule.name());
        // A later rule does not repeat what an earlier one said.
        let said = |one: &Evidence| hits.iter().any(|hit: &Hit| hit.because.contains(one));
        let because: Vec<Evidence> = claim.because.into_iter().filter(|one| !said(one)).collect();
        match hits.iter_mut().find(|hit| hit.rule == rule) {
            Some(hit) if hit.because.len() >= PIECES => {}
            Some(hit) => {
                hit.because.extend(because);
            }
            None => hits.push(Hit { rule, sureness: claim.sureness, because }),
        }
    }
    hits.iter_mut().for_each(|hit| hit.because.truncate(PIECES));
    hits
}

pub(super) fn part(kind: &TaskGroup<'_>) -> Part {
    Part {
        count: kind.count(),
        what: kind.what.clone(),
        at: kind.at.cloned(),
        stack: kind.signature.frames.clone(),
        creator: kind.signature.creator.clone(),
    }
}

/// The trend of all of them together: rates add up, and so do the squares of their uncertainties.
fn growth(context: &Context<'_>, kinds: &[&TaskGroup<'_>]) -> Option<Trend> {
    if context.is_single() {
        return None;
    }
    let trends: Option<Vec<Trend>> = kinds.iter().map(|kind| kind.trend).collect();
    let trends = trends.filter(|trends| !trends.is_empty())?;
    let squares: Option<f64> = trends.iter().map(|trend| trend.plus_minus.map(|pm| pm * pm)).sum();
    Some(Trend {
        per_minute: trends.iter().map(|trend| trend.per_minute).sum(),
        plus_minus: squares.map(f64::sqrt),
        rising: trends.iter().map(|trend| trend.rising).fold(0.0, f64::max),
    })
}

/// The longest time that one of them has been there: in its state, or alive if that is known.
fn oldest(context: &Context<'_>, kinds: &[&TaskGroup<'_>]) -> Age {
    kinds.iter().map(|kind| kind.age).max_by_key(|age| age.nanos()).map_or(Age::Unknown, |age| match age {
        // Tasks that were not followed have only the age that the runtime gives.
        Age::Unknown => {
            let there = kinds
                .iter()
                .flat_map(|kind| context.members(kind))
                .filter_map(|m| context.series.since(m.first_seen));
            there.max().filter(|&ns| ns > 0).map_or(Age::Unknown, Age::AtLeast)
        }
        known => known,
    })
}

fn samples(context: &Context<'_>, kinds: &[&TaskGroup<'_>]) -> Vec<Sample> {
    let mut samples = Vec::new();
    for kind in kinds {
        // Ids are assigned in roughly ascending order.
        let mut tasks: Vec<_> = kind.tasks.iter().filter_map(|&index| context.task(index)).collect();
        tasks.sort_by_key(|task| (task.id.is_none(), task.id));
        let identified = tasks.into_iter().filter(|task| task.id.is_some() || task.address != 0);
        samples.extend(identified.take(SAMPLES).map(|task| Sample { id: task.id, address: task.address }));
    }
    samples.truncate(SAMPLES);
    samples
}

fn describe(context: &Context<'_>, findings: Vec<Finding>, found: &FxHashSet<usize>) -> Report {
    let left_out = |why: LeftOut| {
        let kinds = context.kinds.iter().filter(|kind| kind.left_out == Some(why));
        kinds.map(TaskGroup::count).sum()
    };
    let (undecided, healthy) = rest::classify(context, found);
    let mut header = context.snapshot.header.clone();
    header.warnings.extend(context.series.lacks().filter(|_| !context.is_single()));
    let points = || context.series.points().iter().map(|point| &point.header.reading);
    Report {
        header,
        readings: context.series.readings(),
        span_ns: context.watched_ns(),
        matching: context.series.matching().clone(),
        threads_stopped: points().map(|reading| u64::from(reading.threads_stopped)).sum(),
        longest_stop_ns: points().map(|reading| reading.longest_thread_stop_ns).max().unwrap_or(0),
        noun: noun(context, &[]),
        tasks: context.kinds.iter().map(TaskGroup::count).sum(),
        scheduler: processors::notes(context),
        undecided,
        healthy,
        findings,
        ignored: left_out(LeftOut::Ignored),
        silenced: context
            .options
            .ignore_file
            .as_ref()
            .map(|file| Silenced { path: file.path.clone(), tasks: left_out(LeftOut::IgnoredByFile) }),
        in_baseline: left_out(LeftOut::Baseline),
        listed: Listed::new(context, found),
    }
}
