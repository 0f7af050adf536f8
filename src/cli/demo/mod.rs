//! `loiter demo`: a tour of loiter on a small leaking server, which is loiter itself.

use std::env;
use std::fs::{self, DirBuilder, File};
use std::hash::{BuildHasher, RandomState};
use std::io::{self, BufRead, BufReader};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::thread;
use std::time::Duration;

use super::error::{CliError, Result};
use super::exit;
use super::output::Output;
use crate::ending::Unfinished;
use crate::report::line::{HEAD, Line, PLAIN};

mod server;

/// What the server prints when it serves.
const READY: &str = "ready";
/// Between the two snapshots.
const BETWEEN: Duration = Duration::from_secs(3);
/// Options of the watch for leaks: seven readings; tasks that are blocked for a second are reported.
const WATCH: [&str; 6] = ["--for", "3s", "--every", "500ms", "--min-age", "1s"];

/// Options of the recording. Without the right to perf events it has the wall clock only.
const RECORD: [&str; 4] = ["-d", "3s", "--mode", "all"];

/// Start a small leaking server and find its leaks: a tour that needs nothing but loiter
///
/// The server is a Tokio program that exports its tasks with the crate loiter-registry. Every command is shown
/// before it runs, so that you can repeat it. The server ends with the tour. The files that the commands wrote
/// stay in a temporary directory, which is named at the end.
#[derive(Debug, clap::Args)]
#[command(after_help = exit::HELP)]
pub(super) struct Args {
    /// Be the server: end when standard input does
    #[arg(long, hide = true)]
    serve: bool,
}

pub(super) fn run(args: &Args, output: &Output) -> Result {
    if args.serve {
        let failed = |source| CliError::Io { what: "cannot serve".to_owned(), source };
        return server::run().map_err(failed);
    }
    let failed = |source| CliError::Io { what: "cannot run the tour".to_owned(), source };
    let directory = Directory::new().map_err(failed)?;
    let server = Server::start().map_err(failed)?;
    let pid = server.child.id().to_string();
    let tour = Tour { output, directory: &directory.path };
    tour.walk(&pid)?;
    tour.say(&format!("The files that the commands wrote are in {}.", directory.path.display()))?;
    directory.keep();
    Ok(())
}

/// Where the commands write; removed unless the tour was completed.
struct Directory {
    path: PathBuf,
    kept: bool,
    _note: Unfinished,
}

impl Directory {
    fn new() -> io::Result<Self> {
        let random = RandomState::new().hash_one(std::process::id());
        let path = env::temp_dir().join(format!("loiter-demo-{random:016x}"));
        let note = Unfinished::directory(path.clone());
        DirBuilder::new().mode(0o700).create(&path)?;
        Ok(Directory { path, kept: false, _note: note })
    }

    fn keep(mut self) {
        self.kept = true;
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        if !self.kept {
            // The tour failed already, and reports why.
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}

/// Waits for a command, and ends it if a signal ends loiter.
fn finish(mut child: Child) -> io::Result<ExitStatus> {
    let _note = Unfinished::child(child.id());
    child.wait()
}

/// The server; it runs for as long as this exists.
struct Server {
    child: Child,
    /// Its standard input: it ends when this does, however loiter ends.
    _stdin: Option<ChildStdin>,
    _note: Unfinished,
}

impl Server {
    fn start() -> io::Result<Self> {
        let mut command = Command::new(env::current_exe()?);
        command.args(["demo", "--serve"]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn()?;
        let stdin = child.stdin.take();
        let stdout = child.stdout.take();
        let server = Server { _note: Unfinished::child(child.id()), child, _stdin: stdin };
        let mut line = String::new();
        if let Some(stdout) = stdout {
            BufReader::new(stdout).read_line(&mut line)?;
        }
        if line.trim_end() == READY { Ok(server) } else { Err(io::Error::other("the server did not start")) }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // An error means that it has ended already, which is the goal.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The steps, each a command that a user could type.
struct Tour<'a> {
    output: &'a Output,
    /// Where the snapshots go.
    directory: &'a Path,
}

impl Tour<'_> {
    fn walk(&self, pid: &str) -> Result {
        self.say(&format!(
            "A small server runs as process {pid}. These are the processes that loiter can read:"
        ))?;
        self.step(&["ps"])?;
        self.say("Two snapshots of it, a few seconds apart. The server is not stopped for them:")?;
        self.step(&["snapshot", pid, "-o", "before.loiter"])?;
        thread::sleep(BETWEEN);
        self.step(&["snapshot", pid, "-o", "after.loiter"])?;
        self.say("What its tasks did in the first snapshot, grouped by stack:")?;
        self.step(&["stacks", "before.loiter"])?;
        self.say("What changed in between? More and more tasks wait to send, and none of them ends:")?;
        self.step(&["diff", "before.loiter", "after.loiter"])?;
        self.say("What do the tasks of the live process wait for? Many of them wait for one lock:")?;
        self.step(&["stacks", pid, "--group-by", "waits-on", "--reason", "lock"])?;
        self.say(
            "What leaks, and why? loiter watches for a while; healthy tasks are not reported as leaks:",
        )?;
        self.step(&[&["leaks", pid], &WATCH[..]].concat())?;
        self.say("Who uses the CPU, and what do the others spend their time on? loiter samples the server for a while:")?;
        self.step(&[&["record", pid], &RECORD[..]].concat())?;
        self.say("The leaks as a report to share with others, and a flame graph for a browser:")?;
        self.step_to("leaks.md", &[&["leaks", pid], &WATCH[..], &["--format", "markdown"]].concat())?;
        self.step(&["flame", pid, "-o", "tasks.svg"])?;
        self.say(
            "The server ends now. Try the same on a process of your own: loiter ps lists them, and loiter \
             watch shows one of them live.",
        )
    }

    fn say(&self, text: &str) -> Result {
        let words: Vec<_> = text.split(' ').map(|word| (PLAIN, word.to_owned())).collect();
        Ok(self.output.write(|out| {
            Line::new(self.output.color).wrap(&words, " ", 0, self.output.width, out)?;
            writeln!(out)
        })?)
    }

    /// Shows a command and runs it.
    fn step(&self, arguments: &[&str]) -> Result {
        self.run(arguments, None)
    }

    /// The same with the output in a file.
    fn step_to(&self, file: &str, arguments: &[&str]) -> Result {
        self.run(arguments, Some(file))
    }

    fn run(&self, arguments: &[&str], file: Option<&str>) -> Result {
        let color = self.output.color;
        self.output.write(|out| {
            let words: Vec<_> = arguments.iter().map(|word| quoted(word)).collect();
            let redirection = file.map_or(String::new(), |file| format!(" > {file}"));
            let shown = format!("$ loiter {}{redirection}", words.join(" "));
            Line::new(color).push(HEAD, &shown).write(out)
        })?;
        let failed = |source| CliError::Io { what: "cannot run the tour".to_owned(), source };
        let mut command = Command::new(env::current_exe().map_err(failed)?);
        if let Some(file) = file {
            command.stdout(File::create(self.directory.join(file)).map_err(failed)?);
        } else {
            command.args(["--color", if color { "always" } else { "never" }]);
        }
        command.args(arguments);
        let child = command.current_dir(self.directory).stdin(Stdio::null()).spawn().map_err(failed)?;
        let status = finish(child).map_err(failed)?;
        if !status.success() {
            return Err(failed(io::Error::other(format!("loiter {} failed: {status}", arguments.join(" ")))));
        }
        Ok(self.output.write(|out| writeln!(out))?)
    }
}

/// A word quoted for a shell.
fn quoted(word: &str) -> String {
    if word.contains(' ') { format!("\"{word}\"") } else { word.to_owned() }
}
