//! The command line's error for a source that cannot be read.

use super::list;
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::full_text;
use crate::source::{AddressError, NameError, SourceError, running_processes};

impl From<SourceError> for CliError {
    fn from(error: SourceError) -> Self {
        let message = |problem, remedy, exit| CliError::Message { problem, remedy, exit };
        match error {
            SourceError::File { path, source } => CliError::File { path, source },
            SourceError::Io { what, source } => CliError::Io { what, source },
            SourceError::Address { address, source: error @ AddressError::Invalid { .. } } => {
                CliError::Usage(format!("{address}: {}", full_text(&error)))
            }
            SourceError::Name(error) => name(error),
            SourceError::ProgramEnded { ref output, .. } => {
                message(error.to_string(), output.clone(), Exit::NoProcess)
            }
            SourceError::NotASnapshot { .. } => {
                let remedy = "loiter flame, stacks, diff and convert take recordings";
                message(error.to_string(), vec![remedy.to_owned()], Exit::Error)
            }
            SourceError::Recording { .. } | SourceError::NotATarget { .. } | SourceError::NotLive { .. } => {
                message(full_text(&error), Vec::new(), Exit::Error)
            }
            SourceError::Target { .. } | SourceError::Dump { .. } | SourceError::Address { .. } => {
                CliError::Source(error)
            }
        }
    }
}

/// The message for a name that does not identify a process.
fn name(error: NameError) -> CliError {
    let problem = error.to_string();
    let message = |problem, remedy, exit| CliError::Message { problem, remedy, exit };
    match error {
        NameError::Several { processes, .. } => {
            let pid = processes.first().map_or(0, |who| who.pid);
            let how = format!("Give its pid in place of the name: {pid} or -p {pid}");
            message(problem, list::table(&processes).into_iter().chain([how]).collect(), Exit::Error)
        }
        NameError::OnlyParents { processes, .. } => {
            message(problem, list::table(&processes), Exit::NoProcess)
        }
        NameError::Nobody { similar, .. } if !similar.is_empty() => {
            message(format!("{problem}; similar names:"), list::table(&similar), Exit::NoProcess)
        }
        NameError::Nobody { .. } => {
            let all = running_processes().unwrap_or_default();
            message(problem, list::list(all).lines(), Exit::NoProcess)
        }
    }
}
