//! Runs the program.

use std::ffi::OsString;
use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use anstream::{AutoStream, ColorChoice};

use super::{Args, How};
use crate::analysis::gate::Terms;
use crate::cli::error::{CliError, Result};
use crate::cli::exit::Exit;
use crate::cli::leaks::lines::Lines;
use crate::cli::output::Output;
use crate::full_text;
use crate::process::hold::{HoldError, end_as};
use crate::report::escape;
use crate::report::gate::text;
use crate::report::text::TextOptions;
use crate::report::units::duration;
use crate::runtimes::ReadOptions;
use crate::session::gate::{self, Found, How as Way, Moment, Options};

/// The ancestors that Go keeps of each goroutine, if asked to.
const ANCESTORS: &str = "tracebackancestors=20";
/// Columns of the summary if standard error is not a terminal.
const WIDTH: usize = 100;

/// Runs the program. Does not return if it could be started.
pub(super) fn run(args: &Args, output: &Output) -> Result {
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
        exit_code: args.hold.exit_code,
        read: ReadOptions { repeated: true, ..ReadOptions::default().once() },
        terms: Terms::default(),
    };
    let appearance = Appearance::of(output);
    let mut report = |found: &Found| appearance.print(found);
    match gate::run(&options, &mut report) {
        Ok(Some(end)) => {
            crate::process::end_all_stops();
            end_as(end)
        }
        Ok(None) => {
            crate::process::end_all_stops();
            Ok(())
        }
        Err(error) => Err(cannot(error)),
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
        HoldError::Helpers(_) | HoldError::Program { .. } => (Vec::new(), Exit::Error),
    };
    CliError::Message { problem, remedy, exit }
}

/// What the summary looks like on standard error.
struct Appearance {
    options: TextOptions,
}

impl Appearance {
    fn of(output: &Output) -> Appearance {
        let stderr = io::stderr();
        let terminal = stderr.is_terminal();
        let color = AutoStream::choice(&stderr) != ColorChoice::Never;
        let size = terminal_size::terminal_size_of(&stderr).filter(|_| terminal);
        let width = size.map_or(WIDTH, |(width, _)| usize::from(width.0).max(40));
        Appearance { options: TextOptions { width, color, ..output.text_options() } }
    }

    /// Prints the summary in one piece: the program's other processes may write to the same terminal.
    fn print(&self, found: &Found) {
        let mut page = Vec::new();
        // Memory can be written.
        let _ = self.write(found, &mut page);
        let mut stderr = io::stderr().lock();
        // If standard error is closed, the summary is lost.
        let _ = stderr.write_all(&page).and_then(|()| stderr.flush());
    }

    fn write(&self, found: &Found, out: &mut dyn Write) -> io::Result<()> {
        let mut say = |text: &str| writeln!(out, "loiter gate: {}", escape(text));
        match (found.moment, &found.trouble) {
            (Moment::Never, _) => {
                say("the program was ended by a signal: nothing could be read (--how ptrace reads it)")?;
            }
            (_, Some(why)) if found.readings.is_empty() => say(&format!("nothing could be read: {why}"))?,
            (_, Some(why)) => say(&format!("the last reading failed: {why}"))?,
            (_, None) => {}
        }
        if let Moment::Timeout(after) = found.moment {
            let after = duration(u64::try_from(after.as_nanos()).unwrap_or(u64::MAX));
            say(&format!("the program had not ended after {after}, and was sent SIGTERM"))?;
        }
        let lines = Lines::default();
        let line = |place: &_| lines.at(place);
        if let Some(verdict) = &found.verdict {
            text(verdict, &line, &self.options, out)?;
        }
        if let Some(status) = found.instead {
            writeln!(out, "exit status {status}, in place of 0")?;
        }
        Ok(())
    }
}
