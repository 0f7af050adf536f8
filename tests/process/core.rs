//! Core files.

use std::path::{Path, PathBuf};
use std::process::Command;

use loiter::process::{self, Target, TargetError};
use loiter::snapshot::SourceKind;

use crate::live::check_reading;
use crate::support::{LONG, Process, build, folder, global, is_running, program, start, wait_ready};

/// Lets gdb write a core file of a process that goes on.
pub(crate) fn gcore(process: &Process, name: &str) -> PathBuf {
    let prefix = folder().join(name);
    let wrote = Command::new("gcore").arg("-o").arg(&prefix).arg(process.pid().to_string()).output();
    let wrote = wrote.expect("gcore (of gdb) is installed");
    assert!(wrote.status.success(), "{}", String::from_utf8_lossy(&wrote.stderr));
    folder().join(format!("{name}.{}", process.pid()))
}

/// Everything that is readable in both must be the same.
fn check_same(live: &dyn Target, core: &dyn Target) {
    let pid = live.info().pid.expect("a process has one");
    let mut tls = 0;
    live.with_stopped_thread(pid, &mut |registers| tls = registers.tls).expect("it stops");
    let mut compared = 0;
    for mapping in live.mappings().expect("mappings") {
        let mut buf = vec![0; 4096];
        for address in (mapping.start..mapping.end).step_by(4096) {
            // The kernel writes the number of the CPU there whenever it changes (rseq).
            let is_own = address.abs_diff(tls) < 8192;
            if is_own || mapping.path.starts_with("[v") || live.read(address, &mut buf).is_err() {
                continue;
            }
            let there = core.read_vec(address, 4096);
            // gdb leaves out what was not written to; that of programs comes from their files.
            assert!(there.is_ok_and(|there| there == buf), "{address:#x} in {mapping:?}");
            compared += 1;
        }
    }
    assert!(compared > 100, "{compared} pages");
}

#[test]
fn a_core_file_by_gdb_reads_as_the_process_does() {
    for (name, options) in [("core-pie", &["-fpie", "-pie"][..]), ("core-no-pie", &["-no-pie"])] {
        let process = start(&build(name, options), &["signals"]);
        let live = process.open();
        let path = gcore(&process, &format!("dump-{name}"));
        let core = process::open_core(&path, None).expect("it is a core file");
        assert!(core.is_static() && core.monotonic_ns().is_none());
        check_reading(core.as_ref());
        check_same(live.as_ref(), core.as_ref());

        let (info, before) = (core.info(), live.info());
        assert_eq!((info.source, info.pid), (SourceKind::Core, Some(process.pid())));
        assert_eq!((&info.exe, &info.name, &info.build_id), (&before.exe, &before.name, &before.build_id));
        assert_eq!(info.command.first(), before.command.first());
        let code = |target: &dyn Target| {
            let mappings = target.mappings().expect("mappings").into_iter();
            let code = mappings.filter(|mapping| mapping.execute && mapping.path.starts_with('/'));
            code.map(|mapping| (mapping.start, mapping.end, mapping.offset, mapping.path)).collect::<Vec<_>>()
        };
        assert_eq!(code(core.as_ref()), code(live.as_ref()));
        let names = |target: &dyn Target| {
            let images = target.images().expect("images").into_iter();
            let mut images: Vec<_> =
                images.map(|image| (!image.is_executable, image.path, image.bias)).collect();
            images.sort();
            images
        };
        assert_eq!(names(core.as_ref()), names(live.as_ref()));

        assert_eq!(core.threads().expect("threads"), live.threads().expect("threads"));
        let registers = |target: &dyn Target| {
            let mut found = None;
            target
                .with_stopped_thread(process.pid(), &mut |registers| found = Some(*registers))
                .expect("it is there");
            found.expect("it was called")
        };
        assert_eq!(registers(core.as_ref()), registers(live.as_ref()));
        assert!(core.with_stopped_thread(1, &mut |_| ()).is_err());
        drop(core.freeze(LONG).expect("nothing to do"));
    }
}

#[test]
fn the_program_can_be_named() {
    let program = build("core-moved", &["-fpie", "-pie"]);
    let process = start(&program, &[]);
    let path = gcore(&process, "dump-moved");
    let live = process.open();
    let moved = folder().join("core-moved-elsewhere");
    std::fs::rename(&program, &moved).expect("ours");

    let without = process::open_core(&path, None).expect("it is a core file");
    assert!(!without.images().expect("images").iter().any(|image| image.is_executable));
    assert_eq!(without.info().exe.as_deref(), program.to_str(), "it is named all the same");

    let core = process::open_core(&path, Some(&moved)).expect("it is that program");
    check_same(live.as_ref(), core.as_ref());
    assert_eq!(
        global(core.as_ref(), "text"),
        live.images().map(|_| global(core.as_ref(), "text")).expect("images")
    );

    // Another program there is not taken for it: neither when it is named nor when it is found.
    let error = process::open_core(&path, Some(Path::new("/bin/sleep"))).err().expect("another program");
    assert!(error.to_string().contains("another file"), "{error}");
    std::fs::copy("/bin/sleep", &program).expect("a copy");
    let core = process::open_core(&path, None).expect("it is a core file");
    assert!(!core.images().expect("images").iter().any(|image| image.is_executable));
}

/// Lets the kernel write a core file. None where the machine sends core files elsewhere.
fn kernel_core(name: &str) -> Option<(PathBuf, u32)> {
    let pattern = std::fs::read_to_string("/proc/sys/kernel/core_pattern").expect("readable");
    if pattern.trim() != "core" {
        eprintln!("not tested: the kernel hands core files to {pattern:?}");
        return None;
    }
    let folder = folder().join(name);
    std::fs::create_dir(&folder).expect("ours");
    let mut command = Command::new("sh");
    command
        .args(["-c", "ulimit -c unlimited && exec \"$0\" spin argument"])
        .arg(program())
        .current_dir(&folder);
    let mut process = Process(command.spawn().expect("it starts"));
    wait_ready(process.pid());
    assert!(is_running(process.open().as_ref()));
    let pid = process.pid();
    process.signal(libc::SIGQUIT);
    process.0.wait().expect("ours");
    let found = std::fs::read_dir(&folder).expect("ours").next();
    Some((found.expect("the kernel wrote it").expect("ours").path(), pid))
}

#[test]
fn a_core_file_by_the_kernel() {
    let Some((path, pid)) = kernel_core("kernel") else { return };
    let core = process::open_core(&path, None).expect("it is a core file");
    check_reading(core.as_ref());
    let info = core.info();
    assert_eq!((info.pid, info.name.as_str()), (Some(pid), "program"));
    assert_eq!(info.command[1..], ["spin", "argument"]);
    let threads = core.threads().expect("threads");
    assert_eq!(threads.len(), 2);
    let image = core.images().expect("images")[0].clone();
    assert_eq!(info.build_id, Some(image.build_id().expect("it has one")));
    // The code was not dumped: it comes from the program's file.
    let data = image.section_data(".text", 1 << 20).expect("it fits").expect("it is there");
    let sections = image.sections().expect("sections");
    let code = sections.iter().find(|section| section.name == ".text").expect("code");
    assert_eq!(core.read_vec(code.address, data.len()).expect("it can be read"), data);
    core.with_stopped_thread(threads[1], &mut |registers| {
        assert!((code.address..code.address + code.size).contains(&registers.pc), "it spins: {registers:x?}");
    })
    .expect("it is there");
}

#[test]
fn a_core_file_that_was_cut() {
    // gdb writes the notes last, the kernel first: only the latter's is of use when it was cut.
    let process = start(program(), &[]);
    let by_gdb = gcore(&process, "dump-cut");
    let by_kernel = kernel_core("kernel-cut").map(|(path, _)| path);
    for path in [Some(by_gdb), by_kernel.clone()].into_iter().flatten() {
        let whole = std::fs::metadata(&path).expect("it is there").len();
        let file = std::fs::File::options().write(true).open(&path).expect("ours");
        let mut lost = 0;
        for part in (0..=20).rev() {
            file.set_len(whole * part / 20).expect("ours");
            match process::open_core(&path, None) {
                Ok(core) => {
                    let extent = core.core_extent().expect("it is a core file");
                    assert_eq!(extent.bytes, whole * part / 20);
                    assert!(extent.missing <= whole - extent.bytes, "{extent:?} of {whole}");
                    lost += unreadable(core.as_ref());
                }
                Err(error) => assert!(matches!(error, TargetError::Malformed { .. }), "{error}"),
            }
        }
        assert_eq!(lost > 0, Some(&path) == by_kernel.as_ref(), "{path:?}");
    }
}

/// How many mappings cannot be read because the file was cut.
fn unreadable(core: &dyn Target) -> usize {
    let lost = |address| match core.read_u64(address) {
        Err(TargetError::NotInCore { why, .. }) => why.contains("is cut"),
        _ => false,
    };
    core.mappings().expect("mappings").iter().filter(|mapping| lost(mapping.end - 8)).count()
}

#[test]
fn what_is_no_core_file() {
    let text = |path: &Path| loiter::full_text(&process::open_core(path, None).err().expect("it is none"));
    assert!(text(program()).contains("is an ELF file, but not a core file"));
    assert!(text(Path::new("/etc/passwd")).contains("is not an ELF file"));
    assert!(text(Path::new("/dev/null")).contains("not an ordinary file"));
    assert!(text(Path::new("/nowhere")).contains("/nowhere"));
}
