//! Who owns a function's code, and which frame of a stack the user looks for.

use std::borrow::Cow;
use std::sync::{Mutex, PoisonError};

use rustc_hash::FxHashMap;

use super::lore::{self, Lore};
use super::owner::{Code, Owner};
use crate::snapshot::{Begins, Layer, Module, RuntimeInfo, Snapshot};

/// The modules that the program of one runtime was built from, the main one first.
#[derive(Debug, Clone, Copy)]
pub struct Modules<'a> {
    list: &'a [Module],
    lore: &'static Lore,
}

impl<'a> Modules<'a> {
    fn of(info: &'a RuntimeInfo) -> Self {
        Modules { list: &info.modules, lore: lore::of(&info.name) }
    }

    /// The main module.
    pub fn first(self) -> Option<&'a Module> {
        self.list.first()
    }
}

/// The module that a package belongs to: the one with the longest path that is a prefix of the package's. The
/// main package belongs to the first module, which is the program itself. None for the standard library, and if
/// the program's modules are not known.
pub fn module_of<'a>(modules: Modules<'a>, package: &str) -> Option<&'a Module> {
    let names = &modules.lore.packages;
    if package == names.main && !package.is_empty() {
        return modules.first();
    }
    let owns = |module: &&Module| names.is_below(package, &module.path);
    modules.list.iter().filter(owns).max_by_key(|module| module.path.len())
}

/// Whether a package belongs to a dependency, rather than to the program itself or to the standard library.
/// None if the modules are not known.
pub fn is_third_party(snapshot: &Snapshot, runtime: &str, package: &str) -> Option<bool> {
    let modules = modules(snapshot, runtime);
    let main = modules.first()?;
    Some(module_of(modules, package).is_some_and(|module| module != main))
}

/// The modules of the runtime with this name.
pub fn modules<'a>(snapshot: &'a Snapshot, runtime: &str) -> Modules<'a> {
    let named = |info: &&RuntimeInfo| info.name == runtime;
    let none = Modules { list: &[], lore: lore::of(runtime) };
    snapshot.header.runtimes.iter().find(named).map_or(none, Modules::of)
}

/// Tells whose code is whose in one program. A package is looked at once.
///
/// The build information of the program decides, and what the reader of the runtime says of the function.
/// Without build information (dumps, builds without modules), the path of the main package decides, then the
/// paths of source files. All other code counts as the program's own.
#[derive(Debug, Default)]
pub struct Owners {
    /// How the runtimes name packages.
    lores: Vec<&'static Lore>,
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
            let modules = Modules::of(info);
            let main = main_module(info, modules);
            owners.programs.extend(main.map(|module| module.path.clone()));
            let others = info.modules.iter().filter(|&module| Some(module) != main);
            owners.others.extend(others.map(|module| module.path.clone()));
            let names = &modules.lore.packages;
            let package =
                info.module.as_deref().filter(|&package| main.is_none() && package != names.main_of_files);
            owners
                .programs
                .extend(package.and_then(|package| (names.module_of_main)(package)).map(str::to_owned));
            if !owners.lores.iter().any(|lore| std::ptr::eq(*lore, modules.lore)) {
                owners.lores.push(modules.lore);
            }
        }
        if owners.programs.is_empty() {
            owners.programs.extend(owners.module_by_source(snapshot).map(str::to_owned));
        }
        owners
    }

    /// The owner of this code.
    pub fn of(&self, code: Code<'_>) -> Owner {
        let mut packages = self.packages.lock().unwrap_or_else(PoisonError::into_inner);
        let owner = match packages.get(code.package) {
            Some(&known) => known,
            None => *packages.entry(code.package.into()).or_insert(self.of_package(code.package)),
        };
        match (owner, code.role.layer) {
            (Some(Owner::Program), _) => Owner::Program,
            (_, Layer::Standard) => Owner::Standard,
            (_, Layer::Base | Layer::Lock | Layer::Machinery) => Owner::Below,
            (Some(owner), Layer::Application) => owner,
            (None, Layer::Application) => self.of_file(code),
        }
    }

    /// The frame that the user looks for, as its position in a stack given from the innermost outwards: the
    /// innermost of the program's own code, else of its dependencies, else of what programs call in the
    /// standard library. If a stack has none of these: the innermost frame that is not the runtime's machinery;
    /// for the runtime's own tasks, the function that they were started with.
    pub fn user_frame<'c>(&self, stack: impl Iterator<Item = Code<'c>>) -> Option<usize> {
        let mut best: Option<(Owner, usize)> = None;
        // The innermost frame that says more than that a task is parked, and the outermost frame.
        let (mut telling, mut outermost) = (None, None);
        for (at, code) in stack.enumerate() {
            match self.of(code) {
                Owner::Program => return Some(at),
                Owner::Below => {
                    let (unnamed, role) = (code.function.is_empty(), code.role);
                    if telling.is_none() && !unnamed && role.layer != Layer::Machinery {
                        telling = Some(at);
                    }
                    if outermost.is_none() || !unnamed && role.begins != Begins::Task {
                        outermost = Some(at);
                    }
                }
                owner if best.is_none_or(|(than, _)| owner < than) => best = Some((owner, at)),
                _ => {}
            }
        }
        best.map(|(_, at)| at).or(telling).or(outermost)
    }

    /// The naming rules for packages: those of the runtimes, and of native code, which any program may have.
    fn lores(&self) -> impl Iterator<Item = &'static Lore> {
        self.lores.iter().copied().chain([&lore::tokio::LORE])
    }

    /// The owner by the package alone.
    fn of_package(&self, package: &str) -> Option<Owner> {
        if let Some(owner) = self.lores().find_map(|lore| (lore.packages.owner)(package)) {
            return Some(owner);
        }
        let plain = |package: Cow<'_, str>, lore: &Lore| (lore.packages.plain)(&package).into_owned().into();
        let package: Cow<'_, str> =
            self.lores.iter().fold(package.into(), |package, lore| plain(package, lore));
        let is_below = |path: &&String| self.lores().any(|lore| lore.packages.is_below(&package, path));
        let longest = |paths: &[String]| paths.iter().filter(is_below).map(String::len).max();
        let other = longest(&self.others);
        match longest(&self.programs) {
            Some(own) if other.is_none_or(|other| other < own) => Some(Owner::Program),
            _ => other.map(|_| Owner::ThirdParty),
        }
    }

    /// Who owns a function of the program or a library, if its package does not tell.
    fn of_file(&self, code: Code<'_>) -> Owner {
        if let Some(owner) = self.lores().find_map(|lore| (lore.packages.owner_by_file)(&code)) {
            return owner;
        }
        if self.programs.is_empty() || code.package.is_empty() { Owner::Program } else { Owner::ThirdParty }
    }

    /// The most probable main module, from where the source of the main package is.
    fn module_by_source<'a>(&self, snapshot: &'a Snapshot) -> Option<&'a str> {
        let code = &snapshot.code;
        self.lores.iter().map(|lore| &lore.packages).filter(|names| !names.main.is_empty()).find_map(
            |names| {
                let in_main = |id: crate::snapshot::FunctionId| {
                    let function = code.functions.get(id.index());
                    function.is_some_and(|function| snapshot.str(function.package) == names.main)
                };
                let mut frames = code.locations.iter().flat_map(|location| &location.frames);
                let frame = frames.find(|frame| in_main(frame.function))?;
                (names.main_by_source)(snapshot.str(frame.file)).and_then(names.module_of_main)
            },
        )
    }
}

/// The main module: the one with the main package. A program that was built from single files does not list it.
fn main_module<'a>(info: &'a RuntimeInfo, modules: Modules<'a>) -> Option<&'a Module> {
    // The main package of a test is named after what it tests.
    let suffix = modules.lore.packages.main_of_test;
    match info.module.as_deref() {
        None => modules.first(),
        Some(path) => module_of(modules, path.strip_suffix(suffix).unwrap_or(path)),
    }
}

#[cfg(test)]
#[path = "modules/tests.rs"]
mod tests;
