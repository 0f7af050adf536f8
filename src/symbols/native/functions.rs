//! The functions of an image, by its symbols.

use super::NativeFunction;
use crate::process::{Image, Symbols};

/// `STT_FUNC` and `STT_GNU_IFUNC` (elf.h).
const FUNCTION_KINDS: [u8; 2] = [2, 10];

/// The functions of an image: those of its symbol table, and its dynamic symbols.
#[derive(Debug)]
pub(super) struct Functions {
    tables: [Table; 2],
}

/// One symbol table with its functions in order of address.
#[derive(Debug, Default)]
struct Table {
    symbols: Symbols,
    /// Addresses with indexes into `symbols`.
    order: Vec<(u64, u32)>,
}

impl Functions {
    pub(super) fn load(image: &Image) -> Functions {
        let (all, offered) = (image.symbols(), image.dynamic_symbols());
        Functions { tables: [all, offered].map(|symbols| Table::new(symbols.unwrap_or_default())) }
    }

    /// The function whose code contains an address.
    pub(super) fn at(&self, address: u64) -> Option<NativeFunction> {
        self.tables.iter().find_map(|table| table.at(address))
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
            .min_by_key(|(size, name)| (*size, name.starts_with('_'), name.len(), *name))?
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

/// A name as in the source, if Rust's compiler made it.
fn demangled(name: &str) -> String {
    rustc_demangle::try_demangle(name).map_or_else(|_| name.to_owned(), |name| format!("{name:#}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        assert_eq!(without_version("pause@@GLIBC_2.2.5"), "pause");
        assert_eq!(without_version("@plt"), "@plt");
        assert_eq!(demangled("pause"), "pause");
        assert_eq!(demangled("_ZN4core3fmt9Formatter3pad17h0123456789abcdefE"), "core::fmt::Formatter::pad");
    }
}
