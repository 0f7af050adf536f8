//! `loiter gate`: run a program, and look at what it leaves when it ends.

use std::ffi::OsString;

use clap::ValueEnum;

use super::error::Result;
use super::output::Output;
use super::parse;
use super::source::CacheArgs;

mod outputs;
mod pid;
mod run;

/// Run a program as it is, and fail if it leaves tasks behind when it ends
///
/// The program runs as it would without loiter: the same process, terminal, output and exit status. When it is about
/// to end, by return of main, exit, panic or a fatal error, its tasks are read: those that nobody will end are
/// reported on standard error, after its own output. Processes that it starts are not looked at. If the program ends
/// with status 0 and leaves tasks behind, the status becomes that of --exit-code. With --watch, it is also read while it
/// runs.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The program to run, with its arguments
    #[arg(last = true, value_name = "PROGRAM", num_args = 1.., required_unless_present = "pid")]
    program: Vec<OsString>,

    #[command(flatten)]
    hold: HoldArgs,

    #[command(flatten)]
    cache: CacheArgs,

    #[command(flatten)]
    outputs: outputs::OutputArgs,

    #[command(flatten)]
    pid: pid::PidArgs,
}

/// How a program is held at its end, and for how long.
#[derive(Debug, clap::Args)]
struct HoldArgs {
    /// How the end is noticed: auto, seccomp or ptrace
    ///
    /// seccomp: the kernel holds the call that ends the program. It costs the program nothing while it runs, and needs
    /// no rights. An end by a signal or a crash is not held: nothing can be read then, and the report says so.
    /// ptrace: the main thread is traced. That also catches SIGKILL and crashes, costs the program some percent if it
    /// gets many signals (Go's garbage collector sends them), and loiter stays its parent. auto: seccomp, or ptrace
    /// where seccomp is refused (below another gate, and in some containers).
    #[arg(
        long,
        value_enum,
        value_name = "HOW",
        default_value_t,
        hide_possible_values = true,
        help_heading = "Holding"
    )]
    how: How,

    /// While tasks are left, read again for this long: they may be about to end
    #[arg(long, value_name = "DURATION", value_parser = parse::duration, default_value = "500ms", help_heading = "Holding")]
    settle: u64,

    /// Look at what the program does after this long, then end it with SIGTERM [default: never]
    ///
    /// If it has not ended 10 s after SIGTERM, it is killed. The gate fails.
    #[arg(long, value_name = "DURATION", value_parser = parse::duration, help_heading = "Holding")]
    timeout: Option<u64>,

    /// Also read the program while it runs, and fail if tasks grow in number or are stuck
    ///
    /// The rules are those of loiter leaks. Findings count from likely on, if three readings in a row have them or they
    /// are proven, and if they lasted until the end: what recovers is no leak. Tasks that are also left at the end are
    /// reported once. EVERY is the time between two readings [default: 500ms]. They do not stop the program, and take no
    /// more than a fifth of a CPU: then they are farther apart. Growth takes at least four readings to be seen, and seven
    /// to be sure of.
    #[arg(
        long,
        value_name = "EVERY",
        value_parser = watch_interval,
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "500ms",
        help_heading = "Judging"
    )]
    watch: Option<u64>,

    /// The status if the gate fails: 1 to 255
    ///
    /// A program that ends with another status than 0 keeps it. With --pid: the status if a limit was exceeded, or still
    /// is.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..), default_value_t = 1, help_heading = "Judging")]
    exit_code: u8,

    /// Let Go keep the ancestors of each goroutine, so that leaks are charged to the test that started them
    ///
    /// Adds tracebackancestors=20 to GODEBUG, for the program and for those that it starts. A go statement then costs
    /// about a microsecond more, and panics print the ancestors.
    #[arg(long, help_heading = "Holding")]
    ancestors: bool,
}

/// Readings are at least this far apart, nanoseconds.
const SHORTEST: u64 = 10_000_000;

fn watch_interval(text: &str) -> std::result::Result<u64, String> {
    let every = parse::duration(text)?;
    if every < SHORTEST { Err("use 10ms or more".to_owned()) } else { Ok(every) }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
enum How {
    #[default]
    Auto,
    Seccomp,
    Ptrace,
}

pub(super) fn run(args: &Args, output: &Output) -> Result {
    if args.pid.is_given() {
        pid::run(&args.pid, args.hold.exit_code, args.cache.folder(), &args.outputs, output)
    } else {
        run::run(args, output)
    }
}
