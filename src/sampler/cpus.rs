//! The CPUs of the machine.

use crate::process::proc;

/// The kernel's own limit (CONFIG_NR_CPUS_RANGE_END with MAXSMP).
const MAX_CPUS: u32 = 8192;

/// CPUs, ascending.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Cpus(Vec<u32>);

impl Cpus {
    /// Those that are online.
    pub(super) fn online() -> Cpus {
        let list = proc::read_text("/sys/devices/system/cpu/online").ok();
        list.and_then(|list| Cpus::parse(list.trim())).unwrap_or_else(|| {
            // Some containers hide /sys. A CPU that is not there is skipped when it is opened.
            let count = std::thread::available_parallelism().map_or(1, |count| count.get());
            Cpus((0..u32::try_from(count).unwrap_or(1)).collect())
        })
    }

    /// A list like "0-3,8".
    fn parse(list: &str) -> Option<Cpus> {
        let mut cpus = Vec::new();
        for part in list.split(',') {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let (first, last): (u32, u32) = (first.parse().ok()?, last.parse().ok()?);
            if first > last || last >= MAX_CPUS {
                return None;
            }
            cpus.extend(first..=last);
        }
        Some(Cpus(cpus))
    }
}

impl IntoIterator for Cpus {
    type Item = u32;
    type IntoIter = std::vec::IntoIter<u32>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_cpus() {
        assert_eq!(Cpus::parse("0-3,8"), Some(Cpus(vec![0, 1, 2, 3, 8])));
        assert_eq!(Cpus::parse("0"), Some(Cpus(vec![0])));
        for odd in ["", "3-1", "a", "0-4294967295", "1-", "-1", "0,"] {
            assert_eq!(Cpus::parse(odd), None, "{odd}");
        }
    }
}
