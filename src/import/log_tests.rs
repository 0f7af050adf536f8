use proptest::prelude::*;

use super::*;

const DUMP: &str = "\
goroutine 1 [running]:\n\
main.inner(...)\n\
\t/src/with blank/main.go:40\n\
main.main()\n\
\t/src/main.go:12 +0x1d\n\
\n\
goroutine 34 [chan receive, 12 minutes] {a: \"x y\"}:\n\
net/http.(*conn).serve(0xc000, {0x1?, 0x2})\n\
\t/go/src/net/http/server.go:41 +0x2\n\
created by main.start in goroutine 1\n\
\t/src/main.go:20 +0x25\n\
\n\
goroutine 5 [select]:\n\
main.loop()\n\
\t/src/main.go:50 +0x2\n\
created by main.start in goroutine 1\n\
\t/src/main.go:21 +0x25\n";

fn expected() -> GoDump {
    GoDump::parse(DUMP.as_bytes())
}

fn goroutines(text: &str) -> Vec<DumpGoroutine> {
    GoLog::parse(text.as_bytes()).dump.goroutines
}

/// The dump with `wrap` around each line.
fn wrapped(wrap: impl Fn(usize, &str) -> String) -> String {
    DUMP.lines().enumerate().map(|(nth, line)| wrap(nth, line) + "\n").collect()
}

fn docker(text: &str) -> String {
    serde_json::json!({"log": text, "stream": "stderr", "time": "2026-11-21T10:00:00.123456789Z"}).to_string()
}

#[test]
fn whatever_stands_before_the_lines() {
    let plain = |prefix: &'static str| wrapped(move |_, line| format!("{prefix}{line}"));
    for text in [
        plain(""),
        plain("    "),
        plain("\t"),
        plain("> "),
        plain("2026/11/21 10:00:00 "),
        plain("web_1  | "),
        plain("Nov 21 10:00:00 host app[123]: "),
        wrapped(|_, line| format!("{line}\r")),
        wrapped(|nth, line| format!("2026-11-21T10:00:{:02}.{nth}Z {line}", nth)),
        wrapped(|nth, line| format!("2026-11-21T10:00:00.{}Z stderr F {line}", nth * 77)),
        wrapped(|nth, line| format!("Nov  1 10:00:{nth:02} host app[123]: {}", line.replace('\t', "#011"))),
        wrapped(|_, line| line.replace('\t', "        ")),
        wrapped(|_, line| line.trim_start().to_owned()),
        wrapped(|_, line| format!("ts: {}", line).trim_end().to_owned()),
        wrapped(|_, line| docker(&format!("{line}\n"))),
        wrapped(|nth, line| docker(&format!("2026/11/21 10:00:{nth:02} {line}\n"))),
        wrapped(|_, line| serde_json::json!({"level": "error", "msg": line}).to_string()),
        wrapped(|_, line| {
            serde_json::json!({"jsonPayload": {"message": line}, "timestamp": "2026-11-21T10:00:00Z"})
                .to_string()
        }),
        // Only the first line has the logger's words before it.
        format!("2026/11/21 10:00:00 stack: {DUMP}"),
        wrapped(|nth, line| {
            let words = if nth == 0 { "2026/11/21 10:00:00 stack: " } else { "" };
            format!("2026-11-21T10:00:00.5Z {words}{line}")
        }),
        // One string.
        format!("{}\n", serde_json::json!({"level": "error", "error": {"stack": DUMP}})),
        docker(&format!("{}\n", serde_json::json!({"stack": DUMP}))),
        format!("ts=2026-11-21T10:00:00Z level=error msg=\"it's over\" stack={DUMP:?}\n"),
        format!(
            "2026-11-21T10:00:00Z\tERROR\tapp/x.go:1\tboom\t{}\n",
            serde_json::json!({"stacktrace": DUMP})
        ),
    ] {
        assert_eq!(goroutines(&text), expected().goroutines, "{text}");
        assert_eq!(GoLog::parse(text.as_bytes()).dump.cut, None, "{text}");
    }
}

/// Wherever a text ends: the goroutines before the cut are whole, and a cut that takes a part of one is noticed.
#[test]
fn a_cut_is_noticed_anywhere() {
    let whole = expected().goroutines;
    let begins: Vec<_> = DUMP
        .match_indices("goroutine ")
        .map(|(at, _)| at)
        .filter(|&at| at == 0 || DUMP[..at].ends_with("\n\n"))
        .collect();
    assert_eq!(begins.len(), whole.len());
    let second = begins[1];
    for prefix in ["", "    ", "2026/11/21 10:00:00 ", "web_1  | ", "2026-11-21T10:00:00.123456789Z "] {
        for end in second + 1..DUMP.len() {
            let text =
                DUMP[..end].split('\n').map(|line| format!("{prefix}{line}")).collect::<Vec<_>>().join("\n");
            let log = GoLog::parse(text.as_bytes());
            let begun = begins.iter().filter(|&&at| at < end).count();
            let header_end = begins[begun - 1] + DUMP[begins[begun - 1]..].find(":\n").unwrap();
            let found = log.dump.goroutines;
            if end <= header_end {
                // The goroutine is not there, and the one before it is as it was.
                assert_eq!(
                    (found.as_slice(), log.dump.cut),
                    (&whole[..begun - 1], Some(Cut::InHeader)),
                    "{text}"
                );
            } else {
                assert_eq!((found.len(), &found[..begun - 1]), (begun, &whole[..begun - 1]), "{text}");
                // Half an offset looks like a whole one.
                let offset = DUMP[..end].trim_end().rsplit_once(" +0").map(|(_, offset)| offset);
                let all = offset.is_some_and(|offset| offset != "x" && !offset.contains(' '))
                    && found[begun - 1].created_by.is_some();
                assert_eq!(log.dump.cut, (!all).then_some(Cut::InGoroutine), "{text}");
            }
        }
    }
}

#[test]
fn a_cut_message_is_noticed() {
    let text = wrapped(|_, line| docker(&format!("{line}\n")));
    let end = text.find("goroutine 5 [").unwrap() + 15;
    let log = GoLog::parse(&text.as_bytes()[..end]);
    assert_eq!(log.dump.cut, Some(Cut::InHeader));
    assert_eq!(log.dump.goroutines, expected().goroutines[..2]);
}

#[test]
fn lines_of_others_in_between() {
    let noise = [
        "2026/11/21 10:00:00 GET /users 200 (12ms)",
        "{\"level\":\"info\",\"msg\":\"request done\"}",
        "db-1  | checkpoint complete (wal.go:12)",
        "f(x)",
        "W1121 10:00:00.000000    123 file.go:12] slow",
    ];
    for noise in noise {
        let text = wrapped(|_, line| format!("{line}\n{noise}"));
        // A blank line ends a goroutine, so there must be none within one here.
        let mut found = goroutines(&text);
        // A line that no logger writes may be the rest of a frame.
        let lost: u64 = found.iter_mut().map(|goroutine| std::mem::take(&mut goroutine.lost_lines)).sum();
        assert_eq!(lost > 0, noise == "f(x)", "{noise}");
        assert_eq!(found, expected().goroutines, "{noise}");
    }
}

/// A dump with another running goroutine and a line of JSON for each line; its blank lines do not split the dump.
#[test]
fn blank_lines_in_json() {
    let dump = DUMP.replace("[select]", "[running]");
    let text: String = dump.lines().map(|line| serde_json::json!({"msg": line}).to_string() + "\n").collect();
    let log = GoLog::parse(text.as_bytes());
    assert_eq!((log.dumps, log.dump.goroutines.len()), (vec![3], 3));
}

#[test]
fn what_a_crash_says() {
    for (before, said) in [
        ("panic: boom [recovered]\n\tpanic: again\n\n", vec!["panic: boom [recovered]", "panic: again"]),
        (
            "panic: runtime error: nil\n[signal SIGSEGV: segmentation violation code=0x1 pc=0x1]\n\n",
            vec!["panic: runtime error: nil", "[signal SIGSEGV: segmentation violation code=0x1 pc=0x1]"],
        ),
        (
            "fatal error: all goroutines are asleep - deadlock!\n\n",
            vec!["fatal error: all goroutines are asleep - deadlock!"],
        ),
        ("SIGQUIT: quit\nPC=0x46c1a1 m=0 sigcode=0\n\n", vec!["SIGQUIT: quit"]),
        (
            "2026/11/21 10:00:00 http: panic serving 1.2.3.4:5: boom\n",
            vec!["http: panic serving 1.2.3.4:5: boom"],
        ),
        ("2026/11/21 10:00:00 handled a panic: fine\n", vec![]),
        ("", vec![]),
    ] {
        let log = GoLog::parse(format!("started\n{before}{DUMP}exit status 2\n").as_bytes());
        assert_eq!(log.said, said, "{before}");
        assert_eq!(log.dump.goroutines, expected().goroutines, "{before}");
        assert_eq!(log.dumps, [3]);
    }
    let log = GoLog::parse(
        format!("2026-11-21T10:00:00Z panic: x\n{}", wrapped(|_, l| format!("2026-11-21T10:00:01Z {l}")))
            .as_bytes(),
    );
    assert_eq!((log.said, log.taken_at_ns), (vec!["panic: x".to_owned()], 1_795_255_200_000_000_000));
}

#[test]
fn of_several_dumps_the_last_complete_one() {
    let one = "goroutine 7 [running]:\nmain.handler()\n\t/src/main.go:7 +0x1\ncreated by main.start\n\t/src/main.go:8 +0x2\n";
    let other = one.replace("goroutine 7", "goroutine 8");
    for (text, dumps, first) in [
        (format!("{DUMP}\n{DUMP}"), vec![3, 3], 1),
        (format!("{DUMP}\nlog line\n{one}"), vec![3, 1], 7),
        (format!("panic: a\n\n{one}\nlog line\n{other}"), vec![1, 1], 8),
        (format!("panic: a\n\n{one}panic: b\n\n{other}"), vec![1, 1], 8),
        (format!("{one}{}", DUMP.get(..DUMP.len() - 30).unwrap()), vec![4], 7),
        (format!("{one}\nlog line\n{}", DUMP.get(..DUMP.len() - 30).unwrap()), vec![1, 3], 7),
    ] {
        let log = GoLog::parse(text.as_bytes());
        assert_eq!((log.dumps, log.dump.goroutines[0].id), (dumps, first), "{text}");
    }
}

#[test]
fn threads_that_add_to_a_crash() {
    let text = "SIGQUIT: quit\n\ngoroutine 1 [chan receive]:\nmain.main()\n\t/x.go:1 +0x1\n\n\
        goroutine 9 [running]:\n\tgoroutine running on other thread; stack unavailable\ncreated by main.f\n\t/x.go:2 +0x1\n\n\
        rax 0x1\n-----\n\nSIGQUIT: quit\nPC=0x1 m=2 sigcode=0\n\n\
        goroutine 9 [running]:\nmain.spin()\n\t/x.go:3 +0x1\ncreated by main.f\n\t/x.go:2 +0x1\n";
    let log = GoLog::parse(text.as_bytes());
    assert_eq!((log.dumps, log.said), (vec![2], vec!["SIGQUIT: quit".to_owned()]));
    assert_eq!(log.dump.goroutines[1].frames[0].function, "main.spin");
}

#[test]
fn a_log_without_dumps() {
    let log = GoLog::parse(b"2026/11/21 goroutine 12 is done\n{\"msg\": \"goroutine \"}\n\n");
    assert_eq!(log, GoLog::default());
}

proptest! {
    #[test]
    fn never_panics(text in "(goroutine 1 \\[running\\]:|main\\.f\\(\\)|\t/x\\.go:1|panic: |[{}\"\\\\n:a0 ]|\n|é|\\{\"log\":\"){0,60}") {
        let log = GoLog::parse(text.as_bytes());
        prop_assert!(log.dump.goroutines.len() <= text.len());
    }

    #[test]
    fn reads_a_damaged_dump_like_the_plain_reader(left_out in prop::collection::vec(0..18usize, 0..6)) {
        let lines = DUMP.split_inclusive('\n').enumerate();
        let text: String = lines.filter(|(nth, _)| !left_out.contains(nth)).map(|(_, line)| line).collect();
        let plain = GoDump::parse(text.as_bytes());
        // Damage may split a dump in two, but never invent anything.
        for goroutine in &goroutines(&text) {
            prop_assert!(plain.goroutines.contains(goroutine), "{goroutine:?}");
        }
    }
}
