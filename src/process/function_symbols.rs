//! The functions that a symbol table has, in order of address.
//!
//! Their names stay in the file until they are asked for: in a large program they have more bytes than its code.

use std::sync::Arc;

use object::LittleEndian as Le;
use object::elf;
use object::pod::slice_from_bytes;

use super::elf::{MAX_NAME, MAX_SYMBOLS};
use super::{Image, ImageFile, Result};

/// `STT_FUNC` and `STT_GNU_IFUNC`.
const FUNCTION_KINDS: [u8; 2] = [2, 10];
/// Bytes of a name that are read at first: most are shorter.
const SHORT: u64 = 256;

impl Image {
    /// The functions of `.symtab`.
    ///
    /// # Errors
    /// The file cannot be read or is malformed.
    pub(crate) fn functions(&self) -> Result<FunctionSymbols> {
        FunctionSymbols::read(self, elf::SHT_SYMTAB.0)
    }

    /// The functions of `.dynsym`.
    ///
    /// # Errors
    /// The file cannot be read or is malformed.
    pub(crate) fn dynamic_functions(&self) -> Result<FunctionSymbols> {
        FunctionSymbols::read(self, elf::SHT_DYNSYM.0)
    }
}

/// A function that a symbol names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct FunctionSymbol {
    /// Address in the target.
    pub(crate) address: u64,
    /// Bytes, not 0.
    pub(crate) size: u32,
    /// Where its name is among the names.
    name: u32,
}

/// The functions of a symbol table.
#[derive(Debug, Default)]
pub(crate) struct FunctionSymbols {
    /// The file with the names, where they are in it, and how many bytes they have.
    names: Option<(Arc<ImageFile>, u64, u64)>,
    all: Vec<FunctionSymbol>,
    has_entries: bool,
}

impl FunctionSymbols {
    /// Reads the table of this kind (`SHT_*`). It has no entries if the image has none.
    ///
    /// # Errors
    /// The file cannot be read or is malformed.
    fn read(image: &Image, kind: u32) -> Result<FunctionSymbols> {
        let Some((table, names)) = image.symbol_sections(kind)? else {
            return Ok(FunctionSymbols::default());
        };
        let size = size_of::<elf::Sym64<Le>>();
        let len = table.size.min(MAX_SYMBOLS * size as u64);
        let mut all = Vec::new();
        image.file.in_pieces(table.offset, len, 0, &mut |bytes| {
            let symbols = slice_from_bytes::<elf::Sym64<Le>>(bytes, bytes.len() / size);
            let symbols = symbols.map_or(&[][..], |(symbols, _)| symbols);
            all.extend(symbols.iter().filter_map(|symbol| function(symbol, image.bias)));
        })?;
        all.sort_unstable();
        all.dedup();
        all.shrink_to_fit();
        let names = Some((Arc::clone(&image.file), names.offset, names.size));
        Ok(FunctionSymbols { names, all, has_entries: len > 0 })
    }

    /// Whether the table has no entries at all, neither of functions nor of anything else.
    pub(crate) fn is_empty(&self) -> bool {
        !self.has_entries
    }

    /// The functions that begin at the last address where one begins that is not behind this one, and the address where the
    /// next one begins.
    pub(crate) fn last_before(&self, address: u64) -> (&[FunctionSymbol], Option<u64>) {
        let end = self.all.partition_point(|symbol| symbol.address <= address);
        let (before, behind) = self.all.split_at_checked(end).unwrap_or_default();
        let start = before.last().map_or(0, |last| last.address);
        let first = before.partition_point(|symbol| symbol.address < start);
        (before.get(first..).unwrap_or_default(), behind.first().map(|next| next.address))
    }

    /// The name of a function. None if it is not UTF-8, empty, or too long.
    pub(crate) fn name(&self, symbol: FunctionSymbol) -> Option<String> {
        let (file, offset, len) = self.names.as_ref()?;
        let room = len.checked_sub(u64::from(symbol.name))?;
        let at = offset.checked_add(u64::from(symbol.name))?;
        for len in [SHORT, MAX_NAME as u64] {
            let mut bytes = file.read_at(at, file.room(at, len.min(room))?).ok()?;
            if let Some(end) = memchr::memchr(0, &bytes) {
                bytes.truncate(end);
                return String::from_utf8(bytes).ok().filter(|name| !name.is_empty());
            }
        }
        None
    }
}

fn function(symbol: &elf::Sym64<Le>, bias: u64) -> Option<FunctionSymbol> {
    let size = symbol.st_size.get(Le);
    let is_function = FUNCTION_KINDS.contains(&(symbol.st_info.0 & 0xf))
        && size > 0
        && symbol.st_name.get(Le) > 0
        && symbol.st_shndx.get(Le) != elf::SHN_UNDEF;
    is_function.then(|| FunctionSymbol {
        address: symbol.st_value.get(Le).wrapping_add(bias),
        size: u32::try_from(size).unwrap_or(u32::MAX),
        name: symbol.st_name.get(Le),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The tables of the test program itself say the same when they are read whole.
    #[test]
    fn functions_are_as_in_the_whole_table() {
        let mut image = Image::from_file("/proc/self/exe").unwrap();
        image.bias = 0x1000;
        let (functions, whole) = (image.functions().unwrap(), image.symbols().unwrap());
        assert!(!functions.is_empty() && functions.all.is_sorted());
        let is_function =
            |symbol: &&super::super::Symbol<'_>| FUNCTION_KINDS.contains(&symbol.kind) && symbol.size > 0;
        let all: Vec<_> = whole.iter().collect();
        let mut seen = 0;
        for symbol in all.iter().filter(is_function).step_by(97) {
            let (here, next) = functions.last_before(symbol.address);
            assert!(here.iter().all(|found| found.address == symbol.address));
            assert!(next.is_none_or(|next| next > symbol.address));
            let is_it = |found: &&FunctionSymbol| {
                u64::from(found.size) == symbol.size
                    && functions.name(**found).as_deref() == Some(symbol.name)
            };
            assert_eq!(here.iter().filter(is_it).count(), 1, "{symbol:?}");
            seen += 1;
        }
        assert!(seen > 100, "{seen}");
        assert_eq!(functions.last_before(0).0, []);
        assert_eq!(functions.last_before(u64::MAX).1, None);
    }

    #[test]
    fn names_that_are_not_there() {
        let image = Image::from_file("/proc/self/exe").unwrap();
        let functions = image.functions().unwrap();
        let (_, _, len) = functions.names.as_ref().unwrap();
        let named = |name: u64| FunctionSymbol { address: 0, size: 1, name: u32::try_from(name).unwrap() };
        // The end of the last name, and behind it.
        for name in [len - 1, *len, len + 1, u64::from(u32::MAX)] {
            assert_eq!(functions.name(named(name)), None, "{name}");
        }
        assert_eq!(FunctionSymbols::default().name(named(0)), None);
    }
}
