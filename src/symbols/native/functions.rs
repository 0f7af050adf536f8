//! The functions of an image, by its symbols.

use std::ops::Range;

use super::NativeFunction;
use crate::process::{FunctionSymbol, FunctionSymbols, Image};
use crate::symbols::demangle::demangled;

/// The vDSO's functions have the names of the C library's, too, which call them.
const VDSO: &str = "__vdso_";
/// Names of one function that are examined. A linker that makes one of many gives it the names of all.
const MAX_NAMES: usize = 4 << 10;

/// The functions of an image: those of its symbol table, of its separate debug file, and its dynamic symbols.
#[derive(Debug)]
pub(super) struct Functions {
    tables: [FunctionSymbols; 3],
}

/// What symbols say of an address.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Said {
    /// The function whose code contains it.
    pub(super) function: Option<NativeFunction>,
    /// They say the same of these addresses.
    pub(super) of: Range<u64>,
}

impl Functions {
    /// `debug`: the file with the debug information of the image, which has the symbols of a stripped image.
    pub(super) fn load(image: &Image, debug: Option<&Image>) -> Functions {
        let (all, offered) =
            (image.functions().unwrap_or_default(), image.dynamic_functions().unwrap_or_default());
        let stripped = debug.filter(|_| all.is_empty()).map(|debug| debug.functions().unwrap_or_default());
        Functions { tables: [all, stripped.unwrap_or_default(), offered] }
    }

    /// The function whose code contains an address.
    pub(super) fn at(&self, address: u64) -> Said {
        let mut said = Said { function: None, of: 0..u64::MAX };
        for table in &self.tables {
            said.function = at(table, address, &mut said.of);
            if said.function.is_some() {
                break;
            }
        }
        said
    }

    /// Whether symbols of different names begin at an address: a compiler or a linker made one function of several.
    pub(super) fn is_shared(&self, address: u64) -> bool {
        self.tables.iter().any(|table| {
            let here = table.last_before(address).0.iter().filter(|symbol| symbol.address == address);
            let mut names = here.take(MAX_NAMES).filter_map(|symbol| table.name(*symbol));
            names.next().is_some_and(|one| names.any(|other| other != one))
        })
    }
}

/// The plainest of several names for a function: `pause`, not `__libc_pause`. A symbol for more than this function may begin
/// at the same address, so size comes first. Narrows the range down to addresses with the same answer.
fn at(table: &FunctionSymbols, address: u64, of: &mut Range<u64>) -> Option<NativeFunction> {
    let (here, next) = table.last_before(address);
    of.end = next.map_or(of.end, |next| of.end.min(next));
    for symbol in here {
        of.start = of.start.max(symbol.address);
        match end(symbol) {
            end if end <= address => of.start = of.start.max(end),
            end => of.end = of.end.min(end),
        }
    }
    let size = here.iter().filter(|symbol| address < end(symbol)).map(|symbol| symbol.size).min()?;
    let names = here.iter().filter(|symbol| symbol.size == size).take(MAX_NAMES);
    let names: Vec<String> = names.filter_map(|symbol| table.name(*symbol)).collect();
    let plainest = names
        .iter()
        .map(|name| without_version(name))
        .min_by_key(|name| (!name.starts_with(VDSO), name.starts_with('_'), name.len(), *name))?;
    Some(NativeFunction { name: demangled(plainest), start: here.first()?.address })
}

fn end(symbol: &FunctionSymbol) -> u64 {
    symbol.address.saturating_add(u64::from(symbol.size))
}

/// `pause` for `pause@@GLIBC_2.2.5`.
fn without_version(name: &str) -> &str {
    match name.split_once('@') {
        Some((plain, _)) if !plain.is_empty() => plain,
        _ => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        assert_eq!(without_version("pause@@GLIBC_2.2.5"), "pause");
        assert_eq!(without_version("@plt"), "@plt");
    }

    /// The functions of the test program itself.
    #[test]
    fn what_is_said_holds_for_the_whole_range() {
        let image = Image::from_file("/proc/self/exe").unwrap();
        let functions = Functions::load(&image, None);
        let text = image.segments().unwrap().into_iter().find(|segment| segment.flags & 1 != 0).unwrap();
        let (mut address, mut named, mut unnamed) = (text.address, 0, 0);
        while address < text.address + text.memory_size && named + unnamed < 4000 {
            let said = functions.at(address);
            assert!(said.of.contains(&address), "{said:?}");
            for other in [said.of.start, said.of.start.midpoint(said.of.end), said.of.end - 1] {
                assert_eq!(functions.at(other), said, "{address:#x} {other:#x}");
            }
            *if said.function.is_some() { &mut named } else { &mut unnamed } += 1;
            address = said.of.end;
        }
        assert!(named > 1000 && unnamed > 100, "{named} {unnamed}");
    }
}
