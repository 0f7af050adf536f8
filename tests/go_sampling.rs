//! Whose samples are, and with which stacks, in Go programs that burn CPU.

#![allow(clippy::unwrap_used)]

mod common;

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

use common::{Fixture, Flavour, Program, Toolchain, amount, build, matrix, measured};
use loiter::code::{CodeBuilder, CodeTables, LabelSetId, LocationId};
use loiter::process::{self, Moment, Registers, Target};
use loiter::runtimes::{self, Claim, NativeStacks, Owner, Pause, ReadOptions};
use loiter::sampler::{Record, Sampler, SamplerOptions};
use loiter::snapshot::{StackStatus, TaskState};

/// A moment that outlives its record.
struct Caught {
    tid: u32,
    at_ns: u64,
    registers: Registers,
    in_kernel: bool,
    chain: Vec<u64>,
    stack: Vec<u8>,
}

impl Caught {
    fn moment(&self) -> Moment<'_> {
        let Caught { tid, at_ns, registers, in_kernel, .. } = *self;
        Moment { tid, at_ns, registers, in_kernel, chain: &self.chain, kernel_chain: &[], stack: &self.stack }
    }
}

/// Nothing proves what was before the first reading of the goroutines, which comes after the first batch.
const EARLY: u32 = 2;

/// What was said of a moment.
struct Said {
    /// The number of the reading of the goroutines that came after it.
    batch: u32,
    caught: Caught,
    claim: Option<Claim>,
}

/// Samples a program and asks its runtime whose the samples are.
fn sample(target: &dyn Target, pid: u32, wanted: u64, stack_bytes: u32) -> (Vec<Said>, CodeTables) {
    said_of(target, pid, wanted, &SamplerOptions { rate_hz: 999, stack_bytes, ..SamplerOptions::default() })
}

/// The same for all moments that a sampler gives.
fn said_of(target: &dyn Target, pid: u32, wanted: u64, options: &SamplerOptions) -> (Vec<Said>, CodeTables) {
    said_between(target, pid, wanted, options, || {})
}

/// The same. `begun` is called when sampling has begun.
///
/// The moments of the first two batches do not count as wanted: where this test gets its CPU late, they are many, and
/// they come before the goroutines were read.
fn said_between(
    target: &dyn Target,
    pid: u32,
    wanted: u64,
    options: &SamplerOptions,
    begun: impl FnOnce(),
) -> (Vec<Said>, CodeTables) {
    let found = runtimes::attach(target).unwrap();
    let runtime = found.runtimes.first().expect("a Go runtime");
    let mut attribution = runtime.attribution(target, 0).unwrap().expect("Go says whose samples are");
    let mut code = CodeBuilder::new();
    let mut sampler = Sampler::attach(pid, options).unwrap();
    begun();
    // What came before it was called.
    sampler.drain(&mut |_| {});
    let mut said = Vec::new();
    let (mut spent, mut batches, mut later) = (Duration::ZERO, 0, 0);
    while later < wanted {
        sampler.wait(Duration::from_millis(10));
        let mut batch = Vec::new();
        sampler.drain(&mut |record| {
            let (Record::Sample { moment, .. } | Record::Departs { moment }) = record else { return };
            batch.push(Caught {
                tid: moment.tid,
                at_ns: moment.at_ns,
                registers: moment.registers,
                in_kernel: moment.in_kernel,
                chain: moment.chain.to_vec(),
                stack: moment.stack.to_vec(),
            });
        });
        let begin = std::time::Instant::now();
        let moments: Vec<_> = batch.iter().map(Caught::moment).collect();
        attribution.refresh(&moments, &mut code).unwrap();
        let claims: Vec<_> = moments.iter().map(|moment| attribution.whose(moment, &mut code)).collect();
        spent += begin.elapsed();
        batches += 1;
        later += if batches > EARLY { batch.len() as u64 } else { 0 };
        said.extend(batch.into_iter().zip(claims).map(|(caught, claim)| Said {
            batch: batches,
            caught,
            claim,
        }));
    }
    eprintln!("{batches} batches; {:?} a sample", spent / said.len() as u32);
    (said, code.finish())
}

fn names<'c>(code: &'c CodeTables, stack: &[LocationId]) -> Vec<&'c str> {
    let frames = stack.iter().flat_map(|id| &code.locations[id.index()].frames);
    frames.map(|frame| code.function_name(frame.function)).collect()
}

fn kind_of_labels(code: &CodeTables, labels: Option<LabelSetId>) -> Option<char> {
    let pairs = &code.label_sets[labels?.index()].pairs;
    let (_, value) = pairs.iter().find(|(key, _)| code.str(*key) == "kind")?;
    code.str(*value).chars().next()
}

const KINDS: [(char, &str); 3] = [('a', "main.burnA"), ('b', "main.burnB"), ('c', "main.burnC")];

/// The kind whose function is on a stack.
fn kind_of_names(names: &[&str]) -> Option<char> {
    KINDS.iter().find(|(_, function)| names.contains(function)).map(|(kind, _)| *kind)
}

/// Where the functions of the kinds are, by ELF symbols.
fn functions(target: &dyn Target) -> Vec<(char, Range<u64>)> {
    let image = target.images().unwrap().into_iter().find(|image| image.is_executable).unwrap();
    let Ok(symbols) = image.symbols() else { return Vec::new() };
    let range = |(kind, name): (char, &str)| {
        let symbol = symbols.iter().find(|symbol| symbol.name == name)?;
        let start = symbol.address.wrapping_add(image.bias);
        Some((kind, start..start + symbol.size))
    };
    KINDS.into_iter().filter_map(range).collect()
}

fn owner_name(owner: Owner) -> &'static str {
    match owner {
        Owner::Task(..) => "task",
        Owner::Scheduler => "scheduler",
        Owner::Unknown => "unknown",
    }
}

fn counts(fixture: &mut Fixture) -> BTreeMap<char, f64> {
    let answer = fixture.ask("work");
    let count = |kind: char| (kind, answer[kind.to_string()].as_f64().unwrap());
    ['a', 'b', 'c'].map(count).into()
}

/// What the samples of one program were.
#[derive(Default)]
struct Tally {
    tasks: u32,
    tasks_without_id: u32,
    without_labels: u32,
    scheduler: u32,
    native: u32,
    unknown: u32,
    system: u32,
    /// Samples of a kind, by labels.
    kinds: BTreeMap<char, u32>,
    /// With a second truth: the kernel's chain.
    with_truth: u32,
    statuses: BTreeMap<String, u32>,
    unknown_in: BTreeMap<String, u32>,
    not_complete_in: BTreeMap<String, u32>,
}

impl std::fmt::Debug for Tally {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Tally { tasks, tasks_without_id, without_labels, scheduler, native, unknown, system, .. } = self;
        writeln!(
            f,
            "{tasks} of tasks ({system} of the runtime's, {tasks_without_id} without id, \
                     {without_labels} without labels), {scheduler} of the scheduler, {native} native, \
                     {unknown} unknown"
        )?;
        write!(f, "{:?} {:?}, {} with a second truth", self.kinds, self.statuses, self.with_truth)
    }
}

/// Samples that have no owner, and shares of the work, depend on when this test gets its CPU: samples that come while its
/// rings are full are lost, but the work is done.
fn check(version: &str, flavour: Flavour) {
    measured(5, || check_once(version, flavour));
}

fn check_once(version: &str, flavour: Flavour) -> Result<(), String> {
    let toolchain = Toolchain::get(version);
    let what = format!("{} {flavour:?}", toolchain.full_version);
    let mut fixture = Fixture::start(&build(&toolchain, Program::Burners, flavour), &["all"]);
    let target = process::open_pid(fixture.pid()).unwrap();
    let ranges = functions(target.as_ref());
    let wanted = u64::from(amount("LOITER_SAMPLES", 3000, 5000));
    let options = SamplerOptions { rate_hz: 999, stack_bytes: 8 << 10, ..SamplerOptions::default() };
    let mut before = BTreeMap::new();
    // Work that is done before counts for nothing: who does how much changes from second to second.
    let (said, code) = said_between(target.as_ref(), fixture.pid(), wanted, &options, || {
        before = counts(&mut fixture);
    });
    let after = counts(&mut fixture);

    let kinds_by_id = kinds_by_id(target.as_ref());
    let mut tally = Tally::default();
    let mut wrong = Vec::new();
    for Said { caught, claim, .. } in &said {
        let Some(claim) = claim else {
            tally.native += 1;
            continue;
        };
        let names = names(&code, &claim.stack);
        *tally
            .statuses
            .entry(format!("{} {:?}", owner_name(claim.owner), claim.stack_status))
            .or_default() += 1;
        if claim.stack_status != StackStatus::Complete {
            let inner: Vec<_> = names.iter().take(6).copied().collect();
            *tally
                .not_complete_in
                .entry(format!("{:?} {} {inner:?}", claim.stack_status, names.len()))
                .or_default() += 1;
        }
        let on_stack = kind_of_names(&names);
        let on_chain = ranges
            .iter()
            .find(|(_, range)| caught.chain.iter().any(|pc| range.contains(pc)))
            .map(|(kind, _)| *kind);
        if let (Some(one), Some(other)) = (on_stack, on_chain)
            && one != other
        {
            wrong.push(format!("{one} on the stack, {other} on the chain: {names:?}"));
        }
        let truth = on_stack.or(on_chain);
        match claim.owner {
            Owner::Task(task, labels) => {
                tally.tasks += 1;
                tally.system += u32::from(task.system);
                tally.tasks_without_id += u32::from(task.id.is_none());
                tally.without_labels += u32::from(!claim.labels_known);
                let by_labels = kind_of_labels(&code, labels);
                let by_id = task.id.and_then(|id| kinds_by_id.get(&id)).copied();
                if let Some(kind) = by_labels.or(by_id).or(on_stack) {
                    *tally.kinds.entry(kind).or_default() += 1;
                }
                tally.with_truth += u32::from(truth.is_some());
                for said in [by_labels, by_id].into_iter().flatten() {
                    if truth.is_some_and(|truth| truth != said) {
                        wrong.push(format!("{task:?} is {said}, but the code is of {truth:?}: {names:?}"));
                    }
                }
                if task.system && truth.is_some() {
                    wrong.push(format!("{task:?} is the runtime's, but runs {truth:?}"));
                }
            }
            Owner::Scheduler => {
                tally.scheduler += 1;
                // The kernel's chain is no truth here: before Go 1.21 it goes on to the goroutine that ran before.
                if on_stack.is_some() {
                    wrong.push(format!("the scheduler runs {on_stack:?}: {names:?}"));
                }
            }
            Owner::Unknown => {
                tally.unknown += 1;
                let inner: Vec<_> = names.iter().take(8).copied().collect();
                *tally.unknown_in.entry(format!("{:?} {inner:?}", claim.stack_status)).or_default() += 1;
            }
        }
    }
    let top = |map: &BTreeMap<String, u32>| {
        let mut all: Vec<_> = map.iter().map(|(name, count)| (*count, name.clone())).collect();
        all.sort_unstable_by(|a, b| b.cmp(a));
        all.truncate(12);
        all
    };
    eprintln!("{what}: {:#?}", (&tally, top(&tally.unknown_in), top(&tally.not_complete_in)));
    assert!(wrong.is_empty(), "{what}: {} wrong: {:#?}", wrong.len(), &wrong[..wrong.len().min(10)]);
    let all = said.len() as f64;
    if f64::from(tally.unknown) > 0.03 * all {
        return Err(format!("{what}: {} of {all} are unknown", tally.unknown));
    }
    assert!(
        f64::from(tally.with_truth) >= 0.5 * f64::from(tally.tasks - tally.system),
        "{what}: too little truth"
    );

    // Each piece of work is the same for all kinds, so samples are as work is.
    let work: BTreeMap<char, f64> = after.iter().map(|(kind, count)| (*kind, count - before[kind])).collect();
    let (samples, pieces): (f64, f64) =
        (tally.kinds.values().map(|n| f64::from(*n)).sum(), work.values().sum());
    for (kind, done) in &work {
        let of_kind = tally.kinds.get(kind).copied().unwrap_or(0);
        let (share, expected) = (f64::from(of_kind) / samples, done / pieces);
        let interval = 2.58 * (expected * (1.0 - expected) / samples).sqrt() + 0.02;
        eprintln!("{what}: {kind} has {share:.3} of the samples, and did {expected:.3} of the work");
        if (share - expected).abs() > interval {
            return Err(format!("{what}: {kind} has {share:.3}, not {expected:.3}"));
        }
    }
    Ok(())
}

/// Goroutines that wait in the kernel for less than a millisecond each time: each sample of a thread that leaves its
/// CPU is of the right one.
fn check_departures(version: &str, flavour: Flavour) {
    measured(5, || check_departures_once(version, flavour));
}

fn check_departures_once(version: &str, flavour: Flavour) -> Result<(), String> {
    let toolchain = Toolchain::get(version);
    let what = format!("{} {flavour:?}", toolchain.full_version);
    let fixture = Fixture::start(&build(&toolchain, Program::Burners, flavour), &["waits"]);
    let target = process::open_pid(fixture.pid()).unwrap();
    let options =
        SamplerOptions { cpu: false, switches: true, departures: true, ..SamplerOptions::default() };
    let wanted = u64::from(amount("LOITER_SAMPLES", 3000, 5000));
    let (said, code) = said_of(target.as_ref(), fixture.pid(), wanted, &options);
    let kinds = kinds_by_id(target.as_ref());
    let (mut naps, mut owned, mut labelled, mut idle) = (0, 0, 0, 0);
    let later: Vec<_> = said.iter().filter(|said| said.batch > EARLY).collect();
    for claim in later.iter().filter_map(|said| said.claim.as_ref()) {
        let names = names(&code, &claim.stack);
        let truth = kind_of_names(&names);
        match claim.owner {
            Owner::Task(task, labels) => {
                let by_labels = kind_of_labels(&code, labels);
                let by_id = task.id.and_then(|id| kinds.get(&id)).copied();
                for kind in [by_labels, by_id].into_iter().flatten() {
                    assert!(truth.is_none_or(|truth| truth == kind), "{what}: {task:?} is {kind}: {names:?}");
                }
                owned += u32::from(truth.is_some() && task.id.is_some());
                labelled += u32::from(truth.is_some() && by_labels.is_some());
            }
            Owner::Scheduler => {
                idle += 1;
                assert_eq!(truth, None, "{what}: the scheduler: {names:?}");
            }
            Owner::Unknown => {}
        }
        naps += u32::from(truth.is_some() && names.contains(&"main.nap"));
    }
    eprintln!(
        "{what}: of {} departures {naps} are naps, {owned} owned, {labelled} labelled, {idle} idle",
        later.len()
    );
    if naps * 4 <= later.len() as u32 {
        return Err(format!("{what}: {naps} of {}", later.len()));
    }
    if owned * 100 < naps * 95 {
        return Err(format!("{what}: {owned} of {naps} have a goroutine"));
    }
    if labelled * 100 < naps * 90 {
        return Err(format!("{what}: {labelled} of {naps} have labels"));
    }
    Ok(())
}

matrix!(
    threads_that_leave_their_cpu_are_of_their_goroutines, check_departures,
    quick: [Plain, Cgo], spread: [Stripped, PieStripped, CgoPie]
);

/// The kind of each goroutine, as a reading of all says.
fn kinds_by_id(target: &dyn Target) -> BTreeMap<u64, char> {
    let snapshot = runtimes::snapshot(target, &ReadOptions::default()).unwrap();
    let kind = |task: &loiter::snapshot::Task| Some((task.id?, kind_of_labels(&snapshot.code, task.labels)?));
    snapshot.tasks.iter().filter_map(kind).collect()
}

matrix!(
    every_sample_is_of_its_goroutine, check,
    quick: [Plain, Cgo], spread: [Stripped, PieStripped, CgoPie]
);

/// Functions and lines of a stack, the innermost line left out: it changes.
fn lines(code: &CodeTables, stack: &[LocationId]) -> Vec<String> {
    let frames = stack.iter().flat_map(|id| &code.locations[id.index()].frames);
    let line = |(nth, frame): (usize, &loiter::code::Frame)| {
        let line = if nth == 0 { 0 } else { frame.line };
        format!("{} {}:{line}", code.function_name(frame.function), code.str(frame.file))
    };
    frames.enumerate().map(line).collect()
}

fn check_fixed(version: &str, flavour: Flavour) {
    let toolchain = Toolchain::get(version);
    let what = format!("{} {flavour:?}", toolchain.full_version);
    let fixture = Fixture::start(&build(&toolchain, Program::Burners, flavour), &["fixed"]);
    let target = process::open_pid(fixture.pid()).unwrap();
    let frozen = common::reading(Pause::Everything);
    let is_fixed = |names: &[&str]| names.contains(&"main.forever");
    let find = |snapshot: &loiter::snapshot::Snapshot| {
        let names = |task| names(&snapshot.code, snapshot.stack_of(task));
        // The runtime may be about to take it off its thread: then there is more on its stack.
        let nth = snapshot.tasks.iter().position(|task| names(task).first() == Some(&"main.forever"))?;
        snapshot.tasks.get(nth).copied()
    };
    let (snapshot, task) = loop {
        let snapshot = runtimes::snapshot(target.as_ref(), &frozen).unwrap();
        if let Some(task) = find(&snapshot) {
            break (snapshot, task);
        }
    };
    let expected = lines(&snapshot.code, snapshot.stack_of(&task));
    assert!(expected.len() > 30, "{expected:#?}");
    // The whole stack, and so little that the kernel's chain must continue it.
    for stack_bytes in [8 << 10, 256, 64] {
        let (mut said, code) = sample(target.as_ref(), fixture.pid(), 300, stack_bytes);
        said.retain(|said| said.batch > EARLY);
        let mut seen = 0;
        for claim in said.iter().filter_map(|said| said.claim.as_ref()) {
            let Owner::Task(sampled, _) = claim.owner else { continue };
            if !is_fixed(&names(&code, &claim.stack)) || names(&code, &claim.stack)[0] != "main.forever" {
                continue;
            }
            let found = lines(&code, &claim.stack);
            assert_eq!(found, expected, "{what}, {stack_bytes} bytes, {:?}", claim.stack_status);
            assert_eq!(claim.stack_status, StackStatus::Complete);
            assert!(sampled.id.is_none() || sampled.id == task.id);
            seen += 1;
        }
        eprintln!("{what}: {seen} of {} with {stack_bytes} bytes", said.len());
        assert!(seen * 10 > said.len() * 9, "{what}: only {seen} of {}", said.len());
    }
}

matrix!(
    stacks_are_those_of_a_frozen_reading, check_fixed,
    quick: [Plain], spread: [Stripped, Pie, Cgo]
);

/// C without frame pointers: the goroutine's frames are there if the call lasts long enough to prove them, and they are
/// never those of another call.
fn check_callers_of_c(version: &str, flavour: Flavour) {
    measured(10, || check_callers_of_c_once(version, flavour));
}

fn check_callers_of_c_once(version: &str, flavour: Flavour) -> Result<(), String> {
    let toolchain = Toolchain::get(version);
    let what = format!("{} {flavour:?}", toolchain.full_version);
    let fixture = Fixture::start(&build(&toolchain, Program::Burners, flavour), &["long"]);
    let target = process::open_pid(fixture.pid()).unwrap();
    let (said, code) = sample(target.as_ref(), fixture.pid(), 300, 8 << 10);
    let (mut in_c, mut whole) = (0, 0);
    for claim in said.iter().filter_map(|said| said.claim.as_ref()) {
        let names = names(&code, &claim.stack);
        let is_there = |name: &str| names.iter().any(|found| found.contains(name));
        for (inner, outer, other) in
            [("longForA", "main.viaA", "main.viaB"), ("longForB", "main.viaB", "main.viaA")]
        {
            if is_there(inner) {
                in_c += 1;
                whole += u32::from(is_there(outer));
                assert!(!is_there(other), "{what}: {names:?}");
                assert_eq!(is_there(outer), claim.stack_status == StackStatus::Complete, "{what}: {names:?}");
                assert_eq!(is_there(outer), is_there("main.longInC"), "{what}: {names:?}");
            }
        }
    }
    eprintln!("{what}: {whole} of {in_c} samples in C have their callers");
    assert!(in_c > 100, "{what}: {in_c}");
    // Nearly all, unless the machine is so loaded that calls end between two looks.
    if whole * 5 > in_c { Ok(()) } else { Err(format!("{what}: {whole} of {in_c}")) }
}

matrix!(
    callers_of_c_without_frame_pointers_are_proven, check_callers_of_c,
    quick: [Cgo], full: [CgoPie]
);

/// Registers and stacks that no program has: whatever they are, there is an answer, and it is bounded.
#[test]
fn nonsense_is_answered() {
    let toolchain = Toolchain::get("1.27");
    let fixture = Fixture::start(&build(&toolchain, Program::Burners, Flavour::Plain), &["all"]);
    let target = process::open_pid(fixture.pid()).unwrap();
    let (said, _) = sample(target.as_ref(), fixture.pid(), 300, 4 << 10);
    let found = runtimes::attach(target.as_ref()).unwrap();
    let mut attribution = found.runtimes[0].attribution(target.as_ref(), 0).unwrap().unwrap();
    let mut native = NativeStacks::new(target.as_ref()).unwrap();
    let mut code = CodeBuilder::new();
    let mut random = common::random::Random::new(7);
    let words: Vec<u64> = said
        .iter()
        .flat_map(|said| said.caught.registers.general.into_iter().chain(said.caught.chain.iter().copied()))
        .collect();
    for round in 0..amount("LOITER_NONSENSE", 3000, 100_000) as usize {
        let from = &said[round % said.len()].caught;
        let mut pick = || words[random.below(words.len() as u64) as usize].wrapping_add(random.below(3) * 8);
        let mut general = from.registers.general;
        for _ in 0..round % 5 {
            general[pick() as usize % 16] = pick();
        }
        let mut stack = from.stack.clone();
        for _ in 0..round % 40 {
            let at = pick() as usize % (stack.len() / 8).max(1) * 8;
            if let Some(word) = stack.get_mut(at..at + 8) {
                word.copy_from_slice(&pick().to_le_bytes());
            }
        }
        let mut chain = from.chain.clone();
        if round % 3 == 0 {
            chain.iter_mut().skip(1).for_each(|pc| *pc = pick());
        }
        let pc = if round % 2 == 0 { from.registers.pc } else { pick() };
        let registers = Registers { pc, sp: general[4], bp: general[5], tls: 0, general };
        let caught = Caught { tid: from.tid, at_ns: from.at_ns, registers, in_kernel: false, chain, stack };
        let moment = caught.moment();
        attribution.refresh(&[moment], &mut code).unwrap();
        if let Some(claim) = attribution.whose(&moment, &mut code) {
            assert!(claim.stack.len() <= 1024);
        }
        assert!(native.stack(&moment, &mut code).0.len() <= 1024);
    }
}

/// Threads that are blocked: the goroutine and the stack that a reading of all goroutines finds.
fn check_blocked(version: &str, flavour: Flavour) {
    let toolchain = Toolchain::get(version);
    let what = format!("{} {flavour:?}", toolchain.full_version);
    let subject = if flavour.is_cgo() { "cgocalls" } else { "syscalls" };
    let fixture = Fixture::start(&build(&toolchain, Program::Fixtures, flavour), &[subject]);
    let target = process::open_pid(fixture.pid()).unwrap();
    let options = ReadOptions { pause: Pause::Nothing, ..ReadOptions::default() };
    let snapshot = runtimes::snapshot(target.as_ref(), &options).unwrap();
    let found = runtimes::attach(target.as_ref()).unwrap();
    let mut attribution = found.runtimes[0].attribution(target.as_ref(), 0).unwrap().unwrap();
    let mut code = CodeBuilder::new();
    let blocked: Vec<_> = snapshot.tasks.iter().filter(|task| task.state == TaskState::Syscall).collect();
    let claims: Vec<_> =
        blocked.iter().map(|task| attribution.blocked(task.thread.unwrap(), u64::MAX, &mut code)).collect();
    let code = code.finish();
    let mut seen = 0;
    for (task, claim) in blocked.iter().zip(&claims) {
        let Some(claim) = claim else { continue };
        let Owner::Task(said, _) = claim.owner else { panic!("{what}: {:?}", claim.owner) };
        assert_eq!(said.id, task.id, "{what}");
        // The reading of all begins where the goroutine left Go code, or where it called the system.
        let (expected, found) = (lines(&snapshot.code, snapshot.stack_of(task)), lines(&code, &claim.stack));
        assert!(found.len() >= expected.len(), "{what}: {found:#?}");
        let same = &found[found.len() - expected.len()..];
        assert_eq!(same[1..], expected[1..], "{what}: {:?}", claim.stack_status);
        assert_eq!(claim.stack_status, StackStatus::Complete, "{what}");
        seen += 1;
    }
    eprintln!("{what}: {seen} of {} blocked threads", blocked.len());
    assert!(seen > 0 && seen * 2 >= blocked.len(), "{what}: {seen} of {}", blocked.len());
    // A thread that runs no goroutine, or none at all.
    assert_eq!(attribution.blocked(u32::MAX, 0, &mut CodeBuilder::new()), None);
}

matrix!(
    blocked_threads_are_read_where_they_are, check_blocked,
    quick: [Plain, Cgo], spread: [Stripped, CgoPie]
);
