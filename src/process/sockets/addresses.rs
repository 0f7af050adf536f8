//! The addresses of a network namespace.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use rustc_hash::FxHashSet;

use super::table::{self, Heading};
use crate::process::limit::Limit;

/// More addresses are not kept.
const MAX: usize = 1 << 16;

/// The addresses that are of the machine itself, in the network namespace of a process.
#[derive(Debug, Default)]
pub(super) struct Addresses {
    known: FxHashSet<IpAddr>,
}

impl Addresses {
    /// As the process sees them.
    pub(super) fn of(pid: u32, until: &Limit) -> Addresses {
        let mut known = FxHashSet::default();
        // "           |-- 10.0.0.5", then "              /32 host LOCAL".
        let mut leaf = None;
        let v4 = table::lines(&format!("/proc/{pid}/net/fib_trie"), Heading::One, until, &mut |line| {
            let Ok(line) = std::str::from_utf8(line) else { return true };
            if let Some((_, address)) = line.split_once("|-- ") {
                leaf = address.trim().parse::<Ipv4Addr>().ok();
            } else if line.trim() == "/32 host LOCAL" {
                known.extend(leaf.map(IpAddr::from));
            }
            known.len() < MAX
        });
        let v6 = table::lines(&format!("/proc/{pid}/net/if_inet6"), Heading::None, until, &mut |line| {
            let text = line.first_chunk::<32>().and_then(|digits| std::str::from_utf8(digits).ok());
            let bits = text.and_then(|digits| u128::from_str_radix(digits, 16).ok());
            known.extend(bits.map(|bits| IpAddr::from(Ipv6Addr::from(bits))));
            known.len() < MAX
        });
        tracing::debug!("{} addresses, read as {v4:?} and {v6:?}", known.len());
        Addresses { known }
    }

    /// Whether it is of the machine itself.
    pub(super) fn has(&self, address: IpAddr) -> bool {
        address.is_loopback() || self.known.contains(&address)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn loopback_is_here_and_documentation_is_not() {
        let ours = Addresses::of(std::process::id(), &Limit::of(Duration::from_secs(60)));
        for (text, here) in [("127.0.0.1", true), ("::1", true), ("192.0.2.1", false), ("2001:db8::1", false)]
        {
            assert_eq!(ours.has(text.parse().expect("an address")), here, "{text}");
        }
        let loopback = IpAddr::V4(Ipv4Addr::LOCALHOST);
        assert!(ours.known.contains(&loopback), "the table was understood: {ours:?}");
    }
}
