//! Processes in network namespaces of their own.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::Duration;

use loiter::analysis::why::Why;
use loiter::session::why::InquiryOptions;

use crate::common::random::Random;
use crate::inquire;
use crate::plan::{How, Plan, Program};
use crate::reports::{Other, named};
use crate::running::System;

/// A process in a new network namespace.
fn namespace() -> Other {
    let other = Other::start("exec unshare --net sleep 1000", Path::new("/"));
    let of = |pid: &str| fs::read_link(format!("/proc/{pid}/ns/net")).ok();
    while of(&other.pid().to_string()) == of("self") {
        thread::sleep(Duration::from_millis(5));
    }
    other
}

fn inside(namespace: &Other, command: &str) {
    let pid = namespace.pid().to_string();
    let output =
        Command::new("nsenter").args(["--target", &pid, "--net", "--", "sh", "-c", command]).output();
    let output = output.expect("there is nsenter");
    assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
}

/// A client in one namespace waits for a server in another one.
#[test]
fn the_other_end_is_in_another_namespace() {
    let has_ip = Command::new("ip").arg("-V").output().is_ok_and(|output| output.status.success());
    if !nix::unistd::geteuid().is_root() || !has_ip {
        eprintln!("NOT TESTED: network namespaces need root and the command ip");
        return;
    }
    let (one, other) = (namespace(), namespace());
    inside(&one, &format!("ip link add v0 type veth peer name v0 netns {}", other.pid()));
    for (namespace, address) in [(&one, "10.77.0.1/24"), (&other, "10.77.0.2/24")] {
        inside(namespace, &format!("ip address add {address} dev v0 && ip link set v0 up"));
    }
    let mut random = Random::new(1);
    let mut plan = Plan::default();
    let (client, server) = (plan.process(Program::Go("1.27", true)), plan.process(Program::Go("1.19", true)));
    let (caller, handler, holder) = (plan.task(client), plan.task(server), plan.task(server));
    plan.link(&[caller], handler, How::Tcp, &mut random);
    plan.link(&[handler], holder, How::Mutex, &mut random);
    for (process, namespace, address) in [(client, &one, "10.77.0.1:0"), (server, &other, "10.77.0.2:0")] {
        plan.processes[process].namespace = Some(namespace.pid());
        for line in plan.processes[process].lines.iter_mut().filter(|line| line.ends_with("tcp listen")) {
            line.push_str(&format!(" {address}"));
        }
    }
    let system = System::start(plan);
    let outcome = inquire(system.pid(client), InquiryOptions::default());
    let why = Why::new(&outcome.system);
    let answer = why.causes();
    let chains: Vec<_> = answer.causes.iter().map(|found| named(&why, &found.chain)).collect();
    let ways = [system.pid(client), system.pid(server)];
    assert!(chains.iter().any(|pids| pids == &ways), "{chains:?} {answer:#?}");
}
