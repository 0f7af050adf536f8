//! What is said where the kernel refuses, and what works without rights. These tests give up root's rights, so they
//! need them.

use std::os::unix::fs::PermissionsExt;

use loiter::sampler::usage::CpuTime;

use crate::program::{Program, built};
use crate::roles::Player;

fn need_root() {
    assert!(nix::unistd::Uid::effective().is_root(), "this test changes the user: run it as root");
}

fn paranoid() -> i64 {
    let text =
        std::fs::read_to_string("/proc/sys/kernel/perf_event_paranoid").expect("this kernel has perf events");
    text.trim().parse().expect("a number")
}

/// What this program says in a role, as a user that runs a copy of the program that is sampled.
fn with_copy(role: &str) -> String {
    need_root();
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o755)).expect("it is ours");
    let copy = folder.path().join("program");
    std::fs::copy(built(), &copy).expect("a copy");
    Player::start(role, copy.to_str().expect("text")).all()
}

#[test]
fn the_process_of_another_user_is_refused_with_what_helps() {
    need_root();
    let program = Program::start(&["spin", "1"]);
    let text = Player::start("nobody", &program.pid().to_string()).all();
    assert!(text.starts_with("Permission: perf_event_open(cpu-clock) on the threads of pid "), "{text}");
    assert!(text.contains("EACCES (permission denied)"), "{text}");
    assert!(text.contains("belongs to another user (root; loiter runs as nobody)"), "{text}");
    assert!(text.contains("CAP_PERFMON") && text.contains("sudo") && text.contains("--mode wall"), "{text}");
}

#[test]
fn a_filter_as_containers_have_it_is_named() {
    need_root();
    let program = Program::start(&["spin", "1"]);
    let text = Player::start("filtered", &program.pid().to_string()).all();
    assert!(text.contains("EPERM (operation not permitted)"), "{text}");
    assert!(text.contains("seccomp filter") && text.contains("--cap-add PERFMON"), "{text}");
    assert!(!text.contains("sudo"), "root is told what helps: {text}");
}

#[test]
fn every_cpu_takes_more_rights() {
    assert!(paranoid() > 0, "this test needs kernel.perf_event_paranoid above 0");
    let text = with_copy("nobody-every-cpu");
    assert!(text.starts_with("Permission: perf_event_open(cpu-clock) on every CPU: EACCES"), "{text}");
    let level = format!("kernel.perf_event_paranoid of 0 or less. It is {}.", paranoid());
    assert!(text.contains(&level), "{text}");
}

#[test]
fn an_ordinary_user_samples_own_processes() {
    let text = with_copy("nobody-own");
    let expected = match paranoid() {
        ..=0 => "every CPU true, kernel true\nkernel seen true, stacks true, switches true",
        1 => "every CPU false, kernel true\nkernel seen true, stacks true, switches true",
        2 => "every CPU false, kernel false\nkernel seen false, stacks true, switches true",
        _ => "Permission: perf_event_open(cpu-clock) on the threads of pid ",
    };
    assert!(text.starts_with(expected), "{text}");
}

#[test]
fn little_memory_makes_small_rings() {
    let text = with_copy("nobody-without-memory");
    assert!(
        text.contains("KiB instead of 4096 KiB, because the limit of locked memory is reached"),
        "{text}"
    );
    assert!(text.ends_with("true"), "{text}");
}

#[test]
fn few_files_make_a_ring_for_each_thread_and_new_threads_are_followed() {
    let text = with_copy("nobody-without-files");
    assert!(
        text.contains("The limit of open files (ulimit -n) allows one perf event for each thread only"),
        "{text}"
    );
    assert!(text.ends_with("21 rings, 0 missed"), "{text}");
}

#[test]
fn killing_loiter_leaves_the_process_as_it_was() {
    need_root();
    let program = Program::start(&["spin", "1"]);
    let mut loiter = Player::start("samples", &program.pid().to_string());
    loiter.hears("sampling");
    loiter.kill();
    let used = || CpuTime::of(program.pid()).expect("it runs").total_ns;
    let before = used();
    while used() < before + 50_000_000 {
        std::thread::yield_now();
    }
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", program.pid())).expect("it runs");
    let state = stat.rsplit(") ").next().and_then(|rest| rest.chars().next());
    assert!(matches!(state, Some('R' | 'S')), "{state:?}");
}
