//! Stacks of Go at every instruction: a thread of a busy program is run in single steps, and the calls that it makes say
//! what the inner part of its stack is.

#![allow(clippy::unwrap_used, missing_docs, reason = "a test may panic")]

mod common;

use std::time::{Duration, Instant};

use common::steps::{self, Calls};
use common::{Fixture, Flavour, Program, Toolchain, build, matrix};
use loiter::code::{CodeBuilder, Location};
use loiter::process::{self, Moment};
use loiter::runtimes;
use loiter::snapshot::StackStatus;
use nix::sys::ptrace;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::time::{ClockId, clock_gettime};
use nix::unistd::Pid;

/// Instructions with whole stacks that are seen.
const WANTED: u64 = 8000;
/// Instructions of one program; the next one is stepped through from another moment on.
const STEPS: u64 = 2000;
/// Programs at most: a thread may go to sleep soon.
const PROGRAMS: u32 = 60;
/// As much of the stack as is given: all of a goroutine's.
const STACK_BYTES: usize = 32 << 10;
/// The stack pointer jumps further than this only to another stack, bytes. What `asmcgocall` and the like push is less.
const JUMP: u64 = 8 << 10;
/// A thread that has slept in the kernel for so long may do so for good.
const ASLEEP: Duration = Duration::from_millis(300);
/// Where stacks change, and what is further out is not known: the callers of C are, after some instructions.
const BETWEEN: [&str; 4] = ["runtime.morestack", "runtime.gogo", "gogo", "runtime.asmcgocall"];

/// The state and the CPU time of a thread, ticks.
fn stat(pid: u32, tid: u32) -> Option<(char, u64)> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/task/{tid}/stat")).ok()?;
    let fields: Vec<_> = text.rsplit(')').next()?.split_whitespace().collect();
    Some((fields.first()?.chars().next()?, fields.get(11)?.parse().ok()?))
}

/// A thread that works: the one that has used the most CPU time, as soon as it has used so much.
fn busiest(pid: u32) -> u32 {
    /// Ticks.
    const ENOUGH: u64 = 5;
    loop {
        let threads = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap();
        let tids = threads.filter_map(|entry| entry.unwrap().file_name().to_str()?.parse::<u32>().ok());
        let times = tids.filter_map(|tid| Some((stat(pid, tid)?.1, tid)));
        match times.max() {
            Some((time, tid)) if time >= ENOUGH => return tid,
            _ => std::thread::sleep(Duration::from_millis(5)),
        }
    }
}

/// A thread that is traced. In the end its program is killed, which may be in the middle of a step.
struct Traced {
    pid: u32,
    tid: Pid,
}

impl Drop for Traced {
    fn drop(&mut self) {
        let _ = kill(Pid::from_raw(self.pid.cast_signed()), Signal::SIGKILL);
        // Nobody else learns of the end of the program before this thread's end was seen.
        while matches!(
            waitpid(self.tid, Some(WaitPidFlag::__WALL)),
            Ok(WaitStatus::Stopped(..) | WaitStatus::PtraceEvent(..) | WaitStatus::StillAlive)
        ) {}
    }
}

impl Traced {
    fn start(pid: u32) -> Traced {
        let tid = Pid::from_raw(busiest(pid).cast_signed());
        ptrace::seize(tid, ptrace::Options::empty()).unwrap();
        ptrace::interrupt(tid).unwrap();
        let traced = Traced { pid, tid };
        loop {
            match waitpid(tid, Some(WaitPidFlag::__WALL)).unwrap() {
                WaitStatus::PtraceEvent(..) => return traced,
                // A signal came between the two: the interruption follows.
                WaitStatus::Stopped(_, Signal::SIGURG) => ptrace::cont(tid, None).unwrap(),
                other => panic!("{other:?}"),
            }
        }
    }

    fn tid(&self) -> u32 {
        self.tid.as_raw().cast_unsigned()
    }

    /// Runs one instruction. False if the thread has gone to sleep in it.
    fn step(&self) -> bool {
        ptrace::step(self.tid, None).unwrap();
        let mut begun = Instant::now();
        loop {
            match waitpid(self.tid, Some(WaitPidFlag::__WALL | WaitPidFlag::WNOHANG)).unwrap() {
                WaitStatus::StillAlive => {
                    let sleeps = stat(self.pid, self.tid()).is_some_and(|(state, _)| state == 'S');
                    if sleeps && begun.elapsed() > ASLEEP {
                        return false;
                    }
                    std::thread::yield_now();
                }
                WaitStatus::Stopped(_, Signal::SIGTRAP) => return true,
                // Go asks for another goroutine by a signal, again and again.
                WaitStatus::Stopped(_, Signal::SIGURG) => {
                    ptrace::step(self.tid, None).unwrap();
                    begun = Instant::now();
                }
                other => panic!("{other:?}"),
            }
        }
    }
}

/// What was found at the instructions.
#[derive(Debug, Default)]
struct Tally {
    steps: u64,
    complete: u64,
    /// The stack changes here, or has a gap that is said.
    between: u64,
}

impl Tally {
    /// Compares a stack with the calls that are known: the inner ones.
    fn compare(&mut self, (found, status): (&[u64], StackStatus), expected: &[u64], names: &[String]) {
        let what = || format!("{status:?} {names:?}\n{found:#x?}\n{expected:#x?}");
        self.steps += 1;
        if status == StackStatus::Complete {
            assert!(found.starts_with(expected), "{}", what());
            self.complete += 1;
            return;
        }
        assert!(found.starts_with(expected) || expected.starts_with(found), "{}", what());
        let is_between = BETWEEN.contains(&names.last().map_or("", String::as_str));
        assert!(is_between || status == StackStatus::Gaps, "{}", what());
        self.between += 1;
    }
}

fn walk(fixture: &Fixture, tally: &mut Tally) {
    let target = process::open_pid(fixture.pid()).unwrap();
    let found = runtimes::attach(target.as_ref()).unwrap();
    let mut attribution = found.runtimes[0].attribution(target.as_ref(), 0).unwrap().unwrap();
    let (mut code, mut calls) = (CodeBuilder::new(), Calls::default());
    let traced = Traced::start(fixture.pid());
    for _ in 0..STEPS {
        let before = steps::registers(traced.tid);
        if !traced.step() {
            return;
        }
        let registers = steps::registers(traced.tid);
        // Another stack.
        if registers.sp.abs_diff(before.sp) > JUMP {
            calls.clear();
        }
        calls.note(target.as_ref(), before.pc, &registers);
        let stack = steps::stack(target.as_ref(), registers.sp, STACK_BYTES);
        let now = Duration::from(clock_gettime(ClockId::CLOCK_MONOTONIC).unwrap());
        let (tid, at_ns) = (traced.tid(), now.as_nanos() as u64);
        let chain = steps::chain(target.as_ref(), &registers);
        let (in_kernel, chain, kernel_chain, stack) = (false, chain.as_slice(), &[][..], stack.as_slice());
        let moment = Moment { tid, at_ns, registers, in_kernel, chain, kernel_chain, stack };
        attribution.refresh(&[moment], &mut code).unwrap();
        let claim = attribution.whose(&moment, &mut code).expect("the thread runs Go");
        let found: Vec<_> = claim.stack.iter().map(|id| &code.locations()[id.index()]).collect();
        let name = |location: &&Location| {
            let function = code.function_at(location.frames.last().unwrap().function).unwrap();
            code.text(function.name).to_owned()
        };
        let names: Vec<_> = found.iter().map(name).collect();
        // A function somewhere in which another one is called has no address.
        let addresses: Vec<_> = found.iter().map_while(|location| location.address).collect();
        let expected: Vec<_> = std::iter::once(registers.pc).chain(calls.returns()).collect();
        tally.compare((&addresses, claim.stack_status), &expected, &names);
    }
}

fn check(version: &str, flavour: Flavour) {
    let toolchain = Toolchain::get(version);
    let program = build(&toolchain, Program::Burners, flavour);
    let mut tally = Tally::default();
    for _ in 0..PROGRAMS {
        if tally.complete >= WANTED {
            break;
        }
        let fixture = Fixture::start(&program, &["all"]);
        walk(&fixture, &mut tally);
    }
    eprintln!("{} {flavour:?}: {tally:?}", toolchain.full_version);
    assert!(tally.complete >= WANTED, "{tally:?}");
}

matrix!(stacks_are_right_at_every_instruction, check, quick: [Plain], full: [Cgo]);
