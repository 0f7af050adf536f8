//! The program that is sampled.

// More than one test file has it, each a crate of its own that uses a part.
#![allow(dead_code)]

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
        Program::start_at(built(), arguments)
    }

    /// The same with a copy of it.
    pub(crate) fn start_at(path: &Path, arguments: &[&str]) -> Program {
        let mut command = Command::new(path);
        command.args(arguments);
        let program = Program::run(command);
        // Its first thread is about to wait for a line when it says that it is ready.
        let stat =
            || std::fs::read_to_string(format!("/proc/{0}/task/{0}/stat", program.pid())).expect("it runs");
        while !stat().contains(") S ") {
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        program
    }

    /// Starts whatever says "ready" in the end.
    pub(crate) fn run(mut command: Command) -> Program {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("it starts");
        let input = child.stdin.take().expect("piped");
        let output = BufReader::new(child.stdout.take().expect("piped")).lines();
        let mut program = Program { child, input, output };
        program.hears("ready");
        program
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Tells it to go on.
    pub(crate) fn go(&mut self) {
        self.input.write_all(b"\n").expect("it reads");
    }

    /// Waits for a line of it.
    pub(crate) fn hears(&mut self, expected: &str) {
        let line = self.output.next().expect("it says something").expect("text");
        assert_eq!(line, expected);
    }

    /// Lets it end, and waits for that.
    pub(crate) fn end(&mut self) {
        self.go();
        assert!(self.child.wait().expect("it is our child").success());
    }

    /// Where one of its functions is.
    pub(crate) fn function(&self, name: &str) -> Range<u64> {
        let target = loiter::process::open_pid(self.pid()).expect("it can be read");
        let images = target.images().expect("images");
        let symbols = images[0].symbols().expect("symbols");
        let found = symbols.find(name).expect("the function is there");
        found.address..found.address + found.size
    }
}

/// The program, built once.
pub(crate) fn built() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("sampler");
        std::fs::create_dir_all(&folder).expect("a folder");
        let out = folder.join(format!("program-{}", std::process::id()));
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sampler/program.c");
        let options = ["-O1", "-g", "-fno-omit-frame-pointer", "-pthread", "-o"];
        let built = Command::new("cc").args(options).arg(&out).arg(source).status();
        assert!(built.expect("cc starts").success());
        out
    })
}
