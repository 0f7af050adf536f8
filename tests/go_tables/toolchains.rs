//! Go toolchains and the programs built with them, for the tests of tables and layouts.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A Go toolchain.
#[derive(Debug, Clone)]
pub(crate) struct Toolchain {
    /// GOROOT.
    pub(crate) root: PathBuf,
    /// The 27 of "go1.27.3".
    pub(crate) minor: u32,
}

/// Where toolchains are looked for: `LOITER_GO_TOOLCHAINS`, else `target/toolchains`, each with
/// directories "go1.27.3" that hold a GOROOT or a `go` directory; and Debian's 1.19.
pub(crate) fn all() -> Vec<Toolchain> {
    let root = std::env::var_os("LOITER_GO_TOOLCHAINS")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("target/toolchains"), PathBuf::from);
    let inside = std::fs::read_dir(root).into_iter().flatten().flatten().map(|entry| entry.path());
    let candidates = inside.chain([PathBuf::from("/usr/lib/go-1.19")]);
    let mut found: Vec<Toolchain> = candidates
        .flat_map(|path| [path.join("go"), path])
        .filter(|root| root.join("bin/go").is_file() && root.join("src/runtime").is_dir())
        // One of them may be a link to another one.
        .filter_map(|root| {
            let root = std::fs::canonicalize(root).ok()?;
            let version = std::fs::read_to_string(root.join("VERSION")).ok()?;
            let minor =
                version.strip_prefix("go1.")?.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()?;
            Some(Toolchain { root, minor })
        })
        .collect();
    found.sort_by(|a, b| (a.minor, &a.root).cmp(&(b.minor, &b.root)));
    found.dedup_by(|a, b| a.root == b.root);
    assert!(!found.is_empty(), "no Go toolchain: see LOITER_GO_TOOLCHAINS in tests/go_tables/toolchains.rs");
    found
}

impl Toolchain {
    /// The go command, set up to use nothing but this toolchain.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(self.root.join("bin/go"));
        command.env("GOTOOLCHAIN", "local").env("GOFLAGS", "-mod=mod").env("GOROOT", &self.root);
        if std::env::var_os("GOCACHE").is_none() {
            command.env("GOCACHE", Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("fixtures/gocache"));
        }
        command
    }

    /// Builds a program of one file and returns the binary. Other tests build and read the same at the same time, so each
    /// process has its own.
    pub(crate) fn build<S: AsRef<OsStr>>(&self, source: &str, name: &str, flags: &[S]) -> PathBuf {
        let folder = format!("go_tables-{}/{name}-1.{}", std::process::id(), self.minor);
        let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(folder);
        std::fs::create_dir_all(&dir).expect("a directory to build in");
        std::fs::write(dir.join("main.go"), source).expect("the source");
        std::fs::write(dir.join("go.mod"), "module tables\n\ngo 1.19\n").expect("go.mod");
        let binary = dir.join(name);
        let mut command = self.command();
        command.current_dir(&dir).args(["build", "-o"]).arg(&binary).args(flags).arg(".");
        let output = command.output().expect("go build");
        assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
        binary
    }
}
