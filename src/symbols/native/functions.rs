//! The functions of an image, by its symbols.

use super::NativeFunction;
use crate::process::{Image, Symbols};
use crate::symbols::demangle::demangled;

/// `STT_FUNC` and `STT_GNU_IFUNC` (elf.h).
const FUNCTION_KINDS: [u8; 2] = [2, 10];

/// The vDSO's functions have the names of the C library's, too, which call them.
const VDSO: &str = "__vdso_";

/// The functions of an image: those of its symbol table, of its separate debug file, and its dynamic symbols.
#[derive(Debug)]
pub(super) struct Functions {
    tables: [Table; 3],
}

/// One symbol table with its functions in order of address.
#[derive(Debug, Default)]
struct Table {
    symbols: Symbols,
    /// Addresses with indexes into `symbols`.
    order: Vec<(u64, u32)>,
}

impl Functions {
    /// `debug`: the file with the debug information of the image, which has the symbols of a stripped image.
    pub(super) fn load(image: &Image, debug: Option<&Image>) -> Functions {
        let (all, offered) =
            (image.symbols().unwrap_or_default(), image.dynamic_symbols().unwrap_or_default());
        let stripped = debug.filter(|_| all.is_empty()).map(|debug| debug.symbols().unwrap_or_default());
        Functions { tables: [all, stripped.unwrap_or_default(), offered].map(Table::new) }
    }

    /// The function whose code contains an address.
    pub(super) fn at(&self, address: u64) -> Option<NativeFunction> {
        self.tables.iter().find_map(|table| table.at(address))
    }

    /// Whether symbols of different names begin at an address: a compiler or a linker made one function of several.
    pub(super) fn is_shared(&self, address: u64) -> bool {
        self.tables.iter().any(|table| table.is_shared(address))
    }
}

impl Table {
    fn new(symbols: Symbols) -> Table {
        let function = |index: usize| {
            let symbol = symbols.get(index).filter(|s| FUNCTION_KINDS.contains(&s.kind) && s.size > 0)?;
            Some((symbol.address, u32::try_from(index).ok()?))
        };
        let mut order: Vec<_> = (0..symbols.len()).filter_map(function).collect();
        order.sort_unstable();
        Table { symbols, order }
    }

    fn is_shared(&self, address: u64) -> bool {
        let first = self.order.partition_point(|(start, _)| *start < address);
        let here =
            self.order.get(first..).unwrap_or_default().iter().take_while(|(start, _)| *start == address);
        let mut names = here.filter_map(|(_, index)| Some(self.symbols.get(*index as usize)?.name));
        names.next().is_some_and(|one| names.any(|other| other != one))
    }

    /// The plainest of several names for a function: `pause`, not `__libc_pause`. A symbol for more than this
    /// function may begin at the same address, so size comes first.
    fn at(&self, address: u64) -> Option<NativeFunction> {
        let end = self.order.partition_point(|(start, _)| *start <= address);
        let (start, _) = *self.order.get(end.checked_sub(1)?)?;
        let first = self.order.partition_point(|(other, _)| *other < start);
        let name = self
            .order
            .get(first..end)?
            .iter()
            .filter_map(|(_, index)| self.symbols.get(*index as usize))
            .filter(|symbol| address - start < symbol.size)
            .map(|symbol| (symbol.size, without_version(symbol.name)))
            .min_by_key(|(size, name)| {
                (*size, !name.starts_with(VDSO), name.starts_with('_'), name.len(), *name)
            })?
            .1;
        Some(NativeFunction { name: demangled(name), start })
    }
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
}
