//! Where the sources are in a repository.

use std::env;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use crate::report::roots::Roots;

/// Directories above the working directory that are looked at.
const MAX_LEVELS: usize = 64;
/// A larger go.mod is left alone, bytes.
const MAX_FILE: u64 = 1 << 20;

/// The repository of the working directory, and the Go module there. `go test` runs a package's tests in its folder.
pub(super) fn roots() -> Roots {
    env::current_dir().map(|directory| roots_of(&directory)).unwrap_or_default()
}

fn roots_of(directory: &Path) -> Roots {
    let above = || directory.ancestors().take(MAX_LEVELS);
    // In a worktree or a submodule it is a file.
    let Some(root) = above().find(|directory| directory.join(".git").exists()) else {
        return Roots::default();
    };
    let mut modules = above().take_while(|directory| directory.starts_with(root));
    let module = modules.find_map(|directory| {
        let path = module_of(&directory.join("go.mod"))?;
        let inside = directory.strip_prefix(root).ok()?.to_str()?;
        Some((path, inside.to_owned()))
    });
    Roots { repository: root.to_str().map(str::to_owned), module }
}

/// The path of the module that a go.mod names.
fn module_of(path: &Path) -> Option<String> {
    let file = File::options().read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY).open(path).ok()?;
    if !file.metadata().ok()?.is_file() {
        return None;
    }
    let mut text = String::new();
    file.take(MAX_FILE).read_to_string(&mut text).ok()?;
    let line = text.lines().find_map(|line| line.trim().strip_prefix("module"))?;
    let line = line.split("//").next().filter(|rest| rest.starts_with([' ', '\t', '"']))?;
    let name = line.trim().trim_matches('"');
    (!name.is_empty()).then(|| name.to_owned())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn the_repository_is_the_nearest_above() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().join("repository");
        let package = root.join("go/api/internal");
        fs::create_dir_all(&package).unwrap();
        assert_eq!(roots_of(&package).module, None);
        fs::create_dir(root.join(".git")).unwrap();
        fs::write(root.join("go/go.mod"), "// ours\nmodule ex.com/api // the name\n\ngo 1.27\n").unwrap();
        let roots = roots_of(&package);
        assert_eq!(roots.repository.as_deref(), root.to_str());
        assert_eq!(roots.module, Some(("ex.com/api".to_owned(), "go".to_owned())));
        let file = package.join("a.go");
        assert_eq!(roots.relative(file.to_str().unwrap()).as_deref(), Some("go/api/internal/a.go"));
        assert_eq!(roots.relative("ex.com/api/x/b.go").as_deref(), Some("go/x/b.go"));
        fs::write(root.join("go/go.mod"), "module \"ex.com/quoted\"\n").unwrap();
        assert_eq!(roots_of(&package).module.unwrap().0, "ex.com/quoted");
    }
}
