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

/// Their addresses.
const ADDRESSES: [&str; 2] = ["10.77.0.1", "10.77.0.2"];

fn inside(namespace: &Other, command: &str) {
    let pid = namespace.pid().to_string();
    let output =
        Command::new("nsenter").args(["--target", &pid, "--net", "--", "sh", "-c", command]).output();
    let output = output.expect("there is nsenter");
    assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Two network namespaces that are connected with each other.
pub(crate) struct Namespaces([Other; 2]);

impl Namespaces {
    /// None if they cannot be made here, which is said.
    pub(crate) fn new() -> Option<Namespaces> {
        let has_ip = Command::new("ip").arg("-V").output().is_ok_and(|output| output.status.success());
        if !nix::unistd::geteuid().is_root() || !has_ip {
            eprintln!("NOT TESTED: network namespaces need root and the command ip (iproute2)");
            return None;
        }
        let both = [namespace(), namespace()];
        inside(&both[0], &format!("ip link add v0 type veth peer name v0 netns {}", both[1].pid()));
        for (namespace, address) in both.iter().zip(ADDRESSES) {
            let command =
                format!("ip address add {address}/24 dev v0 && ip link set v0 up && ip link set lo up");
            inside(namespace, &command);
        }
        Some(Namespaces(both))
    }

    /// Puts a process of a plan into one of the two. What it listens at over TCP has the address there.
    pub(crate) fn place(&self, plan: &mut Plan, process: usize, nth: usize) {
        let process = &mut plan.processes[process];
        process.namespace = Some(self.0[nth].pid());
        for line in &mut process.lines {
            if line.ends_with("tcp listen") || line.ends_with("tcp hold") {
                line.push_str(&format!(" {}:0", ADDRESSES[nth]));
            }
        }
    }
}

/// A client in one namespace waits for a server in another one.
#[test]
fn the_other_end_is_in_another_namespace() {
    let Some(namespaces) = Namespaces::new() else { return };
    let mut random = Random::new(1);
    let mut plan = Plan::default();
    let (client, server) = (plan.process(Program::Go("1.27", true)), plan.process(Program::Go("1.19", true)));
    let (caller, handler, holder) = (plan.task(client), plan.task(server), plan.task(server));
    plan.link(&[caller], handler, How::Tcp, &mut random);
    plan.link(&[handler], holder, How::Mutex, &mut random);
    namespaces.place(&mut plan, client, 0);
    namespaces.place(&mut plan, server, 1);
    let system = System::start(plan);
    let outcome = inquire(system.pid(client), InquiryOptions::default());
    let why = Why::new(&outcome.system);
    let answer = why.causes();
    let chains: Vec<_> = answer.causes.iter().map(|found| named(&why, &found.chain)).collect();
    let ways = [system.pid(client), system.pid(server)];
    assert!(chains.iter().any(|pids| pids == &ways), "{chains:?} {answer:#?}");
}
