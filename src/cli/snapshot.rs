//! `loiter snapshot`: take a snapshot and keep it.

use std::path::PathBuf;

use super::error::{CliError, Result};
use super::output::{Output, is_stdout, tell};
use super::source::SourceArgs;
use crate::report::file_name::file_name;
use crate::report::text;
use crate::report::units::bytes;
use crate::snapshot::file;

/// Take a snapshot of a process or a core file, and save it to a file
///
/// The file contains every task with its stack. Every command can read it in place of the process. Its format
/// is described in loiter-snapshot(5). Only the owner of the file may read it, because it contains data from
/// another program's memory.
#[derive(Debug, clap::Args)]
#[command(after_help = super::exit::HELP)]
pub(super) struct Args {
    #[command(flatten)]
    source: SourceArgs,

    /// The file to write; - means standard output
    ///
    /// Default: NAME-PID-TIME.loiter in the current directory (time in UTC; parts that are unknown are left
    /// out).
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

pub(super) fn run(args: &Args, output: &Output) -> Result {
    let to_stdout = args.output.as_deref().is_some_and(is_stdout);
    if to_stdout && output.terminal {
        return Err(CliError::Usage("a snapshot is not text: redirect the output or use -o FILE".to_owned()));
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
