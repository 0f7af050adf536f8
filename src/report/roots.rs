//! Paths of source files relative to a repository.

use crate::analysis::gate::Leak;
use crate::analysis::signature::SignatureFrame;

/// Where the sources of a program are in a repository. Finding that out is left to the caller.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Roots {
    /// The absolute path of the repository, without a slash at its end. None if there is none.
    pub repository: Option<String>,
    /// The path of a module, and its directory in the repository; empty for the repository itself. Paths of builds that
    /// trimmed them begin with the module's.
    pub module: Option<(String, String)>,
}

/// A line of a file in the repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Its path, relative to the repository. Raw from the target: escape before printing.
    pub path: String,
    /// The line, from 1.
    pub line: u32,
}

impl Roots {
    /// The path relative to the repository of a source file, as the program has it. None for files outside.
    pub fn relative(&self, file: &str) -> Option<String> {
        let inside = match &self.repository {
            Some(root) if file.starts_with('/') => {
                file.strip_prefix(root.as_str())?.strip_prefix('/')?.to_owned()
            }
            Some(_) => {
                let (module, directory) = self.module.as_ref()?;
                let rest = file.strip_prefix(module.as_str())?.strip_prefix('/')?;
                if directory.is_empty() { rest.to_owned() } else { format!("{directory}/{rest}") }
            }
            None => return None,
        };
        let plain = |part: &str| !part.is_empty() && part != "." && part != "..";
        inside.split('/').all(plain).then_some(inside)
    }

    /// The line to show for a kind: where the tasks were started, else where they are, else where the test started
    /// them; the first of these that is in the repository.
    pub fn place(&self, leak: &Leak) -> Option<Place> {
        let parts = &leak.finding.parts;
        let creators = parts.iter().filter_map(|part| part.creator.as_ref());
        let places = parts.iter().filter_map(|part| part.at.as_ref());
        let stacks = parts.iter().flat_map(|part| &part.stack);
        let named = |frame: &SignatureFrame| self.at(&frame.file, frame.line);
        let charged = || leak.charges.iter().filter_map(|charge| charge.place.as_ref());
        creators
            .chain(places)
            .find_map(named)
            .or_else(|| charged().find_map(|(file, line)| self.at(file, *line)))
            .or_else(|| stacks.clone().find_map(named))
    }

    fn at(&self, file: &str, line: u32) -> Option<Place> {
        Some(Place { path: self.relative(file)?, line: Some(line).filter(|&line| line > 0)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_the_repository_have_a_path_in_it() {
        let roots = Roots {
            repository: Some("/home/ci/api".to_owned()),
            module: Some(("ex.com/api/v2".to_owned(), "go/v2".to_owned())),
        };
        let path = |file: &str| roots.relative(file);
        assert_eq!(path("/home/ci/api/a/b.go").as_deref(), Some("a/b.go"));
        assert_eq!(path("ex.com/api/v2/a/b.go").as_deref(), Some("go/v2/a/b.go"));
        for outside in [
            "/home/ci/api2/a.go",
            "/home/ci/api/../b.go",
            "/home/ci/api//b.go",
            "/home/ci/api",
            "ex.com/api/v2@v2.0.1/a.go",
            "ex.com/api/v20/a.go",
            "net/http/server.go",
            "",
        ] {
            assert_eq!(path(outside), None, "{outside}");
        }
        assert_eq!(Roots::default().relative("/a.go"), None);
    }
}
