//! `loiter completions`.

use clap_complete::Shell;

use super::error::Result;
use super::output::Output;

/// Print a completion script for a shell
#[derive(Debug, clap::Args)]
#[command(after_help = super::exit::HELP)]
pub(super) struct Args {
    /// The shell
    shell: Shell,
}

pub(super) fn run(args: &Args, output: &Output) -> Result {
    // clap_complete panics when it cannot write; so it writes to memory.
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut super::command(), "loiter", &mut script);
    output.write(|out| std::io::Write::write_all(out, &script))?;
    Ok(())
}
