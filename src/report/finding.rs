//! Findings in words, for every format.

use super::evidence::{Tasks, because, evidence, meaning, rest_name, span, why};
use super::path::short_path;
use super::units::{age, count, duration, thousands};
use crate::analysis::leaks::fleet::Spread;
use crate::analysis::leaks::{
    BecauseOf, Culprit, Doing, Finding, Holder, HowHeld, Note, Report, Rest, Sample, Silenced, Sureness,
};
use crate::analysis::rates::{Lifetime, NoLifetime, Rates};
use crate::analysis::signature::SignatureFrame;
use crate::snapshot::{Header, ObjectKind, ReadMode};

/// Returns the source line at a place, if the file is available. Reading files is left to the caller.
pub type SourceLines<'a> = &'a dyn Fn(&SignatureFrame) -> Option<String>;

/// The report on one process.
#[derive(Clone, Copy)]
pub struct Findings<'a> {
    /// What was found.
    pub report: &'a Report,
    /// How fast tasks come and go.
    pub rates: &'a Rates,
    /// Lines of the source.
    pub source: SourceLines<'a>,
}

/// One line that describes a finding: "1,223 goroutines stay in chan send, growing by 38 a minute, none ended
/// while watched (30 s)".
pub fn summary(finding: &Finding) -> String {
    let Some(part) = finding.parts.first() else {
        return because(finding).into_iter().next().unwrap_or_default();
    };
    let tasks = count(finding.now, &finding.noun);
    let mut whats: Vec<&str> =
        finding.parts.iter().map(|part| part.what.as_str()).filter(|w| !w.is_empty()).collect();
    whats.dedup();
    whats.truncate(2);
    let what = if whats.is_empty() { part.what.clone() } else { whats.join(" and ") };
    let s = if finding.now == 1 { "s" } else { "" };
    let mut text = match finding.sureness {
        Sureness::Proven => format!("{tasks} will never run again: {what}"),
        _ if what == "running" || what == "runnable" => {
            format!("{tasks} {} {what}", if finding.now == 1 { "is" } else { "are" })
        }
        _ => format!("{tasks} stay{s} in {what}"),
    };
    if let Some(growth) = per_minute(finding) {
        text.push_str(&format!(", growing by {growth} a minute"));
    }
    if finding.ended == Some(0) && finding.now > 1 && finding.sureness != Sureness::Proven {
        text.push_str(", none ended while watched");
        if let Some(ns) = finding.watched_ns {
            text.push_str(&format!(" ({})", span(ns)));
        }
    }
    text
}

/// What was left out of a report, and why: "12 goroutines by ignore patterns". Raw from the user and the
/// target: escape before printing.
pub fn left_out(noun: &str, ignored: u64, silenced: Option<&Silenced>, in_baseline: u64) -> Vec<String> {
    let mut texts = Vec::new();
    if ignored > 0 {
        texts.push(format!("{} by ignore patterns", count(ignored, noun)));
    }
    if let Some(silenced) = silenced.filter(|silenced| silenced.tasks > 0) {
        texts.push(format!("{} by the ignore file {}", count(silenced.tasks, noun), silenced.path));
    }
    if in_baseline > 0 {
        texts.push(format!("{} because the baseline has as many", count(in_baseline, noun)));
    }
    texts
}

/// Their growth per minute, if it is certain: "38", "0.4".
pub fn per_minute(finding: &Finding) -> Option<String> {
    let growth = finding.growth?;
    let certain = growth.per_minute > growth.plus_minus.unwrap_or(f64::INFINITY);
    certain.then(|| number(growth.per_minute))
}

/// A rate with about two digits.
pub fn number(value: f64) -> String {
    if value >= 9.95 { thousands(value.round() as u64) } else { format!("{value:.1}") }
}

/// ">= 41 min; all 824 of the first reading are still there". None if neither is known.
pub fn since(finding: &Finding) -> Option<String> {
    let age = Some(age(finding.age)).filter(|age| !age.is_empty());
    let stayed = finding.stayed.zip(finding.first).filter(|&(_, first)| first > 0).map(|(stayed, first)| {
        match (stayed, first) {
            (1, 1) => "the one of the first reading is still there".to_owned(),
            (stayed, first) if stayed >= first => {
                format!("all {} of the first reading are still there", thousands(first))
            }
            (stayed, first) => {
                format!(
                    "{} of the {} of the first reading are still there",
                    thousands(stayed),
                    thousands(first)
                )
            }
        }
    });
    let all: Vec<String> = age.into_iter().chain(stayed).collect();
    (!all.is_empty()).then(|| all.join("; "))
}

/// Why the mean lifetime is unknown, as a clause.
pub(super) fn no_lifetime(why: NoLifetime) -> &'static str {
    match why {
        NoLifetime::Accumulating => "some tasks accumulate",
        NoLifetime::MoreBorn => "more are born than end",
        NoLifetime::MoreEnded => "more end than are born",
        NoLifetime::TooLong => "longer than the process can tell",
    }
}

/// The rates of a series in words; None if none is known.
pub fn rates_line(rates: &Rates, noun: &str) -> Option<String> {
    let or_more = if rates.counted { "" } else { " or more" };
    let per_second =
        |rate: Option<f64>, what: &str| rate.map(|rate| format!("{} a second {what}{or_more}", number(rate)));
    let percent = |part: f64| format!("{:.1} %", part * 100.0);
    let parts: Vec<String> = [
        per_second(rates.born_per_second, "born"),
        per_second(rates.ended_per_second, "ended"),
        rates.lifetime.map(|lifetime| match lifetime {
            Lifetime::Mean(s) => {
                let or_less = if rates.counted { "" } else { " or less" };
                format!("mean lifetime {}{or_less}", duration((s.max(0.0) * 1e9) as u64))
            }
            Lifetime::Unknown(why) => format!("mean lifetime unknown ({})", no_lifetime(why)),
        }),
        rates
            .reuse
            .or(rates.reuse_ever)
            .map(|part| format!("{} of new {noun}s reused the structure of an ended one", percent(part))),
        rates.spawns_per_request.map(|n| format!("{n:.1} started for each request")),
    ]
    .into_iter()
    .flatten()
    .collect();
    (rates.born_per_second.is_some() && !parts.is_empty()).then(|| parts.join(", "))
}

/// "7 readings in 30 s, no pause".
pub fn readings(report: &Report) -> String {
    let readings = count(report.readings.into(), "reading");
    let span = report.span_ns.map(|ns| format!(" in {}", span(ns))).unwrap_or_default();
    let how = match report.header.reading.mode {
        ReadMode::Core => ", core file".to_owned(),
        ReadMode::Frozen => ", all stopped for each".to_owned(),
        ReadMode::Live if report.threads_stopped > 0 => format!(
            ", {} stopped, {} at most",
            count(report.threads_stopped, "thread"),
            duration(report.longest_stop_ns)
        ),
        ReadMode::Live | ReadMode::NoPause => ", no pause".to_owned(),
    };
    format!("{readings}{span}{how}")
}

/// "internal/fetch/fetch.go:88"; whole paths if requested.
pub fn place(header: &Header, place: &SignatureFrame, full: bool) -> String {
    if place.file.is_empty() {
        return String::new();
    }
    let module = header.runtimes.first().and_then(|runtime| runtime.module.as_deref()).unwrap_or_default();
    let path = if full { &place.file } else { short_path(&place.file, &place.package, module) };
    if place.line == 0 { path.to_owned() } else { format!("{path}:{}", place.line) }
}

/// "goroutines 84120, 84131, 84133 and more". None if they have no identity.
pub fn samples(finding: &Finding) -> Option<String> {
    let name = |sample: &Sample| match sample.id {
        Some(id) => id.to_string(),
        None => format!("{:#x}", sample.address),
    };
    let names: Vec<String> = finding.samples.iter().map(name).collect();
    let more = if finding.now > names.len() as u64 { " and more" } else { "" };
    let s = if finding.now == 1 { "" } else { "s" };
    (!names.is_empty()).then(|| format!("{}{s} {}{more}", finding.noun, names.join(", ")))
}

/// The holders of the locks that tasks wait for, one line each: how sure it is ("" if it is known, "probably"
/// or "perhaps"), and "goroutine 99: chan receive for 2 min in main.refresh store.go:44, to be unlocked in
/// main.update store.go:40; it waits for a lock that goroutine 100 holds: sleep in main.poll poll.go:3".
/// Holders of a deadlock only with `all`: the evidence says what they hold and wait for.
pub fn holders(header: &Header, finding: &Finding, full: bool, all: bool) -> Vec<(&'static str, String)> {
    let shown = || finding.holders.iter().filter(|holder| all || !holder.deadlocked);
    let mut locks: Vec<_> = shown().map(|holder| holder.lock).collect();
    locks.sort_unstable();
    locks.dedup();
    let one = |holder: &Holder| {
        let guess = match holder.how {
            HowHeld::Exclusive | HowHeld::Shared => "",
            HowHeld::Inferred => "probably",
            HowHeld::Perhaps => "perhaps",
        };
        let mut text = named_task(finding, &holder.task);
        if holder.how == HowHeld::Shared {
            text.push_str(", for reading");
        }
        text.push_str(&doing(header, &holder.task, full));
        // If it is at that place, the line has said so already.
        let elsewhere = |unlocks: &&SignatureFrame| holder.task.at.as_ref() != Some(*unlocks);
        if let Some(unlocks) = holder.unlocks.as_ref().filter(elsewhere) {
            text.push_str(&format!(", to be unlocked in {}", named_place(header, unlocks, full)));
        }
        if let Some((kind, address)) = holder.lock.filter(|_| locks.len() > 1) {
            let kind = if kind == ObjectKind::RwMutex { "rwmutex" } else { "mutex" };
            text.push_str(&format!(", {kind} {address:#x}"));
        }
        if let Some((locks, end)) = &holder.chain {
            let end_name = named_task(finding, end);
            text.push_str(&match locks {
                1 => format!("; it waits for a lock that {end_name} holds"),
                n => format!(
                    "; {n} locks, each waited for by the holder of the one before, lead to {end_name}"
                ),
            });
            if !shown().any(|other| (other.task.id, other.task.address) == (end.id, end.address)) {
                text.push_str(&doing(header, end, full));
            }
        }
        (guess, text)
    };
    shown().map(one).collect()
}

/// What the tasks of a finding wait for in the end: "the 1,204 goroutines above: chan send in main.work store.go:16", or
/// "goroutine 12: IO wait for 3 min in main.run hub.go:40". Raw from the target: escape before printing.
pub fn because_of(report: &Report, finding: &Finding, full: bool) -> Option<String> {
    let BecauseOf { tasks, culprit } = finding.because_of.as_ref()?;
    let mut text = match culprit {
        Culprit::Finding(nth) => other_finding(report, finding, report.findings.get(*nth)?, full),
        Culprit::Task(task) => {
            format!("{}{}", named_task(finding, task), doing(&report.header, task, full))
        }
    };
    if *tasks < finding.now {
        text.push_str(&format!("; {} of the {} wait for that", thousands(*tasks), thousands(finding.now)));
    }
    Some(text)
}

/// The findings whose tasks wait for those of this one, in the same words.
pub fn keeps_waiting(report: &Report, finding: &Finding, full: bool) -> Vec<String> {
    let this = |other: &&Finding| match &other.because_of {
        Some(BecauseOf { culprit: Culprit::Finding(nth), .. }) => {
            report.findings.get(*nth).is_some_and(|culprit| std::ptr::eq(culprit, finding))
        }
        _ => false,
    };
    let others = report.findings.iter().filter(this);
    others.map(|other| other_finding(report, finding, other, full)).collect()
}

/// "the 3 goroutines below: chan send in main.work store.go:16". `from`: the finding in which that is said.
fn other_finding(report: &Report, from: &Finding, other: &Finding, full: bool) -> String {
    let at = |one: &Finding| report.findings.iter().position(|finding| std::ptr::eq(finding, one));
    let place = if at(other) < at(from) { "above" } else { "below" };
    let tasks = match other.now {
        1 => other.noun.clone(),
        n => count(n, &other.noun),
    };
    let mut text = format!("the {tasks} {place}");
    if let Some(part) = other.parts.first() {
        let words = [
            (!part.what.is_empty()).then(|| part.what.clone()),
            part.at.as_ref().map(|at| format!("in {}", named_place(&report.header, at, full))),
        ];
        let words: Vec<String> = words.into_iter().flatten().collect();
        if !words.is_empty() {
            text.push_str(&format!(": {}", words.join(" ")));
        }
    }
    text
}

/// "goroutine 99".
fn named_task(finding: &Finding, task: &Doing) -> String {
    match task.id {
        Some(id) => format!("{} {id}", finding.noun),
        None => format!("{} {:#x}", finding.noun, task.address),
    }
}

/// ": chan receive for 2 min in main.refresh store.go:44".
fn doing(header: &Header, task: &Doing, full: bool) -> String {
    let mut words = Vec::new();
    words.extend((!task.what.is_empty()).then(|| task.what.clone()));
    let age = age(task.age);
    words.extend((!age.is_empty() && !words.is_empty()).then(|| format!("for {age}")));
    words.extend(task.at.as_ref().map(|at| format!("in {}", named_place(header, at, full))));
    if words.is_empty() { String::new() } else { format!(": {}", words.join(" ")) }
}

/// "main.refresh store.go:44".
fn named_place(header: &Header, at: &SignatureFrame, full: bool) -> String {
    format!("{} {}", at.function, place(header, at, full)).trim().to_owned()
}

/// "126 goroutines of http connections, 12 pool workers": the first `most`, and how many more there are. Equal
/// names are added up.
pub fn rest_list<'a>(rest: impl IntoIterator<Item = &'a Rest>, noun: &str, most: usize) -> String {
    let mut all: Vec<Rest> = Vec::new();
    for one in rest {
        match all.iter_mut().find(|other| other.name == one.name) {
            Some(other) => other.count = other.count.saturating_add(one.count),
            None => all.push(one.clone()),
        }
    }
    let named = |r: &Rest| format!("{} {}", thousands(r.count), rest_name(r, noun, r.count == 1));
    let mut text = all.iter().take(most).map(named).collect::<Vec<_>>().join(", ");
    let more: u64 = all.iter().skip(most).map(|r| r.count).sum();
    if more > 0 {
        text.push_str(&format!(" and {} more", thousands(more)));
    }
    text
}

/// Undecided tasks, by the reason in words.
pub fn by_reason<'a>(undecided: &'a [Rest], noun: &str) -> Vec<(String, Vec<&'a Rest>)> {
    let mut reasons: Vec<(String, Vec<&Rest>)> = Vec::new();
    for one in undecided {
        let reason = why(&one.why, noun);
        match reasons.iter_mut().find(|(other, _)| *other == reason) {
            Some((_, list)) => list.push(one),
            None => reasons.push((reason, vec![one])),
        }
    }
    reasons
}

/// A note about the scheduler in words: "at least 40 goroutines waited to run in 7 of 7 readings: there is more
/// work than the workers can do; look at what runs (a CPU profile)".
pub fn note(note: &Note, noun: &str) -> String {
    let because: Vec<String> =
        note.because.iter().map(|one| evidence(one, Tasks { noun, is_one: false })).collect();
    let meaning = meaning(note.cause);
    format!("{}: {}; {}", because.join(", "), meaning.cause, meaning.next)
}

/// At most this many processes are named for one finding.
const NAMED: usize = 3;

/// "api (pid 7) on a: 1,204, api (pid 9) on b: 3; root mean square 851".
pub fn named(spread: &Spread) -> String {
    let names: Vec<String> =
        spread.processes.iter().take(NAMED).map(|(name, n)| format!("{name}: {}", thousands(*n))).collect();
    let left = spread.processes.len().saturating_sub(NAMED);
    let left = if left > 0 { format!(" and {left} more") } else { String::new() };
    format!("{}{left}; root mean square {}", names.join(", "), number(spread.rms))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::leaks::evidence::{Doubt, RestName, Why};

    #[test]
    fn what_is_called_the_same_is_added_up() {
        let rest = |name, doubt, count| Rest { name, why: Why::Undecided(doubt), count };
        let all = [
            rest(RestName::Timer, Doubt::OneReading, 3),
            rest(RestName::PoolWorker, Doubt::OneReading, 1),
            rest(RestName::Timer, Doubt::TimesUnknown, 2),
            rest(RestName::Other, Doubt::TimesUnknown, 9),
        ];
        assert_eq!(rest_list(&all, "task", 2), "5 timers, 1 pool worker and 9 more");
        let reasons: Vec<_> = by_reason(&all, "task").into_iter().map(|(_, list)| list.len()).collect();
        assert_eq!(reasons, [2, 2]);
    }

    #[test]
    fn rates_have_two_digits_or_so() {
        assert_eq!([0.04, 0.44, 9.94, 9.96, 1234.4].map(number), ["0.0", "0.4", "9.9", "10", "1,234"]);
    }
}
