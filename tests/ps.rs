//! Processes that hang, that claim to have absurdly much, and a loiter that may not open files: each costs a
//! bounded time and its own row at most, and is told as what it is.

#![allow(clippy::unwrap_used)]

mod common;

use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use common::{Fixture, Flavour, Program, QUICK_VERSIONS, Toolchain, build};
use serde_json::Value;

/// Longer than anything takes on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(180);

/// The page with the lowest address of all blocks whoever reads it.
const STUCK: &str = r#"
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>
int main(void) {
    int fd = syscall(SYS_userfaultfd, O_CLOEXEC);
    struct uffdio_api api = { .api = UFFD_API };
    char *page = mmap((void *)0x10000, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    struct uffdio_register range = { { (unsigned long)page, 4096 }, UFFDIO_REGISTER_MODE_MISSING };
    if (fd < 0 || ioctl(fd, UFFDIO_API, &api) || page == MAP_FAILED || ioctl(fd, UFFDIO_REGISTER, &range)) {
        puts("userfaultfd is not allowed: run as root, or sysctl vm.unprivileged_userfaultfd=1");
        return 1;
    }
    puts("ready");
    fflush(stdout);
    for (;;) pause();
}
"#;

/// Claims to be Go, and maps its own file again and again: at once far beyond its end, and in many pieces.
const HUGE: &str = r#"
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>
__attribute__((section(".gopclntab"), used)) static const char table[64] = { 0xf1, 0xff, 0xff, 0xff, 0, 0, 1, 8 };
int main(int argc, char **argv) {
    int fd = open("/proc/self/exe", O_RDONLY);
    unsigned long pieces = strtoul(argv[1], 0, 0), bytes = strtoul(argv[2], 0, 0);
    for (unsigned long i = 0; i < pieces; i++) {
        int rights = PROT_READ | (i % 2 ? PROT_EXEC : PROT_WRITE);
        if (mmap(0, bytes, rights, MAP_PRIVATE | MAP_NORESERVE, fd, 0) == MAP_FAILED) {
            perror("mmap");
            return 1;
        }
    }
    puts("ready");
    fflush(stdout);
    for (;;) pause();
}
"#;

/// A process that is killed in the end.
struct Started(Child);

impl Drop for Started {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn compile(folder: &Path, name: &str, source: &str) -> PathBuf {
    let (file, out) = (folder.join(format!("{name}.c")), folder.join(name));
    std::fs::write(&file, source).unwrap();
    assert!(Command::new("cc").arg("-o").arg(&out).arg(&file).status().expect("cc starts").success());
    out
}

fn start(program: &Path, arguments: &[&str]) -> Started {
    let mut child = Command::new(program).args(arguments).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line.trim(), "ready", "{}", program.display());
    Started(child)
}

fn loiter(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_loiter"));
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Runs a command, which must end by itself.
fn run(mut command: Command) -> Output {
    let begun = Instant::now();
    let child = command.spawn().unwrap();
    let pid = child.id();
    let (sender, receiver) = std::sync::mpsc::channel();
    std::thread::spawn(move || sender.send(child.wait_with_output()));
    match receiver.recv_timeout(PATIENCE) {
        Ok(output) => output.unwrap(),
        Err(_) => {
            let _ = Command::new("kill").args(["-9", &pid.to_string()]).status();
            panic!("{command:?} does not end ({:?})", begun.elapsed());
        }
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn processes_that_hang_cost_their_own_rows() {
    let folder = tempfile::tempdir().unwrap();
    let stuck = compile(folder.path(), "stuck", STUCK);
    let stuck: Vec<Started> = (0..24).map(|_| start(&stuck, &[])).collect();
    let well = compile(
        folder.path(),
        "well",
        "#include <stdio.h>\n#include <unistd.h>\nint main(void) { puts(\"ready\"); fflush(stdout); for (;;) pause(); }",
    );
    let well = start(&well, &[]);

    let output = run(loiter(&["ps", "--all", "--json"]));
    assert!(output.status.success(), "{}", text(&output.stderr));
    let value: Value = serde_json::from_slice(&output.stdout).unwrap();
    let find = |pid: u32| {
        let processes = value["processes"].as_array().unwrap();
        processes.iter().find(|process| process["pid"] == pid).cloned().unwrap_or(Value::Null)
    };
    for process in &stuck {
        let row = find(process.0.id());
        assert_eq!((&row["answered"], &row["readable"]), (&Value::Bool(false), &Value::Bool(false)), "{row}");
        assert!(row["error"].as_str().unwrap().starts_with("no answer within 2 s: "), "{row}");
    }
    let row = find(well.0.id());
    assert_eq!((&row["answered"], &row["error"]), (&Value::Bool(true), &Value::Null), "{row}");
    assert!(value["counts"]["no_answer"].as_u64().unwrap() >= stuck.len() as u64, "{}", value["counts"]);

    let output = run(loiter(&["ps"]));
    assert_eq!(output.status.code(), Some(0));
    let table = text(&output.stdout);
    for process in &stuck {
        let pid = process.0.id().to_string();
        let row = table.lines().find(|line| line.split_whitespace().next() == Some(&pid));
        assert!(row.is_some_and(|row| row.contains("no answer")), "{pid} in\n{table}");
    }
    assert!(table.contains("processes did not answer"), "{table}");
}

#[test]
fn an_interrupt_ends_a_list_that_waits() {
    let folder = tempfile::tempdir().unwrap();
    let stuck = compile(folder.path(), "stuck", STUCK);
    let _stuck = start(&stuck, &[]);
    let interrupted = || {
        let mut child = loiter(&["ps"]).spawn().unwrap();
        // It cannot be done before its patience with the stuck one is over.
        std::thread::sleep(Duration::from_millis(500));
        let pid = i32::try_from(child.id()).unwrap();
        // SAFETY: kill takes two integers; the pid is that of a child that was not waited for.
        assert_eq!(unsafe { libc::kill(pid, libc::SIGINT) }, 0);
        child.wait().unwrap()
    };
    // If this test waits for a CPU for too long, the list is complete: then once more.
    let mut ended = interrupted();
    for _ in 0..9 {
        if ended.code().is_none() {
            break;
        }
        ended = interrupted();
    }
    assert_eq!(ended.signal(), Some(libc::SIGINT));
}

#[test]
fn what_is_claimed_costs_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let huge = compile(folder.path(), "huge", HUGE);
    for arguments in [["1", "0x300000000000"], ["2000", "0x400000000"], ["60000", "4096"]] {
        let process = start(&huge, &arguments);
        let pid = process.0.id();
        let memory = || {
            let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
            let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap().to_owned();
            line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap()
        };
        let before = memory();
        let output = run(loiter(&["stacks", &pid.to_string()]));
        assert_eq!(output.status.code(), Some(5), "{arguments:?}: {}", text(&output.stderr));
        // KiB. Its code and its headers may have been brought in.
        assert!(memory() < before + 1024, "{arguments:?}: {before} KiB before, {} after", memory());
    }
}

#[test]
fn too_many_open_files_are_told_as_that() {
    let toolchain = Toolchain::get(QUICK_VERSIONS[1]);
    let program = build(&toolchain, Program::Fixtures, Flavour::Cgo);
    let fixture = Fixture::start(&program, &["channels"]);
    let pid = fixture.pid().to_string();
    let (mut done, mut refused) = (0, 0);
    // With three, not even the libraries of loiter itself can be loaded.
    for files in 4..=20 {
        let mut limited = Command::new("sh");
        let script = format!("ulimit -n {files} && exec \"$0\" snapshot {pid} -o \"$1\"");
        let file = fixture.dir().join(format!("{files}.loiter"));
        limited.args(["-c", &script, env!("CARGO_BIN_EXE_loiter")]).arg(&file);
        limited.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let output = run(limited);
        let said = text(&output.stderr);
        match output.status.code() {
            Some(0) => {
                done += 1;
                let snapshot = loiter::snapshot::file::load(&file).unwrap();
                assert_eq!(snapshot.header.warnings, [""; 0], "with {files} files");
                assert!(snapshot.header.target.build_id.is_some(), "with {files} files");
            }
            code => {
                refused += 1;
                assert_eq!(code, Some(2), "with {files} files: {said}");
                assert!(said.contains("EMFILE") && !said.contains("ended"), "with {files} files: {said}");
            }
        }
    }
    assert!(done > 0 && refused > 0, "{done} done, {refused} refused");
}
