//! Runs the program.

use super::Args;
use crate::cli::error::Result;
use crate::cli::output::Output;

pub(super) fn run(args: &Args, _output: &Output) -> Result {
    Err(crate::cli::error::CliError::Usage(format!("cannot run {:?} yet", args.program)))
}
