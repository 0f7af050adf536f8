//! What this test program does when a test starts it as another process.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use loiter::sampler::{Record, Sampler, SamplerError, SamplerOptions};

use crate::program::Program;
use crate::{FAST, read_samples, read_until};

const ROLE: &str = "LOITER_TEST_ROLE";

/// This program in a role. It is killed in the end.
pub(crate) struct Player {
    child: Child,
    said: Box<dyn Iterator<Item = String>>,
}

impl Player {
    /// Starts this program in a role: its name and an argument.
    pub(crate) fn start(role: &str, argument: &str) -> Player {
        let mut child = Command::new(std::env::current_exe().expect("we are a file"))
            .args(["roles::plays_a_role", "--exact", "--ignored", "--nocapture"])
            .env(ROLE, format!("{role} {argument}"))
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("we start");
        let said = BufReader::new(child.stderr.take().expect("piped")).lines().map_while(Result::ok);
        Player { child, said: Box::new(said) }
    }

    /// Waits for a line of it.
    pub(crate) fn hears(&mut self, expected: &str) {
        assert_eq!(self.said.next().as_deref(), Some(expected));
    }

    /// Everything that it says until it ends, which must be well.
    pub(crate) fn all(mut self) -> String {
        let lines: Vec<String> = self.said.by_ref().collect();
        let text = lines.join("\n");
        assert!(self.child.wait().expect("it is our child").success(), "{text}");
        text
    }

    /// Kills it.
    pub(crate) fn kill(&mut self) {
        self.child.kill().expect("it can be killed");
        self.child.wait().expect("it is our child");
    }
}

impl Drop for Player {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn say(text: impl std::fmt::Display) {
    writeln!(std::io::stderr(), "{text}").expect("somebody listens");
}

fn say_error(error: &SamplerError) {
    say(format_args!("{:?}: {}", error.kind(), loiter::full_text(error)));
    error.remedy().iter().for_each(say);
}

fn become_nobody() {
    nix::unistd::setgroups(&[]).expect("we are root");
    nix::unistd::setgid(65534.into()).expect("we are root");
    nix::unistd::setuid(65534.into()).expect("we are root");
}

fn limit(resource: libc::__rlimit_resource_t, value: u64) {
    let limit = libc::rlimit { rlim_cur: value, rlim_max: value };
    // SAFETY: `limit` is a valid rlimit to read.
    assert_eq!(unsafe { libc::setrlimit(resource, &raw const limit) }, 0);
}

/// From now on perf_event_open fails, in all threads, as containers have it.
fn filter_perf_events() {
    const LOAD_NUMBER: u16 = 0x20;
    const IS_EQUAL: u16 = 0x15;
    const RETURN: u16 = 0x06;
    let step = |code, jt, jf, k| libc::sock_filter { code, jt, jf, k };
    let mut steps = [
        step(LOAD_NUMBER, 0, 0, 0),
        step(IS_EQUAL, 0, 1, u32::try_from(libc::SYS_perf_event_open).expect("it is small")),
        step(RETURN, 0, 0, libc::SECCOMP_RET_ERRNO | libc::EPERM as u32),
        step(RETURN, 0, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog { len: 4, filter: steps.as_mut_ptr() };
    // SAFETY: `program` describes `steps`, which the kernel only reads.
    let done = unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            libc::SECCOMP_FILTER_FLAG_TSYNC,
            &raw const program,
        )
    };
    assert_eq!(done, 0, "{}", std::io::Error::last_os_error());
}

fn fast() -> SamplerOptions {
    SamplerOptions { rate_hz: FAST, ..SamplerOptions::default() }
}

/// Not a test: the process that a test starts as a [`Player`]. `.config/nextest.toml` leaves it out.
#[test]
#[ignore = "other tests start it"]
fn plays_a_role() {
    let role = std::env::var(ROLE).unwrap_or_else(|_| panic!("{ROLE} says which role"));
    let (role, argument) = role.split_once(' ').expect("role and argument");
    let pid = || argument.parse().expect("a pid");
    let program = Path::new(argument);
    match role {
        "samples" => {
            let mut sampler =
                Sampler::attach(pid(), &SamplerOptions { switches: true, ..fast() }).expect("root may");
            read_samples(&mut sampler, 20, &mut |_| {});
            say("sampling");
            read_until(&mut sampler, &mut |_| {}, &mut |_| false);
        }
        "nobody" => {
            become_nobody();
            say_error(&Sampler::attach(pid(), &fast()).expect_err("it is root's process"));
        }
        "filtered" => {
            filter_perf_events();
            say_error(&Sampler::attach(pid(), &fast()).expect_err("the call is forbidden"));
        }
        "nobody-every-cpu" => {
            become_nobody();
            let program = Program::start_at(program, &["spin", "1"]);
            let options = SamplerOptions { every_cpu: Some(true), ..fast() };
            say_error(&Sampler::attach(program.pid(), &options).expect_err("that takes more rights"));
        }
        "nobody-own" => {
            become_nobody();
            let program = Program::start_at(program, &["spin", "2"]);
            match Sampler::attach(program.pid(), &SamplerOptions { switches: true, ..fast() }) {
                Ok(sampler) => sample_own(sampler),
                Err(error) => say_error(&error),
            }
        }
        "nobody-without-memory" => {
            limit(libc::RLIMIT_MEMLOCK, 64 << 10);
            become_nobody();
            let program = Program::start_at(program, &["spin", "1"]);
            let mut sampler = Sampler::attach(program.pid(), &fast()).expect("in small rings");
            read_samples(&mut sampler, 20, &mut |_| {});
            say(sampler.facts().reduced.join("\n"));
            say(sampler.facts().ring_bytes < 4 << 20);
        }
        "nobody-without-files" => {
            limit(libc::RLIMIT_NOFILE, 40);
            become_nobody();
            let mut program = Program::start_at(program, &["late", "20"]);
            let mut sampler = Sampler::attach(program.pid(), &fast()).expect("with few files");
            let first: BTreeSet<u32> = tids(program.pid());
            program.go();
            program.hears("done");
            let seen = std::cell::Cell::new(0);
            read_until(
                &mut sampler,
                &mut |record| match record {
                    Record::Sample { moment, .. } if !first.contains(&moment.tid) => seen.set(seen.get() + 1),
                    _ => {}
                },
                &mut |_| seen.get() >= 20,
            );
            say(sampler.facts().reduced.join("\n"));
            say(format_args!("{} rings, {} missed", sampler.facts().rings, sampler.tally().threads_missed));
        }
        other => panic!("there is no role {other}"),
    }
}

fn tids(pid: u32) -> BTreeSet<u32> {
    let entries = std::fs::read_dir(format!("/proc/{pid}/task")).expect("it runs");
    entries.map(|entry| entry.unwrap().file_name().to_str().unwrap().parse().unwrap()).collect()
}

/// Samples the process of the user that this one is.
fn sample_own(mut sampler: Sampler) {
    let (mut kernel, mut switches, mut of_stack) = (0, 0, 0);
    read_samples(&mut sampler, 200, &mut |record| match record {
        Record::Sample { moment, .. } => {
            kernel += usize::from(moment.in_kernel) + moment.kernel_chain.len();
            of_stack += usize::from(!moment.stack.is_empty());
        }
        Record::SwitchedOut { .. } => switches += 1,
        _ => {}
    });
    let facts = sampler.facts();
    say(format_args!("every CPU {}, kernel {}", facts.every_cpu, facts.kernel));
    say(format_args!("kernel seen {}, stacks {}, switches {}", kernel > 0, of_stack > 0, switches > 0));
}
