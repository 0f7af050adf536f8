//! What a program is called.

use crate::analysis::lore;
use crate::snapshot::Header;

/// The name of a program, and whether it is a test binary: then the name is that of the tested package.
///
/// It is the path of the main package where the program says it, and the name of the executable otherwise.
pub fn program_of(header: &Header) -> (String, bool) {
    for runtime in &header.runtimes {
        let Some(path) = runtime.module.as_deref().filter(|path| !path.is_empty()) else { continue };
        let names = &lore::of(&runtime.name).packages;
        if path == names.main_of_files {
            continue;
        }
        let tested = path.strip_suffix(names.main_of_test).filter(|_| !names.main_of_test.is_empty());
        return (tested.unwrap_or(path).to_owned(), tested.is_some());
    }
    let name = header.target.name.as_str();
    match name.strip_suffix(".test").filter(|name| !name.is_empty()) {
        Some(tested) => (tested.to_owned(), true),
        None => (name.to_owned(), false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::RuntimeInfo;

    #[test]
    fn programs_are_named_by_their_package() {
        let program = |module: Option<&str>, name: &str| {
            let mut header = Header::default();
            header.target.name = name.to_owned();
            header.runtimes.push(RuntimeInfo {
                name: "go".to_owned(),
                module: module.map(str::to_owned),
                ..RuntimeInfo::default()
            });
            program_of(&header)
        };
        assert_eq!(program(Some("ex.com/api.test"), "api.test"), ("ex.com/api".to_owned(), true));
        assert_eq!(program(Some("ex.com/api/cmd/server"), "x"), ("ex.com/api/cmd/server".to_owned(), false));
        assert_eq!(program(Some("command-line-arguments"), "x"), ("x".to_owned(), false));
        assert_eq!(program(None, "pkg.test"), ("pkg".to_owned(), true));
    }
}
