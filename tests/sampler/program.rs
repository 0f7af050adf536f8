//! The program that is sampled.

use std::io::{BufRead, BufReader, Lines, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::OnceLock;

/// The program, running. It is killed in the end.
pub(crate) struct Program {
    child: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Program {
    /// Starts it and waits until it is ready.
    pub(crate) fn start(arguments: &[&str]) -> Program {
        let mut command = Command::new(built());
        command.args(arguments);
        Program::run(command)
    }

    pub(crate) fn run(mut command: Command) -> Program {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let input = child.stdin.take().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut program = Program { child, input, output };
        program.hears("ready");
        program
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Tells it to go on.
    pub(crate) fn go(&mut self) {
        self.input.write_all(b"\n").unwrap();
    }

    /// Waits for a line of it.
    pub(crate) fn hears(&mut self, expected: &str) {
        let line = self.output.next().expect("it says something").unwrap();
        assert_eq!(line, expected);
    }

    /// Waits until it has ended.
    pub(crate) fn ends(&mut self) {
        assert!(self.child.wait().unwrap().success());
    }

    /// Where one of its functions is.
    pub(crate) fn function(&self, name: &str) -> Range<u64> {
        let target = loiter::process::open_pid(self.pid()).unwrap();
        let images = target.images().unwrap();
        let symbols = images[0].symbols().unwrap();
        let found = symbols.find(name).unwrap();
        found.address..found.address + found.size
    }
}

/// The program, built once.
pub(crate) fn built() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("sampler");
        std::fs::create_dir_all(&folder).unwrap();
        let out = folder.join(format!("program-{}", std::process::id()));
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sampler/program.c");
        let options = ["-O1", "-g", "-fno-omit-frame-pointer", "-pthread", "-o"];
        let built = Command::new("cc").args(options).arg(&out).arg(source).status();
        assert!(built.unwrap().success());
        out
    })
}
