//! Whose code a function is, and which frame of a stack a person looks for.

use std::sync::{Mutex, PoisonError};

use rustc_hash::FxHashMap;

use crate::snapshot::{Module, RuntimeInfo, Snapshot};

/// The module that a package belongs to: the one with the longest path that the package's begins with.
/// The package "main" belongs to the first, which is the program itself. None for the standard library,
/// and where the modules of the program are not known.
pub fn module_of<'a>(modules: &'a [Module], package: &str) -> Option<&'a Module> {
    if package == "main" {
        return modules.first();
    }
    let owns = |module: &&Module| is_below(package, &module.path);
    modules.iter().filter(owns).max_by_key(|module| module.path.len())
}

/// Is a package that of this path, or below it?
fn is_below(package: &str, path: &str) -> bool {
    let rest = package.strip_prefix(path);
    !path.is_empty() && rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Does a package belong to a module that the program depends on, rather than to the program itself or to
/// the standard library? None where the modules are not known.
pub fn is_third_party(snapshot: &Snapshot, runtime: &str, package: &str) -> Option<bool> {
    let modules = modules(snapshot, runtime);
    let main = modules.first()?;
    Some(module_of(modules, package).is_some_and(|module| module != main))
}

/// The modules of the runtime with this name.
pub fn modules<'a>(snapshot: &'a Snapshot, runtime: &str) -> &'a [Module] {
    let named = |info: &&RuntimeInfo| info.name == runtime;
    snapshot.header.runtimes.iter().find(named).map_or(&[], |info| &info.modules)
}

/// Whose code a function is, the program's own first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Owner {
    /// Of the program itself: the packages of its main module.
    Program,
    /// Of a module that the program depends on.
    ThirdParty,
    /// Of the standard library, where it does something that a program asks for by name.
    Standard,
    /// Of what all that stands on: locks, files, the network, the runtime; and foreign code.
    Below,
}

/// What is known of the function of a frame. Empty texts: unknown.
#[derive(Debug, Clone, Copy, Default)]
pub struct Code<'a> {
    /// Its full name.
    pub function: &'a str,
    /// The package or module part of the name.
    pub package: &'a str,
    /// Its source file.
    pub file: &'a str,
}

/// Tells whose code is whose in one program. A package is looked at once.
///
/// The build information of the program decides. Where that is missing (dumps, builds without modules),
/// the path of the main package does, then what source files say of themselves; what is left is taken for
/// the program's own.
#[derive(Debug, Default)]
pub struct Owners {
    /// Paths of main modules: there may be several runtimes.
    programs: Vec<String>,
    /// Paths of the modules that they depend on.
    others: Vec<String>,
    /// Owners of packages. None: the file decides.
    packages: Mutex<FxHashMap<Box<str>, Option<Owner>>>,
}

impl Owners {
    /// For the code of a snapshot.
    pub fn new(snapshot: &Snapshot) -> Self {
        let mut owners = Owners::default();
        for info in &snapshot.header.runtimes {
            let main = main_module(info);
            owners.programs.extend(main.map(|module| module.path.clone()));
            let others = info.modules.iter().filter(|&module| Some(module) != main);
            owners.others.extend(others.map(|module| module.path.clone()));
            let package = info.module.as_deref().filter(|&package| main.is_none() && package != NO_PACKAGE);
            owners.programs.extend(package.and_then(root).map(str::to_owned));
        }
        if owners.programs.is_empty() {
            owners.programs.extend(main_directory(snapshot).and_then(root).map(str::to_owned));
        }
        owners
    }

    /// Whose code it is.
    pub fn of(&self, code: Code<'_>) -> Owner {
        let mut packages = self.packages.lock().unwrap_or_else(PoisonError::into_inner);
        let owner = match packages.get(code.package) {
            Some(&known) => known,
            None => *packages.entry(code.package.into()).or_insert(self.of_package(code.package)),
        };
        owner.unwrap_or_else(|| self.of_file(code))
    }

    /// The frame that a person looks for, as its position in a stack given from the innermost outwards:
    /// the innermost of the program's own code, else of modules that it depends on, else of what programs
    /// call in the standard library. Of stacks that have nothing of all that, it is the innermost that is
    /// not the runtime's machinery; of the runtime's own tasks, what they were started with.
    pub fn user_frame<'c>(&self, stack: impl Iterator<Item = Code<'c>>) -> Option<usize> {
        let mut best: Option<(Owner, usize)> = None;
        // The innermost frame that says more than that something is parked, and the outermost of all.
        let (mut telling, mut outermost) = (None, None);
        for (at, code) in stack.enumerate() {
            match self.of(code) {
                Owner::Program => return Some(at),
                Owner::Below => {
                    if telling.is_none() && !is_machinery(code) {
                        telling = Some(at);
                    }
                    if outermost.is_none() || !is_start(code.function) {
                        outermost = Some(at);
                    }
                }
                owner if best.is_none_or(|(than, _)| owner < than) => best = Some((owner, at)),
                _ => {}
            }
        }
        best.map(|(_, at)| at).or(telling).or(outermost)
    }

    /// What the package alone says.
    fn of_package(&self, package: &str) -> Option<Owner> {
        if package == "main" || package.starts_with("plugin/") {
            return Some(Owner::Program);
        }
        if package.contains("/vendor/") {
            return Some(Owner::ThirdParty);
        }
        // Tests from outside of a package, and dots in the last element of a path.
        let package = package.strip_suffix("_test").unwrap_or(package).replace("%2e", ".");
        let longest = |paths: &[String]| {
            paths.iter().filter(|path| is_below(&package, path)).map(|path| path.len()).max()
        };
        let other = longest(&self.others);
        match longest(&self.programs) {
            Some(own) if other.is_none_or(|other| other < own) => Some(Owner::Program),
            _ if package.is_empty() => None,
            _ => standard(&package).or(other.map(|_| Owner::ThirdParty)),
        }
    }

    /// What a function without a telling package is.
    fn of_file(&self, code: Code<'_>) -> Owner {
        // A path of Rust that begins with a type: "<tokio::net::TcpStream as ...>::poll".
        let path = code.function.trim_start_matches(['<', '&', '(']);
        if code.package.is_empty() {
            if !path.contains("::") && !code.file.ends_with(".go") {
                return Owner::Below;
            }
            if let Some(owner) = standard(path) {
                return owner;
            }
        }
        if ["/pkg/mod/", "/vendor/", "/.cargo/"].iter().any(|part| code.file.contains(part))
            || code.file.split('/').any(|part| part.contains("@v"))
        {
            Owner::ThirdParty
        } else if code.file.starts_with("/rustc/") {
            Owner::Below
        } else if self.programs.is_empty() || code.package.is_empty() || code.package.contains("::") {
            Owner::Program
        } else {
            Owner::ThirdParty
        }
    }
}

/// What Go calls a program that was built from files and not from a package.
const NO_PACKAGE: &str = "command-line-arguments";

/// The main module: the one with the main package. It is not among the modules of a program that was built
/// from single files.
fn main_module(info: &RuntimeInfo) -> Option<&Module> {
    // The main package of a test is named after what it tests.
    match info.module.as_deref() {
        None => info.modules.first(),
        Some(path) => module_of(&info.modules, path.strip_suffix(".test").unwrap_or(path)),
    }
}

/// What is most probably the module of a main package: what is above "cmd", or else the repository.
fn root(package: &str) -> Option<&str> {
    let package = package.strip_suffix(".test").unwrap_or(package);
    let part = |n: usize| {
        let end = package.match_indices('/').nth(n - 1).map_or(package.len(), |(at, _)| at);
        package.get(..end).filter(|part| !part.is_empty())
    };
    let host = part(1)?;
    let above = package.find("/cmd/").or_else(|| package.ends_with("/cmd").then(|| package.len() - 4));
    match (host, above) {
        (_, Some(end)) => package.get(..end),
        (host, _) if standard(host).is_some() || host == "main" => None,
        ("github.com" | "gitlab.com" | "bitbucket.org" | "golang.org", _) => part(3),
        (host, _) if host.contains('.') => part(2),
        _ => Some(host),
    }
}

/// The path of the main package, from where its source is: in a GOPATH, or trimmed to the path itself.
fn main_directory(snapshot: &Snapshot) -> Option<&str> {
    let frames = snapshot.code.locations.iter().flat_map(|location| &location.frames);
    let in_main = |id: crate::snapshot::FunctionId| {
        snapshot
            .code
            .functions
            .get(id.index())
            .is_some_and(|function| snapshot.str(function.package) == "main")
    };
    let frame = frames.into_iter().find(|frame| in_main(frame.function))?;
    let (directory, _) = snapshot.str(frame.file).rsplit_once('/')?;
    match directory.rfind("/src/") {
        Some(at) => directory.get(at + 5..),
        None => (!directory.starts_with('/')).then_some(directory),
    }
    .filter(|path| path.split('/').next().is_some_and(|host| host.contains('.')))
}

/// Functions that only say that something is parked: whoever called them knows for what.
fn is_machinery(code: Code<'_>) -> bool {
    code.function.is_empty()
        || code.package == "runtime"
        || code.package.starts_with("internal/runtime/")
        || code.package.starts_with("runtime/internal/")
        || code.function.contains(".runtime_")
}

/// Functions that every task or thread begins with.
fn is_start(function: &str) -> bool {
    matches!(function, "" | "runtime.goexit" | "runtime.mstart" | "runtime.mcall" | "runtime.systemstack")
}

/// First elements of the paths of Go's standard library, which no module may begin with.
const STANDARD: &[&str] = &[
    "archive",
    "arena",
    "bufio",
    "builtin",
    "bytes",
    "cmp",
    "compress",
    "container",
    "context",
    "crypto",
    "database",
    "debug",
    "embed",
    "encoding",
    "errors",
    "expvar",
    "flag",
    "fmt",
    "go",
    "hash",
    "html",
    "image",
    "index",
    "internal",
    "io",
    "iter",
    "log",
    "maps",
    "math",
    "mime",
    "net",
    "os",
    "path",
    "plugin",
    "reflect",
    "regexp",
    "runtime",
    "slices",
    "sort",
    "strconv",
    "strings",
    "structs",
    "sync",
    "syscall",
    "testing",
    "text",
    "time",
    "type",
    "unicode",
    "unique",
    "unsafe",
    "vendor",
    "weak",
];

/// Packages of standard libraries below what programs call.
const BELOW: &[&str] =
    &["bufio", "context", "crypto/tls", "io", "net", "os", "runtime", "sync", "syscall", "time", "type"];

/// Whose a package of a standard library is: Go's, or that of Rust and its most usual runtime. None: it is
/// of neither.
fn standard(package: &str) -> Option<Owner> {
    if let Some((root, _)) = package.split_once("::").or(Some((package, "")))
        && matches!(root, "std" | "core" | "alloc" | "tokio")
    {
        return Some(Owner::Below);
    }
    let root = package.split('/').next().unwrap_or(package);
    STANDARD.contains(&root).then(|| {
        let below = BELOW.contains(&package) || matches!(root, "internal" | "runtime" | "sync");
        if below { Owner::Below } else { Owner::Standard }
    })
}

#[cfg(test)]
#[path = "modules/tests.rs"]
mod tests;
