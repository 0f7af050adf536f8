//! What is seen of a program while it runs: tasks that grow in number or are stuck, by the rules of `loiter leaks`.
//!
//! The rules are asked after each reading. A program that starts up, or runs one test after another, may look different a
//! moment later: so a kind of task counts if it was found in [`IN_A_ROW`] readings in a row, or is proven. Unless it is
//! also left at the end, it must have been found in one of the last so many readings: then the tasks ended with the
//! program. What recovers while the program goes on is no leak.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::charge::{Charge, Charger};
use super::{Leak, Standing, Terms, Unjudged, Verdict, order, stale};
use crate::analysis::Series;
use crate::analysis::baseline::{Kind, program_of};
use crate::analysis::leaks::context::Context;
use crate::analysis::leaks::left::Claims;
use crate::analysis::leaks::{Finding, Options, Sureness, series_options};
use crate::analysis::series::SeriesOptions;
use crate::snapshot::{Snapshot, count_tasks};

/// So many readings in a row make a finding count.
const IN_A_ROW: u32 = 3;
/// A single sign is not enough.
const LEAST: Sureness = Sureness::Likely;
/// Counts of this many readings are kept, so that a watch of days does not grow forever.
const KEPT: usize = 2_000;
/// Kinds that count; more are not kept.
const MAX_KINDS: usize = 1_000;

/// When the rules found tasks of a kind while the program ran.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Seen {
    /// In so many readings.
    pub readings: u32,
    /// From the first reading of the program to the first of these, nanoseconds. None if times are unknown.
    pub first_ns: Option<u64>,
    /// The same for the last of these.
    pub last_ns: Option<u64>,
}

/// How a program was watched while it ran.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Watched {
    /// Readings of it.
    pub readings: u32,
    /// From the first to the last, nanoseconds. None if times are unknown.
    pub span_ns: Option<u64>,
    /// Readings that failed.
    pub failed: u32,
    /// Why the last of these failed, a clause.
    pub trouble: Option<String>,
    /// The processor time that it cost loiter, nanoseconds.
    pub cpu_ns: u64,
    /// Kinds of tasks that would count, and were too many to be kept.
    pub left_out: u64,
}

/// Readings of a program that runs, and what the rules say of them.
#[derive(Debug)]
pub struct Watch {
    series: Series,
    options: Options,
    tests: Arc<[String]>,
    kinds: BTreeMap<Kind, Found>,
    left_out: u64,
}

/// What was found of a kind.
#[derive(Debug)]
struct Found {
    seen: Seen,
    in_a_row: u32,
    /// It was found often enough in a row, or is proven.
    is_sure: bool,
    /// How many readings there were when it was found last.
    last: u32,
    /// The surest, and of these the last.
    finding: Finding,
    charges: Vec<Charge>,
}

/// A reading.
#[derive(Debug, Clone, Copy)]
struct Now {
    /// How many there are with it.
    reading: u32,
    /// Nanoseconds since the first one, if known.
    elapsed_ns: Option<u64>,
}

impl Watch {
    /// A watch without readings.
    pub fn new(terms: &Terms) -> Watch {
        let options = Options {
            ignore: terms.ignore.clone(),
            ignore_file: terms.ignore_file.clone(),
            ..Options::default()
        };
        let series = Series::new(SeriesOptions { keep: Some(KEPT), ..series_options() });
        Watch { series, options, tests: Arc::clone(&terms.tests), kinds: BTreeMap::new(), left_out: 0 }
    }

    /// The last reading.
    pub fn last(&self) -> Option<&Arc<Snapshot>> {
        self.series.last_shared()
    }

    /// How many readings there were.
    pub fn watched(&self) -> Watched {
        Watched {
            readings: self.series.readings(),
            span_ns: self.series.span_ns(),
            left_out: self.left_out,
            ..Watched::default()
        }
    }

    /// The tests that the program lists, as in [`Terms::tests`].
    pub fn set_tests(&mut self, tests: Arc<[String]>) {
        self.tests = tests;
    }

    /// Takes the next reading of the same program.
    pub fn add(&mut self, snapshot: Arc<Snapshot>) {
        self.series.push(Arc::clone(&snapshot));
        let now = Now {
            reading: self.series.readings(),
            elapsed_ns: self.series.points().back().and_then(|point| point.elapsed_ns),
        };
        let context = Context::new(&self.series, &snapshot, &self.options);
        let claims = Claims::new(&context);
        let mut groups: BTreeMap<Kind, Vec<usize>> = BTreeMap::new();
        for nth in claims.about(LEAST) {
            if let Some(group) = context.kinds.get(nth) {
                groups.entry(group.kind()).or_default().push(nth);
            }
        }
        self.kinds.retain(|kind, found| {
            let is_there = groups.contains_key(kind);
            found.in_a_row = if is_there { found.in_a_row } else { 0 };
            is_there || found.is_sure
        });
        let mut charger = None;
        for (kind, groups) in groups {
            let Some(finding) = claims.claimed(&context, &groups) else { continue };
            let charger = charger.get_or_insert_with(|| Charger::new(&snapshot, &self.tests));
            let rows = groups.iter().filter_map(|&nth| context.kinds.get(nth)).flat_map(|group| &group.tasks);
            let charges = charger.charges(&rows.copied().collect::<Vec<_>>());
            if self.kinds.len() >= MAX_KINDS && !self.kinds.contains_key(&kind) {
                self.left_out = self.left_out.saturating_add(1);
                continue;
            }
            match self.kinds.get_mut(&kind) {
                Some(found) => found.again(finding, charges, now),
                None => drop(self.kinds.insert(kind, Found::new(finding, charges, now))),
            }
        }
    }

    /// Adds what counts to the verdict on the end of the program. What is left at the end, too, is one leak. If the end
    /// could not be read, the verdict is on what was seen before.
    pub fn join(&self, verdict: &mut Verdict, terms: &Terms) {
        let Some(last) = self.series.last() else { return };
        match &verdict.header {
            None => self.without_end(last, verdict),
            Some(header) if header.target.exe != last.header.target.exe => {
                if !verdict.unjudged.contains(&Unjudged::Changed) {
                    verdict.unjudged.push(Unjudged::Changed);
                }
                return;
            }
            Some(_) => {}
        }
        let lasts = |found: &Found| self.series.readings() < found.last.saturating_add(IN_A_ROW);
        for (kind, found) in self.kinds.iter().filter(|(_, found)| found.is_sure) {
            match same(&mut verdict.leaks, kind) {
                Some(leak) => found.add_to(leak),
                None if lasts(found) => verdict.leaks.push(found.leak(kind, &verdict.program, terms)),
                None => {}
            }
        }
        order(&mut verdict.leaks);
        if verdict.readings > 0 {
            verdict.stale = stale(&verdict.program, &verdict.leaks, terms);
        }
    }

    fn without_end(&self, last: &Snapshot, verdict: &mut Verdict) {
        (verdict.program, verdict.is_test) = program_of(&last.header);
        verdict.header = Some(last.header.clone());
        verdict.noun = super::sort::noun(last);
        verdict.tasks = count_tasks(last.tasks.iter().filter(|task| !task.system));
        verdict.unjudged.retain(|one| *one != Unjudged::NoReading);
        verdict.unjudged.push(Unjudged::EndNotRead);
    }
}

/// The kind among what was left: the same tasks may wait for something else at the end.
fn same<'a>(leaks: &'a mut [Leak], kind: &Kind) -> Option<&'a mut Leak> {
    let has_place = !kind.function.is_empty() && !kind.creator.is_empty();
    let place = |leak: &Leak| {
        has_place && (&leak.kind.function, &leak.kind.creator) == (&kind.function, &kind.creator)
    };
    let exact = leaks.iter().position(|leak| leak.kind == *kind);
    let nth = exact.or_else(|| leaks.iter().position(|leak| leak.seen.is_none() && place(leak)))?;
    leaks.get_mut(nth)
}

impl Found {
    fn new(finding: Finding, charges: Vec<Charge>, now: Now) -> Found {
        let seen = Seen { readings: 1, first_ns: now.elapsed_ns, last_ns: now.elapsed_ns };
        let is_sure = finding.sureness == Sureness::Proven;
        Found { seen, in_a_row: 1, is_sure, last: now.reading, finding, charges }
    }

    /// The kind was found in another reading.
    fn again(&mut self, finding: Finding, charges: Vec<Charge>, now: Now) {
        self.seen.readings = self.seen.readings.saturating_add(1);
        (self.seen.last_ns, self.last) = (now.elapsed_ns, now.reading);
        self.in_a_row = self.in_a_row.saturating_add(1);
        self.is_sure |= self.in_a_row >= IN_A_ROW || finding.sureness == Sureness::Proven;
        if finding.sureness >= self.finding.sureness {
            (self.finding, self.charges) = (finding, charges);
        }
    }

    fn leak(&self, kind: &Kind, program: &str, terms: &Terms) -> Leak {
        Leak {
            kind: kind.clone(),
            standing: Standing::of(kind, program, terms),
            is_left: false,
            seen: Some(self.seen),
            finding: self.finding.clone(),
            charges: self.charges.clone(),
        }
    }

    /// The tasks are left at the end, too: what was seen before is evidence.
    fn add_to(&self, leak: &mut Leak) {
        let Finding { sureness, hits, growth, ended, watched_ns, cause, .. } = &self.finding;
        let finding = &mut leak.finding;
        finding.sureness = finding.sureness.max(*sureness);
        for hit in hits {
            match finding.hits.iter_mut().find(|other| other.rule == hit.rule) {
                Some(other) => {
                    let new: Vec<_> =
                        hit.because.iter().filter(|one| !other.because.contains(one)).cloned().collect();
                    other.because.extend(new);
                    other.sureness = other.sureness.max(hit.sureness);
                }
                None => finding.hits.push(hit.clone()),
            }
        }
        finding.hits.sort_by_key(|hit| std::cmp::Reverse(hit.sureness));
        (finding.growth, finding.ended, finding.watched_ns) = (*growth, *ended, *watched_ns);
        finding.cause = finding.cause.or(*cause);
        leak.seen = Some(self.seen);
    }
}
