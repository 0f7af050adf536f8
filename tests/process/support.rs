//! Processes to be read.

use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use loiter::process::{self, Frozen, HoldTime, Image, Target, TargetError, WithRegisters};

/// Longer than any test holds anything.
pub(crate) const LONG: Duration = Duration::from_secs(600);

/// Longer than anything takes on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// A process that is killed in the end.
pub(crate) struct Process(pub(crate) Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Process {
    pub(crate) fn pid(&self) -> u32 {
        self.0.id()
    }

    pub(crate) fn open(&self) -> Box<dyn Target> {
        process::open_pid(self.pid()).expect("the process can be opened")
    }

    pub(crate) fn kill(&mut self) {
        self.0.kill().expect("it can be killed");
        self.0.wait().expect("it was our child");
    }

    pub(crate) fn signal(&self, signal: i32) {
        let pid = i32::try_from(self.pid()).expect("pids are small");
        // SAFETY: kill takes two integers; the pid is that of a child that was not waited for.
        assert_eq!(unsafe { libc::kill(pid, signal) }, 0);
    }

    /// The state letter of a thread: R, S, T, t, D, Z.
    pub(crate) fn state(&self, tid: u32) -> char {
        state(self.pid(), tid)
    }
}

pub(crate) fn state(pid: u32, tid: u32) -> char {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/task/{tid}/stat")).unwrap_or_default();
    stat.rsplit(") ").next().and_then(|rest| rest.chars().next()).unwrap_or('-')
}

/// A folder for the programs that are built here and the files that they leave. Those of earlier
/// runs are removed.
pub(crate) fn folder() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let all = Path::new(env!("CARGO_TARGET_TMPDIR")).join("target-tests");
        let own = all.join(std::process::id().to_string());
        // An earlier process may have had this pid.
        let _ = std::fs::remove_dir_all(&own);
        std::fs::create_dir_all(&own).expect("a folder");
        for old in std::fs::read_dir(&all).expect("ours").filter_map(Result::ok) {
            if !Path::new("/proc").join(old.file_name()).exists() {
                let _ = std::fs::remove_dir_all(old.path());
            }
        }
        own
    })
}

/// Builds program.c with these compiler options.
pub(crate) fn build(name: &str, options: &[&str]) -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/process/program.c");
    let out = folder().join(name);
    let built =
        Command::new("cc").args(options).args(["-O1", "-pthread", "-o"]).arg(&out).arg(source).status();
    assert!(built.expect("cc starts").success());
    out
}

/// The program, built once.
pub(crate) fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| build("program", &["-fpie", "-pie"]))
}

/// Starts the program and waits until it is ready.
pub(crate) fn start(path: &Path, arguments: &[&str]) -> Process {
    let process = Process(Command::new(path).args(arguments).spawn().expect("it starts"));
    wait_ready(process.pid());
    process
}

pub(crate) fn wait_ready(pid: u32) {
    eventually("the program is ready", || {
        let Ok(target) = process::open_pid(pid) else { return false };
        let images = target.images().unwrap_or_default();
        let Some(address) = images.first().and_then(|image| find(image, "ready")) else { return false };
        target.read_u32(address).is_ok_and(|ready| ready == 1)
    });
}

fn find(image: &Image, name: &str) -> Option<u64> {
    image.symbols().ok()?.find(name).map(|symbol| symbol.address)
}

/// The address of one of the program's globals.
pub(crate) fn global(target: &dyn Target, name: &str) -> u64 {
    let images = target.images().expect("images");
    let executable = images.first().expect("an executable");
    assert!(executable.is_executable);
    find(executable, name).expect("the symbol is there")
}

/// The value of one of the program's counters.
pub(crate) fn counter(target: &dyn Target, name: &str) -> u64 {
    target.read_u64(global(target, name)).expect("it can be read")
}

/// Waits until something is true.
pub(crate) fn eventually(what: &str, mut is_true: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_true() {
        assert!(begun.elapsed() < PATIENCE, "never: {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Whether a stop failed only because a thread, or loiter, got no CPU for as long as loiter waits.
fn is_late(error: &TargetError) -> bool {
    matches!(error, TargetError::LetGo { .. }) || error.to_string().contains("did not stop within")
}

/// Stops a thread, once more as long as a busy machine lets loiter do so too late. `with` may be called each time.
pub(crate) fn stopped(target: &dyn Target, tid: u32, with: &mut WithRegisters<'_>) -> HoldTime {
    let begun = Instant::now();
    loop {
        match target.with_stopped_thread(tid, &mut *with) {
            Ok(held) => return held,
            Err(error) => assert!(is_late(&error) && begun.elapsed() < PATIENCE, "it stops: {error}"),
        }
    }
}

/// Freezes a process for a short time, once more as long as a busy machine needs longer than that to freeze it.
pub(crate) fn frozen_for(target: &dyn Target, limit: Duration) -> Frozen {
    let begun = Instant::now();
    loop {
        match target.freeze(limit) {
            Ok(frozen) => return frozen,
            Err(error) => assert!(is_late(&error) && begun.elapsed() < PATIENCE, "it freezes: {error}"),
        }
    }
}

/// Whether the program's spinning thread makes progress.
pub(crate) fn is_running(target: &dyn Target) -> bool {
    let address = global(target, "ticks");
    let read = || target.read_u64(address).expect("it can be read");
    let before = read();
    let begun = Instant::now();
    // Long enough to be given a CPU on a busy machine; a frozen one never is.
    while begun.elapsed() < PATIENCE {
        if read() != before {
            return true;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    false
}

/// Whether the program's spinning thread stands still.
pub(crate) fn is_still(target: &dyn Target) -> bool {
    let address = global(target, "ticks");
    let read = || target.read_u64(address).expect("it can be read");
    let before = read();
    std::thread::sleep(Duration::from_millis(50));
    read() == before
}
