//! Stacks of native code at every instruction: a program is run in single steps, and a list of the calls that were made
//! and have not returned says what its stack is.

#![allow(clippy::unwrap_used, missing_docs, reason = "a test may panic")]

mod common;

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use common::steps::{self, Calls};
use loiter::code::{CodeBuilder, Location};
use loiter::process::{self, Moment, Target};
use loiter::runtimes::NativeStacks;
use loiter::snapshot::StackStatus;
use nix::sys::ptrace;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::Pid;

/// Key of the auxiliary vector: where the program itself begins, after its loader. Source: elf.h.
const AT_ENTRY: u64 = 9;
/// As much of the stack as a sample contains.
const STACK_BYTES: usize = 8 << 10;

/// A program that is run in single steps. It is killed in the end.
struct Stepped {
    child: Child,
    target: Box<dyn Target>,
    calls: Calls,
}

impl Drop for Stepped {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Stepped {
    /// Starts a program and lets it run to where its own code begins.
    fn start(command: &mut Command) -> Stepped {
        command.stdout(Stdio::null());
        // SAFETY: the one system call is allowed between fork and exec.
        let child = unsafe { command.pre_exec(|| Ok(ptrace::traceme()?)) }.spawn().unwrap();
        let pid = Pid::from_raw(child.id().try_into().unwrap());
        assert!(matches!(waitpid(pid, None).unwrap(), WaitStatus::Stopped(..)));
        let target = process::open_pid(child.id()).unwrap();
        let mut stepped = Stepped { child, target, calls: Calls::default() };
        let auxiliary = std::fs::read(format!("/proc/{pid}/auxv")).unwrap();
        let words = auxiliary.as_chunks().0.iter().map(|word| u64::from_ne_bytes(*word)).collect::<Vec<_>>();
        let entry = words.chunks(2).find(|pair| pair[0] == AT_ENTRY).unwrap()[1];
        while steps::registers(stepped.pid()).pc != entry {
            assert!(stepped.step());
        }
        stepped.calls.clear();
        stepped
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id().try_into().unwrap())
    }

    /// Runs one instruction. False if the program has ended.
    fn step(&mut self) -> bool {
        let before = steps::registers(self.pid()).pc;
        ptrace::step(self.pid(), None).unwrap();
        match waitpid(self.pid(), None).unwrap() {
            WaitStatus::Exited(_, code) => {
                assert_eq!(code, 0);
                return false;
            }
            WaitStatus::Stopped(..) => {}
            other => panic!("{other:?}"),
        }
        self.calls.note(self.target.as_ref(), before, &steps::registers(self.pid()));
        true
    }
}

/// Checks the stack at every instruction. No caller may be wrong, and none may be missing in code that has unwind tables.
fn check(program: &Path) {
    let mut stepped = Stepped::start(&mut Command::new(program));
    let mut native = NativeStacks::new(stepped.target.as_ref()).unwrap();
    let mut code = CodeBuilder::new();
    let (mut steps, mut without_tables) = (0, 0);
    loop {
        let registers = steps::registers(stepped.pid());
        let stack = steps::stack(stepped.target.as_ref(), registers.sp, STACK_BYTES);
        let (tid, chain) = (stepped.child.id(), &[][..]);
        let moment =
            Moment { tid, at_ns: 0, registers, in_kernel: false, chain, kernel_chain: chain, stack: &stack };
        let (found, status) = native.stack(&moment, &mut code);
        let found: Vec<_> = found.iter().map(|id| &code.locations()[id.index()]).collect();
        let expected: Vec<_> = std::iter::once(registers.pc).chain(stepped.calls.returns()).collect();
        let name = |location: &Location| {
            let function = code.function_at(location.frames[0].function).unwrap();
            code.text(function.name).to_owned()
        };
        let names = || found.iter().map(|location| name(location)).collect::<Vec<_>>();
        let addresses: Vec<_> = found.iter().map(|location| location.address.unwrap()).collect();
        match status {
            StackStatus::Complete => assert_eq!(addresses, expected, "{:?}", names()),
            StackStatus::Guessed => without_tables += 1,
            StackStatus::Broken => {
                assert!(expected.starts_with(&addresses), "{:?}", names());
                // What the linker adds to a program has neither symbols nor tables.
                let in_function = found.last().unwrap().offset;
                assert_eq!(in_function, None, "{:?} of {expected:#x?}", names());
                without_tables += 1;
            }
            other => panic!("{other:?}: {:?}", names()),
        }
        steps += 1;
        if !stepped.step() {
            break;
        }
    }
    eprintln!("{}: {steps} instructions, {without_tables} without tables", program.display());
    assert!(steps > 20_000 && without_tables * 300 < steps);
}

/// Builds the program with a compiler, checks it, and removes it.
fn check_built(compiler: &str, source: &str, options: &[&str]) {
    let name = format!("native-steps-{}{}", std::process::id(), options.concat());
    let out = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/native_steps").join(source);
    assert!(Command::new(compiler).args(options).arg("-o").arg(&out).arg(source).status().unwrap().success());
    check(&out);
    std::fs::remove_file(&out).unwrap();
}

#[test]
fn c_without_frame_pointers() {
    check_built("cc", "program.c", &["-O2", "-fomit-frame-pointer"]);
}

#[test]
fn c_as_it_is_written() {
    check_built("cc", "program.c", &["-O0"]);
}

#[test]
fn a_static_program() {
    check_built("cc", "program.c", &["-Os", "-static"]);
}

#[test]
fn rust() {
    let rustc = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".into());
    check_built(&rustc, "program.rs", &["-O"]);
}
