//! Recorded series with known answers, and properties of all series.

use proptest::prelude::*;

use super::*;
use std::sync::Arc;

const SECOND: u64 = 1_000_000_000;
const MINUTE: u64 = 60 * SECOND;
/// The first reading, nanoseconds since the Unix epoch.
const BEGIN: u64 = 1_795_000_000 * SECOND;

fn rules() -> Rules {
    Rules {
        period_ns: MINUTE,
        every_ns: 20 * SECOND,
        max_tasks: None,
        max_growth: None,
        over_percent: 30,
        periods: 3,
    }
}

/// 100 tasks are usual: the threshold is 130.
fn baseline() -> Baseline {
    let all = Learned { p50: 90, p95: 100, max: 180 };
    let groups = [("main.serve < main.accept", 40), ("main.cron", 2)]
        .map(|(name, p95)| (Arc::from(name), Learned { p50: p95 / 2, p95, max: p95 }));
    Baseline { readings: 720, all, groups: groups.into(), ..Baseline::default() }
}

fn sample(at_ns: u64, tasks: u64, groups: &[(&str, u64)]) -> Sample {
    Sample::new(BEGIN + at_ns, tasks, groups.iter().map(|&(name, count)| (name.into(), count)).collect())
}

/// Reads a count three times in each period. Returns "T", "R", "." for each period: what was reported at its end.
/// "?" is a period without readings. What is reported during a period counts for the one before.
fn outcome(watch: &mut Watch, counts: &[Option<u64>]) -> String {
    let mut text = String::new();
    for (minute, count) in (0..).zip(counts.iter().copied().chain([Some(0)])) {
        let mut events = Vec::new();
        for third in 0..3 {
            let at = minute * MINUTE + third * 20 * SECOND;
            events.extend(count.map(|count| watch.read(&sample(at, count, &[]))).unwrap_or_default());
        }
        let said = events.iter().map(|event| match event {
            Event::Tripped(_) => 'T',
            Event::Recovered { .. } => 'R',
        });
        let said: String = said.collect();
        text.push_str(if said.is_empty() { if count.is_some() { "." } else { "?" } } else { &said });
    }
    // The first place is before any period has ended.
    text.split_off(1)
}

/// A table: periods in one column each; "a" is a period above the threshold, "b" one within it, "-" a missed one.
fn learned(table: &str) -> String {
    let count = |letter| match letter {
        'a' => Some(131),
        'b' => Some(130),
        _ => None,
    };
    let counts: Vec<_> = table.chars().map(count).collect();
    outcome(&mut Watch::new(rules(), Some(baseline()), Memory::default()), &counts)
}

#[test]
fn three_periods_in_a_row_trip_and_five_good_ones_recover() {
    for (periods, expected) in [
        ("bbbbbbbbbb", ".........."),
        ("aabaabaab", "........."),
        ("aaa", "..T"),
        ("aaaaaaaaaa", "..T......."),
        ("aaabbbb", "..T...."),
        ("aaabbbbb", "..T....R"),
        // A period above ends the row of good ones.
        ("aaabbbbabbbbb", "..T.........R"),
        ("aaabbbbbaa", "..T....R.."),
        ("aaabbbbbaaa", "..T....R..T"),
        ("aaabbbbbbaaabbbbb", "..T....R...T....R"),
    ] {
        assert_eq!(learned(periods), expected, "{periods}");
    }
}

/// A missed period neither counts nor ends a row; three of them in a row do. The answer comes with the next reading.
#[test]
fn missed_periods_pause_and_then_forget() {
    for (periods, expected) in [
        ("a-aa", ".?.T"),
        ("aa-a", "..?T"),
        ("a--aa", ".??.T"),
        ("aa---a", "..???."),
        ("aa---aaa", "..???..T"),
        ("aaabb-bbb", "..T..?..R"),
        ("aaabbbb---bbbbb", "..T....???....R"),
    ] {
        // Periods without readings have no place of their own to report at.
        let said = |text: String| text.replace('?', "");
        assert_eq!(said(learned(periods)), said(expected.to_owned()), "{periods}");
    }
}

#[test]
fn thresholds_have_room_for_a_few_tasks() {
    let baseline = baseline();
    let group = |name: &str| Subject::Group(name.into());
    for (subject, over, threshold) in [
        (Subject::All, 30, 130),
        (Subject::All, 0, 110),
        (Subject::All, 200, 300),
        (group("main.serve < main.accept"), 30, 52),
        (group("main.cron"), 30, 12),
        (group("main.new"), 30, 30),
        (group("main.new"), 0, 10),
    ] {
        let rules = Rules { over_percent: over, ..rules() };
        assert_eq!(baseline.threshold(&subject, &rules), threshold, "{subject} {over}");
    }
    // A group of a large process.
    let large = Baseline { all: Learned { p95: 10_000, ..Learned::default() }, ..baseline };
    assert_eq!(large.threshold(&group("main.cron"), &rules()), 502);
    let huge = Baseline { all: Learned { p95: u64::MAX, ..Learned::default() }, ..large };
    assert_eq!(huge.threshold(&Subject::All, &rules()), u64::MAX);
}

#[test]
fn a_group_trips_on_its_own() {
    let mut watch = Watch::new(rules(), Some(baseline()), Memory::default());
    let mut trips = Vec::new();
    for minute in 0..6 {
        for third in 0..3 {
            // A group that was not learned has 31 tasks, in two readings of three. The process stays as it was.
            let new = if third == 1 { 0 } else { 31 };
            let groups = [("main.serve < main.accept", 40), ("main.leak < main.main", new)];
            let events = watch.read(&sample(minute * MINUTE + third * 20 * SECOND, 71, &groups));
            trips.extend(events);
        }
    }
    let [Event::Tripped(trip)] = trips.as_slice() else { panic!("{trips:?}") };
    assert_eq!(trip.subject, Subject::Group("main.leak < main.main".into()));
    assert_eq!((trip.limit, trip.counts.as_slice(), trip.learned), (Limit::Learned(30), &[31; 3][..], None));
    assert_eq!(trip.at_ns, BEGIN + 3 * MINUTE);
}

#[test]
fn too_many_tasks_trip_at_once() {
    let rules = Rules { max_tasks: Some(100), ..rules() };
    let mut watch = Watch::new(rules, None, Memory::default());
    let mut said = |at: u64, tasks: u64| watch.read(&sample(at * SECOND, tasks, &[])).pop();
    assert_eq!(said(0, 100), None);
    let Some(Event::Tripped(trip)) = said(20, 101) else { panic!() };
    assert_eq!((trip.limit, trip.counts.as_slice()), (Limit::Tasks(100), &[101][..]));
    // The first period was above it, five more must be within.
    for at in (40..=340).step_by(20) {
        assert_eq!(said(at, 100), None, "{at}");
    }
    assert!(matches!(said(360, 100), Some(Event::Recovered { limit: Limit::Tasks(100), .. })));
    assert!(matches!(said(380, 500), Some(Event::Tripped(_))));
}

/// What the counts of periods say of a limit of ten a minute.
#[test]
fn growth_is_decided_with_certainty() {
    let decided = |counts: &[u64]| {
        let counts: Vec<_> = (0..).zip(counts).map(|(minute, &count)| (minute * MINUTE, count)).collect();
        match growth(&counts, 10.0) {
            Growth::Undecided => "undecided",
            Growth::Allowed => "allowed",
            Growth::TooFast(_) => "too fast",
        }
    };
    for (counts, expected) in [
        (&[100, 150, 200][..], "undecided"),
        (&[100, 150, 200, 250], "too fast"),
        (&[100, 109, 118, 127, 136], "allowed"),
        (&[100, 112, 121, 135, 144, 158], "too fast"),
        // Faster on average, but not certainly.
        (&[100, 160, 90, 170, 110, 180], "allowed"),
        // One jump, wherever it is.
        (&[100, 100, 100, 100, 500, 500, 500, 500, 500, 500], "allowed"),
        (&[100, 101, 100, 102, 101, 103, 102, 500], "allowed"),
        // A jump and steady growth.
        (&[100, 120, 140, 160, 380, 400, 420, 440], "too fast"),
        (&[500, 450, 400, 350], "allowed"),
        (&[7; 10], "allowed"),
    ] {
        assert_eq!(decided(counts), expected, "{counts:?}");
    }
}

#[test]
fn growth_trips_once_and_recovers_when_it_is_over() {
    let rules = Rules { max_growth: Some(10.0), ..rules() };
    let counts: Vec<Option<u64>> = (0..8).map(|n| 100 + 20 * n).chain([250; 20]).map(Some).collect();
    let said = outcome(&mut Watch::new(rules, None, Memory::default()), &counts);
    assert!(said.starts_with("...T"), "{said}");
    assert_eq!((said.matches('T').count(), said.matches('R').count()), (1, 1), "{said}");
    let mut watch = Watch::new(rules, None, Memory::default());
    outcome(&mut watch, &[Some(100), Some(200), Some(300)]);
    assert_eq!((watch.judged().periods, watch.judged().growth), (3, 0));
}

/// Before four periods are judged, growth is undecided, in a new process too.
#[test]
fn a_restarted_process_begins_anew() {
    let rules = Rules { max_growth: Some(10.0), ..rules() };
    let mut watch = Watch::new(rules, Some(baseline()), Memory::default());
    assert_eq!(outcome(&mut watch, &[Some(131), Some(131)]), "..");
    watch.another_process();
    let mut later = |minute: u64, tasks: u64| {
        (0..3)
            .flat_map(|third| watch.read(&sample((3 + minute) * MINUTE + third * 20 * SECOND, tasks, &[])))
            .collect::<Vec<_>>()
    };
    // Two periods above before the restart, and two after it.
    for minute in 0..2 {
        assert_eq!(later(minute, 400), [], "{minute}");
    }
    assert_eq!(later(2, 20), []);
    assert!(!watch.memory().is_tripped());
}

#[test]
fn other_periods_begin_anew_and_unset_limits_are_forgotten() {
    let mut watch = Watch::new(rules(), Some(baseline()), Memory::default());
    outcome(&mut watch, &[Some(131); 4]);
    assert!(watch.memory().is_tripped());
    let memory = watch.memory().clone();
    let longer = Rules { period_ns: 2 * MINUTE, ..rules() };
    let watch = Watch::new(longer, Some(baseline()), memory.clone());
    assert!(watch.memory().is_tripped() && watch.memory().period.is_none());
    assert!(!Watch::new(rules(), None, memory).memory().is_tripped());
}

#[test]
fn a_clock_that_is_set_back_loses_a_period() {
    let mut watch = Watch::new(rules(), Some(baseline()), Memory::default());
    let mut said = String::new();
    for at in [600, 620, 640, 660, 0, 20, 40, 60, 80, 100, 120, 140, 160, 180] {
        said.push(if watch.read(&sample(at * SECOND, 200, &[])).is_empty() { '.' } else { 'T' });
    }
    assert_eq!((said.as_str(), watch.judged().missed), ("..........T...", 1));
}

#[test]
fn what_is_followed_is_bounded() {
    let mut watch = Watch::new(Rules { max_growth: Some(1e9), ..rules() }, None, Memory::default());
    for minute in 0..20 {
        for third in 0..3 {
            let names: Vec<String> = (0..400).map(|n| format!("{minute} {n}")).collect();
            let groups: Vec<(&str, u64)> = names.iter().map(|name| (name.as_str(), 5)).collect();
            watch.read(&sample(minute * MINUTE + third * 20 * SECOND, 2_000, &groups));
        }
    }
    assert_eq!(watch.judged().left_out, 400 - GROUPS as u64);
    assert!(watch.memory().courses.len() <= 2 * GROUPS);
    assert!(watch.memory().courses.contains_key(&Subject::All));
    assert!(watch.memory().period.as_ref().unwrap().groups.len() <= 4 * GROUPS);
}

#[test]
fn learned_figures_are_those_of_the_readings() {
    let mut learner = Learner::default();
    for n in 0..19 {
        learner.add(&sample(n * SECOND, 5, &[]));
    }
    assert_eq!(learner.finish(), Err(TooFew { readings: 19 }));
    let mut learner = Learner::default();
    // 1 to 100; every fifth reading has a cron job.
    for n in 1..=100 {
        let cron: &[(&str, u64)] = if n % 5 == 0 { &[("main.cron", 7)] } else { &[] };
        learner.add(&sample(n * SECOND, n, &[&[("main.serve", n)], cron].concat()));
    }
    let found = learner.finish().unwrap();
    assert_eq!((found.readings, found.to_ns - found.from_ns, found.others), (100, 99 * SECOND, 0));
    assert_eq!(found.all, Learned { p50: 50, p95: 95, max: 100 });
    let cron = Subject::Group("main.cron".into());
    assert_eq!(found.learned(&cron), Some(Learned { p50: 0, p95: 7, max: 7 }));
    assert_eq!(found.groups[0].0.as_ref(), "main.serve");
    assert!((found.grew().unwrap().per_minute - 60.0).abs() < 1.0);
}

/// The same answers, from the whole row of periods at once: the first three in a row that are above after the last
/// recovery, and the first five in a row that are within after that.
fn by_the_whole_row(above: &[bool], needed: usize) -> Vec<(usize, char)> {
    let first = |from: usize, wanted: bool, many: usize| {
        (from..=above.len().checked_sub(many)?)
            .find(|&at| above[at..at + many].iter().all(|&is| is == wanted))
            .map(|at| at + many)
    };
    let (mut found, mut from) = (Vec::new(), 0);
    while let Some(end) = first(from, true, needed) {
        found.push((end - 1, 'T'));
        let Some(good) = first(end, false, GOOD as usize) else { break };
        found.push((good - 1, 'R'));
        from = good;
    }
    found
}

proptest! {
    #[test]
    fn nothing_trips_within_the_threshold(counts in prop::collection::vec(0_u64..=130, 0..80)) {
        let counts: Vec<_> = counts.into_iter().map(Some).collect();
        let mut watch = Watch::new(rules(), Some(baseline()), Memory::default());
        let said = outcome(&mut watch, &counts);
        prop_assert!(!said.contains(['T', 'R']), "{}", said);
    }

    #[test]
    fn one_trip_an_excursion(
        above in prop::collection::vec(prop::bool::weighted(0.5), 0..120), needed in 1_u32..5
    ) {
        let counts: Vec<_> = above.iter().map(|&above| Some(if above { 131 + 9 } else { 130 })).collect();
        let rules = Rules { periods: needed, ..rules() };
        let said = outcome(&mut Watch::new(rules, Some(baseline()), Memory::default()), &counts);
        let found: Vec<_> = said.chars().enumerate().filter(|&(_, said)| said != '.').collect();
        prop_assert_eq!(found, by_the_whole_row(&above, needed as usize));
    }

    /// Also with gaps of every length, several groups and all limits at once.
    #[test]
    fn an_interruption_changes_nothing(
        readings in prop::collection::vec((1_u64..100, 0_u64..300, 0_u64..80), 0..150),
        cut in prop::collection::vec(any::<bool>(), 150),
    ) {
        let rules = Rules { max_tasks: Some(250), max_growth: Some(10.0), ..rules() };
        let mut whole = Watch::new(rules, Some(baseline()), Memory::default());
        let mut resumed = whole.clone();
        let mut at = 0;
        for ((seconds, tasks, group), cut) in readings.into_iter().zip(cut) {
            at += seconds * SECOND;
            let one = sample(at, tasks, &[("main.cron", group), ("main.other", tasks / 4)]);
            if cut {
                resumed = Watch::new(rules, Some(baseline()), resumed.memory().clone());
            }
            prop_assert_eq!(whole.read(&one), resumed.read(&one));
        }
        prop_assert_eq!(whole.memory(), resumed.memory());
    }
}
