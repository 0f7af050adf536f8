//! `loiter snapshot`: take one and keep it.

use std::path::PathBuf;

use super::error::{CliError, Result};
use super::output::{Output, is_stdout, tell};
use super::source::SourceArgs;
use crate::report::file_name::file_name;
use crate::report::text;
use crate::report::units::bytes;
use crate::snapshot::file;

/// Take a snapshot of a process or a core file, and keep it in a file
///
/// The file holds every task with its stack, and can be read by every command in place of the
/// process. It is described in loiter-snapshot(5). Only its owner may read it, because what it holds
/// comes out of another program's memory.
#[derive(Debug, clap::Args)]
#[command(after_help = super::exit::HELP)]
pub(super) struct Args {
    #[command(flatten)]
    source: SourceArgs,

    /// The file to write; - is standard output
    ///
    /// Without this option it is NAME-PID-TIME.loiter in the current directory, with the time in UTC and
    /// without what the source does not tell.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

pub(super) fn run(args: &Args, output: &Output) -> Result {
    let to_stdout = args.output.as_deref().is_some_and(is_stdout);
    if to_stdout && output.terminal {
        return Err(CliError::Usage("a snapshot is no text: redirect the output or give -o FILE".to_owned()));
    }
    let snapshot = args.source.open()?.snapshot;
    let headline = text::headline(&snapshot);
    if to_stdout {
        let mut contents = Vec::new();
        let failed = |source| CliError::File { path: "standard output".to_owned(), source };
        file::write(&snapshot, &mut contents).map_err(failed)?;
        output.write(|out| out.write_all(&contents))?;
        tell(&headline);
    } else {
        let path = args.output.clone().unwrap_or_else(|| file_name(&snapshot.header, "loiter").into());
        let failed = |source| CliError::File { path: path.display().to_string(), source };
        file::save(&snapshot, &path).map_err(failed)?;
        let size = std::fs::metadata(&path).map_or(0, |metadata| metadata.len());
        tell(&format!("{headline} -> {} ({})", path.display(), bytes(size)));
    }
    if output.verbose > 0 {
        let provenance = snapshot.header.runtimes.iter().flat_map(|runtime| &runtime.provenance);
        provenance.for_each(|fact| tell(&format!("read by: {fact}")));
    }
    snapshot.header.warnings.iter().for_each(|warning| tell(&format!("warning: {warning}")));
    Ok(())
}
