//! `loiter snapshot`: take one and keep it.

use std::io::Write;
use std::path::PathBuf;

use super::error::{CliError, Result};
use super::output::{Output, is_stdout, tell};
use super::source::SourceArgs;
use crate::report::text;
use crate::report::units::bytes;
use crate::snapshot::{Header, file};

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
        let path = args.output.clone().unwrap_or_else(|| default_name(&snapshot.header).into());
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

/// "api-server-4242-20261121T034500Z.loiter". The name is the target's: what could make a path or an
/// option of it is replaced.
fn default_name(header: &Header) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || "._+".contains(c) { c } else { '_' };
    let name: String = header.target.name.chars().map(plain).take(64).collect();
    let name = name.trim_start_matches('.');
    let name = if name.is_empty() { "snapshot" } else { name };
    let mut parts = vec![name.to_owned()];
    // Dumps tell neither, as a rule.
    if header.target.pid != 0 {
        parts.push(header.target.pid.to_string());
    }
    if header.taken_at_ns != 0 {
        let seconds = i64::try_from(header.taken_at_ns / 1_000_000_000).unwrap_or_default();
        let time = jiff::Timestamp::from_second(seconds).unwrap_or_default();
        parts.push(time.strftime("%Y%m%dT%H%M%SZ").to_string());
    }
    format!("{}.loiter", parts.join("-"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::TargetInfo;

    #[test]
    fn names_are_harmless() {
        let name = |name: &str| {
            let target = TargetInfo { name: name.to_owned(), pid: 7, ..TargetInfo::default() };
            default_name(&Header { target, taken_at_ns: 1_795_000_000_000_000_000, ..Header::default() })
        };
        assert_eq!(name("api.server"), "api.server-7-20261118T110640Z.loiter");
        assert_eq!(name("../../etc/x y"), "_.._etc_x_y-7-20261118T110640Z.loiter");
        assert_eq!(name("-o"), "_o-7-20261118T110640Z.loiter");
        assert_eq!(name(""), "snapshot-7-20261118T110640Z.loiter");
        let target = TargetInfo { name: "dump.txt".to_owned(), ..TargetInfo::default() };
        assert_eq!(default_name(&Header { target, ..Header::default() }), "dump.txt.loiter");
    }
}
