//! What is said where the kernel refuses. The tests give up root's rights, so they need them.

use std::process::Command;

use crate::live::wait_executed;
use crate::roles::play;
use crate::support::{Process, program, start};

#[test]
fn another_user_is_told_what_helps() {
    assert!(nix::unistd::Uid::effective().is_root(), "this test changes the user: run it as root");
    let process = Process(Command::new("sleep").arg("1000").spawn().expect("sleep starts"));
    wait_executed(process.pid(), "sleep");
    let (_reader, said) = play("nobody", process.pid());
    let said: Vec<String> = said.collect();
    let text = said.join("\n");
    assert!(
        text.contains("EACCES (permission denied)") || text.contains("EPERM (operation not permitted)"),
        "{text}"
    );
    assert!(text.contains("belongs to another user (root; loiter runs as nobody)"), "{text}");
    assert!(text.contains("CAP_SYS_PTRACE") && text.contains("sudo") && text.contains("--cap-add"), "{text}");
}

#[test]
fn without_rights_files_are_found_by_path() {
    assert!(nix::unistd::Uid::effective().is_root(), "this test changes the user: run it as root");
    let process = start(program(), &[]);
    let (_reader, said) = play("nobody-of-nobody", process.pid());
    let said: Vec<String> = said.collect();
    assert!(said.iter().any(|line| line.contains("sleep /proc/") && line.ends_with("/exe")), "{said:?}");
    assert!(said.iter().any(|line| line.contains("libc") && line.contains("/root/")), "{said:?}");
}
