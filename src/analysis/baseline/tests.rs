#![allow(clippy::unwrap_used, reason = "a test may panic")]

use proptest::prelude::*;

use super::file::{MAGIC, MAX_LINES, parse, write};
use super::*;

fn kind(function: &str, creator: &str, reason: &str) -> Kind {
    Kind { function: tolerant(function), creator: tolerant(creator), reason: reason.to_owned() }
}

fn text(baseline: &Baseline) -> String {
    write(baseline, &|c| !c.is_control())
}

fn problem(text: &str) -> String {
    crate::full_text(&parse(text).unwrap_err())
}

const FILE: &str = "\
# loiter baseline 1
# ours

*.poll | * | select # everywhere

[ex.com/api]
# the old client
api.(*Client).poll.func* | api.New | chan receive | until 2027-01-31 # goes with it

# of the pool
api.worker | api.Start | chan receive
[ex.com/b]
b.f | - | sleep
# the end
";

#[test]
fn a_file_is_written_as_it_was_read() {
    let baseline = parse(FILE).unwrap();
    assert_eq!(text(&baseline), FILE);
    let lines: Vec<usize> = baseline.sections.iter().map(|section| section.lines.len()).collect();
    assert_eq!(lines, [1, 2, 1]);
    let old = &baseline.sections[1].lines[0];
    assert_eq!((old.number, old.comment.as_str()), (8, "goes with it"));
    assert_eq!(old.until.unwrap().to_string(), "2027-01-31");
}

#[test]
fn lines_belong_to_their_program() {
    let baseline = parse(FILE).unwrap();
    let says = |program: &str, kind: &Kind| match baseline.says(program, kind, None) {
        Said::Known(line) => line.number,
        Said::New => 0,
        Said::Expired(_) => panic!("there is no day"),
    };
    let worker = kind("api.worker", "api.Start", "chan receive");
    assert_eq!((says("ex.com/api", &worker), says("ex.com/b", &worker)), (11, 0));
    let poll = kind("b.(*X).poll", "b.New", "select");
    assert_eq!((says("ex.com/api", &poll), says("other", &poll)), (4, 4));
    // Closures are numbered anew, and lines say nothing.
    let closure = kind("api.(*Client).poll.func7.1", "api.New", "chan receive");
    assert_eq!(says("ex.com/api", &closure), 8);
    assert_eq!(says("ex.com/api", &kind("api.(*Client).poll.func7", "api.New", "sleep")), 0);
    // It was on its way when it was read.
    assert_eq!(says("ex.com/api", &kind("api.worker", "api.Start", "")), 11);
    assert_eq!(says("ex.com/b", &kind("b.f", "", "sleep")), 13);
}

#[test]
fn a_last_day_ends_a_line() {
    let baseline = parse(FILE).unwrap();
    let old = kind("api.(*Client).poll.func1", "api.New", "chan receive");
    let on = |day: &str| baseline.says("ex.com/api", &old, Some(day.parse().unwrap()));
    assert!(matches!(on("2027-01-31"), Said::Known(_)));
    assert!(matches!(on("2027-02-01"), Said::Expired(line) if line.number == 8));
    assert!(matches!(baseline.says("ex.com/api", &old, None), Said::Known(_)));
}

#[test]
fn lines_that_nothing_needs_are_stale() {
    let baseline = parse(FILE).unwrap();
    let stale = |program: &str, kinds: &[Kind]| -> Vec<usize> {
        baseline.stale(&[(program.to_owned(), kinds.to_vec())]).iter().map(|line| line.number).collect()
    };
    let worker = kind("api.worker", "api.Start", "chan receive");
    assert_eq!(stale("ex.com/api", &[worker]), [8]);
    assert_eq!(stale("other", &[]), [0_usize; 0]);
    let single = parse("a | b | c\nd | e | f\n").unwrap();
    let numbers = |found: &[(String, Vec<Kind>)]| -> Vec<usize> {
        single.stale(found).iter().map(|line| line.number).collect()
    };
    let (one, other) =
        (("p".to_owned(), vec![kind("d", "e", "f")]), ("q".to_owned(), vec![kind("a", "b", "c")]));
    assert_eq!(numbers(std::slice::from_ref(&one)), [1]);
    // Another program needs it.
    assert_eq!(numbers(&[one, other]), [0_usize; 0]);
}

#[test]
fn renewing_keeps_what_people_wrote() {
    let mut baseline = parse(FILE).unwrap();
    let kinds = [
        kind("api.worker", "api.Start", "chan receive"),
        kind("api.new.func1", "api.Start", "select"),
        kind("x.poll", "x.New", "select"),
        kind("api.busy", "api.Start", ""),
    ];
    baseline.renew("ex.com/api", &kinds);
    let expected = FILE
        .replace("# the old client\napi.(*Client).poll.func* | api.New | chan receive | until 2027-01-31 # goes with it\n", "")
        .replace(
            "api.worker | api.Start | chan receive\n",
            "api.worker | api.Start | chan receive\napi.new.func* | api.Start | select\napi.busy | api.Start | *\n",
        );
    assert_eq!(text(&baseline), expected);
    // Nothing changes the second time.
    let before = baseline.clone();
    baseline.renew("ex.com/api", &kinds);
    assert_eq!(baseline, before);
    // A program without leaks needs no lines.
    baseline.renew("ex.com/b", &[]);
    assert!(!text(&baseline).contains("ex.com/b"));
    let mut new = Baseline::default();
    new.renew("p", &[kind("a", "", "select")]);
    assert!(
        text(&new).starts_with(MAGIC) && text(&new).ends_with("\n[p]\na | - | select\n"),
        "{}",
        text(&new)
    );
    assert_eq!(text(&parse(&text(&new)).unwrap()), text(&new));
    // A program that left nothing came first: the file had no lines.
    let mut second = parse(&text(&Baseline::default())).unwrap();
    second.renew("p", &[kind("a", "", "select")]);
    assert_eq!(text(&second), text(&new));
}

#[test]
fn what_makes_no_sense_is_said_with_its_line() {
    for (text, problem_) in [
        ("a | b\n", "line 1: use FUNCTION | CREATOR | REASON; - stands for a name that is not known"),
        ("\na | b | c | 2027-01-01\n", "line 2: after the reason, only `until YYYY-MM-DD` may follow"),
        ("a | b | c | until 2027-02-30\n", "line 1: use a day like 2027-01-31"),
        ("a | b | c | until 2027-02-03 | d\n", "line 1: there are too many fields"),
        ("[a\n", "line 1: a ] is missing at the end"),
        ("[ ]\n", "line 1: the name of a program is missing in the brackets"),
        ("a\\x | b | c\n", "line 1: after \\ only | # \\ or u{...} may follow"),
        ("a\\u{110000} | b | c\n", "line 1: after \\ only | # \\ or u{...} may follow"),
        ("a | | c\n", "line 1: use FUNCTION | CREATOR | REASON; - stands for a name that is not known"),
    ] {
        assert_eq!(problem(text), problem_, "{text}");
    }
    assert!(problem("# loiter baseline 2\n").starts_with("it is a baseline of a version"));
    assert_eq!(problem(&"\n".repeat(MAX_LINES + 1)), "it has more than 10000 lines");
}

fn name() -> impl Strategy<Value = String> {
    prop_oneof![any::<String>(), "[a-z.*|#\\\\ \\[\\]{}-]{0,12}"]
}

fn comment() -> impl Strategy<Value = String> {
    "([a-z|#\\\\-][a-z |#\\\\-]{0,10}[a-z])?"
}

prop_compose! {
    fn line()(function in name(), creator in name(), reason in name(), comment in comment(), day in 0_u8..40,
              above in proptest::collection::vec("(# ?[a-z|\\[]{1,5})?", 0..3)) -> Line {
        let kind = Kind { function, creator, reason };
        let until = format!("2027-01-{day:02}").parse().ok();
        Line { until, comment, above, ..Line::new(&kind) }
    }
}

prop_compose! {
    fn baseline()(sections in proptest::collection::btree_map(name(), proptest::collection::vec(line(), 1..4), 0..4),
                  below in proptest::collection::vec("(# ?[a-z|\\[]{1,5})?", 0..3)) -> Baseline {
        let section = |(program, lines)| Section { program, lines, above: Vec::new() };
        Baseline { sections: sections.into_iter().map(section).collect(), below }
    }
}

/// Without the numbers of lines.
fn plain(mut baseline: Baseline) -> Baseline {
    for line in baseline.sections.iter_mut().flat_map(|section| &mut section.lines) {
        line.number = 0;
        line.above.clear();
    }
    baseline.sections.iter_mut().for_each(|section| section.above.clear());
    baseline.below.clear();
    baseline
}

proptest! {
    #[test]
    fn what_is_written_can_be_read(baseline in baseline()) {
        let written = text(&baseline);
        let read = parse(&written).unwrap();
        prop_assert_eq!(plain(read.clone()), plain(baseline));
        prop_assert_eq!(text(&read), written);
    }

    #[test]
    fn any_text_is_read_or_refused(text: String) {
        let _ = parse(&text);
    }

    #[test]
    fn lines_of_hostile_text_stay_one_line(text in "([a-z|#\\\\\\[\\]]| |\\n|-){0,80}") {
        if let Ok(baseline) = parse(&text) {
            let written = self::text(&baseline);
            prop_assert_eq!(plain(parse(&written).unwrap()), plain(baseline));
        }
    }

    #[test]
    fn new_kinds_are_known_afterwards(names in proptest::collection::vec((name(), name(), name()), 1..5)) {
        let kinds: Vec<Kind> = names.iter().map(|(f, c, r)| Kind { function: tolerant(f), creator: tolerant(c), reason: r.clone() }).collect();
        let mut baseline = Baseline::default();
        baseline.renew("p", &kinds);
        let read = parse(&text(&baseline)).unwrap();
        for kind in &kinds {
            prop_assert!(matches!(read.says("p", kind, None), Said::Known(_)), "{:?}", kind);
        }
        prop_assert!(read.stale(&[("p".to_owned(), kinds)]).is_empty());
    }
}
