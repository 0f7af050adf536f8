//! Sentences about limits and trips.

use crate::analysis::trip::{ENOUGH, GOOD, Judged, Learned, Limit, Memory, Rules, Subject, Trip};
use crate::report::units::{count, duration, thousands};

/// "all goroutines", or the name of the group, in short: without directories of packages, and without a creator that
/// the start function names anyway.
pub(super) fn subject(subject: &Subject, noun: &str) -> String {
    let Subject::Group(name) = subject else { return format!("all {noun}s") };
    match name.split_once(" < ") {
        Some((start, creator)) if inner(start, creator) => short(start).to_owned(),
        Some((start, creator)) => format!("{} < {}", short(start), short(creator)),
        None => short(name).to_owned(),
    }
}

/// Whether a function is a closure of another one: "main.serve.func1".
fn inner(function: &str, of: &str) -> bool {
    function.strip_prefix(of).is_some_and(|rest| rest.starts_with('.'))
}

/// "http.(*conn).serve" for "net/http.(*conn).serve".
fn short(function: &str) -> &str {
    let end = function.find(['(', '[', '<', '{']).unwrap_or(function.len());
    let package = function.get(..end).and_then(|package| package.rfind('/'));
    package.and_then(|at| function.get(at + 1..)).unwrap_or(function)
}

/// A number of tasks per minute: "10", "0.5".
pub(super) fn rate(per_minute: f64) -> String {
    if per_minute.abs() < 9.95 && per_minute.fract() != 0.0 {
        return format!("{per_minute:.1}");
    }
    let whole = per_minute.abs().round() as u64;
    format!("{}{}", if per_minute < 0.0 { "-" } else { "" }, thousands(whole))
}

/// "1,702, 1,733 and 1,790".
pub(super) fn list(counts: &[u64]) -> String {
    let texts: Vec<String> = counts.iter().copied().map(thousands).collect();
    match texts.split_last() {
        Some((last, before)) if !before.is_empty() => format!("{} and {last}", before.join(", ")),
        _ => texts.concat(),
    }
}

/// What has tripped, in a few words.
pub(super) fn tripped(trip: &Trip, noun: &str) -> String {
    let who = subject(&trip.subject, noun);
    let now = thousands(trip.counts.last().copied().unwrap_or(0));
    match (trip.limit, trip.trend) {
        (Limit::Tasks(limit) | Limit::Learned(limit), _) => {
            format!("{who}: {now}, more than {}", thousands(limit))
        }
        (Limit::Growth(limit), Some(trend)) => {
            format!("{who}: grow by {} a minute, more than {}", rate(trend.per_minute), rate(limit))
        }
        (Limit::Growth(limit), None) => format!("{who}: grow by more than {} a minute", rate(limit)),
    }
}

/// Why that is a trip.
pub(super) fn because(trip: &Trip, rules: &Rules) -> String {
    let periods = |many: usize| match many {
        1 => format!("the last period of {} had", duration(rules.period_ns)),
        many => format!("the last {many} periods of {} had", duration(rules.period_ns)),
    };
    let counts = format!("{} {}", periods(trip.counts.len()), list(&trip.counts));
    match (trip.limit, trip.trend, trip.learned) {
        (Limit::Tasks(limit), ..) => format!("{} are allowed at any time", thousands(limit)),
        (Limit::Growth(_), Some(trend), _) => {
            let sure = trend.plus_minus.map(|pm| format!(" (± {}, 95 % certain)", rate(pm)));
            let sure = sure.unwrap_or_default();
            format!("{counts}: {} more a minute{sure}", rate(trend.per_minute))
        }
        (Limit::Growth(_), None, _) => counts,
        (Limit::Learned(_), _, Some(Learned { p95, .. })) => {
            format!("{counts}; the learned P95 is {}", thousands(p95))
        }
        (Limit::Learned(_), ..) => {
            format!("{counts}; this group was not learned")
        }
    }
}

/// What has recovered.
pub(super) fn recovered(who: &Subject, limit: Limit, noun: &str) -> String {
    let who = subject(who, noun);
    match limit {
        Limit::Tasks(limit) | Limit::Learned(limit) => {
            format!("{who}: {GOOD} periods in a row with at most {}", thousands(limit))
        }
        Limit::Growth(limit) => {
            format!("{who}: {GOOD} periods in a row without a growth of more than {} a minute", rate(limit))
        }
    }
}

/// The limits besides thresholds, a sentence each.
pub(super) fn limits(rules: &Rules, noun: &str) -> Vec<String> {
    let tasks = rules.max_tasks.map(|limit| format!("{} are allowed at any time", count(limit, noun)));
    let growth = rules.max_growth.map(|limit| {
        format!(
            "all {noun}s, and each group, may grow by {} a minute; it takes {ENOUGH} periods to judge that",
            rate(limit)
        )
    });
    tasks.into_iter().chain(growth).collect()
}

/// When a threshold trips.
pub(super) fn when(rules: &Rules) -> String {
    format!(
        "trips after {} above its threshold, recovers after {GOOD} within it; a period of {} has the median of its \
         readings",
        match rules.periods {
            1 => "1 period".to_owned(),
            periods => format!("{periods} periods in a row"),
        },
        duration(rules.period_ns),
    )
}

/// How a watch ended.
pub(super) fn end(judged: &Judged, rules: &Rules, took_ns: u64) -> String {
    let trips = if judged.trips == 0 { "no trip".to_owned() } else { count(judged.trips, "trip") };
    let length = duration(rules.period_ns);
    let periods = match judged.periods {
        0 => format!("no period of {length} was judged"),
        1 => format!("1 period of {length} was judged"),
        periods => format!("{} periods of {length} were judged", thousands(periods)),
    };
    let missed = match judged.missed {
        0 => String::new(),
        1 => ", 1 was missed (not read, or too rarely)".to_owned(),
        missed => format!(", {} were missed (not read, or too rarely)", thousands(missed)),
    };
    format!("{trips} in {}: {periods}{missed}", duration(took_ns))
}

/// What a watch could not know, a sentence each.
pub(super) fn undecided(judged: &Judged, rules: &Rules, thresholds: bool) -> Vec<String> {
    let mut all = Vec::new();
    if rules.max_growth.is_some() && judged.growth == 0 {
        all.push(format!(
            "growth is undecided: it takes {ENOUGH} judged periods of one process, and there were {}",
            judged.periods
        ));
    }
    if thresholds && judged.periods < u64::from(rules.periods) {
        all.push(format!(
            "thresholds are undecided: it takes {} to trip, and {}",
            count(rules.periods.into(), "period"),
            if judged.periods == 1 {
                "1 was judged".to_owned()
            } else {
                format!("{} were judged", judged.periods)
            }
        ));
    }
    if judged.left_out > 0 {
        all.push(format!(
            "{} of one reading were not followed on their own",
            count(judged.left_out, "small group")
        ));
    }
    all
}

/// What has tripped and not recovered. None if nothing has.
pub(super) fn still(memory: &Memory, noun: &str) -> Option<String> {
    let tripped = memory.courses.iter().filter(|(_, course)| course.is_tripped());
    let names: Vec<String> = tripped.map(|(who, _)| subject(who, noun)).collect();
    (!names.is_empty()).then(|| format!("not recovered: {}", names.join("; ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_named_in_short() {
        for (name, expected) in [
            (
                "net/http.(*conn).serve < net/http.(*Server).Serve",
                "http.(*conn).serve < http.(*Server).Serve",
            ),
            ("example.com/api.ask.func1 < example.com/api.ask", "api.ask.func1"),
            ("example.com/api.asks < example.com/api.ask", "api.asks < api.ask"),
            ("a/b.F[c/d.T] < main.main", "b.F[c/d.T] < main.main"),
            ("main.main", "main.main"),
        ] {
            assert_eq!(subject(&Subject::Group(name.into()), "task"), expected);
        }
        assert_eq!(subject(&Subject::All, "task"), "all tasks");
    }

    #[test]
    fn lists_and_rates() {
        assert_eq!(
            [&[][..], &[1], &[1, 2], &[1, 2, 3_000]].map(list),
            ["", "1", "1 and 2", "1, 2 and 3,000"]
        );
        assert_eq!([10.0, 0.5, -0.25, 1234.4, 9.97].map(rate), ["10", "0.5", "-0.2", "1,234", "10"]);
    }
}
