//! `loiter demo`: a tour of loiter on a small leaking server, which is loiter itself.

use std::env;
use std::io::{self, BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::thread;
use std::time::Duration;

use super::error::{CliError, Result};
use super::exit;
use super::output::Output;
use crate::report::line::{HEAD, Line, PLAIN};

mod server;

/// What the server prints when it serves.
const READY: &str = "ready";
/// Between the two snapshots.
const BETWEEN: Duration = Duration::from_secs(4);

/// Start a small leaking server and look at it: a tour that needs nothing but this program
///
/// The server is a Tokio program that exports its tasks with the crate loiter-registry. Every
/// command is shown before it is run, so that it can be repeated. The server ends with the tour.
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
    let directory = tempfile::tempdir().map_err(failed)?;
    let server = Server::start().map_err(failed)?;
    let pid = server.child.id().to_string();
    let tour = Tour { output, directory: directory.path() };
    tour.walk(&pid)
}

/// The server, running for as long as this exists.
struct Server {
    child: Child,
    /// Its standard input: it ends when this does, however loiter ends.
    _stdin: Option<ChildStdin>,
}

impl Server {
    fn start() -> io::Result<Self> {
        let mut command = Command::new(env::current_exe()?);
        command.args(["demo", "--serve"]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn()?;
        let stdin = child.stdin.take();
        let stdout = child.stdout.take();
        let server = Server { child, _stdin: stdin };
        let mut line = String::new();
        if let Some(stdout) = stdout {
            BufReader::new(stdout).read_line(&mut line)?;
        }
        if line.trim_end() == READY { Ok(server) } else { Err(io::Error::other("the server did not start")) }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // If it has ended already, that is what is wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The steps, each a command that anybody could type.
struct Tour<'a> {
    output: &'a Output,
    /// Where the snapshots go.
    directory: &'a Path,
}

impl Tour<'_> {
    fn walk(&self, pid: &str) -> Result {
        self.say(&format!(
            "A small server runs as process {pid}. Here are the programs that loiter can read:"
        ))?;
        self.step(&["ps"])?;
        self.say("Two snapshots of it, some seconds apart. It is not stopped for that:")?;
        self.step(&["snapshot", pid, "-o", "before.loiter"])?;
        thread::sleep(BETWEEN);
        self.step(&["snapshot", pid, "-o", "after.loiter"])?;
        self.say("What its tasks did in the first one, grouped by where they stand:")?;
        self.step(&["stacks", "before.loiter"])?;
        self.say("And in the second one, those that wait to send. There are more of them: a leak.")?;
        self.step(&["stacks", "after.loiter", "--reason", "channel send"])?;
        self.say("Whom do the tasks of the live process wait for? One lock holds up many of them:")?;
        self.step(&["stacks", pid, "--group-by", "waits-on", "--reason", "lock"])?;
        self.say("The server ends now. Try the same on a process of your own: loiter ps lists them.")
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
        let color = self.output.color;
        self.output.write(|out| {
            let shown = format!(
                "$ loiter {}",
                arguments.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" ")
            );
            Line::new(color).push(HEAD, &shown).write(out)
        })?;
        let failed = |source| CliError::Io { what: "cannot run the tour".to_owned(), source };
        let mut command = Command::new(env::current_exe().map_err(failed)?);
        command.args(["--color", if color { "always" } else { "never" }]).args(arguments);
        let status = command.current_dir(self.directory).stdin(Stdio::null()).status().map_err(failed)?;
        if !status.success() {
            return Err(failed(io::Error::other(format!("loiter {} failed: {status}", arguments.join(" ")))));
        }
        Ok(self.output.write(|out| writeln!(out))?)
    }
}

/// A word as a shell wants it.
fn quoted(word: &str) -> String {
    if word.contains(' ') { format!("\"{word}\"") } else { word.to_owned() }
}
