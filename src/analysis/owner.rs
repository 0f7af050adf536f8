//! Which module a piece of code belongs to.

use crate::snapshot::{Module, RuntimeInfo, Snapshot};

/// The module that a package belongs to: the one with the longest path that the package's begins with.
/// The package "main" belongs to the first, which is the program itself. None for the standard library,
/// and where the modules of the program are not known.
pub fn module_of<'a>(modules: &'a [Module], package: &str) -> Option<&'a Module> {
    if package == "main" {
        return modules.first();
    }
    let owns = |module: &&Module| {
        let rest = package.strip_prefix(module.path.as_str());
        !module.path.is_empty() && rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    modules.iter().filter(owns).max_by_key(|module| module.path.len())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_path_owns() {
        let module = |path: &str| Module { path: path.to_owned(), version: "v1.0.0".to_owned() };
        let modules = ["ex.com/api", "ex.com/lib", "ex.com/lib/v2", "ex.com/lib/sub"].map(module);
        let owner = |package| module_of(&modules, package).map(|m| m.path.as_str());
        assert_eq!(owner("main"), Some("ex.com/api"));
        assert_eq!(owner("ex.com/api/internal/fetch"), Some("ex.com/api"));
        assert_eq!(owner("ex.com/lib"), Some("ex.com/lib"));
        assert_eq!(owner("ex.com/lib/sub/x"), Some("ex.com/lib/sub"));
        assert_eq!(owner("ex.com/library"), None);
        assert_eq!(owner("net/http"), None);
        assert_eq!(module_of(&[], "main"), None);
    }
}
