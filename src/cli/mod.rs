//! The command line. Each command has one file: flags -> plain options -> library -> print.

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand, ValueHint};

mod baseline;
mod completions;
mod convert;
#[cfg(feature = "demo")]
mod demo;
mod diff;
mod error;
mod examples;
mod exit;
mod filter;
mod flame;
mod format;
mod gate;
mod ignore;
mod leaks;
pub mod man;
mod output;
mod pager;
mod parse;
mod ps;
mod record;
mod recorded;
mod signals;
mod snapshot;
mod source;
mod stacks;
mod stderr;
mod trace;
#[cfg(feature = "dashboard")]
mod watch;
mod why;

use crate::process;
pub use exit::Exit;
use output::{Color, Output};

/// Read every goroutine of a live process from outside, without pausing it
///
/// loiter reads the memory of a running program, finds the tasks (goroutines) of its runtime, and shows what
/// each task does, since when, what created it and what it waits for. The program needs no preparation, no
/// debug information and no open port.
#[derive(Debug, Parser)]
#[command(name = "loiter", version, after_help = exit::HELP, max_term_width = 100)]
struct Cli {
    /// When to use colours: auto, always or never
    ///
    /// auto: on a terminal, unless NO_COLOR or CLICOLOR=0 is set; everywhere if CLICOLOR_FORCE is set.
    #[arg(
        long,
        value_enum,
        value_name = "WHEN",
        default_value_t,
        global = true,
        hide_possible_values = true
    )]
    color: Color,

    /// Show more: figures, full paths, how the runtime was read; -vv logs each step to stderr, with times
    #[arg(short, long, action = clap::ArgAction::Count, global = true)]
    verbose: u8,

    /// Write long text directly to the terminal, even if LOITER_PAGER or PAGER is set
    #[arg(long, global = true)]
    no_pager: bool,

    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Ps(ps::Args),
    Snapshot(snapshot::Args),
    Stacks(stacks::Args),
    #[cfg(feature = "dashboard")]
    Watch(watch::Args),
    Diff(diff::Args),
    Leaks(leaks::Args),
    Why(why::Args),
    Record(record::Args),
    Gate(gate::Args),
    Convert(convert::Args),
    Flame(flame::Args),
    #[cfg(feature = "demo")]
    Demo(demo::Args),
    Completions(completions::Args),
    Man(man::Args),
}

impl Command {
    /// A trace would appear in the middle of the dashboard.
    fn draws_on_stderr(&self) -> bool {
        match self {
            #[cfg(feature = "dashboard")]
            Command::Watch(_) => std::io::IsTerminal::is_terminal(&std::io::stderr()),
            _ => false,
        }
    }
}

/// Parses the arguments of the process, runs the command, and prints what goes wrong.
pub fn main() -> Exit {
    crate::ending::begin();
    let matches = command().try_get_matches();
    let cli = match matches.and_then(|matches| Cli::from_arg_matches(&matches)) {
        Ok(cli) => cli,
        Err(error) => {
            // clap returns help and version as errors. If they cannot be printed, nothing else can be done.
            let _ = error.print();
            return if error.use_stderr() { Exit::Error } else { Exit::Ok };
        }
    };
    if !cli.command.draws_on_stderr() {
        output::trace(cli.verbose);
    }
    if cli.no_pager {
        pager::never();
    }
    let output = Output::new(cli.color, cli.verbose);
    let outcome = match cli.command {
        Command::Ps(args) => ps::run(&args, &output),
        Command::Snapshot(args) => snapshot::run(&args, &output),
        Command::Stacks(args) => stacks::run(&args, &output),
        #[cfg(feature = "dashboard")]
        Command::Watch(args) => watch::run(&args, &output),
        Command::Diff(args) => diff::run(&args, &output),
        Command::Leaks(args) => leaks::run(&args, &output),
        Command::Why(args) => why::run(&args, &output),
        Command::Record(args) => record::run(&args, &output),
        Command::Gate(args) => gate::run(&args, &output),
        Command::Convert(args) => convert::run(&args, &output),
        Command::Flame(args) => flame::run(&args, &output),
        #[cfg(feature = "demo")]
        Command::Demo(args) => demo::run(&args, &output),
        Command::Completions(args) => completions::run(&args, &output),
        Command::Man(args) => man::run(&args, &output),
    };
    // An abandoned reading may still hold the target stopped.
    process::end_all_stops();
    match outcome {
        Ok(()) => Exit::Ok,
        Err(error) => {
            error.print();
            error.exit()
        }
    }
}

/// The definition of the command line, with examples in every help and with hints for completion.
pub fn command() -> clap::Command {
    let help = |name: &str| format!("{}\n\n{}", examples::help(name), exit::HELP);
    let command = Cli::command().after_help(help("loiter")).mut_args(hinted);
    command.mut_subcommands(|command| {
        let text = help(command.get_name());
        let long = match command.get_name() {
            // Only the long help lists the keys of the dashboard: there are many.
            #[cfg(feature = "dashboard")]
            "watch" => format!("{}\n{text}", watch::keys()),
            _ => text.clone(),
        };
        command.after_help(text).after_long_help(long).mut_args(hinted)
    })
}

/// Tells completion what kind of value an option takes, by the name of the value.
fn hinted(arg: clap::Arg) -> clap::Arg {
    let hint = match arg.get_value_names().and_then(|names| names.first()).map(|name| name.as_str()) {
        Some("SOURCE" | "BASE" | "SNAPSHOT") => ValueHint::AnyPath,
        Some("FILE" | "OUT") => ValueHint::FilePath,
        Some("DIRECTORY") => ValueHint::DirPath,
        Some("COMMAND") => ValueHint::CommandName,
        _ => return arg,
    };
    arg.value_hint(hint)
}
