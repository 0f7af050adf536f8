use proptest::prelude::*;

use super::*;
use crate::formats::pprof::fields::*;
use crate::formats::pprof::wire::{put_bytes, put_number};
use crate::snapshot::*;

fn message(fields: &[(u32, u64)]) -> Vec<u8> {
    let mut out = Vec::new();
    fields.iter().for_each(|&(field, number)| put_number(&mut out, field, number));
    out
}

/// A profile with these sample types: two goroutines at one place and one at another.
fn written(strings: &[&str], types: &[(u64, u64)], extra: &[(u32, Vec<u8>)]) -> Vec<u8> {
    let mut out = Vec::new();
    for &(name, unit) in types {
        let fields = [(value_type::TYPE, name), (value_type::UNIT, unit)];
        put_bytes(&mut out, profile::SAMPLE_TYPE, &message(&fields));
    }
    let label = message(&[(label::KEY, 6), (label::STR, 7)]);
    for (locations, count) in [(&[1_u8, 2][..], 2), (&[2][..], 1)] {
        let mut sample = Vec::new();
        put_bytes(&mut sample, sample::LOCATION, locations);
        put_bytes(&mut sample, sample::VALUE, &[count]);
        put_bytes(&mut sample, sample::LABEL, &label);
        put_bytes(&mut out, profile::SAMPLE, &sample);
    }
    for (id, address, functions) in [(1, 0x4000, &[1_u64, 2][..]), (2, 0, &[2][..])] {
        let mut location = message(&[(location::ID, id), (location::ADDRESS, address)]);
        for &function in functions {
            let line = message(&[(line::FUNCTION, function), (line::LINE, 10 + function)]);
            put_bytes(&mut location, location::LINE, &line);
        }
        put_bytes(&mut out, profile::LOCATION, &location);
    }
    for (id, name) in [(1, 3), (2, 4)] {
        let row = message(&[(function::ID, id), (function::NAME, name), (function::FILENAME, 5)]);
        put_bytes(&mut out, profile::FUNCTION, &row);
    }
    for (field, bytes) in extra {
        put_bytes(&mut out, *field, bytes);
    }
    put_number(&mut out, profile::TIME_NANOS, 77);
    strings.iter().for_each(|text| put_bytes(&mut out, profile::STRING_TABLE, text.as_bytes()));
    out
}

const STRINGS: [&str; 9] = [
    "",
    "goroutine",
    "count",
    "runtime.gopark",
    "main.wait[go.shape.int]",
    "/x/main.go",
    "route",
    "/v1",
    "cpu",
];

fn goroutines() -> Vec<u8> {
    written(&STRINGS, &[(1, 2)], &[])
}

#[test]
fn counts_become_tasks() {
    let snapshot = read(&goroutines()).unwrap();
    assert_eq!(snapshot.header.target.source, SourceKind::Profile);
    assert_eq!(snapshot.header.taken_at_ns, Some(77));
    assert_eq!(snapshot.header.runtimes[0].name, "go");
    assert_eq!(snapshot.tasks.iter().map(Task::count).collect::<Vec<_>>(), [2, 1]);
    let task = &snapshot.tasks[0];
    assert_eq!((task.id, task.state, task.leaked), (None, TaskState::Unknown, false));
    let stack = snapshot.stack_of(task);
    let first = &snapshot.code.locations[stack[0].index()];
    assert_eq!(first.address, Some(0x4001));
    let names: Vec<_> = first.frames.iter().map(|f| (snapshot.function_name(f.function), f.line)).collect();
    assert_eq!(names, [("runtime.gopark", 11), ("main.wait[...]", 12)]);
    assert_eq!(snapshot.code.locations[stack[1].index()].address, None);
    let (key, value) = snapshot.code.label_sets[task.labels.unwrap().index()].pairs[0];
    assert_eq!((snapshot.str(key), snapshot.str(value)), ("route", "/v1"));
    assert!(looks_like_pprof(&goroutines()));
}

#[test]
fn leaked_goroutines_are_marked() {
    let mut strings = STRINGS;
    strings[1] = "goroutineleak";
    let snapshot = read(&written(&strings, &[(1, 2)], &[])).unwrap();
    assert!(snapshot.tasks.iter().all(|task| task.leaked));
}

#[test]
fn other_profiles_are_refused_by_name() {
    let error = read(&written(&STRINGS, &[(7, 2), (8, 2)], &[])).unwrap_err();
    let text = error.to_string();
    assert!(text.starts_with("a profile of /v1/count, cpu/count, not of goroutines"), "{text}");
    let error = read(&written(&STRINGS, &[], &[])).unwrap_err();
    assert!(matches!(error, PprofError::Damaged { .. }), "{error}");
}

#[test]
fn what_points_nowhere_is_an_error() {
    let sample = |field, number| {
        let mut sample = message(&[(field, number)]);
        put_number(&mut sample, sample::VALUE, 1);
        sample
    };
    let location = |function| {
        let mut location = message(&[(location::ID, 9)]);
        put_bytes(&mut location, location::LINE, &message(&[(line::FUNCTION, function)]));
        location
    };
    let mut label = Vec::new();
    put_bytes(&mut label, sample::LABEL, &message(&[(label::KEY, 99)]));
    for (field, bytes, problem) in [
        (profile::SAMPLE, sample(sample::LOCATION, 7), "there is no location 7"),
        (profile::LOCATION, location(7), "there is no function 7"),
        (profile::FUNCTION, message(&[(function::ID, 3), (function::NAME, 99)]), "there is no string 99"),
        (profile::FUNCTION, message(&[(function::ID, 2)]), "two functions have the same id"),
        (profile::SAMPLE, label, "there is no string 99"),
        (profile::MAPPING, message(&[(mapping::FILENAME, 99)]), "there is no string 99"),
    ] {
        let error = read(&written(&STRINGS, &[(1, 2)], &[(field, bytes)])).unwrap_err();
        let text = crate::full_text(&error);
        assert!(text.ends_with(problem), "{text} instead of {problem}");
    }
    let mut no_string = Vec::new();
    put_bytes(&mut no_string, profile::STRING_TABLE, b"x");
    assert!(read(&no_string).is_err() && !looks_like_pprof(&no_string));
    assert!(read(b"").is_err() && !looks_like_pprof(b""));
}

#[test]
fn there_are_limits() {
    let count = |count: i64| {
        let sample = message(&[(sample::VALUE, count.cast_unsigned())]);
        written(&STRINGS, &[(1, 2)], &[(profile::SAMPLE, sample)])
    };
    assert!(matches!(read(&count(i64::MAX)), Err(PprofError::TooManyTasks { limit: Snapshot::MOST_TASKS })));
    assert!(matches!(read(&count(-1)), Err(PprofError::Difference)));
    let limits = Limits { tasks: 3, ..Limits::default() };
    assert!(read_within(&count(0), limits).is_ok());
    assert!(matches!(read_within(&count(1), limits), Err(PprofError::TooManyTasks { limit: 3 })));
    let limits = Limits { bytes: 10, ..Limits::default() };
    assert!(matches!(read_within(&count(0), limits), Err(PprofError::TooLarge { limit: 10 })));
}

#[test]
fn cut_stacks_are_said_to_be_cut() {
    let of_depth = |depth: usize| {
        let mut sample = Vec::new();
        put_bytes(&mut sample, sample::LOCATION, &vec![2; depth]);
        put_number(&mut sample, sample::VALUE, 1);
        (profile::SAMPLE, sample)
    };
    let truncated = |depths: &[usize]| {
        let extra: Vec<_> = depths.iter().map(|&depth| of_depth(depth)).collect();
        let snapshot = read(&written(&STRINGS, &[(1, 2)], &extra)).unwrap();
        count_tasks(snapshot.tasks.iter().filter(|task| task.stack_status == StackStatus::Truncated))
    };
    assert_eq!(truncated(&[31, 32, 32]), 2);
    assert_eq!(truncated(&[31, 32, 33]), 0);
    assert_eq!(truncated(&[32, 128]), 1);
    assert_eq!(truncated(&[128, 200]), 0);
}

/// A profile in which each sample is one goroutine, described by the runtime in labels.
fn single_ones(samples: &[&[(u64, u64, u64)]]) -> Vec<u8> {
    let strings = [
        "",
        "goroutine",
        "count",
        "go::goroutine",
        "go::goroutine_state",
        "go::goroutine_created_by",
        "go::goroutine_wait_minutes",
        "go::goroutine_wait_reason",
        "chan receive",
        "running",
        "71",
        "user",
        "me",
        "waiting",
        "select (leaked), 4 minutes, locked to thread",
    ];
    let mut out = Vec::new();
    put_bytes(&mut out, profile::SAMPLE_TYPE, &message(&[(value_type::TYPE, 1), (value_type::UNIT, 2)]));
    for labels in samples {
        let mut sample = message(&[(sample::VALUE, 1)]);
        for &(key, text, number) in *labels {
            let label = message(&[(label::KEY, key), (label::STR, text), (label::NUM, number)]);
            put_bytes(&mut sample, sample::LABEL, &label);
        }
        put_bytes(&mut out, profile::SAMPLE, &sample);
    }
    strings.iter().for_each(|text| put_bytes(&mut out, profile::STRING_TABLE, text.as_bytes()));
    out
}

#[test]
fn goroutines_that_the_runtime_tells_apart() {
    let bytes = single_ones(&[
        &[(3, 0, 7), (4, 8, 0), (5, 0, 1), (6, 0, 3), (11, 12, 0)],
        &[(3, 10, 0), (4, 9, 0), (5, 10, 0)],
        &[(7, 8, 0), (4, 13, 0), (3, 0, 9)],
        &[(4, 14, 0), (3, 0, 8), (5, 0, 0)],
    ]);
    let snapshot = read(&bytes).unwrap();
    assert_eq!(snapshot.header.target.source, SourceKind::Dump);
    assert!(snapshot.header.runtimes[0].age_meaning.as_ref().unwrap().contains("minutes"));
    let told: Vec<_> = (snapshot.tasks.iter())
        .map(|task| (task.id.unwrap(), task.state, task.reason.map(|id| snapshot.str(id)), task.parent))
        .collect();
    let receive = Some("chan receive");
    assert_eq!(
        told,
        [
            (7, TaskState::Waiting, receive, Some(1)),
            (8, TaskState::Waiting, Some("select"), None),
            (9, TaskState::Waiting, receive, None),
            (71, TaskState::Running, None, Some(71)),
        ]
    );
    let minutes = |task: &Task| task.age.nanos().map(|ns| ns / 60_000_000_000);
    assert_eq!(snapshot.tasks.iter().map(minutes).collect::<Vec<_>>(), [Some(3), Some(4), None, None]);
    assert!(snapshot.tasks[1].leaked && snapshot.tasks[1].locked_to_thread);
    // The program's labels stay labels, and nothing else does.
    let labels = snapshot.tasks.iter().filter_map(|task| task.labels);
    let pairs = labels.flat_map(|id| &snapshot.code.label_sets[id.index()].pairs);
    assert_eq!(
        pairs.map(|&(key, value)| (snapshot.str(key), snapshot.str(value))).collect::<Vec<_>>(),
        [("user", "me")]
    );
}

#[test]
fn ids_of_a_merged_profile_identify_no_goroutine() {
    let snapshot = read(&single_ones(&[&[(3, 0, 7)], &[(3, 0, 8)], &[(3, 0, 7)]])).unwrap();
    assert_eq!(snapshot.header.target.source, SourceKind::Profile);
    assert!(snapshot.header.warnings[0].starts_with("1 goroutines have the id of another one"));
    // Some are only counted.
    let snapshot = read(&single_ones(&[&[(3, 0, 7)], &[], &[]])).unwrap();
    assert_eq!((snapshot.header.target.source, snapshot.task_count()), (SourceKind::Profile, 3));
    assert_eq!(snapshot.header.warnings, [""; 0]);
}

fn small() -> Limits {
    Limits { bytes: 1 << 20, tasks: 1000, rows: 100 }
}

proptest! {
    #[test]
    fn never_panics(bytes: Vec<u8>) {
        let _ = read_within(&bytes, small());
    }

    #[test]
    fn never_panics_on_a_damaged_profile(at: prop::sample::Index, len in 0..20usize, with in prop::collection::vec(any::<u8>(), 0..5)) {
        let mut bytes = goroutines();
        let at = at.index(bytes.len());
        bytes.splice(at..(at + len).min(bytes.len()), with);
        if let Ok(snapshot) = read_within(&bytes, small()) {
            prop_assert_eq!(snapshot.validate(), Ok(()));
        }
    }
}

/// A profile of three samples at one place with these types, period and values.
fn timed(strings: &[&str], types: &[(u64, u64)], period: (u64, u64, u64), values: &[&[u64]]) -> Vec<u8> {
    let mut out = Vec::new();
    let kind = |name, unit| message(&[(value_type::TYPE, name), (value_type::UNIT, unit)]);
    for &(name, unit) in types {
        put_bytes(&mut out, profile::SAMPLE_TYPE, &kind(name, unit));
    }
    for values in values {
        let mut sample = Vec::new();
        put_bytes(&mut sample, sample::LOCATION, &[1]);
        values.iter().for_each(|&value| put_bytes(&mut sample, sample::VALUE, &packed(value)));
        put_bytes(&mut out, profile::SAMPLE, &sample);
    }
    let mut location = message(&[(location::ID, 1), (location::ADDRESS, 0x4000)]);
    put_bytes(&mut location, location::LINE, &message(&[(line::FUNCTION, 1), (line::LINE, 10)]));
    put_bytes(&mut out, profile::LOCATION, &location);
    put_bytes(&mut out, profile::FUNCTION, &message(&[(function::ID, 1), (function::NAME, 1)]));
    strings.iter().for_each(|text| put_bytes(&mut out, profile::STRING_TABLE, text.as_bytes()));
    put_bytes(&mut out, profile::PERIOD_TYPE, &kind(period.0, period.1));
    put_number(&mut out, profile::PERIOD, period.2);
    put_number(&mut out, profile::DURATION_NANOS, 5_000_000_000);
    out
}

fn packed(value: u64) -> Vec<u8> {
    let mut out = Vec::new();
    crate::formats::pprof::wire::put_varint(&mut out, value);
    out
}

const TIMES: [&str; 11] = [
    "",
    "work",
    "samples",
    "count",
    "cpu",
    "nanoseconds",
    "wall",
    "milliseconds",
    "off-cpu",
    "moods",
    "microseconds",
];

fn time(bytes: &[u8]) -> Result<Recording, PprofError> {
    match read_any(bytes, Limits::default())? {
        Profile::Time(recording) => Ok(recording),
        Profile::Tasks(_) => panic!("it is no profile of goroutines"),
    }
}

/// Clock, count and nanoseconds of each sample.
fn rows(recording: &Recording) -> Vec<(&'static str, u64, u64)> {
    recording.samples.iter().map(|s| (s.clock.name(), s.count, s.weight_ns)).collect()
}

#[test]
fn every_time_of_a_profile_becomes_samples_of_its_clock() {
    let types = [(2, 3), (4, 5), (6, 7), (8, 10), (9, 3)];
    let values: [&[u64]; 2] = [&[3, 30, 0, 0, 8], &[2, 0, 4, 5, 8]];
    let recording = time(&timed(&TIMES, &types, (4, 10, 7), &values)).unwrap();
    assert_eq!(rows(&recording), [("cpu", 3, 30), ("wall", 2, 4_000_000), ("off-cpu", 2, 5_000)]);
    let header = &recording.header;
    assert_eq!(
        header.warnings,
        ["these values of the profile are left out, as they are no time: moods/count"]
    );
    assert_eq!((header.duration_ns, header.time_step_ns), (5_000_000_000, 5_000_000_000));
    let clocks: Vec<_> = header.clocks.iter().map(|c| (c.clock.name(), c.period_ns)).collect();
    assert_eq!(clocks, [("cpu", Some(7_000)), ("wall", None), ("off-cpu", None)]);
    // Nothing shows that a Go program wrote it, nor whose time it is.
    assert!(header.runtimes.is_empty() && recording.tasks.is_empty());
    assert!(recording.samples.iter().all(|s| s.stack_status == StackStatus::Unknown));
}

#[test]
fn a_profile_that_only_counts_samples_has_the_time_of_its_period() {
    let recording = time(&timed(&TIMES, &[(2, 3)], (4, 5, 10_000_000), &[&[3], &[2]])).unwrap();
    assert_eq!(rows(&recording), [("cpu", 3, 30_000_000), ("cpu", 2, 20_000_000)]);
    let without = time(&timed(&TIMES, &[(2, 3)], (0, 0, 0), &[&[3]])).unwrap_err();
    assert!(without.to_string().starts_with("a profile of samples/count, not of goroutines"), "{without}");
}

#[test]
fn times_out_of_range_do_no_harm() {
    let huge = i64::MAX as u64;
    let types = [(2, 3), (6, 7)];
    let recording = time(&timed(&TIMES, &types, (0, 0, 0), &[&[huge, huge], &[huge, huge]])).unwrap();
    assert_eq!(rows(&recording), [("wall", huge, u64::MAX); 2]);
    let less = time(&timed(&TIMES, &types, (0, 0, 0), &[&[1, u64::MAX]])).unwrap_err();
    assert!(matches!(less, PprofError::Difference), "{less}");
    let limits = Limits { rows: 1, ..Limits::default() };
    let many = read_any(&timed(&TIMES, &types, (0, 0, 0), &[&[1, 1], &[1, 1]]), limits).unwrap_err();
    assert!(matches!(many, PprofError::TooManySamples { limit: 1 }), "{many}");
}

#[test]
fn profiles_of_goroutines_stay_snapshots() {
    let read = read_any(&goroutines(), Limits::default()).unwrap();
    assert_eq!(read, Profile::Tasks(super::read(&goroutines()).unwrap()));
}

proptest! {
    #[test]
    fn any_times_are_an_error_or_a_valid_recording(
        types in proptest::collection::vec((0_u64..11, 0_u64..12), 0..5),
        values in proptest::collection::vec(proptest::collection::vec(any::<u64>(), 0..6), 0..5),
        period in (0_u64..11, 0_u64..11, any::<u64>()),
    ) {
        let values: Vec<&[u64]> = values.iter().map(Vec::as_slice).collect();
        if let Ok(Profile::Time(recording)) = read_any(&timed(&TIMES, &types, period, &values), Limits::default()) {
            prop_assert_eq!(recording.validate(), Ok(()));
        }
    }
}
