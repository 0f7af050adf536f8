//! Starts the processes of a plan.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::common::{Flavour, Program as GoProgram, Toolchain, build};
use crate::plan::{Place, Plan, Program};
use crate::registered;

/// Longer than anything takes on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(180);

/// A plan whose processes run. They are killed when this goes.
pub(crate) struct System {
    pub(crate) plan: Plan,
    children: Vec<Child>,
    /// The id of each task of each process.
    ids: Vec<BTreeMap<String, u64>>,
    /// Where its files are.
    directory: TempDir,
}

impl System {
    /// Starts all processes and waits until each task waits.
    pub(crate) fn start(plan: Plan) -> System {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path();
        for fifo in &plan.fifos {
            let mode = nix::sys::stat::Mode::from_bits_truncate(0o600);
            nix::unistd::mkfifo(&path.join(format!("{fifo}.fifo")), mode).expect("a FIFO can be made");
        }
        let mut commands: Vec<Command> = plan
            .processes
            .iter()
            .map(|process| within(process.namespace, command(process.program)))
            .collect();
        for (number, command) in commands.iter_mut().enumerate() {
            command.arg(write_plan(path, &plan, number)).stdin(Stdio::null());
            registered::name_plan(command, number, path);
        }
        for &(from, to) in &plan.pipes {
            let (reader, writer) = std::io::pipe().expect("a pipe can be made");
            commands[from].stdout(writer);
            commands[to].stdin(reader);
        }
        let start = |command: &mut Command| command.spawn().unwrap_or_else(|e| panic!("{command:?}: {e}"));
        let children = commands.iter_mut().map(start).collect();
        let ids = Vec::new();
        let mut system = System { plan, children, ids, directory };
        // The ends of the pipes that are in them would stay open here.
        drop(commands);
        system.wait();
        system
    }

    fn wait(&mut self) {
        let begin = Instant::now();
        for number in 0..self.children.len() {
            let ready = self.directory.path().join(format!("p{number}.ready"));
            while !ready.exists() {
                for child in &mut self.children {
                    if let Ok(Some(end)) = child.try_wait() {
                        panic!("a process has ended: {end} in {:#?}", self.plan);
                    }
                }
                assert!(begin.elapsed() < PATIENCE, "process {number} is not ready: {:#?}", self.plan);
                thread::sleep(Duration::from_millis(5));
            }
            let text = fs::read_to_string(ready).expect("what a process says can be read");
            let ids = text.lines().filter_map(|line| line.split_once(' '));
            self.ids.push(ids.map(|(name, id)| (name.to_owned(), id.parse().expect("an id"))).collect());
        }
    }

    /// The pid of a process.
    pub(crate) fn pid(&self, process: usize) -> u32 {
        self.children[process].id()
    }

    /// The process with this pid.
    pub(crate) fn process(&self, pid: u32) -> Option<usize> {
        self.children.iter().position(|child| child.id() == pid)
    }

    /// The id of a task.
    pub(crate) fn id(&self, place: Place) -> u64 {
        self.ids[place.0][&self.plan.processes[place.0].tasks[place.1].name]
    }

    /// The task with this id in a process. None for one that is not in the plan, such as the main one.
    pub(crate) fn task(&self, process: usize, id: u64) -> Option<Place> {
        let tasks = &self.plan.processes[process].tasks;
        let place = tasks.iter().position(|task| self.ids[process].get(&task.name) == Some(&id))?;
        Some((process, place))
    }

    /// Where its files are.
    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Kills a process.
    pub(crate) fn end(&mut self, process: usize) {
        self.children[process].kill().expect("it can be killed");
        self.children[process].wait().expect("it is our child");
    }
}

impl Drop for System {
    fn drop(&mut self) {
        for child in &mut self.children {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn write_plan(directory: &Path, plan: &Plan, number: usize) -> PathBuf {
    let process = &plan.processes[number];
    let mut text = format!("name p{number}\n");
    for line in process.lines.iter().cloned().chain(process.tasks.iter().map(|task| task.line())) {
        text.push_str(&line);
        text.push('\n');
    }
    let path = directory.join(format!("p{number}.plan"));
    fs::write(&path, text).expect("a plan can be written");
    path
}

/// The command in the network namespace of another process.
fn within(namespace: Option<u32>, command: Command) -> Command {
    let Some(pid) = namespace else { return command };
    let mut inside = Command::new("nsenter");
    inside.args(["--target", &pid.to_string(), "--net", "--"]);
    inside.arg(command.get_program()).args(command.get_args());
    inside
}

fn command(program: Program) -> Command {
    match program {
        Program::Go(version, stripped) => {
            let flavour = if stripped { Flavour::Stripped } else { Flavour::Plain };
            let mut command = Command::new(build(&Toolchain::get(version), GoProgram::Why, flavour));
            for variable in ["GOTRACEBACK", "GOMAXPROCS", "GOGC", "GOMEMLIMIT", "GODEBUG"] {
                command.env_remove(variable);
            }
            command
        }
        Program::C => Command::new(native()),
        Program::Registered => registered::command(),
    }
}

/// The program in C, built once for each test program.
pub(crate) fn native() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("why-native");
        // Tests in other processes do the same.
        let unfinished = tempfile::NamedTempFile::new_in(env!("CARGO_TARGET_TMPDIR")).expect("a file");
        let unfinished = unfinished.into_temp_path();
        let mut cc = Command::new("cc");
        cc.args(["-std=gnu11", "-O1", "-Wall", "-Wextra", "-Werror", "-pthread"]);
        cc.arg(root.join("fixtures/why/native.c")).arg("-o").arg(&unfinished);
        let output = cc.output().expect("cc can be started");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        unfinished.persist(&path).expect("the built program can be renamed");
        path
    })
}
