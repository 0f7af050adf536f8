//! The same dump in every form in which logs, viewers and people hand it on, and damaged dumps: what comes
//! out is what the plain dump says, or it is said what is missing; never anything else.
#![allow(clippy::unwrap_used, missing_docs, reason = "a test may panic")]

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use loiter::import::{self, DumpFrame, DumpGoroutine, GoDump, GoLog};
use proptest::prelude::*;

static FIXTURES: LazyLock<Vec<(String, String)>> = LazyLock::new(read_fixtures);

fn fixtures() -> &'static [(String, String)] {
    &FIXTURES
}

fn read_fixtures() -> Vec<(String, String)> {
    let directory = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fixtures/dumps");
    let mut found: Vec<_> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            let name = path.file_name().unwrap().to_str().unwrap();
            name.starts_with("go1.") && name.ends_with(".txt") && !name.contains("debug1")
        })
        .map(|path| {
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            (name, fs::read_to_string(path).unwrap())
        })
        .collect();
    found.sort();
    assert!(found.len() > 30);
    found
}

fn goroutines(text: &[u8]) -> Vec<DumpGoroutine> {
    GoLog::parse(text).dump.goroutines
}

type Form = (&'static str, fn(&str) -> Vec<u8>);

fn each_line(text: &str, form: impl Fn(usize, &str) -> String) -> Vec<u8> {
    text.lines().enumerate().map(|(nth, line)| form(nth, line) + "\n").collect::<String>().into_bytes()
}

fn json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).unwrap()
}

/// A goroutine each, with what stands before the first.
fn paragraphs(text: &str) -> Vec<&str> {
    text.trim_end().split("\n\n").collect()
}

fn utf16(text: &str, unit: fn(u16) -> [u8; 2]) -> Vec<u8> {
    text.encode_utf16().flat_map(unit).collect()
}

/// A stamp that counts, so that numbers differ in each line.
fn stamp(nth: usize) -> String {
    format!("2026-11-21T10:00:{:02}.{:03}Z", nth / 100 % 60, nth % 100 * 7)
}

fn pretty(text: &str, newest_first: bool) -> Vec<u8> {
    let entry = |(nth, line): (usize, &str)| serde_json::json!({"insertId": format!("x{nth}"), "textPayload": line, "timestamp": stamp(nth)});
    let mut entries: Vec<_> = text.lines().enumerate().map(entry).collect();
    if newest_first {
        entries.reverse();
    }
    serde_json::to_vec_pretty(&entries).unwrap()
}

/// As YAML folds a long string in double quotes: at blanks, what follows is indented.
fn folded(text: &str) -> Vec<u8> {
    let mut out = String::from("    message: ");
    let mut width = 0;
    for word in json(&text).split_inclusive(' ') {
        width += word.len();
        if width > 80 && word != " " && !out.ends_with("  ") && !word.starts_with("\\n ") {
            out.truncate(out.trim_end().len());
            out.push_str("\n        ");
            width = 0;
        }
        out.push_str(word);
    }
    (out + "\n    reason: Error\n").into_bytes()
}

fn python(text: &str) -> Vec<u8> {
    let inside = text.replace('\\', "\\\\").replace('\'', "\\'").replace('\n', "\\n").replace('\t', "\\t");
    format!("RuntimeError: command failed: b'{inside}'\n").into_bytes()
}

const FORMS: &[Form] = &[
    ("indented", |text| each_line(text, |_, line| format!("    {line}"))),
    ("quoted", |text| each_line(text, |_, line| format!("> {line}"))),
    ("stamps", |text| each_line(text, |nth, line| format!("{} {line}", stamp(nth)))),
    ("numbered", |text| each_line(text, |nth, line| format!("{:6} {line}", nth + 1))),
    ("syslog", |text| {
        each_line(text, |nth, line| {
            format!("Nov {:2} 10:00:{:02} host app[12]: {line}", 9 + nth / 60 % 3, nth % 60)
        })
    }),
    ("rsyslog", |text| {
        each_line(text, |_, line| format!("Nov 21 10:00:00 host app[12]: {}", line.replace('\t', "#011")))
    }),
    ("compose", |text| each_line(text, |_, line| format!("web-1  | {line}"))),
    ("compose in colours", |text| each_line(text, |_, line| format!("\x1b[36mweb-1  | \x1b[0m{line}"))),
    ("pods", |text| each_line(text, |_, line| format!("[pod/web-0/app] {line}"))),
    ("cri", |text| each_line(text, |nth, line| format!("{} stderr F {line}", stamp(nth)))),
    ("docker", |text| {
        each_line(text, |nth, line| {
            json(&serde_json::json!({"log": format!("{line}\n"), "stream": "stderr", "time": stamp(nth)}))
        })
    }),
    ("suffix", |text| each_line(text, |_, line| format!("{line} wasm_exec.js:47:14"))),
    ("suffix of quotes", |text| each_line(text, |_, line| format!("    \"{line}\","))),
    ("box", |text| each_line(text, |_, line| format!("│ {line:<140} │"))),
    ("crlf", |text| each_line(text, |_, line| format!("{line}\r"))),
    ("double spaced", |text| each_line(text, |_, line| format!("{line}\n"))),
    ("double spaced with stamps", |text| each_line(text, |nth, line| format!("{} {line}\n", stamp(nth)))),
    ("no indentation", |text| each_line(text, |_, line| line.trim_start().to_owned())),
    ("colours", |text| each_line(text, |_, line| format!("\x1b[31m{line}\x1b[0m"))),
    ("csv", |text| {
        let rows = each_line(text, |nth, line| {
            format!("\"Nov 21, 2026 @ 10:00:{nth}\",\"{}\"", line.replace('"', "\"\""))
        });
        [b"\"@timestamp\",message\n".to_vec(), rows].concat()
    }),
    ("csv in the middle", |text| {
        each_line(text, |nth, line| format!("{},\"{}\",host7", stamp(nth), line.replace('"', "\"\"")))
    }),
    ("csv, one field", |text| {
        format!("time,message,host\n{},\"{}\",h\n", stamp(0), text.replace('"', "\"\"")).into_bytes()
    }),
    ("go test -json", |text| {
        each_line(text, |_, line| {
            json(
                &serde_json::json!({"Time": stamp(1), "Action": "output", "Package": "example.org/pump", "Test": "TestPump", "Output": format!("{line}\n")}),
            )
        })
    }),
    ("hclog", |text| {
        each_line(text, |nth, line| {
            json(&serde_json::json!({"@level": "debug", "@message": line, "@timestamp": stamp(nth)}))
        })
    }),
    ("json behind a prefix", |text| {
        each_line(text, |nth, line| {
            format!("web-1  | {}", json(&serde_json::json!({"msg": line, "time": stamp(nth)})))
        })
    }),
    ("gcloud", |text| pretty(text, false)),
    ("gcloud, newest first", |text| pretty(text, true)),
    ("cloudwatch", |text| {
        let events: Vec<_> = text.lines().enumerate().map(|(nth, line)| serde_json::json!({"timestamp": 1_741_511_803_100_u64 + nth as u64, "message": line})).collect();
        serde_json::to_vec_pretty(&serde_json::json!({"events": events, "nextToken": "f/1"})).unwrap()
    }),
    ("cloudwatch insights", |text| {
        let rows: Vec<_> = text.lines().map(|line| serde_json::json!([{"field": "@timestamp", "value": "2026"}, {"field": "@message", "value": line}])).collect();
        serde_json::to_vec(&serde_json::json!({"results": rows, "status": "Complete"})).unwrap()
    }),
    ("elastic", |text| {
        let hits: Vec<_> = text
            .lines()
            .map(|line| serde_json::json!({"_source": {"message": line, "host": {"name": "h"}}}))
            .collect();
        serde_json::to_vec(&serde_json::json!({"hits": {"total": 3, "hits": hits}})).unwrap()
    }),
    ("loki", |text| {
        let mut values: Vec<_> = text
            .lines()
            .enumerate()
            .map(|(nth, line)| {
                serde_json::json!([(1_741_511_803_100_000_000_u64 + nth as u64).to_string(), line])
            })
            .collect();
        values.reverse();
        serde_json::to_vec(
            &serde_json::json!({"data": {"result": [{"stream": {"pod": "web-1"}, "values": values}]}}),
        )
        .unwrap()
    }),
    ("json, pretty, one after the other", |text| {
        text.lines()
            .map(|line| {
                serde_json::to_string_pretty(&serde_json::json!({"message": line, "n": [1, 2]})).unwrap()
                    + "\n"
            })
            .collect::<String>()
            .into_bytes()
    }),
    ("json, the lines in an array", |text| {
        json(&serde_json::json!({"stack": text.lines().collect::<Vec<_>>()})).into_bytes()
    }),
    ("json, one string", |text| {
        json(&serde_json::json!({"level": "error", "error": {"stack": text}})).into_bytes()
    }),
    ("json in json", |text| {
        json(&serde_json::json!({"log": json(&serde_json::json!({"stack": text}))})).into_bytes()
    }),
    ("escaped twice", |text| format!("time=x msg={}\n", json(&json(&text))).into_bytes()),
    ("bytes", |text| json(&serde_json::json!({"stack": text.as_bytes()})).into_bytes()),
    ("logfmt", |text| {
        format!("ts=2026-11-21T10:00:00Z level=error msg=\"it's over\" stack={}\n", json(&text)).into_bytes()
    }),
    ("logfmt, a line each", |text| {
        each_line(text, |nth, line| format!("time={} level=ERROR msg={}", stamp(nth), json(&line)))
    }),
    ("zap", |text| {
        format!(
            "2026-11-21T10:00:00Z\tERROR\tapp/x.go:1\tboom\t{}\n",
            json(&serde_json::json!({"stacktrace": text}))
        )
        .into_bytes()
    }),
    ("escaped without quotes", |text| {
        format!("[error] dump: {}\n", text.replace('\\', "\\\\").replace('\n', "\\n").replace('\t', "\\t"))
            .into_bytes()
    }),
    ("#012", |text| {
        format!(
            "Nov 21 10:00:00 host app[12]: dump:#012{}\n",
            text.replace('\n', "#012").replace('\t', "#011")
        )
        .into_bytes()
    }),
    ("python", python),
    ("yaml", folded),
    ("broken string", |text| {
        let line = format!("time=x level=info msg={}\n", json(&text));
        let middle = line.floor_char_boundary(line.len() / 2);
        // A terminal breaks lines anywhere, but not within an escape.
        let middle = (middle..)
            .find(|&at| {
                line.is_char_boundary(at) && !line[..at].ends_with('\\') && !line[at..].starts_with(' ')
            })
            .unwrap();
        format!("{}\n{}", &line[..middle], &line[middle..]).into_bytes()
    }),
    ("a message each goroutine", |text| {
        paragraphs(text)
            .iter()
            .map(|part| json(&serde_json::json!({"time": stamp(1), "msg": part})) + "\n")
            .collect::<String>()
            .into_bytes()
    }),
    ("a quoted message each goroutine", |text| {
        paragraphs(text)
            .iter()
            .map(|part| format!("time={} msg={}\n", stamp(1), json(part)))
            .collect::<String>()
            .into_bytes()
    }),
    ("bom", |text| [b"\xef\xbb\xbf", text.as_bytes()].concat()),
    ("utf-16", |text| [b"\xff\xfe".to_vec(), utf16(text, u16::to_le_bytes)].concat()),
    ("utf-16, big end first", |text| [b"\xfe\xff".to_vec(), utf16(text, u16::to_be_bytes)].concat()),
    ("utf-16 without a mark", |text| utf16(text, u16::to_le_bytes)),
    ("utf-16 without a mark, big end first", |text| utf16(text, u16::to_be_bytes)),
    ("html", |text| {
        format!(
            "<html><body><pre>\n{}</pre></body></html>\n",
            text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
        )
        .into_bytes()
    }),
    ("journal", |text| {
        text.lines()
            .map(|line| {
                format!("__REALTIME_TIMESTAMP=1741511803100000\n_HOSTNAME=n\n_PID=9\nMESSAGE={line}\n\n")
            })
            .collect::<String>()
            .into_bytes()
    }),
    ("journal, verbose", |text| {
        text.lines()
            .map(|line| {
                format!("Sun 2026-11-21 10:00:00.1 UTC [s=a1;i=0]\n    _PID=951\n    MESSAGE={line}\n")
            })
            .collect::<String>()
            .into_bytes()
    }),
    ("turned round", |text| {
        let mut lines: Vec<_> = text.lines().collect();
        lines.reverse();
        (lines.join("\n") + "\n").into_bytes()
    }),
    ("turned round with stamps", |text| {
        let mut lines: Vec<_> =
            text.lines().enumerate().map(|(nth, line)| format!("{} | {line}", stamp(nth))).collect();
        lines.reverse();
        (lines.join("\n") + "\n").into_bytes()
    }),
];

/// Identical, or refused; and what is not identical says so.
#[test]
fn every_form_of_every_dump() {
    let mut wrong = Vec::new();
    for (name, text) in fixtures() {
        let plain = GoLog::parse(text.as_bytes());
        for (form, make) in FORMS {
            let log = GoLog::parse(&make(text));
            if log.dump.goroutines != plain.dump.goroutines {
                let difference = difference(&plain.dump.goroutines, &log.dump.goroutines);
                wrong.push(format!("{name}, {form}: {difference}"));
            } else if (&log.dumps, &log.said) != (&plain.dumps, &plain.said) {
                wrong.push(format!(
                    "{name}, {form}: {:?} {:?}",
                    (log.dumps, log.said),
                    (&plain.dumps, &plain.said)
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

/// The first goroutine that differs.
fn difference(plain: &[DumpGoroutine], found: &[DumpGoroutine]) -> String {
    let ids = |goroutines: &[DumpGoroutine]| goroutines.iter().map(|g| g.id).collect::<Vec<_>>();
    if ids(plain) != ids(found) {
        return format!("{:?} became {:?}", ids(plain), ids(found));
    }
    let Some((plain, found)) = plain.iter().zip(found).find(|(a, b)| a != b) else { return String::new() };
    let frame = plain.frames.iter().zip(&found.frames).find(|(a, b)| a != b);
    let counts = (plain.frames.len(), found.frames.len(), found.lost_lines);
    let bare = |goroutine: &DumpGoroutine| DumpGoroutine { frames: Vec::new(), ..goroutine.clone() };
    format!("{counts:?} {frame:?} {:?} became {:?}", bare(plain), bare(found))
}

/// Two processes write to one log, line by line in turn: neither gets a line of the other.
#[test]
fn two_writers() {
    type Prefixes = fn(usize) -> [String; 2];
    let prefixes: [(&str, Prefixes); 6] = [
        ("compose", |_| ["web-1  | ".into(), "web-2  | ".into()]),
        ("pods", |_| ["[pod/web-0/app] ".into(), "[pod/web-1/app] ".into()]),
        ("stamps and pods", |nth| {
            [format!("{} web-7f-1 app ", stamp(nth)), format!("{} web-7f-2 app ", stamp(nth))]
        }),
        ("pids", |nth| {
            [
                format!("Nov 21 10:00:{:02} h app[12]: ", nth % 60),
                format!("Nov 21 10:00:{:02} h app[13]: ", nth % 60),
            ]
        }),
        ("bare pids", |nth| [format!("{} 12 - ", stamp(nth)), format!("{} 13 - ", stamp(nth))]),
        ("one without", |_| ["web-1  | ".into(), String::new()]),
    ];
    for (name, text) in fixtures() {
        let plain = GoLog::parse(text.as_bytes());
        let other = text.replace("main.", "other.").replace("goroutine ", "goroutine 7");
        let other_plain = GoLog::parse(other.as_bytes());
        for (kind, prefixes) in &prefixes {
            let mut log = String::new();
            for (nth, (a, b)) in text.lines().zip(other.lines()).enumerate() {
                let [first, second] = prefixes(nth);
                log += &format!("{first}{a}\n{second}{b}\n");
            }
            let found = GoLog::parse(log.as_bytes());
            let goroutines = &found.dump.goroutines;
            let one_of_them =
                *goroutines == plain.dump.goroutines || *goroutines == other_plain.dump.goroutines;
            assert!(one_of_them, "{name}, {kind}: {}", difference(&other_plain.dump.goroutines, goroutines));
            assert_eq!(found.dumps.len(), 2 * plain.dumps.len(), "{name}, {kind}");
        }
    }
}

/// The frames; without their places where a place and the call below it may both be missing, of which no
/// trace is left.
fn frames(goroutine: &DumpGoroutine, with_places: bool) -> Vec<(String, String, u32)> {
    let frame = |f: &DumpFrame| (f.function.clone(), f.file.clone(), f.line);
    let places = |(function, file, line)| {
        if with_places { (function, file, line) } else { (function, String::new(), 0) }
    };
    goroutine.frames.iter().map(frame).map(places).collect()
}

fn is_subsequence<T: PartialEq>(part: &[T], whole: &[T]) -> bool {
    let mut whole = whole.iter();
    part.iter().all(|wanted| whole.any(|element| element == wanted))
}

/// Is it said, in whatever way, that the dump is not whole?
fn says_so(text: &[u8], log: &GoLog) -> bool {
    let lost = log.dump.goroutines.iter().any(|g| g.lost_lines > 0);
    let found = import::read(text);
    let warned = found.as_ref().is_ok_and(|found| {
        found.snapshot.header.warnings.iter().any(|w| !w.starts_with("the program printed: "))
    });
    warned && (lost || log.dump.stray_lines > 0)
        || log.dump.cut.is_some()
        || log.dumps.len() > 1
        || found.is_err()
}

#[derive(Debug, Clone)]
enum Damage {
    Delete(usize),
    Repeat(usize),
    Garble(usize, usize, char),
}

fn damage() -> impl Strategy<Value = Damage> {
    prop_oneof![
        (0..10_000_usize).prop_map(Damage::Delete),
        (0..10_000_usize).prop_map(Damage::Repeat),
        (0..10_000_usize, 0..200_usize, prop::sample::select(vec!['#', 'x', '(', ' ', '7', '…']))
            .prop_map(|(line, at, with)| Damage::Garble(line, at, with)),
    ]
}

fn damaged(text: &str, damages: &[Damage]) -> String {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    for damage in damages {
        let count = lines.len();
        match *damage {
            Damage::Delete(at) => drop(lines.remove(at % count)),
            Damage::Repeat(at) => lines.insert(at % count, lines[at % count].clone()),
            Damage::Garble(line, at, with) => {
                let line = &mut lines[line % count];
                if !line.is_empty() {
                    let chars: Vec<char> = line.chars().collect();
                    let at = at % chars.len();
                    *line =
                        chars.iter().enumerate().map(|(nth, &c)| if nth == at { with } else { c }).collect();
                }
            }
        }
    }
    lines.join("\n") + "\n"
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    /// Lines that are missing or stand there twice: no frame gets into another goroutine.
    #[test]
    fn no_frame_moves(file in 0..100_usize, damages in prop::collection::vec(damage().prop_filter("", |d| !matches!(d, Damage::Garble(..))), 1..4)) {
        let fixtures = fixtures();
        let (name, text) = &fixtures[file % fixtures.len()];
        let plain = GoDump::parse(text.as_bytes()).goroutines;
        let single = damages.len() == 1;
        for goroutine in goroutines(damaged(text, &damages).as_bytes()) {
            let is_part_of = |original: &DumpGoroutine| {
                let creator = |g: &DumpGoroutine| g.created_by.as_ref().map(|creator| creator.function.clone());
                original.id == goroutine.id
                    && is_subsequence(&frames(&goroutine, single), &frames(original, single))
                    && (goroutine.created_by.is_none() || creator(&goroutine) == creator(original))
            };
            prop_assert!(plain.iter().any(is_part_of), "{name} {damages:?}: {goroutine:#?}");
        }
    }

    /// One line that is missing, stands there twice or makes no sense: whatever is lost is said.
    #[test]
    fn every_loss_is_said(file in 0..100_usize, damage in damage()) {
        let fixtures = fixtures();
        let (name, text) = &fixtures[file % fixtures.len()];
        let plain = GoLog::parse(text.as_bytes());
        let text = damaged(text, std::slice::from_ref(&damage));
        let log = GoLog::parse(text.as_bytes());
        let plain: BTreeMap<u64, &DumpGoroutine> = plain.dump.goroutines.iter().map(|g| (g.id, g)).collect();
        let count = |goroutine: &DumpGoroutine| goroutine.frames.len() + usize::from(goroutine.created_by.is_some());
        let lost = log.dump.goroutines.len() < plain.len()
            || log.dump.goroutines.iter().any(|g| plain.get(&g.id).is_some_and(|plain| count(g) < count(plain)));
        prop_assert!(!lost || says_so(text.as_bytes(), &log), "{name} {damage:?}");
    }

    /// Anything at all, in any form.
    #[test]
    fn never_panics(file in 0..100_usize, form in 0..100_usize, edits in prop::collection::vec((any::<prop::sample::Index>(), 0..60_usize, prop::collection::vec(any::<u8>(), 0..6)), 0..8)) {
        let fixtures = fixtures();
        let (_, make) = FORMS[form % FORMS.len()];
        let mut bytes = make(&fixtures[file % fixtures.len()].1);
        for (at, len, with) in edits {
            let at = at.index(bytes.len());
            let end = (at + len).min(bytes.len());
            bytes.splice(at..end, with);
        }
        if let Ok(found) = import::read(&bytes) {
            prop_assert!(found.snapshot.validate().is_ok());
        }
    }
}

/// Long runs of the worst: the time grows with the length of the input, no faster.
#[test]
fn hostile_text_takes_no_longer_than_other_text() {
    // Builds without optimisation take twenty times as long. What is not linear still takes minutes.
    const LENGTH: usize = if cfg!(debug_assertions) { 1 << 18 } else { 10 << 20 };
    let fill = |part: &str| part.repeat(LENGTH / part.len() + 1);
    let counted = |part: fn(usize) -> String| {
        let mut text = String::new();
        (0..)
            .map(part)
            .take_while(|part| {
                text.push_str(part);
                text.len() < LENGTH
            })
            .for_each(drop);
        text
    };
    let texts = [
        ("plain text", fill("2026/11/21 10:00:00 GET /users 200 (12ms)\n")),
        ("headers", fill("goroutine 1 [running]:\n")),
        ("headers of different goroutines", counted(|nth| format!("goroutine {nth} [running]:\n"))),
        ("headers with prefixes", counted(|nth| format!("a{nth}b goroutine 1 [running]:\n"))),
        (
            "headers with prefixes of different shapes",
            counted(|nth| format!("{} goroutine 1 [running]:\n", "x".repeat(nth % 977))),
        ),
        ("headers with suffixes", counted(|nth| format!("goroutine 1 [running]: x{nth}y\n"))),
        ("headers in a line", fill("goroutine 1 [running]: ")),
        ("a long line", fill("x")),
        ("a long line of quotes", fill("\"goroutine \\\\")),
        ("quotes", fill("\"goroutine 1 [running]:\\n\n")),
        ("apostrophes", fill("'goroutine \\n ")),
        ("open strings", fill("msg=\"goroutine 1 [running]:\\n\n  x\n")),
        ("nested arrays", fill("[")),
        ("nested objects", fill("{\"a\":")),
        ("objects, a line each", fill("{\"msg\":\"goroutine 1 [running]:\"}\n")),
        ("braces", fill("goroutine {\"}\n")),
        ("a table", format!("time,message\n{}", fill("a,\"\n"))),
        ("a table of one field", format!("time,message\n{}", fill("\"goroutine 1 [running]:\n"))),
        ("calls", format!("goroutine 1 [running]:\n{}", fill("main.f()\n"))),
        ("places", format!("goroutine 1 [running]:\n{}", fill("\t/x.go:1 +0x1\n"))),
        ("frames", format!("goroutine 1 [running]:\n{}", fill("main.f()\n\t/x.go:1 +0x1\n"))),
        ("odd lines", format!("goroutine 1 [running]:\n{}", fill("main.f(\n"))),
        ("blank lines", format!("goroutine 1 [running]:\n{}", fill("\n"))),
        ("panics", fill("panic: x\n\ty\n")),
        ("escape sequences", fill("\x1b[")),
        ("titles", fill("\x1b]")),
        ("tags", format!("<pre>{}", fill("<"))),
        ("entities", format!("<pre>{}", fill("&"))),
        ("journal", format!("__CURSOR=x\nMESSAGE=x\n{}", fill("MESSAGE\n\u{1}\0\0\0\0\0\0\0"))),
        ("docker's pieces", fill("{\"log\":\"x\",\"stream\":\"stderr\",\"time\":\"\"}\n")),
        ("#012", fill("goroutine 1 [running]:#012")),
        ("base64", fill("Z29yb3V0aW5lI")),
        ("bytes", fill("103 111 114 111 117 116 ")),
        ("backslashes", format!("goroutine {}", fill("\\"))),
        ("turned round", fill("\t/x.go:1 +0x1\nmain.f()\ngoroutine 1 [running]:\n")),
    ];
    let mut slowest = Duration::ZERO;
    let base = texts.iter().take(1).map(|(_, text)| taken(text)).sum::<Duration>();
    for (what, text) in &texts {
        let time = taken(text);
        slowest = slowest.max(time);
        // A hundred times is much, but what is not linear takes thousands of times as long.
        let most = base.max(Duration::from_millis(200)) * 100;
        assert!(time < most, "{what}: {time:?}, plain text {base:?}");
    }
}

fn taken(text: &str) -> Duration {
    let start = Instant::now();
    if let Ok(found) = import::read(text.as_bytes()) {
        found.snapshot.validate().unwrap();
    }
    start.elapsed()
}
