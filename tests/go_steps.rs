//! Stacks of Go at every instruction: a thread of a busy program is run in single steps, and the calls that it makes say
//! what the inner part of its stack is.

#![allow(clippy::unwrap_used, missing_docs, reason = "a test may panic")]

mod common;

use std::time::{Duration, Instant};

use common::steps::{self, Calls};
use common::{Fixture, Flavour, Program, Toolchain, build, matrix};
use loiter::code::{CodeBuilder, Location};
use loiter::process::{self, Moment, Registers, Target};
use loiter::runtimes::{self, Claim, Owner};
use loiter::snapshot::StackStatus;
use nix::sys::ptrace;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::time::{ClockId, clock_gettime};
use nix::unistd::Pid;

/// Instructions with whole stacks that are seen.
const WANTED: u64 = 8000;
/// Those of them in the handlers of signals.
const WANTED_IN_HANDLERS: u64 = 200;
/// Instructions of one program; the next one is stepped through from another moment on.
const STEPS: u64 = 2000;
/// Programs at most: a thread may go to sleep soon.
const PROGRAMS: u32 = 60;
/// As much of the stack as is given: all of a goroutine's.
const STACK_BYTES: usize = 32 << 10;
/// The stack pointer jumps further than this only to another stack, bytes. What `asmcgocall` and the like push is less.
const JUMP: u64 = 8 << 10;
/// Of so many signals that ask for another goroutine, one is delivered: its handler is stepped through.
const DELIVERED: u64 = 4;
/// A thread that has slept in the kernel for so long may do so for good.
const ASLEEP: Duration = Duration::from_millis(300);
/// Where stacks change, and what is further out is not known: the callers of C are, after some instructions.
const BETWEEN: [&str; 8] = [
    "runtime.morestack",
    "runtime.gogo",
    "gogo",
    "runtime.asmcgocall",
    // They align the stack for C.
    "runtime.callCgoMmap",
    "runtime.callCgoMunmap",
    "runtime.callCgoSigaction",
    "runtime.sigfwd",
];
/// The length of what a handler returns to, bytes: `mov $15, %rax; syscall`.
const END: u64 = 9;
/// What the kernel calls for a signal, and what that returns to.
const HANDLERS: [&str; 4] =
    ["runtime.sigtramp", "runtime.cgoSigtramp", "runtime.sigreturn", "runtime.sigreturn__sigaction"];

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
    signals: u64,
}

/// What a step has done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Ran,
    /// The kernel has called a signal's handler.
    Signal,
    /// The thread has gone to sleep.
    Asleep,
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
        let traced = Traced { pid, tid, signals: 0 };
        loop {
            match waitpid(tid, Some(WaitPidFlag::__WALL)).unwrap() {
                WaitStatus::PtraceEvent(..) => return traced,
                // A signal came between the two: the interruption follows.
                WaitStatus::Stopped(_, Signal::SIGURG) => ptrace::cont(tid, None).unwrap(),
                other => panic!("{other:?}"),
            }
        }
    }

    /// Flags that the step has saved say that the thread was stepped through. Whoever takes them up, perhaps another
    /// thread, would step by itself.
    fn forget_steps(&self, target: &dyn Target, step: Step, ran: u64) {
        /// Of the flags in the `ucontext_t` behind the return address. Source: arch/x86/include/uapi/asm/sigcontext.h.
        const FLAGS: u64 = 8 + 8 * 22;
        const TRAP: i64 = 1 << 8;
        const PUSHF: [u8; 1] = [0x9c];
        let sp = steps::registers(self.tid).sp;
        let saved = match step {
            Step::Signal => sp + FLAGS,
            Step::Ran if target.read_vec(ran, 1).is_ok_and(|code| code == PUSHF) => sp,
            Step::Ran | Step::Asleep => return,
        };
        let flags = ptrace::read(self.tid, saved as ptrace::AddressType).unwrap();
        ptrace::write(self.tid, saved as ptrace::AddressType, flags & !TRAP).unwrap();
    }

    fn tid(&self) -> u32 {
        self.tid.as_raw().cast_unsigned()
    }

    /// Runs one instruction, or has a signal's handler called before it: the thread stops at the first one of that.
    fn step(&mut self) -> Step {
        ptrace::step(self.tid, None).unwrap();
        let mut begun = Instant::now();
        let mut done = Step::Ran;
        loop {
            match waitpid(self.tid, Some(WaitPidFlag::__WALL | WaitPidFlag::WNOHANG)).unwrap() {
                WaitStatus::StillAlive => {
                    let sleeps = stat(self.pid, self.tid()).is_some_and(|(state, _)| state == 'S');
                    if sleeps && begun.elapsed() > ASLEEP {
                        return Step::Asleep;
                    }
                    std::thread::yield_now();
                }
                WaitStatus::Stopped(_, Signal::SIGTRAP) => return done,
                // Go asks for another goroutine by a signal, again and again.
                WaitStatus::Stopped(_, signal @ Signal::SIGURG) => {
                    self.signals += 1;
                    let delivered = self.signals % DELIVERED == 1;
                    if delivered {
                        done = Step::Signal;
                    }
                    ptrace::step(self.tid, delivered.then_some(signal)).unwrap();
                    begun = Instant::now();
                }
                other => panic!("{other:?}"),
            }
        }
    }
}

/// The calls that are known to be open.
#[derive(Debug, Default)]
struct Known {
    calls: Calls,
    interrupted: Option<Interrupted>,
}

/// What a signal has interrupted, as long as its handler runs.
#[derive(Debug)]
struct Interrupted {
    pc: u64,
    /// Where the handler returns to: the system call that takes up what was interrupted.
    end: u64,
    calls: Calls,
    /// The goroutine, if that was known.
    goroutine: Option<u64>,
}

impl Known {
    /// Notes a step from some registers to others. `goroutine` is who ran before it.
    fn note(
        &mut self,
        target: &dyn Target,
        step: Step,
        (before, now): (&Registers, &Registers),
        goroutine: Option<u64>,
    ) {
        if step == Step::Signal {
            let calls = std::mem::take(&mut self.calls);
            let end = target.read_u64(now.sp).unwrap();
            self.interrupted = Some(Interrupted { pc: before.pc, end, calls, goroutine });
        } else if returns_from_handler(target, before) {
            self.calls = Calls::default();
            if let Some(Interrupted { pc, calls, .. }) = self.interrupted.take() {
                self.calls = calls;
                // The handler made it look like a call.
                if now.pc != pc {
                    self.calls.push(now.sp, pc);
                }
            }
        } else {
            // Another stack.
            if self.calls.switches(target, before.pc) || now.sp.abs_diff(before.sp) > JUMP {
                *self = Known::default();
            }
            self.calls.note(target, before.pc, now);
        }
    }
}

/// Is the instruction that comes next the system call with which a signal's handler ends?
fn returns_from_handler(target: &dyn Target, registers: &Registers) -> bool {
    /// Source: arch/x86/entry/syscalls/syscall_64.tbl.
    const RT_SIGRETURN: u64 = 15;
    const SYSCALL: [u8; 2] = [0x0f, 0x05];
    registers.general[0] == RT_SIGRETURN && target.read_vec(registers.pc, 2).is_ok_and(|code| code == SYSCALL)
}

/// A stack as it was found.
#[derive(Debug)]
struct Found {
    addresses: Vec<u64>,
    names: Vec<String>,
    status: StackStatus,
    goroutine: Option<u64>,
    /// Frame pointers do not lead to the outermost frame: there are too many, or the first one is below the stack, where a
    /// function puts it to have memory cleared or copied.
    is_lost: bool,
}

/// What was found at the instructions.
#[derive(Debug, Default)]
struct Tally {
    steps: u64,
    complete: u64,
    /// Those of them in the handlers of signals.
    in_handlers: u64,
    /// The stack changes here, or has a gap that is said.
    between: u64,
}

impl Tally {
    fn is_enough(&self) -> bool {
        self.complete >= WANTED && self.in_handlers >= WANTED_IN_HANDLERS
    }

    /// Compares a stack with the calls that are known: the inner ones.
    fn compare(&mut self, found: &Found, pc: u64, known: &Known) {
        let mut expected: Vec<_> = std::iter::once(pc).chain(known.calls.returns()).collect();
        let mut addresses = found.addresses.clone();
        if let Some(Interrupted { pc, end, calls, goroutine }) = &known.interrupted {
            let handler = expected.len();
            expected.extend(std::iter::once(*pc).chain(calls.returns()));
            // libc's has tables, and is a frame.
            if addresses.get(handler) == Some(end) {
                expected.insert(handler, *end);
            }
            // A call that the handler has made up, and that has not begun.
            let at = expected.len() - calls.returns().count() - 1;
            let is_made_up = found.names.get(at).is_some_and(|name| name == "runtime.asyncPreempt");
            if is_made_up && addresses.get(at) != Some(pc) {
                addresses.remove(at);
            }
            if let (Some(one), Some(other)) = (found.goroutine, goroutine) {
                assert_eq!(one, *other, "{found:#x?}");
            }
        }
        let what = || format!("{found:#x?}\n{expected:#x?}");
        self.steps += 1;
        if found.status == StackStatus::Complete {
            assert!(addresses.starts_with(&expected), "{}", what());
            self.complete += 1;
            self.in_handlers += u64::from(known.interrupted.is_some());
            return;
        }
        assert!(addresses.starts_with(&expected) || expected.starts_with(&addresses), "{}", what());
        let is_between = BETWEEN.contains(&found.names.last().map_or("", String::as_str));
        // The copied stack is the handler's. Where the other one goes on is known only by frame pointers, and not at every
        // instruction of a function.
        let ends = known.interrupted.as_ref().map(|interrupted| interrupted.end..interrupted.end + END);
        let is_end = |address| ends.as_ref().is_some_and(|ends| ends.contains(address));
        let is_handler = |(name, address)| HANDLERS.contains(&String::as_str(name)) || is_end(address);
        let handler = found.names.iter().zip(&found.addresses).position(is_handler);
        let is_interrupted = handler.is_some_and(|at| at + 1 < found.names.len());
        let is_cut = is_interrupted || found.is_lost;
        assert!(is_between || is_cut || found.status == StackStatus::Gaps, "{}", what());
        self.between += 1;
    }
}

fn walk(fixture: &Fixture, tally: &mut Tally) {
    let target = process::open_pid(fixture.pid()).unwrap();
    let found = runtimes::attach(target.as_ref()).unwrap();
    let mut attribution = found.runtimes[0].attribution(target.as_ref(), 0).unwrap().unwrap();
    let (mut code, mut known, mut goroutine) = (CodeBuilder::new(), Known::default(), None);
    let mut traced = Traced::start(fixture.pid());
    for _ in 0..STEPS {
        let before = steps::registers(traced.tid);
        let step = traced.step();
        if step == Step::Asleep {
            return;
        }
        traced.forget_steps(target.as_ref(), step, before.pc);
        let registers = steps::registers(traced.tid);
        known.note(target.as_ref(), step, (&before, &registers), goroutine);
        let stack = steps::stack(target.as_ref(), registers.sp, STACK_BYTES);
        let now = Duration::from(clock_gettime(ClockId::CLOCK_MONOTONIC).unwrap());
        let (tid, at_ns) = (traced.tid(), now.as_nanos() as u64);
        let chain = steps::chain(target.as_ref(), &registers);
        let (in_kernel, chain, kernel_chain, stack) = (false, chain.as_slice(), &[][..], stack.as_slice());
        let moment = Moment { tid, at_ns, registers, in_kernel, chain, kernel_chain, stack };
        attribution.refresh(&[moment], &mut code).unwrap();
        let claim = attribution.whose(&moment, &mut code).expect("the thread runs Go");
        let is_lost = chain.len() == steps::MAX_CHAIN || registers.bp < registers.sp;
        let found = found_of(&claim, &code, is_lost);
        tally.compare(&found, registers.pc, &known);
        goroutine = found.goroutine;
    }
}

fn found_of(claim: &Claim, code: &CodeBuilder, is_lost: bool) -> Found {
    let locations: Vec<_> = claim.stack.iter().map(|id| &code.locations()[id.index()]).collect();
    let name = |location: &&Location| {
        let function = code.function_at(location.frames.last().unwrap().function).unwrap();
        code.text(function.name).to_owned()
    };
    let names = locations.iter().map(name).collect();
    // A function somewhere in which another one is called has no address.
    let addresses = locations.iter().map_while(|location| location.address).collect();
    let goroutine = match &claim.owner {
        Owner::Task(task, _) => task.id,
        _ => None,
    };
    Found { addresses, names, status: claim.stack_status, goroutine, is_lost }
}

fn check(version: &str, flavour: Flavour) {
    let toolchain = Toolchain::get(version);
    let program = build(&toolchain, Program::Burners, flavour);
    let mut tally = Tally::default();
    for _ in 0..PROGRAMS {
        if tally.is_enough() {
            break;
        }
        let fixture = Fixture::start(&program, &["all"]);
        walk(&fixture, &mut tally);
    }
    eprintln!("{} {flavour:?}: {tally:?}", toolchain.full_version);
    assert!(tally.is_enough(), "{tally:?}");
}

matrix!(stacks_are_right_at_every_instruction, check, quick: [Plain], full: [Cgo]);
