//! A core file of a program at rest gives the same goroutines as the live process.

#![allow(clippy::unwrap_used)]

mod common;

use std::collections::BTreeMap;

use common::{Fixture, Flavour, Program, QUICK_VERSIONS, Toolchain, build, write_core};
use loiter::analysis::{Series, SeriesOptions};
use loiter::process;
use loiter::runtimes::{self, ReadOptions};
use loiter::snapshot::{ReadMode, Snapshot, SourceKind, StackStatus, TaskState};

/// A goroutine in words, so that snapshots with different tables can be compared.
fn words(snapshot: &Snapshot) -> BTreeMap<(Option<u64>, u64), String> {
    let place = |id: &loiter::snapshot::LocationId| {
        let location = &snapshot.code.locations[id.index()];
        let frames: Vec<_> = location
            .frames
            .iter()
            .map(|f| format!("{} {}:{}", snapshot.function_name(f.function), snapshot.str(f.file), f.line))
            .collect();
        format!("\n    {:x?} {}", location.address, frames.join(" < "))
    };
    snapshot
        .tasks
        .iter()
        .map(|task| {
            let waits: Vec<_> = snapshot
                .waits_of(task)
                .iter()
                // What a system call waits for is not in a core file.
                .filter(|_| task.state != TaskState::Syscall)
                .map(|wait| (wait.op, snapshot.objects[wait.object.index()]))
                .map(|(op, object)| {
                    let channel = object.channel.map(|c| (c.len, c.cap, c.closed, c.senders, c.receivers));
                    format!("{op:?} {:?} {:#x} {channel:?}", object.kind, object.address)
                })
                .collect();
            let stack: Vec<_> = snapshot.stack_of(task).iter().map(place).collect();
            let text = format!(
                "{} locked {} system {} parent {:?} creator {:?} entry {:?} labels {:?} waits {waits:?} {:?} {}",
                common::compare::state_text(snapshot, task),
                task.locked_to_thread,
                task.system,
                task.parent,
                task.creator.as_ref().map(place),
                task.entry.map(|id| snapshot.function_name(id)),
                common::compare::labels(snapshot, task),
                task.stack_status,
                stack.concat()
            );
            ((task.id, task.address), text)
        })
        .collect()
}

fn check(version: &str, flavour: Flavour) {
    let toolchain = Toolchain::get(version);
    let what = format!("{} {flavour:?}", toolchain.full_version);
    let program = build(&toolchain, Program::Fixtures, flavour);
    let fixture = Fixture::start(&program, &["all"]);
    let core = fixture.dir().join("core");

    let read = |target: &dyn process::Target| {
        runtimes::snapshot(target, &ReadOptions::default()).unwrap_or_else(|e| panic!("{what}: {e}"))
    };
    let live_target = process::open_pid(fixture.pid()).unwrap();
    for attempt in 0.. {
        let before = read(live_target.as_ref());
        write_core(fixture.pid(), &core);
        let after = read(live_target.as_ref());
        // The runtime's own goroutines may have worked meanwhile, and a collection may have begun and ended.
        let heap = |snapshot: &Snapshot| snapshot.header.runtimes[0].heap.clone();
        if words(&before) != words(&after) || heap(&before) != heap(&after) {
            assert!(attempt < 10, "{what}: the fixture does not come to rest");
            continue;
        }
        let dead_target =
            process::open_core(&core, Some(program.as_path())).unwrap_or_else(|e| panic!("{what}: {e}"));
        let dead = read(dead_target.as_ref());
        compare(&what, &words(&before), &words(&dead));
        assert_eq!(dead.header.target.source, SourceKind::Core, "{what}");
        assert_eq!(dead.header.reading.mode, ReadMode::Core, "{what}");
        assert_eq!(dead.header.target.pid, Some(fixture.pid()), "{what}");
        assert_eq!(dead.header.runtimes[0].version.as_ref(), Some(&toolchain.full_version), "{what}");
        assert_eq!(dead.header.runtimes[0].heap, before.header.runtimes[0].heap, "{what}");
        break;
    }
}

fn compare(
    what: &str,
    live: &BTreeMap<(Option<u64>, u64), String>,
    dead: &BTreeMap<(Option<u64>, u64), String>,
) {
    assert!(live.len() > 100, "{what}: {} goroutines", live.len());
    let mut wrong = Vec::new();
    for (key, live) in live {
        match dead.get(key) {
            Some(dead) if dead == live => {}
            dead => wrong.push(format!("goroutine {:?}\n  live: {live}\n  core: {dead:?}", key.0)),
        }
    }
    wrong.extend(dead.keys().filter(|k| !live.contains_key(k)).map(|k| format!("{k:?} only in the core")));
    assert!(wrong.is_empty(), "{}", common::compare::report(what, &wrong));
}

mod a_core_file_equals_the_process {
    use super::*;

    #[test]
    fn newest_stripped() {
        check(QUICK_VERSIONS[1], Flavour::Stripped);
    }

    #[test]
    fn oldest_plain() {
        check(QUICK_VERSIONS[0], Flavour::Plain);
    }

    #[test]
    #[ignore = "needs LOITER_MATRIX=full"]
    fn more_flavours() {
        check(QUICK_VERSIONS[1], Flavour::PieStripped);
        check(QUICK_VERSIONS[1], Flavour::Cgo);
        check(QUICK_VERSIONS[0], Flavour::CgoPie);
    }
}

/// Words of the headers of a core file.
fn word(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap())
}

/// Where the program headers of a core file are, and what each says: its place, type, and offset, address and
/// size of its bytes.
fn segments(core: &[u8]) -> Vec<(usize, u32, u64, u64, u64)> {
    let (first, count) = (word(core, 32) as usize, u16::from_le_bytes([core[56], core[57]]));
    let places = (0..usize::from(count)).map(|nth| first + 56 * nth);
    let kind = |at: usize| u32::from_le_bytes(core[at..at + 4].try_into().unwrap());
    places.map(|at| (at, kind(at), word(core, at + 8), word(core, at + 16), word(core, at + 32))).collect()
}

/// The segment that holds the memory at an address.
fn load_of(core: &[u8], address: u64) -> Option<(usize, u32, u64, u64, u64)> {
    let holds = |&(_, kind, _, start, size): &(_, u32, _, u64, u64)| {
        kind == 1 && start <= address && address < start + size
    };
    segments(core).into_iter().find(holds)
}

/// Where the memory at an address stands in the file.
fn place(core: &[u8], address: u64) -> Option<u64> {
    load_of(core, address).map(|(_, _, offset, start, _)| offset + (address - start))
}

/// The same core file with its notes first, as the kernel writes them: gdb writes them last, so that nothing is
/// of use if it is cut. What is only reserved (a GiB for Go's heap) is left out, as the kernel does.
fn notes_first(core: &[u8]) -> Vec<u8> {
    const PT_LOAD: u32 = 1;
    const PT_NOTE: u32 = 4;
    let mut segments = segments(core);
    segments.sort_by_key(|&(_, kind, offset, ..)| (kind != PT_NOTE, offset));
    let headers = 64 + 56 * segments.len();
    let mut out = vec![0; headers.next_multiple_of(4096)];
    out[..64].copy_from_slice(&core[..64]);
    out[32..40].copy_from_slice(&64u64.to_le_bytes());
    // No sections: their headers stood in the end.
    out[40..48].fill(0);
    out[58..64].fill(0);
    for (nth, &(at, kind, offset, _, size)) in segments.iter().enumerate() {
        let header = 64 + 56 * nth;
        out[header..header + 56].copy_from_slice(&core[at..at + 56]);
        let rights = u32::from_le_bytes(core[at + 4..at + 8].try_into().unwrap());
        let size = if kind == PT_LOAD && rights == 0 { 0 } else { size };
        out[header + 32..header + 40].copy_from_slice(&size.to_le_bytes());
        let place = (out.len() as u64).to_le_bytes();
        out[header + 8..header + 16].copy_from_slice(&place);
        out.extend_from_slice(&core[offset as usize..(offset + size) as usize]);
    }
    out
}

/// A core file of a program with some hundred goroutines, with its notes first, and the program.
fn core_with_notes_first() -> (Vec<u8>, std::path::PathBuf) {
    let toolchain = Toolchain::get(QUICK_VERSIONS[1]);
    let program = build(&toolchain, Program::Fixtures, Flavour::Plain);
    let fixture = Fixture::start(&program, &["all"]);
    let path = fixture.dir().join("core");
    write_core(fixture.pid(), &path);
    (notes_first(&std::fs::read(path).unwrap()), program)
}

fn read_core(
    bytes: &[u8],
    program: &std::path::Path,
) -> (tempfile::NamedTempFile, Result<Snapshot, loiter::Error>) {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), bytes).unwrap();
    let read = process::open_core(file.path(), Some(program))
        .map_err(loiter::Error::from)
        .and_then(|target| runtimes::snapshot(target.as_ref(), &ReadOptions::default()));
    (file, read)
}

/// Every goroutine is accounted for, and what was read is the same as in the whole file.
fn check_part(what: &str, part: &Snapshot, whole: &Snapshot) {
    let reading = &part.header.reading;
    let count = |snapshot: &Snapshot| {
        let reading = &snapshot.header.reading;
        snapshot.tasks.len() as u64 + reading.ended + reading.missing
    };
    assert_eq!(count(part), count(whole), "{what}: {reading:?}");
    let not_whole = part.tasks.iter().filter(|task| task.stack_status == StackStatus::Missing).count();
    assert_eq!(reading.missing_stacks, not_whole as u64, "{what}");
    assert!(part.tasks.iter().all(|task| task.stack_status != StackStatus::Torn), "{what}");
    let before: BTreeMap<_, _> = whole.tasks.iter().map(|task| (task.address, task)).collect();
    for task in &part.tasks {
        let there = before.get(&task.address).unwrap_or_else(|| panic!("{what}: {task:?} is new"));
        assert_eq!(task.id, there.id, "{what}");
        let frames = |snapshot: &Snapshot, task| {
            let stack: Vec<_> = snapshot.stack_of(task).iter().collect();
            stack.iter().map(|id| snapshot.code.locations[id.index()].address).collect::<Vec<_>>()
        };
        let (now, then) = (frames(part, task), frames(whole, there));
        assert!(then.starts_with(&now), "{what}: goroutine {:?}", task.id);
        let same = task.stack_status == there.stack_status && now.len() == then.len();
        assert!(same || task.stack_status == StackStatus::Missing, "{what}: {:?}", task.stack_status);
    }
}

#[test]
fn a_core_file_that_was_cut_says_what_is_missing() {
    // In some processes the list of goroutines is behind all of them in memory: then every cut that leaves it whole
    // leaves all goroutines whole. The heap's place is random, so another process is another chance.
    let seen = |seed| {
        let (read, lacking) = check_cuts(seed);
        eprintln!("{read} cut files could be read, {lacking} of them without some goroutines");
        read > 0 && lacking > 0
    };
    assert!((7..27).any(seen), "no file that could be read lacks a goroutine");
}

/// Cuts a core file at random lengths and checks each part; returns how many could be read, and how many of those lack
/// goroutines.
fn check_cuts(seed: u64) -> (u32, u32) {
    let (bytes, program) = core_with_notes_first();
    let (_whole_file, whole) = read_core(&bytes, &program);
    let whole = whole.unwrap();
    assert!(whole.tasks.len() > 100, "{} goroutines", whole.tasks.len());
    assert_eq!(whole.header.reading.core_bytes, Some(bytes.len() as u64));
    let r = &whole.header.reading;
    assert_eq!((r.core_bytes_missing, r.missing, r.missing_stacks), (0, 0, 0));
    assert_eq!(whole.header.warnings, [""; 0]);

    let (mut read, mut lacking) = (0, 0);
    let mut random = common::random::Random::new(seed);
    // Behind the last goroutine there is nothing of interest.
    let last = whole.tasks.iter().filter_map(|task| place(&bytes, task.address)).max().unwrap();
    let end = (last + last / 16).min(bytes.len() as u64);
    let parts = 40;
    for nth in (0..parts).rev() {
        // One in each part of the file, so that its interesting places are met.
        let len = (end * nth + random.below(end)) / parts;
        let what = format!("{len} of {} bytes", bytes.len());
        let (_file, part) = read_core(&bytes[..len as usize], &program);
        let part = match part {
            Ok(part) => part,
            Err(error) => {
                let said = match &error {
                    loiter::Error::NoRuntime { looked_at, .. } => looked_at.join("\n"),
                    other => loiter::full_text(other),
                };
                let words = ["is cut", "was cut", "are not in the core file"];
                assert!(words.iter().any(|word| said.contains(word)), "{what}: {said}");
                continue;
            }
        };
        read += 1;
        check_part(&what, &part, &whole);
        let reading = &part.header.reading;
        assert_eq!((reading.core_bytes, reading.core_bytes_missing), (Some(len), bytes.len() as u64 - len));
        assert_eq!(part.header.warnings.len(), 1, "{what}: {:?}", part.header.warnings);
        assert!(part.header.warnings[0].starts_with("the core file is cut: "), "{:?}", part.header.warnings);
        if reading.missing == 0 {
            continue;
        }
        lacking += 1;
        assert!(part.header.warnings[0].contains("goroutines are not in it"), "{:?}", part.header.warnings);
        // What is missing has not ended, and that is kept in files.
        let mut saved = Vec::new();
        loiter::snapshot::file::write(&part, &mut saved).unwrap();
        let saved = loiter::snapshot::file::read(saved.as_slice()).unwrap();
        assert_eq!(saved.header.reading, *reading);
        assert_eq!(saved.tasks, part.tasks);
        let series = Series::of(SeriesOptions::default(), [whole.clone(), saved]);
        let warning = series.warning().unwrap_or_default();
        assert!(warning.contains(&format!("reading 2 lacks {} task", reading.missing)), "{warning}");
    }
    (read, lacking)
}

#[test]
fn a_core_file_with_a_hole_says_what_is_missing() {
    let (bytes, program) = core_with_notes_first();
    let (_whole_file, whole) = read_core(&bytes, &program);
    let whole = whole.unwrap();
    // A bad sector that was copied as zeros, where a goroutine has its struct.
    let victim = whole.tasks[whole.tasks.len() / 2].address;
    let load = segments(&bytes)
        .into_iter()
        .find(|&(_, kind, _, address, size)| kind == 1 && address <= victim && victim < address + size);
    let (_, _, offset, address, _) = load.unwrap();
    let at = (offset + (victim & !4095) - address) as usize;
    let mut holed = bytes.clone();
    holed[at..at + 4096].fill(0);
    let (_file, part) = read_core(&holed, &program);
    let part = part.unwrap();
    let reading = &part.header.reading;
    assert!(reading.missing > 0 && reading.core_bytes_missing == 0, "{reading:?}");
    assert!(!part.tasks.iter().any(|task| task.address == victim));
    assert!(
        part.header.warnings[0].contains("goroutines are not in the core file"),
        "{:?}",
        part.header.warnings
    );

    // A segment that was left out when the file was written (coredump_filter).
    let mut left_out = bytes.clone();
    let (header, ..) = load_of(&bytes, victim).unwrap();
    left_out[header + 32..header + 40].fill(0);
    let (_file, part) = read_core(&left_out, &program);
    match part {
        Ok(part) => check_part("without a segment", &part, &whole),
        Err(error) => assert!(loiter::full_text(&error).contains("not in the core file"), "{error:?}"),
    }
}
