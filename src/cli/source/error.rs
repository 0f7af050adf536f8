//! The command line's messages about a source that cannot be read, and what helps.

use super::list;
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::full_text;
use crate::source::{AddressError, NameError, SourceError, running_processes};

impl From<SourceError> for CliError {
    fn from(error: SourceError) -> Self {
        let told = |problem, remedy, exit| CliError::Told { problem, remedy, exit };
        match error {
            SourceError::Target { what, source } => CliError::Target { what, source },
            SourceError::File { path, source } => CliError::File { path, source },
            SourceError::Dump { what, source } => CliError::Dump { what, source },
            SourceError::Io { what, source } => CliError::Io { what, source },
            SourceError::Address { address, source: error @ AddressError::Invalid { .. } } => {
                CliError::Usage(format!("{address}: {}", full_text(&error)))
            }
            SourceError::Address { address, source } => {
                let remedy = remedy(&source).iter().map(|&line| line.to_owned()).collect();
                CliError::Address { address, problem: full_text(&source), remedy }
            }
            SourceError::Name(error) => name(error),
            SourceError::ProgramEnded { ref output, .. } => {
                told(error.to_string(), output.clone(), Exit::NoProcess)
            }
            SourceError::NotASnapshot { .. } => {
                let remedy = "loiter flame, stacks, diff and convert take recordings";
                told(error.to_string(), vec![remedy.to_owned()], Exit::Error)
            }
            SourceError::Recording { .. } | SourceError::NotATarget { .. } | SourceError::NotLive { .. } => {
                told(full_text(&error), Vec::new(), Exit::Error)
            }
        }
    }
}

/// The message for a name that does not identify a process.
fn name(error: NameError) -> CliError {
    let problem = error.to_string();
    let told = |problem, remedy, exit| CliError::Told { problem, remedy, exit };
    match error {
        NameError::Several { processes, .. } => {
            let pid = processes.first().map_or(0, |who| who.pid);
            let how = format!("Give its pid in place of the name: {pid} or -p {pid}");
            told(problem, list::table(&processes).into_iter().chain([how]).collect(), Exit::Error)
        }
        NameError::OnlyParents { processes, .. } => told(problem, list::table(&processes), Exit::NoProcess),
        NameError::Nobody { similar, .. } if !similar.is_empty() => {
            told(format!("{problem}; similar names:"), list::table(&similar), Exit::NoProcess)
        }
        NameError::Nobody { .. } => {
            let all = running_processes().unwrap_or_default();
            told(problem, list::list(all).lines(), Exit::NoProcess)
        }
    }
}

fn remedy(error: &AddressError) -> &'static [&'static str] {
    match error {
        AddressError::Status { status: 401 | 403, .. } => {
            &["user and password go into the address: http://user:password@host:6060"]
        }
        AddressError::Status { status: 404, .. } => &[
            "does the program import net/http/pprof, and does this port serve it?",
            "if it is served elsewhere, give the whole path: http://host:6060/path/to/goroutine",
        ],
        _ => &[],
    }
}
