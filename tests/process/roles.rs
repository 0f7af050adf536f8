//! What this test program does when a test starts it as another process.

use std::io::{BufRead, BufReader, Write as _};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::Duration;

use loiter::process::{self, TargetError};

use crate::support::{LONG, Process, frozen_for};

const ROLE: &str = "LOITER_TEST_ROLE";

/// Starts this program in a role, and gives what it says.
pub(crate) fn play(role: &str, pid: u32) -> (Process, impl Iterator<Item = String>) {
    let mut child = Command::new(std::env::current_exe().expect("we are a file"))
        .args(["roles::plays_a_role", "--exact", "--ignored", "--nocapture"])
        .env(ROLE, format!("{role} {pid}"))
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        // Not in an orphaned group, in which the signals of job control do nothing.
        .process_group(0)
        .spawn()
        .expect("we start");
    let said = BufReader::new(child.stderr.take().expect("piped")).lines().map_while(Result::ok);
    (Process(child), said)
}

fn say(text: impl std::fmt::Display) {
    writeln!(std::io::stderr(), "{text}").expect("somebody listens");
}

fn say_error(error: &TargetError) {
    say(loiter::full_text(error));
    if let TargetError::Permission { remedy, .. } = error {
        for line in remedy {
            say(line);
        }
    }
}

fn become_nobody() {
    nix::unistd::setgroups(&[]).ok();
    nix::unistd::setgid(65534.into()).expect("we are root");
    nix::unistd::setuid(65534.into()).expect("we are root");
}

/// Not a test: the process that a test starts with [`play`]. `.config/nextest.toml` leaves it out.
#[test]
#[ignore = "other tests start it"]
fn plays_a_role() {
    let role = std::env::var(ROLE).unwrap_or_else(|_| panic!("{ROLE} says which role"));
    let (role, pid) = role.split_once(' ').expect("role and pid");
    let pid: u32 = pid.parse().expect("a pid");
    match role {
        "freeze" => {
            let target = process::open_pid(pid).expect("it can be opened");
            let _frozen = target.freeze(LONG).expect("it can be frozen");
            say("frozen");
            std::thread::sleep(Duration::from_secs(1000));
        }
        "freeze-shortly" => {
            let target = process::open_pid(pid).expect("it can be opened");
            let frozen = frozen_for(target.as_ref(), Duration::from_secs(1));
            say("frozen");
            std::thread::sleep(Duration::from_secs(2));
            say_error(&frozen.release().expect_err("its time is over"));
        }
        "freeze-and-release" => {
            let target = process::open_pid(pid).expect("it can be opened");
            let frozen = target.freeze(LONG).expect("it can be frozen");
            say("frozen");
            std::thread::sleep(Duration::from_secs(1));
            frozen.release().expect("it was held until now");
            say("released");
        }
        "hold" => {
            let target = process::open_pid(pid).expect("it can be opened");
            let hold = &mut |_: &_| {
                say("held");
                std::thread::sleep(Duration::from_secs(3));
            };
            say_error(&target.with_stopped_thread(pid, hold).expect_err("its time is over"));
        }
        "nobody" => {
            become_nobody();
            match process::open_pid(pid) {
                Ok(_) => say("opened"),
                Err(error) => say_error(&error),
            }
        }
        "nobody-of-nobody" => {
            become_nobody();
            let process = Process(Command::new("sleep").arg("1000").spawn().expect("sleep starts"));
            crate::live::wait_executed(process.pid(), "sleep");
            let target = process.open();
            for image in target.images().expect("images") {
                let head =
                    image.segments().expect("segments").iter().find(|s| s.kind == 1).map(|s| s.address);
                let head = target.read_vec(head.expect("a loaded segment"), 4).expect("it can be read");
                assert_eq!(head, b"\x7fELF");
                say(format!("{} {}", image.path, image.file.opened_as));
            }
        }
        "no-vectors" => {
            forbid_process_vm_readv();
            crate::live::check_reading(process::open_pid(pid).expect("it can be opened").as_ref());
            say("read");
        }
        other => panic!("no such role: {other}"),
    }
}

/// What a container's seccomp filter may do.
fn forbid_process_vm_readv() {
    let number = u32::try_from(libc::SYS_process_vm_readv).expect("small");
    let op =
        |code: u32, jt, jf, k| libc::sock_filter { code: u16::try_from(code).expect("16 bits"), jt, jf, k };
    let mut filter = [
        op(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, 0),
        op(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 0, 1, number),
        op(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ERRNO | libc::EPERM as u32),
        op(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog { len: 4, filter: filter.as_mut_ptr() };
    // SAFETY: `program` describes `filter`, and both live through the calls.
    let installed = unsafe {
        libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
            && libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program) == 0
    };
    assert!(installed);
}
