//! The Tokio fixtures, built with a version of Tokio and as a flavour.

use std::collections::hash_map::DefaultHasher;
use std::fs::{self, File};
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::go_build::{hash_sources, target_dir};

/// The versions of Tokio that are tested, the oldest first.
pub const TOKIO_VERSIONS: [&str; 9] =
    ["1.28.2", "1.33.0", "1.34.0", "1.35.1", "1.36.0", "1.40.0", "1.44.2", "1.47.1", "1.54.1"];

/// Those of them that are tested only where `LOITER_TOKIO` asks for it.
pub const TOKIO_ASKED: [&str; 3] = ["1.33.0", "1.34.0", "1.35.1"];

/// The versions that `LOITER_TOKIO` asks for: all with `all`, or those that it names, with commas between them.
pub fn asked_versions() -> Vec<&'static str> {
    let asked = std::env::var("LOITER_TOKIO").unwrap_or_default();
    let is_asked = |version: &&str| asked == "all" || asked.split(',').any(|name| name == *version);
    TOKIO_VERSIONS.into_iter().filter(is_asked).collect()
}

/// How the fixture is built.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokioFlavour {
    /// As `cargo build` builds it.
    Dev,
    /// Optimised, with all debug information.
    Full,
    /// Optimised, with line tables only.
    Lines,
    /// Optimised, with symbols, as `cargo build --release` builds it.
    Symbols,
    /// The same with names of the newer kind (`-C symbol-mangling-version=v0`).
    V0,
    /// Without symbols.
    Stripped,
    /// Optimised as a whole, without unwinding, with all debug information.
    Fat,
    /// With Tokio's unstable features, without symbols.
    Unstable,
    /// With mimalloc instead of the C library's allocator, and code that is never moved (no PIE).
    Mimalloc,
    /// As `cargo build` builds it, with Tokio's own task dumps. Not among [`TokioFlavour::ALL`].
    Dump,
    /// As `cargo build` builds it, with the debug information in one package beside it. Not among [`TokioFlavour::ALL`].
    Packed,
    /// The same in one object for each unit. Not among [`TokioFlavour::ALL`].
    Unpacked,
    /// As `cargo build` builds it, linked with musl, which has no unwind tables. Not among [`TokioFlavour::ALL`].
    Musl,
    /// The same, optimised. Not among [`TokioFlavour::ALL`].
    MuslFull,
}

/// For programs that are linked with musl.
const MUSL: &str = "x86_64-unknown-linux-musl";

impl TokioFlavour {
    /// All flavours.
    pub const ALL: [TokioFlavour; 9] = [
        TokioFlavour::Dev,
        TokioFlavour::Full,
        TokioFlavour::Lines,
        TokioFlavour::Symbols,
        TokioFlavour::V0,
        TokioFlavour::Stripped,
        TokioFlavour::Fat,
        TokioFlavour::Unstable,
        TokioFlavour::Mimalloc,
    ];

    /// Its symbols name the type of every task: those of the older kind name none.
    pub fn names_all(self) -> bool {
        matches!(self, TokioFlavour::V0)
    }

    /// It has DWARF of types.
    pub fn has_types(self) -> bool {
        matches!(self, TokioFlavour::Dev | TokioFlavour::Full | TokioFlavour::Fat)
    }

    fn profile(self) -> &'static str {
        match self {
            TokioFlavour::Dev | TokioFlavour::Packed | TokioFlavour::Unpacked | TokioFlavour::Musl => "dev",
            TokioFlavour::Full | TokioFlavour::MuslFull => "full",
            TokioFlavour::Lines => "lines",
            TokioFlavour::Symbols => "symbols",
            TokioFlavour::V0 => "v0",
            TokioFlavour::Stripped => "stripped",
            TokioFlavour::Fat => "fat",
            TokioFlavour::Unstable => "unstable",
            TokioFlavour::Mimalloc => "mimalloc",
            TokioFlavour::Dump => "dump",
        }
    }

    /// Where its debug information is.
    fn split(self) -> &'static str {
        match self {
            TokioFlavour::Packed => "packed",
            TokioFlavour::Unpacked => "unpacked",
            _ => "off",
        }
    }

    /// CARGO_INCREMENTAL. Units of debug information have other names in an incremental build, which a dev build is if nobody
    /// says otherwise.
    fn incremental(self) -> &'static str {
        if self == TokioFlavour::Dev { "1" } else { "0" }
    }

    fn rustflags(self) -> &'static str {
        match self {
            TokioFlavour::V0 => "-Csymbol-mangling-version=v0",
            TokioFlavour::Unstable => "--cfg tokio_unstable",
            TokioFlavour::Dump => "--cfg tokio_unstable --cfg tokio_taskdump",
            _ => "",
        }
    }

    /// The kind of machine that it is built for. None: this one.
    fn machine(self) -> Option<&'static str> {
        matches!(self, TokioFlavour::Musl | TokioFlavour::MuslFull).then_some(MUSL)
    }

    /// What the compiler is told for the program alone.
    fn of_program(self) -> &'static [&'static str] {
        match self {
            TokioFlavour::Mimalloc => &["-Crelocation-model=static"],
            _ => &[],
        }
    }
}

/// The built fixture; builds it if this source has not been built like this before. Tests in other threads and
/// processes may ask for the same at the same time.
pub fn build_tokio(version: &str, flavour: TokioFlavour) -> PathBuf {
    build_fixture(("tokio", "books"), version, flavour)
}

/// The same with the program that leaks.
pub fn build_tokio_leaks(version: &str, flavour: TokioFlavour) -> PathBuf {
    build_fixture(("tokio_leaks", "planted"), version, flavour)
}

/// The same with the program whose tasks wait for descriptors.
pub fn build_tokio_sockets(version: &str, flavour: TokioFlavour) -> PathBuf {
    build_fixture(("tokio_sockets", "sockets"), version, flavour)
}

/// The same with the program that serves HTTP.
pub fn build_tokio_http(version: &str, flavour: TokioFlavour) -> PathBuf {
    build_fixture(("tokio_http", "web"), version, flavour)
}

/// The same with the program whose tasks wait in streams.
pub fn build_tokio_streams(version: &str, flavour: TokioFlavour) -> PathBuf {
    build_fixture(("tokio_streams", "streams"), version, flavour)
}

/// `folder`: where its sources are in `fixtures`. `program`: what it is called.
fn build_fixture((folder, program): (&str, &str), version: &str, flavour: TokioFlavour) -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(folder);
    let mut hasher = DefaultHasher::new();
    hash_sources(&source, &mut hasher).expect("the sources of the fixture can be read");
    // The directory too: programs hold the paths of their sources.
    (&source, flavour.rustflags(), flavour.of_program(), flavour.incremental()).hash(&mut hasher);
    let name = format!("{folder}-{version}-{flavour:?}-{:016x}", hasher.finish());
    let cache = target_dir().join("fixtures");
    let package = cache.join(format!("{folder}-{version}"));
    fs::create_dir_all(&package).expect("target/fixtures can be made");
    let binary = cache.join(&name);
    if binary.exists() {
        return binary;
    }
    // One build of a version at a time: they share the manifest, and all fixtures of a version its build of Tokio.
    let lock = File::create(cache.join(format!("tokio-{version}.lock"))).expect("a lock file can be made");
    lock.lock().expect("a lock file can be locked");
    if !binary.exists() {
        let template = fs::read_to_string(source.join("Cargo.toml.in")).expect("the fixture's manifest");
        let manifest = template.replace("@TOKIO@", version).replace("@SOURCE@", &source.to_string_lossy());
        let path = package.join("Cargo.toml");
        if fs::read_to_string(&path).ok().as_deref() != Some(&manifest) {
            fs::write(&path, manifest).expect("the manifest can be written");
        }
        let target = cache.join(format!("tokio-{version}/target"));
        let built = run_build((&package, &target), program, version, flavour).join(program);
        let package = built.with_extension("dwp");
        if flavour == TokioFlavour::Packed {
            fs::copy(&package, cache.join(format!("{name}.dwp"))).expect("the package can be copied");
        }
        let unfinished = cache.join(format!("{name}.new"));
        fs::copy(built, &unfinished).expect("the built program can be copied");
        fs::rename(&unfinished, &binary).expect("the built program can be renamed");
    }
    binary
}

/// The folder with the built program.
fn run_build(
    (package, target): (&Path, &Path),
    program: &str,
    version: &str,
    flavour: TokioFlavour,
) -> PathBuf {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["rustc", "--quiet", "--bin", program, "--profile", flavour.profile()]).current_dir(package);
    if flavour == TokioFlavour::Mimalloc {
        cargo.args(["--features", "mimalloc"]);
    }
    if flavour == TokioFlavour::Dump {
        cargo.args(["--features", "tokio/taskdump"]);
    }
    if flavour.profile() == "dev" {
        cargo.env("CARGO_PROFILE_DEV_SPLIT_DEBUGINFO", flavour.split());
    }
    if let Some(machine) = flavour.machine() {
        cargo.args(["--target", machine]);
    }
    cargo.arg("--").args(flavour.of_program());
    // Nothing of the build that this test belongs to.
    for variable in ["CARGO_ENCODED_RUSTFLAGS", "CARGO_BUILD_TARGET", "RUSTC_WRAPPER"] {
        cargo.env_remove(variable);
    }
    cargo.env("CARGO_TARGET_DIR", target).env("RUSTFLAGS", flavour.rustflags());
    cargo.env("CARGO_INCREMENTAL", flavour.incremental());
    let output = cargo.stdin(Stdio::null()).output().expect("cargo can be started");
    let said = String::from_utf8_lossy(&output.stderr);
    let hint = flavour.machine().map(|machine| format!(" (it needs: rustup target add {machine})"));
    let hint = hint.unwrap_or_default();
    assert!(output.status.success(), "tokio {version} as {flavour:?}{hint}:\n{said}");
    let folder = if flavour.profile() == "dev" { "debug" } else { flavour.profile() };
    target.join(flavour.machine().unwrap_or_default()).join(folder)
}
