//! Code that is in no image: generated at run time, or in a file that cannot be read.

use crate::process::Mapping;

/// Stands for all code in memory without a file: a just-in-time compiler made it.
const ANONYMOUS: &str = "[anonymous]";
/// Stands for all addresses that are not in the target's code.
const NOWHERE: &str = "[unknown]";

/// Executable mappings, ascending.
#[derive(Debug, Default)]
pub(super) struct Unfiled {
    mappings: Vec<Mapping>,
}

impl Unfiled {
    pub(super) fn new(mappings: Vec<Mapping>) -> Unfiled {
        Unfiled { mappings: mappings.into_iter().filter(|mapping| mapping.execute).collect() }
    }

    fn at(&self, address: u64) -> Option<&Mapping> {
        let behind = self.mappings.partition_point(|mapping| mapping.start <= address);
        self.mappings.get(behind.checked_sub(1)?).filter(|mapping| address < mapping.end)
    }

    /// Whether there is code at an address.
    pub(super) fn has(&self, address: u64) -> bool {
        self.at(address).is_some()
    }

    /// A name for the code at an address, and the name of the memory that it is in.
    pub(super) fn name(&self, address: u64) -> (String, &str) {
        match self.at(address) {
            None => (NOWHERE.to_owned(), NOWHERE),
            // The target may give such memory any name.
            Some(mapping) if mapping.path.is_empty() || mapping.path.starts_with("[anon") => {
                (ANONYMOUS.to_owned(), ANONYMOUS)
            }
            Some(mapping) => {
                let file = mapping.path.rsplit('/').next().unwrap_or(&mapping.path);
                let offset = (address - mapping.start).saturating_add(mapping.offset);
                (format!("{file}+{offset:#x}"), &mapping.path)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        let mapping = |start, path: &str, execute| Mapping {
            start,
            end: start + 0x1000,
            offset: if path.starts_with('/') { 0x5000 } else { 0 },
            read: true,
            write: false,
            execute,
            path: path.to_owned(),
            file_id: (0, 0),
        };
        let unfiled = Unfiled::new(vec![
            mapping(0x1000, "", true),
            mapping(0x2000, "", false),
            mapping(0x3000, "[anon:v8]", true),
            mapping(0x4000, "[vdso]", true),
            mapping(0x5000, "/usr/lib/libx.so", true),
        ]);
        let name = |address| unfiled.name(address).0;
        assert_eq!(name(0x1000), "[anonymous]");
        assert_eq!(name(0x1fff), "[anonymous]");
        assert_eq!(name(0x2000), "[unknown]", "data");
        assert_eq!(name(0x3010), "[anonymous]");
        assert_eq!(unfiled.name(0x4010), ("[vdso]+0x10".to_owned(), "[vdso]"));
        assert_eq!(unfiled.name(0x5010), ("libx.so+0x5010".to_owned(), "/usr/lib/libx.so"));
        assert_eq!(name(0), "[unknown]");
        assert_eq!(name(u64::MAX), "[unknown]");
    }
}
