//! Judges one reading after the other.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::course::Turn;
use super::{Baseline, Course, FORGET, Growth, Learned, Memory, Period, Rules, Sample, Subject, growth};
use crate::analysis::trend::Trend;

/// What was exceeded.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Limit {
    /// This many tasks.
    Tasks(u64),
    /// This growth, tasks per minute.
    Growth(f64),
    /// This threshold, which follows from what was learned.
    Learned(u64),
}

/// A limit was exceeded.
#[derive(Debug, Clone, PartialEq)]
pub struct Trip {
    /// By whom.
    pub subject: Subject,
    /// The limit.
    pub limit: Limit,
    /// The reading with which that was known, nanoseconds since the Unix epoch.
    pub at_ns: u64,
    /// The counts that exceeded it: of one reading for [`Limit::Tasks`], the medians of the last periods otherwise.
    pub counts: Vec<u64>,
    /// How fast they grow, for [`Limit::Growth`].
    pub trend: Option<Trend>,
    /// What was learned of the subject, for [`Limit::Learned`].
    pub learned: Option<Learned>,
}

/// Something that a watch reports.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// A limit was exceeded.
    Tripped(Trip),
    /// Enough periods in a row were within a limit that had been exceeded.
    Recovered {
        /// Whose number it is.
        subject: Subject,
        /// The limit.
        limit: Limit,
        /// The reading with which that was known, nanoseconds since the Unix epoch.
        at_ns: u64,
    },
}

/// How much a watch has judged so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Judged {
    /// Readings.
    pub readings: u64,
    /// Periods with enough readings.
    pub periods: u64,
    /// Other periods that have ended.
    pub missed: u64,
    /// Periods after which the growth of all tasks was decided.
    pub growth: u64,
    /// Trips.
    pub trips: u64,
    /// At most this many small groups of one reading were not followed.
    pub left_out: u64,
}

/// Judges one reading after the other. See the [module](super).
#[derive(Debug, Clone, PartialEq)]
pub struct Watch {
    rules: Rules,
    baseline: Option<Baseline>,
    memory: Memory,
    judged: Judged,
}

impl Watch {
    /// Continues from what was remembered.
    ///
    /// If periods now have another length, all rows of periods begin anew. What a limit that is not set any more had
    /// tripped is forgotten.
    pub fn new(rules: Rules, baseline: Option<Baseline>, mut memory: Memory) -> Watch {
        if memory.period_ns != rules.period_ns {
            if let Some(period) = memory.period.take() {
                memory.first = period.number.saturating_add(1);
            }
            memory.forget_counts();
            (memory.period_ns, memory.start_ns) = (rules.period_ns, None);
        }
        for course in memory.courses.values_mut() {
            let unset = [
                (&mut course.tasks, rules.max_tasks.is_none()),
                (&mut course.growth, rules.max_growth.is_none()),
                (&mut course.learned, baseline.is_none()),
            ];
            unset
                .into_iter()
                .filter(|(_, unset)| *unset)
                .for_each(|(excursion, _)| *excursion = <_>::default());
        }
        Watch { rules, baseline, memory, judged: Judged::default() }
    }

    /// The rules that it was made with.
    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    /// What was learned.
    pub fn baseline(&self) -> Option<&Baseline> {
        self.baseline.as_ref()
    }

    /// What it remembers.
    pub fn memory(&self) -> &Memory {
        &self.memory
    }

    /// How much it has judged since it was made.
    pub fn judged(&self) -> Judged {
        self.judged
    }

    /// From here on, the readings are of another process. Its counts are not mixed with those of the one before: rows
    /// of periods begin anew. A limit that has tripped stays so, until the new process is within it for long enough.
    pub fn another_process(&mut self) {
        self.memory.forget_counts();
    }

    /// Adds a reading. Returns what it reports, all tasks first.
    pub fn read(&mut self, sample: &Sample) -> Vec<Event> {
        let mut events = Vec::new();
        self.judged.readings += 1;
        self.judged.left_out = self.judged.left_out.max(sample.left_out);
        let number = self.advance(sample.at_ns, &mut events);
        let period = self.memory.period.get_or_insert_with(|| Period { number, ..Period::default() });
        let left_out = period.add(sample).saturating_add(sample.left_out);
        self.judged.left_out = self.judged.left_out.max(left_out);
        if let Some(limit) = self.rules.max_tasks.filter(|&limit| sample.tasks > limit) {
            let course = self.memory.courses.entry(Subject::All).or_default();
            if !course.tasks.tripped {
                course.tasks.trip();
                events.push(Event::Tripped(Trip {
                    subject: Subject::All,
                    limit: Limit::Tasks(limit),
                    at_ns: sample.at_ns,
                    counts: vec![sample.tasks],
                    trend: None,
                    learned: None,
                }));
            }
        }
        self.judged.trips += events.iter().filter(|event| matches!(event, Event::Tripped(_))).count() as u64;
        events
    }

    /// Ends the periods that have ended by now, and returns the number of the one that goes on.
    fn advance(&mut self, at_ns: u64, events: &mut Vec<Event>) -> u64 {
        let memory = &mut self.memory;
        let start_ns = *memory.start_ns.get_or_insert(at_ns);
        let since = self.rules.period_of(start_ns, at_ns).map(|periods| memory.first.saturating_add(periods));
        let Some(open) = memory.period.as_ref().map(|period| period.number) else {
            return since.unwrap_or(memory.first);
        };
        match since {
            Some(number) if number == open => open,
            Some(number) if number > open => {
                self.close(at_ns, events);
                self.miss(number - open - 1);
                number
            }
            // The clock was set back: how long this period was is not known.
            _ => {
                memory.period = None;
                (memory.start_ns, memory.first) = (Some(at_ns), open.saturating_add(1));
                self.miss(1);
                self.memory.first
            }
        }
    }

    fn close(&mut self, at_ns: u64, events: &mut Vec<Event>) {
        match self.memory.period.take() {
            Some(period) if period.is_read(&self.rules) => self.judge(&period, at_ns, events),
            Some(_) => self.miss(1),
            None => {}
        }
    }

    fn miss(&mut self, periods: u64) {
        self.judged.missed = self.judged.missed.saturating_add(periods);
        self.memory.missed = self.memory.missed.saturating_add(periods);
        if self.memory.missed >= FORGET {
            self.memory.forget_rows();
        }
    }

    fn judge(&mut self, period: &Period, at_ns: u64, events: &mut Vec<Event>) {
        self.judged.periods += 1;
        self.memory.missed = 0;
        let named = period.groups.keys().map(|name| Subject::Group(Arc::clone(name)));
        let subjects: BTreeSet<Subject> =
            [Subject::All].into_iter().chain(named).chain(self.memory.courses.keys().cloned()).collect();
        for subject in subjects {
            let course = self.memory.courses.entry(subject.clone()).or_default();
            course.add(period.number, period.median(&subject));
            let mut checked = Checked { subject: &subject, course, at_ns, events: &mut *events };
            if let Some(limit) = self.rules.max_tasks.filter(|_| subject == Subject::All) {
                checked.tasks(limit, period.highest());
            }
            if let Some(limit) = self.rules.max_growth {
                let decided = checked.growth(limit, self.rules.period_ns);
                self.judged.growth += u64::from(decided && subject == Subject::All);
            }
            if let Some(baseline) = &self.baseline {
                checked.learned(baseline, &self.rules);
            }
        }
        self.memory.tidy();
    }
}

/// A subject whose period has just ended.
struct Checked<'a> {
    subject: &'a Subject,
    course: &'a mut Course,
    at_ns: u64,
    events: &'a mut Vec<Event>,
}

impl Checked<'_> {
    fn tasks(&mut self, limit: u64, highest: u64) {
        let turn = self.course.tasks.step(highest > limit, 1);
        self.turned(turn, Limit::Tasks(limit), vec![highest], None, None);
    }

    /// Returns whether the growth is decided.
    fn growth(&mut self, limit: f64, period_ns: u64) -> bool {
        let moment = |&(number, median): &(u64, u64)| (number.saturating_mul(period_ns), median);
        let counts: Vec<(u64, u64)> = self.course.medians.iter().map(moment).collect();
        let (too_fast, trend) = match growth(&counts, limit) {
            Growth::Undecided => return false,
            Growth::Allowed => (false, None),
            Growth::TooFast(trend) => (true, Some(trend)),
        };
        let turn = self.course.growth.step(too_fast, 1);
        let counts = self.course.last(u32::MAX);
        self.turned(turn, Limit::Growth(limit), counts, trend, None);
        true
    }

    fn learned(&mut self, baseline: &Baseline, rules: &Rules) {
        let threshold = baseline.threshold(self.subject, rules);
        let median = self.course.medians.back().map_or(0, |&(_, median)| median);
        let turn = self.course.learned.step(median > threshold, rules.periods);
        let counts = self.course.last(rules.periods);
        self.turned(turn, Limit::Learned(threshold), counts, None, baseline.learned(self.subject));
    }

    fn turned(
        &mut self,
        turn: Option<Turn>,
        limit: Limit,
        counts: Vec<u64>,
        trend: Option<Trend>,
        learned: Option<Learned>,
    ) {
        let (subject, at_ns) = (self.subject.clone(), self.at_ns);
        self.events.extend(turn.map(|turn| match turn {
            Turn::Tripped => Event::Tripped(Trip { subject, limit, at_ns, counts, trend, learned }),
            Turn::Recovered => Event::Recovered { subject, limit, at_ns },
        }));
    }
}
