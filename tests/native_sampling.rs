//! Stacks of threads of C programs without frame pointers, from samples.

#![allow(clippy::unwrap_used, missing_docs, reason = "a test may panic")]

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use loiter::code::CodeBuilder;
use loiter::process;
use loiter::runtimes::NativeStacks;
use loiter::sampler::usage::CpuTime;
use loiter::sampler::{Record, Sampler, SamplerOptions};
use loiter::snapshot::StackStatus;

/// The program, running. It is killed in the end.
struct Program(Child);

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Program {
    fn start(what: &str) -> Program {
        let mut command = Command::new(built());
        let mut child = command.arg(what).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let program = Program(child);
        assert_eq!(line, "ready\n");
        // Its thread may have got no CPU yet; after some milliseconds of the program it is in its loop.
        let used = || CpuTime::of(program.0.id()).unwrap().total_ns;
        let begun = used();
        while used() < begun + 20_000_000 {
            std::thread::sleep(Duration::from_millis(1));
        }
        program
    }
}

fn built() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let out = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("native-chain-{}", std::process::id()));
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/native_sampling/chain.c");
        let options = ["-O2", "-fomit-frame-pointer", "-fno-optimize-sibling-calls", "-pthread", "-o"];
        let built = Command::new("cc").args(options).arg(&out).arg(source).status();
        assert!(built.unwrap().success());
        out
    })
}

/// Stacks of a program's samples: names, innermost first, the part in the kernel left out.
fn stacks(what: &str, stack_bytes: u32, kernel: bool) -> Vec<(Vec<String>, StackStatus)> {
    let program = Program::start(what);
    let target = process::open_pid(program.0.id()).unwrap();
    let mut native = NativeStacks::new(target.as_ref()).unwrap();
    let mut code = CodeBuilder::new();
    let options = SamplerOptions { rate_hz: 999, stack_bytes, kernel, ..SamplerOptions::default() };
    let mut sampler = Sampler::attach(program.0.id(), &options).unwrap();
    let mut found = Vec::new();
    while found.len() < 300 {
        sampler.wait(Duration::from_millis(10));
        sampler.drain(&mut |record| {
            let Record::Sample { moment, .. } = record else { return };
            let (mut stack, status) = native.stack(&moment, &mut code);
            assert!(moment.in_kernel || moment.kernel_chain.is_empty());
            if kernel && moment.in_kernel {
                stack.splice(0..0, native.kernel(moment.kernel_chain, &mut code));
            }
            found.push((stack, status));
        });
    }
    let code = code.finish();
    let name = |id: &loiter::code::LocationId| {
        code.function_name(code.locations[id.index()].frames[0].function).to_owned()
    };
    found.into_iter().map(|(stack, status)| (stack.iter().map(name).collect(), status)).collect()
}

const CHAIN: [&str; 6] = ["leaf", "middle", "outer", "outer", "outer", "begin"];

#[test]
fn stacks_are_the_known_chain_of_calls() {
    let all = stacks("chain", 16 << 10, false);
    let right = all.iter().filter(|(names, status)| {
        *status == StackStatus::Complete && names.len() > CHAIN.len() && names[..CHAIN.len()] == CHAIN
    });
    let right = right.count();
    assert!(right * 100 >= all.len() * 99, "{right} of {}: {:?}", all.len(), all.last());
}

#[test]
fn stacks_of_the_c_library_lead_to_the_program() {
    let all = stacks("sort", 16 << 10, true);
    for (names, status) in &all {
        assert_eq!(*status, StackStatus::Complete, "{names:?}");
        assert!(names.iter().any(|name| name == "begin" || name == "main" || name == "_start"), "{names:?}");
    }
    let in_compare = all.iter().filter(|(names, _)| names[0] == "compare");
    let mut seen = 0;
    for (names, _) in in_compare {
        let at = names.iter().position(|name| name == "sorts").unwrap();
        assert!(
            names[1..at].iter().all(|name| name.contains("sort") || name.starts_with("libc")),
            "{names:?}"
        );
        assert_eq!(names[at + 1], "begin");
        seen += 1;
    }
    assert!(seen > all.len() / 2, "{seen} of {}", all.len());
}

#[test]
fn a_copy_that_is_too_small_is_said_to_be() {
    for bytes in [64, 128, 256] {
        for (names, status) in stacks("chain", bytes, false) {
            let known = names.len().min(CHAIN.len());
            if names[0] != "leaf" {
                continue;
            }
            assert_eq!(names[..known], CHAIN[..known]);
            let complete = names.len() > CHAIN.len() && status == StackStatus::Complete;
            assert!(complete || status == StackStatus::Truncated, "{bytes} bytes: {status:?} {names:?}");
        }
    }
}
