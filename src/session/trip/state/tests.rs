use proptest::prelude::*;

use super::*;
use crate::analysis::trip::{Learner, Rules, Sample, Watch};

const SECOND: u64 = 1_000_000_000;

fn rules() -> Rules {
    Rules {
        period_ns: 60 * SECOND,
        every_ns: 20 * SECOND,
        max_tasks: Some(250),
        max_growth: Some(10.0),
        over_percent: 30,
        periods: 3,
    }
}

fn sample(at: u64, tasks: u64, group: u64) -> Sample {
    let groups = vec![("main.f < main.main".into(), group), ("main.\u{202e}\"\n".into(), tasks / 3)];
    Sample::new((1_795_000_000 + at) * SECOND, tasks, groups)
}

fn baseline() -> Baseline {
    let mut learner = Learner::default();
    (0..40).for_each(|n| learner.add(&sample(n * 20, 90 + n % 7, n)));
    learner.finish().unwrap()
}

fn who() -> Who {
    Who { name: "api".to_owned(), build_id: Some("b1".to_owned()), pid: Some(7), ..Who::default() }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Any prefix of a series is decided the same if the watch goes on from the file.
    #[test]
    fn a_watch_goes_on_from_its_file(
        readings in prop::collection::vec((1_u64..100, 0_u64..300, 0_u64..80), 1..60),
        cut in prop::collection::vec(any::<bool>(), 60),
    ) {
        let mut whole = Watch::new(rules(), Some(baseline()), Memory::default());
        let mut resumed = whole.clone();
        let mut at = 0;
        for ((seconds, tasks, group), cut) in readings.into_iter().zip(cut) {
            at += seconds;
            if cut {
                let state = State {
                    learned: resumed.baseline().cloned().map(|baseline| (who(), baseline)),
                    watched: Some(who()),
                    memory: resumed.memory().clone(),
                };
                let read = v1::read(&v1::write(&state).unwrap()).unwrap();
                prop_assert_eq!(&read, &state);
                resumed = Watch::new(rules(), read.learned.map(|learned| learned.1), read.memory);
            }
            let one = sample(at, tasks, group);
            prop_assert_eq!(whole.read(&one), resumed.read(&one));
        }
    }

    #[test]
    fn no_file_does_harm(text in prop::collection::vec(any::<u8>(), 0..200), at in 0_usize..2_000, byte: u8) {
        let _ = v1::read(&text);
        let state = State { learned: Some((who(), baseline())), ..State::default() };
        let mut text = v1::write(&state).unwrap();
        if let Some(place) = text.get_mut(at) {
            *place = byte;
        }
        if let Ok(state) = v1::read(&text) {
            let mut watch = Watch::new(rules(), state.learned.map(|learned| learned.1), state.memory);
            (0..20).for_each(|n| drop(watch.read(&sample(n * 20, u64::MAX, n))));
        }
    }
}

#[test]
fn a_file_has_one_user() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("api.state");
    let (mut file, state) = StateFile::open(&path).unwrap();
    assert_eq!(state, None);
    let state = State { learned: Some((who(), baseline())), ..State::default() };
    for _ in 0..3 {
        file.save(&state).unwrap();
        assert!(matches!(StateFile::open(&path), Err(StateError::InUse)));
    }
    drop(file);
    let (_file, read) = StateFile::open(&path).unwrap();
    assert_eq!(read, Some(state));
}

#[test]
fn what_is_no_state_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state");
    let said = |text: &str| {
        fs::write(&path, text).unwrap();
        StateFile::open(&path).unwrap_err().to_string()
    };
    for (text, expected) in [
        ("", "it is no state of loiter gate"),
        ("{\"format\":\"loiter-diff\",\"version\":1}", "another format"),
        ("{\"format\":\"loiter-gate-state\",\"version\":2}", "version 2, and this loiter knows version 1"),
    ] {
        assert!(said(text).contains(expected), "{}", said(text));
    }
    let watched = |course: &str| {
        format!(
            r#"{{"format":"loiter-gate-state","version":1,"watched":{{"program":null,"start_ns":1,"first":0,
            "period_ns":1,"missed":0,"period":null,"courses":[{course}]}}}}"#
        )
    };
    let idle = r#"{"above":0,"within":0,"tripped":false}"#;
    let course = |medians: &str| {
        format!(r#"{{"group":null,"medians":[{medians}],"tasks":{idle},"growth":{idle},"learned":{idle}}}"#)
    };
    fs::write(&path, watched(&course("[1,2]"))).unwrap();
    assert!(StateFile::open(&path).is_ok());
    assert!(said(&watched(&course(&["[1,2]"; 11].join(",")))).contains("too many periods"));
    assert!(said(&watched(&course("").replace("null", "3"))).contains("no state"));
    fs::write(&path, vec![b' '; (MAX_SIZE + 1) as usize]).unwrap();
    assert!(matches!(StateFile::open(&path), Err(StateError::TooLarge)));
    assert!(matches!(StateFile::open(directory.path()), Err(StateError::NoFile)));
    assert!(matches!(StateFile::open(Path::new("/dev/zero")), Err(StateError::NoFile)));
}
