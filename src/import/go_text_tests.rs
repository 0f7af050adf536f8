use proptest::prelude::*;

use super::*;
use crate::import::go_dump::Elided;

const DUMP: &str = "\
panic: something\n\
\n\
goroutine 1 gp=0xc000002380 m=0 mp=0x5f5a40 [running]:\n\
runtime.throw({0x4a1234?, 0x1?})\n\
\t/go/src/runtime/panic.go:1101 +0x48 fp=0xc0000 sp=0xc0001 pc=0x43a5c8\n\
main.main()\n\
\t/src/with blank/main.go:12 +0x1d\n\
\n\
goroutine 34 [chan receive (nil chan) (scan), 12 minutes, locked to thread, synctest bubble 3] {a.b: c_d, \"x y\": \"\\\"z]\\\", \\u00e4\"}:\n\
main.(*T).inner(...)\n\
\t/src/main.go:40\n\
main.generic[...](0x0?, {0x1, {...}})\n\
\t/src/main.go:41 +0x2\n\
non-Go function at pc=0x7f0012\n\
c_function\n\
\t/src/c.c:7 pc=0x7f0014\n\
non-Go function\n\
\tpc=0x7f0016\n\
...3 frames elided...\n\
panic({0x1, 0x2})\n\
\t/go/src/runtime/panic.go:884 +0x212\n\
created by main.start in goroutine 1\n\
\t/src/main.go:20 +0x25\n\
[originating from goroutine 1]:\n\
main.other(...)\n\
\t/src/main.go:99 +0x25\n\
\n\
goroutine 5 [running (leaked)]:\r\n\
\tgoroutine running on other thread; stack unavailable\n\
created by main.main\n\
\t/src/main.go:9 +0x25\n\
exit status 2\n";

#[test]
fn reads_every_part_of_a_dump() {
    let dump = GoDump::parse(DUMP.as_bytes());
    let ids: Vec<_> = dump.goroutines.iter().map(|g| g.id).collect();
    assert_eq!(ids, [1, 34, 5]);
    // "panic:", "[originating", its frame (2 lines), "exit status".
    assert_eq!(dump.other_lines, 5);

    let first = &dump.goroutines[0];
    assert_eq!(first.attributes, ["gp=0xc000002380", "m=0", "mp=0x5f5a40"]);
    assert_eq!(first.frames[0].function, "runtime.throw");
    assert_eq!((first.frames[0].offset, first.frames[0].pc), (Some(0x48), Some(0x43a5c8)));
    assert_eq!(first.frames[1].file, "/src/with blank/main.go");

    let second = &dump.goroutines[1];
    assert_eq!(second.state, "chan receive (nil chan)");
    assert_eq!((second.wait_minutes, second.locked, second.scan), (12, true, true));
    assert_eq!(second.attributes, ["synctest bubble 3"]);
    let labels = second.labels.as_ref().unwrap();
    assert_eq!(labels[0], ("a.b".into(), "c_d".into()));
    assert_eq!(labels[1], ("x y".into(), "\"z]\", ä".into()));
    let functions: Vec<_> = second.frames.iter().map(|f| f.function.as_str()).collect();
    assert_eq!(functions, ["main.(*T).inner", "main.generic[...]", "", "c_function", "", "panic"]);
    assert!(second.frames[0].inlined && !second.frames[1].inlined);
    assert_eq!(second.frames[4].pc, Some(0x7f0016));
    assert_eq!(second.elided, Some(Elided { after: 5, count: Some(3) }));
    let creator = second.created_by.as_ref().unwrap();
    assert_eq!((creator.function.as_str(), creator.goroutine, creator.line), ("main.start", Some(1), 20));

    let third = &dump.goroutines[2];
    assert!(third.leaked && third.unavailable);
    assert_eq!(third.created_by.as_ref().unwrap().goroutine, None);
}

#[test]
fn go_1_26_has_its_own_way_with_labels() {
    let header = "goroutine 5 [chan receive, 2 minutes labels:{\"a\": \"]}\", \"b\": \"\"}]:";
    let goroutine = &GoDump::parse(header.as_bytes()).goroutines[0];
    assert_eq!((goroutine.state.as_str(), goroutine.wait_minutes), ("chan receive", 2));
    let labels = goroutine.labels.as_ref().unwrap();
    assert_eq!(labels[..], [("a".into(), "]}".into()), ("b".into(), String::new())]);
}

#[test]
fn old_dumps_do_not_say_how_many_frames_are_missing() {
    let dump =
        GoDump::parse(b"goroutine 1 [sleep]:\nmain.f(0x1)\n\t/x.go:1 +0x1\n...additional frames elided...\n");
    assert_eq!(dump.goroutines[0].elided, Some(Elided { after: 1, count: None }));
}

#[test]
fn what_makes_no_sense_is_counted() {
    for text in
        ["goroutine x [a]:", "goroutine 1 [a]", "goroutine 1:", "goroutine 1 [a] {b}:", "...", "\u{fffd}"]
    {
        let dump = GoDump::parse(text.as_bytes());
        assert_eq!((dump.goroutines.len(), dump.other_lines), (0, 1), "{text:?}");
    }
    let dump = GoDump::parse(b"goroutine 1 [a]:\nmain.f()\nmain.g()\n\tno place\n...x frames elided...\n");
    assert_eq!((dump.goroutines[0].frames.len(), dump.other_lines), (0, 4));
}

fn text() -> impl Strategy<Value = String> {
    // Pieces of real lines in any order find more than random bytes do.
    let piece = prop_oneof![
        prop::sample::select(vec![
            "goroutine ",
            "7",
            " [",
            "]",
            ":",
            "\n",
            "\t",
            "running",
            ", ",
            "locked to thread",
            " minutes",
            " (scan)",
            " {",
            "}",
            "\"",
            "\\",
            "created by ",
            " in goroutine ",
            "main.f",
            "(",
            ")",
            "...",
            " frames elided...",
            "additional",
            "/x.go",
            ":",
            "12",
            " +0x",
            "ff",
            "pc=",
            "non-Go function at pc=",
            "\r",
            "é",
        ])
        .prop_map(str::to_owned),
        ".{0,3}",
    ];
    prop::collection::vec(piece, 0..80).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn never_panics(text in text()) {
        let dump = GoDump::parse(text.as_bytes());
        let frames: usize = dump.goroutines.iter().map(|g| g.frames.len()).sum();
        prop_assert!(dump.goroutines.len() + frames <= text.len() + 1);
    }

    #[test]
    fn never_panics_on_a_damaged_dump(at in 0..DUMP.len(), len in 0..40usize, with in prop::collection::vec(any::<u8>(), 0..5)) {
        let mut bytes = DUMP.as_bytes().to_vec();
        bytes.splice(at..(at + len).min(DUMP.len()), with);
        GoDump::parse(&bytes);
    }
}
