//! Names of the kernel's functions, from /proc/kallsyms.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::sync::OnceLock;

/// Bytes of the list that are read. A kernel with all its modules has about 15 MB.
const MAX_BYTES: u64 = 256 << 20;
/// The kernel's addresses are in the upper half.
const FIRST_ADDRESS: u64 = 1 << 63;

/// The kernel's functions in the order of their addresses. Empty where the kernel hides them.
#[derive(Debug, Default)]
pub struct KernelFunctions {
    names: String,
    /// Addresses, and where the names begin and end.
    functions: Vec<(u64, u32, u32)>,
}

impl KernelFunctions {
    /// The functions of the machine's kernel. The list is read once, at the first call, which takes some tenths of a
    /// second.
    pub fn shared() -> &'static KernelFunctions {
        static SHARED: OnceLock<KernelFunctions> = OnceLock::new();
        SHARED.get_or_init(KernelFunctions::load)
    }

    /// Reads the list. To users without the rights to see addresses the kernel shows zeros: nothing is found then.
    fn load() -> KernelFunctions {
        File::open("/proc/kallsyms").map(KernelFunctions::read).unwrap_or_default()
    }

    fn read(list: impl Read) -> KernelFunctions {
        let mut all = KernelFunctions::default();
        let mut list = BufReader::with_capacity(1 << 16, list.take(MAX_BYTES));
        let mut line = Vec::new();
        while matches!(list.read_until(b'\n', &mut line), Ok(1..)) {
            if let Some((address, name)) = std::str::from_utf8(&line).ok().and_then(function) {
                let start = all.names.len() as u32;
                all.names.push_str(name);
                all.functions.push((address, start, all.names.len() as u32));
            }
            line.clear();
        }
        all.functions.sort_unstable();
        all
    }

    /// The function with code at an address, and the address of its start. None if it is not known.
    pub fn at(&self, address: u64) -> Option<(&str, u64)> {
        let after = self.functions.partition_point(|(start, ..)| *start <= address);
        if after == self.functions.len() {
            // What is beyond the last function may be anything.
            return None;
        }
        let (start, from, to) = *self.functions.get(after.checked_sub(1)?)?;
        Some((self.names.get(from as usize..to as usize)?, start))
    }
}

/// The address and the name in a line of the list: `ffffffff81000000 T _stext` or `... t name [module]`.
fn function(line: &str) -> Option<(u64, &str)> {
    let mut words = line.split_ascii_whitespace();
    let address = u64::from_str_radix(words.next()?, 16).ok().filter(|address| *address >= FIRST_ADDRESS)?;
    let is_code = matches!(words.next()?, "t" | "T" | "w" | "W");
    Some((address, words.next()?)).filter(|_| is_code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_by_address() {
        let list = "ffffffff81000100 T do_syscall_64\nffffffff81000000 T _stext\nffffffff81000180 D data\n\
                    ffffffff81000200 t do_idle\nffffffffc0000000 t helper\t[module]\nnonsense\n";
        let all = KernelFunctions::read(list.as_bytes());
        assert_eq!(all.at(0xffff_ffff_8100_0140), Some(("do_syscall_64", 0xffff_ffff_8100_0100)));
        assert_eq!(all.at(0xffff_ffff_8100_0200), Some(("do_idle", 0xffff_ffff_8100_0200)));
        assert_eq!(all.at(0xffff_ffff_8000_0000), None);
        assert_eq!(all.at(0xffff_ffff_c000_0010), None, "after the last one");
    }

    #[test]
    fn hidden_addresses_name_nothing() {
        let all = KernelFunctions::read("0000000000000000 T _stext\n0000000000000000 T _etext\n".as_bytes());
        assert_eq!((all.functions.len(), all.at(0)), (0, None));
    }
}
