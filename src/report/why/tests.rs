//! Chains in words and pictures.

use proptest::prelude::*;

use crate::analysis::why::tests::counts::{planned, plans};
use crate::analysis::why::tests::{Made, example, open, system};
use crate::analysis::why::{Chain, System, Why};
use crate::report::text::TextOptions;
use crate::report::why::Words;
use crate::report::{dot, json, svg, text};
use crate::snapshot::*;

/// Compares with `snapshots/NAME.snap`. `INSTA_UPDATE=always` writes it anew.
#[track_caller]
fn check(name: &str, text: &str) {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path(concat!(env!("CARGO_MANIFEST_DIR"), "/snapshots"));
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!(name, text));
}

fn options(width: usize) -> TextOptions {
    TextOptions { width, ..TextOptions::default() }
}

fn causes(system: &System, options: &TextOptions) -> String {
    let why = Why::new(system);
    let mut out = Vec::new();
    text::why::causes(&why, &why.causes(), options, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

/// The chains of all causes in every format.
fn formats(system: &System) -> [(&'static str, String); 3] {
    let why = Why::new(system);
    let answer = why.causes();
    let chains: Vec<&Chain> = answer.causes.iter().map(|found| &found.chain).collect();
    let (mut as_json, mut as_dot, mut as_svg) = (Vec::new(), Vec::new(), Vec::new());
    json::why_causes(&why, &answer, &mut as_json).unwrap();
    dot::write(&why, &chains, &mut as_dot).unwrap();
    svg::write(&why, &chains, &mut as_svg).unwrap();
    [("json", as_json), ("dot", as_dot), ("svg", as_svg)]
        .map(|(name, bytes)| (name, String::from_utf8(bytes).unwrap()))
}

#[test]
fn a_chain_through_three_processes_reads_well() {
    let system = example();
    check("why-100", &causes(&system, &options(100)));
    check("why-80", &causes(&system, &options(80)));
    check("why-verbose", &causes(&system, &TextOptions { verbose: true, full_paths: true, ..options(120) }));
    check("why-colour", &causes(&system, &TextOptions { color: true, ..options(100) }));
    for (format, text) in formats(&system) {
        let pretty = |text: &str| {
            let value: serde_json::Value = serde_json::from_str(text).unwrap();
            serde_json::to_string_pretty(&value).unwrap()
        };
        check(&format!("why-{format}"), &if format == "json" { pretty(&text) } else { text });
    }
}

/// Every kind of end, in one process.
fn ends() -> System {
    let mut made = Made::new(77, "mixed");
    let at = 1_003_000_000_000;
    let select = made.task("main.loop", WaitClass::Select);
    let (first, second) =
        (made.object(ObjectKind::Channel, 0xc001), made.object(ObjectKind::Channel, 0xc002));
    made.waits(select, WaitOp::Receive, first);
    made.waits(select, WaitOp::Send, second);
    let timer = Timer { object: first, kind: TimerKind::Channel, state: TimerState::At(at), period_ns: 0 };
    made.builder.links.timers.push(timer);
    let lock = made.object(ObjectKind::RwMutex, 0xd00d);
    for how in [HoldKind::Shared, HoldKind::Perhaps] {
        let holder = made.task("main.hold", WaitClass::Sleep);
        made.holds(holder, how, lock);
        made.state(holder, TaskState::Runnable);
    }
    made.holds(select, HoldKind::Shared, lock);
    made.builder.set_lock_state(lock, LockState::Shared(2));
    let writer = made.task("main.write", WaitClass::Lock);
    made.waits(writer, WaitOp::Lock, lock);
    let group = made.object(ObjectKind::WaitGroup, 0xe00e);
    made.builder.set_lock_state(group, LockState::Outstanding(2));
    let waiter = made.task("main.join", WaitClass::WaitGroup);
    made.waits(waiter, WaitOp::Wait, group);
    made.acts(select, Action::Done, Certainty::Likely, group);
    made.task("main.nil", WaitClass::NilChannel);
    let coroutine = made.object(ObjectKind::Coroutine, 0xf00f);
    let (asks, generates) =
        (made.task("main.next", WaitClass::Other), made.task("main.generate", WaitClass::NoCases));
    made.waits(asks, WaitOp::Receive, coroutine);
    made.acts(generates, Action::Yield, Certainty::Sure, coroutine);
    let coroutine = made.object(ObjectKind::Coroutine, 0xf11f);
    let (rests, would) =
        (made.task("main.rest", WaitClass::Other), made.task("main.then", WaitClass::NilChannel));
    made.waits(rests, WaitOp::Resume, coroutine);
    made.acts(would, Action::Resume, Certainty::Likely, coroutine);
    let reader = made.task("main.read", WaitClass::Network);
    made.reads(reader, WaitOp::Read, 9, DescriptorKind::Socket, 501);
    let accepts = made.task("main.accept", WaitClass::Accept);
    made.reads(accepts, WaitOp::Accept, 10, DescriptorKind::Socket, 502);
    let (a, b) = (made.object(ObjectKind::Mutex, 0xa0), made.object(ObjectKind::Mutex, 0xb0));
    for (has, wants) in [(a, b), (b, a)] {
        let row = made.task("main.transfer", WaitClass::Lock);
        made.holds(row, HoldKind::Exclusive, has);
        made.waits(row, WaitOp::Lock, wants);
    }
    let peers = [(501, crate::analysis::why::OtherEnd::Elsewhere)];
    system(vec![made.seen()], vec![open(77, "mixed", 9, 501, "rw")], &peers)
}

#[test]
fn every_kind_of_end_has_its_words() {
    check("why-ends", &causes(&ends(), &options(100)));
}

/// The numbers of "4 in main.one, 2 in main.two, 1 elsewhere", whatever follows.
fn parts(text: &str) -> Vec<u64> {
    let mut words = text.split(' ');
    let mut parts = Vec::new();
    loop {
        parts.push(words.next().unwrap().parse().unwrap());
        let last = match words.next().unwrap() {
            "in" => words.next().unwrap(),
            elsewhere => elsewhere,
        };
        if !last.ends_with(',') {
            return parts;
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, ..ProptestConfig::default() })]

    /// "7 more goroutines depend on the same: 4 in main.one, 2 in main.two, 1 elsewhere".
    #[test]
    fn what_is_said_below_a_chain_adds_up(plans in plans(), width in 40..200_usize) {
        let system = planned(&plans, true);
        let answer = Why::new(&system).causes();
        let text = causes(&system, &TextOptions { verbose: true, ..options(width) });
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        let mut sum = 0;
        for (at, mark) in text.match_indices(" on the same: ") {
            let said: u64 = text[..at].rsplit(' ').nth(3).unwrap().parse().unwrap();
            let parts = parts(&text[at + mark.len()..]);
            prop_assert_eq!(parts.iter().sum::<u64>(), said, "{:?}", parts);
            sum += said;
        }
        let groups = answer.causes.iter().flat_map(|found| &found.groups);
        prop_assert_eq!(sum, groups.map(|group| group.unnamed).sum::<u64>());
    }
}

#[test]
fn nasty_names_stay_harmless() {
    let nasty = "\x1b[31m\"><script>&\\n\u{202e}\n]]>";
    let mut system = example();
    for seen in &mut system.processes {
        seen.name = nasty.to_owned();
        let mut first = (*seen.first).clone();
        first.code.strings.iter_mut().for_each(|text| *text = format!("{nasty}{text}"));
        first.header.runtimes[0].task_noun = nasty.to_owned();
        seen.first = std::sync::Arc::new(first);
        seen.second = None;
    }
    system.ends.open.iter_mut().for_each(|end| end.process = nasty.to_owned());
    system.left_out = vec![nasty.to_owned()];
    for text in formats(&system).map(|(_, text)| text).iter().chain([&causes(&system, &options(80))]) {
        assert!(text.contains("[31m"));
        let safe = |c: char| c == '\n' || crate::report::escape::is_printable(c);
        assert!(text.chars().all(safe), "{text}");
        assert!(!text.contains("<script>") || text.starts_with('{') || !text.starts_with('<'), "{text}");
    }
    let [_, (_, as_dot), (_, as_svg)] = formats(&system);
    assert!(!as_svg.contains("<script"));
    // Every quotation mark within a text of DOT is escaped.
    for line in as_dot.lines().filter(|line| line.contains("label=")) {
        let bare = line.replace("\\\\", "").replace("\\\"", "");
        assert!(bare.matches('"').count() % 2 == 0, "{line}");
    }
}

/// The value of an attribute, a number.
fn number(line: &str, attribute: &str) -> f64 {
    let at = line.find(&format!(" {attribute}=\"")).unwrap() + attribute.len() + 3;
    line[at..].split('"').next().unwrap().parse().unwrap()
}

#[test]
fn every_text_of_a_picture_is_inside_its_box() {
    let long = format!(
        "main.(*Cache[map[string]func(<-chan struct {{ A int }})]).{}",
        "refreshEverything".repeat(12)
    );
    let wide = "main.東京特許許可局東京特許許可局東京特許許可局東京特許許可局東京特許許可局";
    let unbroken = "x".repeat(5_000);
    let mut made = Made::new(1, "a");
    let mut before: Option<ObjectId> = None;
    for (nth, name) in (0..).zip([long.as_str(), wide, unbroken.as_str(), "main.हिन्दी", ""]) {
        let row = made.task(name, WaitClass::Lock);
        before.iter().for_each(|&lock| made.waits(row, WaitOp::Lock, lock));
        let lock = made.object(ObjectKind::Mutex, 0x1000 + 8 * nth);
        made.holds(row, HoldKind::Exclusive, lock);
        for _ in 0..200 {
            let waiter = made.task("main.wait", WaitClass::Lock);
            made.waits(waiter, WaitOp::Lock, lock);
        }
        before = Some(lock);
    }
    let [_, _, (_, picture)] = formats(&system(vec![made.seen()], Vec::new(), &[]));
    let right = number(picture.lines().next().unwrap(), "width");
    let mut sides = (0.0, right);
    let mut texts = 0;
    for line in picture.lines().filter(|line| !line.contains("%")) {
        if line.starts_with("<rect") {
            sides = (number(line, "x"), number(line, "x") + number(line, "width"));
            assert!(sides.1 <= right, "{line}");
        } else if line.starts_with("<text") && !line.contains("stroke=") {
            let text = line.split_once('>').unwrap().1.strip_suffix("</text>").unwrap();
            let text = text.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"");
            let end = number(line, "x") + 6.65 * crate::report::line::width(&text) as f64;
            assert!(sides.0 < number(line, "x") && end < sides.1, "{line}");
            texts += 1;
        }
    }
    assert!(texts > 10 && picture.contains('…'), "{picture}");
}

#[test]
fn a_holder_that_ran_between_the_readings_holds_it_perhaps() {
    let mut made = Made::new(1, "a");
    let lock = made.object(ObjectKind::Mutex, 0x1000);
    let holder = made.task("main.hold", WaitClass::Sleep);
    made.holds(holder, HoldKind::Exclusive, lock);
    let waiter = made.task("main.wait", WaitClass::Lock);
    made.waits(waiter, WaitOp::Lock, lock);
    let mut system = system(vec![made.seen()], Vec::new(), &[]);
    let said = |system: &System| {
        let why = Why::new(system);
        let chain = why.graph().chain(why.graph().task_node(0, waiter).unwrap());
        let rows = Words::new(&why, &[&chain], false).rows(&chain);
        let mut picture = Vec::new();
        dot::write(&why, &[&chain], &mut picture).unwrap();
        let words: Vec<_> = rows.into_iter().map(|row| row.text).collect();
        [words.join(" "), String::from_utf8(picture).unwrap()]
    };
    assert!(said(&system).iter().all(|text| text.contains("held by") && !text.contains("perhaps held by")));
    let mut second = (*system.processes[0].first).clone();
    second.tasks[holder as usize].mark = Some(8);
    system.processes[0].second = Some(second.into());
    let said = said(&system);
    assert!(said.iter().all(|text| text.contains("perhaps held by")), "{said:?}");
}

#[test]
fn a_picture_of_too_much_says_what_is_missing() {
    let mut made = Made::new(1, "a");
    for nth in 0..3_000 {
        let lock = made.object(ObjectKind::Mutex, 0x1000 + 8 * nth);
        let holder = made.task("main.hold", WaitClass::Lock);
        made.holds(holder, HoldKind::Exclusive, lock);
        let waiter = made.task("main.wait", WaitClass::Lock);
        made.waits(waiter, WaitOp::Lock, lock);
    }
    let system = system(vec![made.seen()], Vec::new(), &[]);
    let why = Why::new(&system);
    let graph = why.graph();
    let all: Vec<Chain> =
        (0..3_000).map(|nth| graph.chain(graph.task_node(0, 2 * nth + 1).unwrap())).collect();
    let chains: Vec<&Chain> = all.iter().collect();
    let (mut as_dot, mut as_svg) = (Vec::new(), Vec::new());
    dot::write(&why, &chains, &mut as_dot).unwrap();
    svg::write(&why, &chains, &mut as_svg).unwrap();
    for bytes in [as_dot, as_svg] {
        let text = String::from_utf8(bytes).unwrap();
        assert!(text.len() < 2_000_000);
        assert!(text.contains("7,000 parts not drawn: they are too many"));
    }
}

#[test]
fn long_chains_are_shortened() {
    let mut made = Made::new(1, "a");
    let mut before: Option<ObjectId> = None;
    for nth in 0..300 {
        let row = made.task("main.wait", WaitClass::Lock);
        if let Some(lock) = before {
            made.waits(row, WaitOp::Lock, lock);
        }
        let lock = made.object(ObjectKind::Mutex, 0x1000 + 8 * nth);
        made.holds(row, HoldKind::Exclusive, lock);
        before = Some(lock);
    }
    let system = system(vec![made.seen()], Vec::new(), &[]);
    let why = Why::new(&system);
    let chains = why.of_tasks(0, &[299]);
    let mut out = Vec::new();
    text::why::chains(&why, &chains, &options(80), &mut out).unwrap();
    let text = String::from_utf8(out).unwrap();
    assert!(text.contains("more steps (-v shows them)"), "{text}");
    assert!(text.lines().count() < 130, "{text}");
}
