//! Runs the program.

use std::ffi::OsString;
use std::time::Duration;

use nix::errno::Errno;

use super::outputs::Outputs;
use super::{Args, How};
use crate::cli::error::{CliError, Result};
use crate::cli::exit::Exit;
use crate::cli::output::{Output, tell};
use crate::cli::stderr;
use crate::full_text;
use crate::process::hold::{HoldError, end_as};
use crate::report::units::duration;
use crate::runtimes::ReadOptions;
use crate::session::gate::{self, Found, How as Way, Moment, Options, Reporter};

/// The ancestors that Go keeps of each goroutine, if asked to.
const ANCESTORS: &str = "tracebackancestors=20";

/// Runs the program. Does not return if it could be started.
pub(super) fn run(args: &Args, output: &Output) -> Result {
    let outputs = args.outputs.prepare()?;
    let options = Options {
        words: args.program.clone(),
        environment: if args.hold.ancestors { vec![with_ancestors()] } else { Vec::new() },
        how: match args.hold.how {
            How::Auto => Way::Auto,
            How::Seccomp => Way::Seccomp,
            How::Ptrace => Way::Ptrace,
        },
        settle: Duration::from_nanos(args.hold.settle),
        timeout: args.hold.timeout.map(Duration::from_nanos),
        watch: args.hold.watch.map(Duration::from_nanos),
        exit_code: args.hold.exit_code,
        read: ReadOptions {
            repeated: true,
            ancestors: true,
            cache: args.cache.folder(),
            ..ReadOptions::default().once()
        },
        terms: outputs.terms(None),
    };
    match gate::run(&options, &mut Report { args, outputs: &outputs, output }) {
        Ok(Some(end)) => {
            crate::process::end_all_stops();
            end_as(end)
        }
        Ok(None) => {
            crate::process::end_all_stops();
            Ok(())
        }
        Err(HoldError::Program { program, errno }) => {
            let problem = full_text(&HoldError::Program { program, errno });
            CliError::Message { problem, remedy: Vec::new(), exit: Exit::Error }.print();
            // As shells, env and timeout do.
            std::process::exit(if errno == Errno::ENOENT { 127 } else { 126 })
        }
        Err(error) => Err(cannot(error)),
    }
}

/// How it is told what was found.
struct Report<'a> {
    args: &'a Args,
    outputs: &'a Outputs,
    output: &'a Output,
}

impl Reporter for Report<'_> {
    fn begin(&mut self) {
        stderr::aside();
    }

    fn report(&mut self, found: &Found) -> bool {
        report(found, self.args, self.outputs, self.output)
    }

    fn wait_for_reader(&mut self, limit: Duration) {
        stderr::wait_for_reader(limit);
    }
}

/// GODEBUG with the setting that lets Go keep ancestors.
fn with_ancestors() -> (OsString, OsString) {
    let name = OsString::from("GODEBUG");
    let mut value = std::env::var_os(&name).unwrap_or_default();
    if !value.is_empty() {
        value.push(",");
    }
    value.push(ANCESTORS);
    (name, value)
}

fn cannot(error: HoldError) -> CliError {
    let problem = full_text(&error);
    let (remedy, exit) = match &error {
        HoldError::Refused(_) => {
            (vec!["Try: --how ptrace, which needs no filter".to_owned()], Exit::Permission)
        }
        HoldError::Untraced(_) => (Vec::new(), Exit::Permission),
        HoldError::Helpers(_) | HoldError::Killed | HoldError::Program { .. } => (Vec::new(), Exit::Error),
    };
    CliError::Message { problem, remedy, exit }
}

/// Tells what only the gate knows, and lets the verdict be written. Says whether the gate fails.
fn report(found: &Found, args: &Args, outputs: &Outputs, output: &Output) -> bool {
    match (found.moment, &found.trouble) {
        (Moment::Never, _) => {
            let what = if found.last.is_some() { "its end could not" } else { "nothing could" };
            say(&format!(
                "the program was ended by a signal, or in another way that cannot be held: {what} be read (--how \
                 ptrace reads it)"
            ));
        }
        (_, Some(why)) if found.last.is_none() => say(&format!("nothing could be read: {why}")),
        (_, Some(why)) => say(&format!("the last reading failed: {why}")),
        (_, None) => {}
    }
    if let Moment::Timeout(after) = found.moment {
        let after = duration(u64::try_from(after.as_nanos()).unwrap_or(u64::MAX));
        say(&format!("the program had not ended after {after}, and was sent SIGTERM"));
    }
    let reported = found.last.as_ref().map(|last| {
        let reported = outputs.report(found.verdict.clone(), Some(last), output);
        reported.fails
    });
    let fails = reported.unwrap_or(false) || matches!(found.moment, Moment::Timeout(_));
    if output.verbose > 0 {
        say(&format!("the program was held for {}", duration(found.held.as_nanos() as u64)));
    }
    if fails && found.status == Some(0) {
        say(&format!("exit status {}, in place of 0", args.hold.exit_code));
    }
    fails
}

fn say(text: &str) {
    tell(&format!("loiter gate: {text}"));
}
