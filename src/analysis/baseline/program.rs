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

/// Whether lines for one program count for another one. Cargo ends the names of test binaries with a number that changes
/// with the versions of the compiler and of dependencies: it makes no difference.
pub(super) fn is_same(one: &str, other: &str) -> bool {
    one == other || without_number(one).is_some_and(|name| without_number(other) == Some(name))
}

/// "api" of "api-8642f442a8c10f1f".
pub(in crate::analysis) fn without_number(name: &str) -> Option<&str> {
    let (name, number) = name.rsplit_once('-')?;
    let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    (number.len() == 16 && number.bytes().all(is_digit)).then_some(name)
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

    #[test]
    fn numbers_of_cargo_make_no_difference() {
        assert!(is_same("api-8642f442a8c10f1f", "api-0123456789abcdef"));
        assert!(is_same("api", "api"));
        for other in ["api", "apis-8642f442a8c10f1f", "api-8642f442a8c10f1", "api-8642F442A8C10F1F"] {
            assert!(!is_same("api-8642f442a8c10f1f", other), "{other}");
        }
    }
}
