//! Go toolchains, and fixtures built with them.

use std::collections::hash_map::DefaultHasher;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::{env, io};

/// A Go installation.
#[derive(Debug, Clone)]
pub struct Toolchain {
    /// Its go command.
    pub go: PathBuf,
    /// As asked for: "1.27".
    pub version: String,
    /// As it calls itself: "go1.27.3".
    pub full_version: String,
}

impl Toolchain {
    /// The toolchain of a version like "1.27".
    ///
    /// # Panics
    /// If it is not here, saying how to get it.
    pub fn get(version: &str) -> Toolchain {
        let candidates = [from_environment(version), from_target(version), Some(PathBuf::from("go"))];
        for go in candidates.into_iter().flatten() {
            if let Some(full_version) = ask_version(&go)
                && is_release_of(&full_version, version)
            {
                return Toolchain { go, version: version.to_owned(), full_version };
            }
        }
        panic!(
            "no Go {version} here: run `scripts/toolchains` (oldest and newest version) or \
             `scripts/toolchains all`, or name the go command in {}",
            variable(version)
        );
    }

    /// Runs `go tool pprof`. Newer toolchains build it when it is first asked for.
    pub fn pprof(&self, arguments: &[&OsStr]) -> Output {
        let cache = target_dir().join("fixtures");
        Command::new(&self.go)
            .args(["tool", "pprof"])
            .args(arguments)
            .env("GOENV", "off")
            .env("GOTOOLCHAIN", "local")
            .env("GOPROXY", "off")
            .env("GOPATH", cache.join("gopath"))
            .env("GOCACHE", cache.join("gocache"))
            .env("PPROF_TMPDIR", &cache)
            .env_remove("GOROOT")
            .env_remove("PPROF_BINARY_PATH")
            .stdin(Stdio::null())
            .output()
            .expect("go can be started")
    }

    /// 27 of "1.27".
    pub fn minor(&self) -> u32 {
        self.version.split('.').nth(1).and_then(|minor| minor.parse().ok()).expect("version is 1.x")
    }
}

fn variable(version: &str) -> String {
    format!("LOITER_GO_{}", version.replace('.', "_"))
}

fn from_environment(version: &str) -> Option<PathBuf> {
    env::var_os(variable(version)).map(PathBuf::from)
}

fn from_target(version: &str) -> Option<PathBuf> {
    let mut names: Vec<_> = fs::read_dir(target_dir().join("toolchains"))
        .ok()?
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| is_release_of(name, version))
        .collect();
    names.sort();
    Some(target_dir().join("toolchains").join(names.pop()?).join("bin/go"))
}

/// "go1.27.3" and "go1.27" are releases of "1.27", "go1.2" and "go1.270" are not.
fn is_release_of(name: &str, version: &str) -> bool {
    name.strip_prefix("go")
        .and_then(|name| name.strip_prefix(version))
        .is_some_and(|rest| !rest.starts_with(|c: char| c.is_ascii_digit()))
}

fn ask_version(go: &Path) -> Option<String> {
    let output = Command::new(go).env("GOTOOLCHAIN", "local").args(["env", "GOVERSION"]).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Which program to build.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Program {
    /// Every subject, chosen by argument.
    Fixtures,
    /// Imports almost nothing and speaks no protocol.
    Tiny,
    /// Serves its profiles over HTTP.
    Served,
    /// Has a page that does not come.
    Lazy,
    /// Burns CPU in known functions.
    Burners,
    /// Burns CPU, waits, and writes its own profiles into a directory.
    Profiled,
    /// Waits with known actors.
    Actors,
    /// Waits for others as a plan says.
    Why,
    /// The well-known leaks and their repaired twins; says "ready" and nothing else.
    Leaks,
    /// Ends as it is told to, and leaves goroutines behind.
    Gate,
    /// Waits for descriptors, system calls, timers and contexts, and says for which.
    Waiting,
}

impl Program {
    /// The directory of its module.
    fn module(self) -> PathBuf {
        let directory = match self {
            Program::Fixtures | Program::Tiny | Program::Served | Program::Lazy => "go",
            Program::Actors => "actors",
            Program::Why => "why",
            Program::Leaks => "leaks",
            Program::Waiting => "waiting",
            Program::Gate => "gate",
            Program::Burners => "burners",
            Program::Profiled => "profiled",
        };
        Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(directory)
    }
}

/// How to build it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flavour {
    /// Static, with symbols and DWARF.
    Plain,
    /// Neither symbols nor DWARF.
    Stripped,
    /// Position independent.
    Pie,
    /// Both.
    PieStripped,
    /// With C code, dynamically linked.
    Cgo,
    /// The same without symbols.
    CgoStripped,
    /// With C code and position independent, as distributions build.
    CgoPie,
    /// With C code, linked by Go's own linker, as is done for programs whose only C code is that of
    /// the standard library. Not one of `ALL`.
    CgoInternal,
    /// Without the paths of the machine it was built on.
    Trimpath,
    /// For 32-bit x86. Not one of `ALL`: loiter does not read it.
    X86_32,
}

impl Flavour {
    /// Every flavour of the matrix.
    pub const ALL: [Flavour; 8] = [
        Flavour::Plain,
        Flavour::Stripped,
        Flavour::Pie,
        Flavour::PieStripped,
        Flavour::Cgo,
        Flavour::CgoStripped,
        Flavour::CgoPie,
        Flavour::Trimpath,
    ];

    /// Those of the quick runs.
    pub const QUICK: [Flavour; 3] = [Flavour::Plain, Flavour::Stripped, Flavour::PieStripped];

    /// It holds C code.
    pub fn is_cgo(self) -> bool {
        matches!(self, Flavour::Cgo | Flavour::CgoStripped | Flavour::CgoPie | Flavour::CgoInternal)
    }

    fn arguments(self) -> &'static [&'static str] {
        match self {
            Flavour::Plain | Flavour::Cgo | Flavour::X86_32 => &[],
            Flavour::Stripped | Flavour::CgoStripped => &["-ldflags=-s -w"],
            Flavour::CgoInternal => &["-ldflags=-linkmode=internal"],
            Flavour::Pie | Flavour::CgoPie => &["-buildmode=pie"],
            Flavour::PieStripped => &["-buildmode=pie", "-ldflags=-s -w"],
            Flavour::Trimpath => &["-trimpath"],
        }
    }
}

/// The built program; builds it if this source has not been built like this before. Tests in other
/// threads and processes may ask for the same at the same time.
pub fn build(toolchain: &Toolchain, program: Program, flavour: Flavour) -> PathBuf {
    let (source, package) = match program {
        Program::Fixtures => ("fixtures", "."),
        Program::Tiny => ("tiny", "./tiny"),
        Program::Actors => ("actors", "."),
        Program::Why => ("why", "."),
        Program::Leaks => ("leaks", "."),
        Program::Waiting => ("waiting", "."),
        Program::Gate => ("gate", "."),
        Program::Burners => ("burners", "."),
        Program::Profiled => ("profiled", "."),
        Program::Served => ("served", "./served"),
        Program::Lazy => ("lazy", "./lazy"),
    };
    let module = program.module();
    let mut hasher = DefaultHasher::new();
    hash_sources(&module, &mut hasher).expect("the sources of the fixtures can be read");
    // The directory too: programs hold the paths of their sources.
    (&module, &toolchain.full_version, flavour.arguments(), flavour.is_cgo()).hash(&mut hasher);
    let name = format!("{source}-{}-{flavour:?}-{:016x}", toolchain.full_version, hasher.finish());

    let cache = target_dir().join("fixtures");
    fs::create_dir_all(&cache).expect("target/fixtures can be made");
    let binary = cache.join(&name);
    if binary.exists() {
        return binary;
    }
    let lock = File::create(cache.join(format!("{name}.lock"))).expect("a lock file can be made");
    lock.lock().expect("a lock file can be locked");
    if !binary.exists() {
        let unfinished = cache.join(format!("{name}.new"));
        run_build(toolchain, &module, package, flavour, &cache, &unfinished);
        fs::rename(&unfinished, &binary).expect("the built program can be renamed");
    }
    binary
}

fn run_build(
    toolchain: &Toolchain,
    module: &Path,
    package: &str,
    flavour: Flavour,
    cache: &Path,
    output: &Path,
) {
    let modfile = modfile_for(toolchain, module, cache);
    let result = Command::new(&toolchain.go)
        .current_dir(module)
        .arg("build")
        .arg("-modfile")
        .arg(&modfile)
        .args(["-buildvcs=false", "-o"])
        .arg(output)
        .args(flavour.arguments())
        .arg(package)
        // Nothing of the user's own set-up, nothing from a network.
        .env("GOENV", "off")
        .env("GOTOOLCHAIN", "local")
        .env("GOPROXY", "off")
        .env("GOWORK", "off")
        .env("GOFLAGS", "-mod=mod")
        .env("GOPATH", cache.join("gopath"))
        .env("GOCACHE", cache.join("gocache"))
        .env("CGO_ENABLED", if flavour.is_cgo() { "1" } else { "0" })
        .env("GOARCH", if flavour == Flavour::X86_32 { "386" } else { "amd64" })
        .env_remove("GOROOT")
        .env_remove("GOEXPERIMENT")
        .env_remove("GODEBUG")
        .stdin(Stdio::null())
        .output()
        .expect("go can be started");
    assert!(
        result.status.success(),
        "{} build of {package} as {flavour:?}:\n{}",
        toolchain.full_version,
        String::from_utf8_lossy(&result.stderr)
    );
}

/// The go.mod says 1.19 so that every version takes it. Built like that, a newer Go would imitate
/// the old one's defaults; real programs say their own version.
fn modfile_for(toolchain: &Toolchain, module: &Path, cache: &Path) -> PathBuf {
    let text = fs::read_to_string(module.join("go.mod")).expect("the fixtures' go.mod");
    let name = module.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let path = cache.join(format!("{name}-{}.mod", toolchain.version));
    // A name of its own: tests in other threads and processes do the same.
    let unfinished = tempfile::NamedTempFile::new_in(cache).expect("a temporary go.mod");
    fs::write(&unfinished, text.replace("go 1.19", &format!("go {}", toolchain.version))).expect("go.mod");
    unfinished.persist(&path).expect("go.mod can be renamed");
    path
}

pub(super) fn hash_sources(dir: &Path, hasher: &mut DefaultHasher) -> io::Result<()> {
    let mut entries: Vec<_> = fs::read_dir(dir)?.collect::<io::Result<_>>()?;
    entries.sort_by_key(|entry| entry.file_name());
    for entry in entries {
        entry.file_name().hash(hasher);
        if entry.file_type()?.is_dir() {
            hash_sources(&entry.path(), hasher)?;
        } else {
            fs::read(entry.path())?.hash(hasher);
        }
    }
    Ok(())
}

/// Cargo's target directory, wherever it was told to have it.
pub fn target_dir() -> PathBuf {
    let tmp = Path::new(env!("CARGO_TARGET_TMPDIR"));
    tmp.parent().expect("target/tmp has a parent").to_owned()
}
