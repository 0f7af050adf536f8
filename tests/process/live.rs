//! Memory, files and ids of live processes.

use std::path::Path;
use std::process::Command;

use loiter::process::{self, Range, Target, TargetError};

use crate::roles::play;
use crate::support::{
    LONG, Process, build, counter, eventually, folder, global, is_running, program, start, stopped,
    wait_ready,
};

const TEXT: &[u8] = b"what stands in the memory of the target";

/// Until it has executed its program, a child is a copy of ourselves.
pub(crate) fn wait_executed(pid: u32, name: &str) {
    eventually("the child has executed its program", || {
        // It sleeps when its libraries have been loaded.
        std::fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line.starts_with(name.as_bytes()))
            && crate::support::state(pid, pid) == 'S'
    });
}

/// Reads what is known to be there, and what is known not to be.
pub(crate) fn check_reading(target: &dyn Target) {
    let text = global(target, "text");
    assert_eq!(target.read_vec(text, TEXT.len()).expect("it can be read"), TEXT);
    assert!(matches!(target.read(8, &mut [0; 8]), Err(TargetError::Unmapped { address: 8, len: 8 })));
    assert!(target.read(u64::MAX - 3, &mut [0; 8]).is_err());
    assert!(target.read(text, &mut []).is_ok());

    let mappings = target.mappings().expect("mappings");
    let hole = mappings.windows(2).find(|pair| pair[0].end < pair[1].start && pair[0].read).expect("a hole");
    let good = Range { address: text, len: TEXT.len() };
    let bad = Range { address: 16, len: 8 };
    let none = Range { address: 0, len: 0 };
    // Its second half is not mapped.
    let half = Range { address: hole[0].end - 8, len: 16 };
    let near = Range { address: text + 10, len: 5 };
    let ranges = [good, bad, none, good, bad, bad, half, near, good];
    let mut ok = [false; 9];
    let mut buf = vec![0; ranges.iter().map(|range| range.len).sum()];
    target.read_many(&ranges, &mut buf, &mut ok).expect("some can be read");
    assert_eq!(ok, [true, false, true, true, false, false, false, true, true]);
    let mut at = 0;
    for (range, ok) in ranges.iter().zip(ok) {
        if ok && range.len > 0 {
            let from = usize::try_from(range.address - text).expect("in the text");
            assert_eq!(buf[at..at + range.len], TEXT[from..from + range.len]);
        }
        at += range.len;
    }

    // Many more than fit into a call, with holes.
    let many: Vec<Range> = (0..5000).map(|i| if i % 7 == 3 { bad } else { good }).collect();
    let mut ok = vec![false; many.len()];
    let mut buf = vec![0; many.iter().map(|range| range.len).sum()];
    target.read_many(&many, &mut buf, &mut ok).expect("some can be read");
    assert!(ok.iter().enumerate().all(|(i, &ok)| ok == (i % 7 != 3)));
}

#[test]
fn position_independent_or_not() {
    for (name, options) in
        [("pie", &["-fpie", "-pie"][..]), ("no-pie", &["-fno-pie", "-no-pie"]), ("static", &["-static"])]
    {
        let process = start(&build(name, options), &["spin"]);
        let target = process.open();
        let images = target.images().expect("images");
        assert_eq!(images[0].bias == 0, name != "pie", "{name}");
        assert_eq!(images.len() > 1, name != "static", "{name}");
        check_reading(target.as_ref());
        assert!(is_running(target.as_ref()));

        let sections = images[0].sections().expect("sections");
        let code = sections.iter().find(|section| section.name == ".text").expect("code");
        let data = images[0].section_data(".text", 1 << 20).expect("it fits").expect("it is there");
        let there = target.read_vec(code.address, data.len()).expect("it can be read");
        assert_eq!(there, data, "{name}: the code in memory is that of the file");
        assert!(images[0].section_data(".text", 10).is_err(), "larger than was asked for");
        assert!(images[0].section_data(".nothing", 10).expect("no error").is_none());
    }
}

#[test]
fn compressed_sections() {
    let path = build("compressed", &["-g", "-gz=zlib"]);
    let image = process::Image::from_file(&path).expect("it is an ELF file");
    let section =
        image.sections().expect("sections").into_iter().find(|s| s.name == ".debug_str").expect("there");
    assert!(section.flags & 0x800 != 0, "compressed");
    let data = image.section_data(".debug_str", 1 << 20).expect("it fits").expect("it is there");
    assert!(data.windows(8).any(|window| window == b"released"));
    assert!(image.section_data(".debug_str", data.len() - 1).is_err());
}

#[test]
fn deleted_and_replaced() {
    let path = folder().join("deleted");
    std::fs::copy(program(), &path).expect("a copy");
    let process = start(&path, &[]);
    std::fs::remove_file(&path).expect("ours");
    // Another file at the same path must not be taken for it.
    std::fs::copy("/bin/true", &path).expect("a copy");
    let target = process.open();
    check_reading(target.as_ref());
    assert_eq!(target.info().exe.as_deref(), path.to_str());
    assert_eq!(target.info().name, "deleted");
    assert_eq!(target.images().expect("images")[0].path, path.to_str().expect("UTF-8"));
}

#[test]
fn without_process_vm_readv() {
    let process = start(program(), &[]);
    let (_reader, said) = play("no-vectors", process.pid());
    let said: Vec<String> = said.collect();
    assert!(said.iter().any(|line| line == "read"), "{said:?}");
}

/// Runs a shell script in new namespaces; needs root.
fn unshare(options: &[&str], script: &str) -> Process {
    assert!(nix::unistd::Uid::effective().is_root(), "this test makes namespaces: run it as root");
    Process(Command::new("unshare").args(options).args(["sh", "-c", script]).spawn().expect("unshare starts"))
}

/// The process that was started inside, once it runs the program.
fn inside(outer: &Process, program: &Path) -> u32 {
    let mut found = None;
    eventually("the program runs inside", || {
        let mut pids = vec![outer.pid()];
        while let Some(pid) = pids.pop() {
            let children =
                std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
            pids.extend(children.split_whitespace().filter_map(|pid| pid.parse::<u32>().ok()));
            if std::fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|exe| exe == program) {
                found = Some(pid);
            }
        }
        found.is_some()
    });
    found.expect("found")
}

#[test]
fn other_mount_and_pid_namespaces() {
    let here = program().display();
    // No other run has this name.
    let copy = format!("/tmp/.loiter-elsewhere-{}", std::process::id());
    let script = format!(
        "cp {here} {copy}; mount -t tmpfs none /mnt && mv {copy} /mnt/elsewhere && exec /mnt/elsewhere spin"
    );
    let outer = unshare(&["--mount", "--pid", "--fork", "--kill-child"], &script);
    let pid = inside(&outer, Path::new("/mnt/elsewhere"));
    wait_ready(pid);
    assert!(!Path::new("/mnt/elsewhere").exists());
    let target = process::open_pid(pid).expect("it can be opened");
    check_reading(target.as_ref());
    assert_eq!(
        (target.info().exe.as_deref(), target.info().name.as_str()),
        (Some("/mnt/elsewhere"), "elsewhere")
    );

    let threads = target.threads().expect("threads");
    assert_eq!(threads.len(), 2);
    assert_eq!(target.thread_from_inside(1), Some(pid), "inside, it is process 1");
    let found: Vec<u32> = (2..50).filter_map(|tid| target.thread_from_inside(tid)).collect();
    assert_eq!(found, threads[1..]);
    assert_eq!(target.thread_from_inside(pid), None, "our own numbers mean nothing inside");
    target.with_stopped_thread(threads[1], &mut |registers| assert_ne!(registers.sp, 0)).expect("it stops");
}

#[test]
fn another_time_namespace() {
    const SECOND: u64 = 1_000_000_000;
    let script = format!("exec {} spin", program().display());
    let outer = unshare(&["--time", "--monotonic", "100000", "--fork", "--kill-child"], &script);
    let pid = inside(&outer, program());
    let here =
        || process::open_pid(std::process::id()).expect("we can be opened").monotonic_ns().expect("a clock");
    // However late each clock is read.
    let before = here();
    let there = process::open_pid(pid).expect("it can be opened").monotonic_ns().expect("a clock");
    let after = here();
    let (least, most) = (before + 99_999 * SECOND, after + 100_001 * SECOND);
    assert!((least..most).contains(&there), "{before} {there} {after}");
}

#[test]
fn a_leader_that_has_ended() {
    let process = start(program(), &["spin", "end-leader"]);
    eventually("the leader has ended", || process.state(process.pid()) == 'Z');
    let target = process.open();
    check_reading(target.as_ref());
    let threads = target.threads().expect("threads");
    let running = *threads.iter().find(|&&tid| tid != process.pid()).expect("the other one");
    let image = target.images().expect("images")[0].clone();
    let code = image.segments().expect("segments");
    stopped(target.as_ref(), running, &mut |registers| {
        let inside =
            |s: &process::Segment| s.address <= registers.pc && registers.pc < s.address + s.memory_size;
        assert!(code.iter().any(|segment| segment.flags & 1 != 0 && inside(segment)), "{registers:x?}");
    });
    assert!(target.with_stopped_thread(process.pid(), &mut |_| ()).is_err());
    drop(target.freeze(LONG).expect("it can be frozen"));
    assert!(is_running(target.as_ref()));
}

#[test]
fn a_thread_opens_its_process() {
    let process = start(program(), &["spin"]);
    let threads = process.open().threads().expect("threads");
    let target = process::open_pid(threads[1]).expect("it can be opened");
    assert_eq!(target.info().pid, Some(process.pid()));
}

#[test]
fn what_cannot_be_read() {
    assert!(matches!(process::open_pid(0x3fff_fff0), Err(TargetError::NoProcess { .. })));
    assert!(matches!(process::open_pid(0), Err(TargetError::NoProcess { .. })));
    assert!(matches!(process::open_pid(u32::MAX), Err(TargetError::NoProcess { .. })));
    assert!(matches!(process::open_pid(2), Err(TargetError::KernelThread { pid: 2, .. })));

    let mut zombie = Command::new("true").spawn().expect("true starts");
    eventually("it has ended", || crate::support::state(zombie.id(), zombie.id()) == 'Z');
    assert!(matches!(process::open_pid(zombie.id()), Err(TargetError::Zombie { .. })));
    zombie.wait().expect("ours");
}

#[test]
fn ended_while_it_is_read() {
    let mut process = start(program(), &["spin"]);
    let target = process.open();
    let text = global(target.as_ref(), "text");
    let threads = target.threads().expect("threads");
    process.kill();
    let ended = |error: TargetError| assert!(matches!(error, TargetError::Ended { .. }), "{error:?}");
    ended(target.read_u64(text).expect_err("it is gone"));
    ended(target.read_many(&[Range { address: text, len: 8 }], &mut [0; 8], &mut [false]).expect_err("gone"));
    ended(target.mappings().expect_err("it is gone"));
    ended(target.images().expect_err("it is gone"));
    ended(target.threads().expect_err("it is gone"));
    ended(target.freeze(LONG).expect_err("it is gone"));
    assert!(target.with_stopped_thread(threads[0], &mut |_| ()).is_err());
    assert_eq!(target.thread_from_inside(threads[0]), None);
}

#[test]
fn figures_of_a_process() {
    let process = start(program(), &["spin"]);
    let target = process.open();
    assert!(is_running(target.as_ref()));
    let figures = target.figures();
    assert_eq!(figures.threads, Some(2));
    assert!(figures.open_files.is_some_and(|files| (3..100).contains(&files)), "{figures:?}");
    assert!(figures.rss.is_some_and(|rss| (100 << 10..1 << 30).contains(&rss)), "{figures:?}");
    eventually("it uses the CPU", || target.figures().cpu_ns.is_some_and(|ns| ns > 0));
    assert!(counter(target.as_ref(), "ticks") > 0);
    let mut all = Vec::new();
    // On a busy machine, arguments may come too late: then there are none.
    eventually("it is listed with its arguments", || {
        all = process::processes().expect("a list");
        let it = all.iter().find(|candidate| candidate.pid == process.pid()).expect("it is listed");
        !it.command.is_empty()
    });
    let it = all.iter().find(|candidate| candidate.pid == process.pid()).expect("it is listed");
    assert_eq!((it.name.as_str(), it.threads, it.command[1].as_str()), ("program", 2, "spin"));
    assert!(all.iter().any(|candidate| candidate.is_kernel_thread));
}
