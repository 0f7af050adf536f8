//! Executors whose tasks are not read: those of async-std and smol (async-task), and the pools of `futures`.
//!
//! Their code is told by the names of its functions, so nothing is known of a stripped program.

use memchr::memmem;

use crate::process::Target;

/// Names of functions that are searched, bytes.
const MAX_NAMES: usize = 256 << 20;

/// How names of functions of a crate go on behind its length and name, and what the crate is for.
type Named = (&'static [u8], &'static str);

const ASYNC_TASK: Named = (b"10async_task3raw", "async-task (async-std, smol and others)");
const FUTURES: Named = (b"16futures_executor", "the executors of the futures crate");

/// One sentence for executors of a program whose tasks are not read, if it has any.
pub(super) fn not_read(target: &dyn Target) -> Option<String> {
    sentence(target, &[ASYNC_TASK, FUTURES])
}

/// The same for a program with another runtime: much of what runs there uses a function of the futures crate.
pub(super) fn not_read_besides(target: &dyn Target) -> Option<String> {
    sentence(target, &[ASYNC_TASK])
}

fn sentence(target: &dyn Target, all: &[Named]) -> Option<String> {
    let images = target.images().ok()?;
    let program = images.iter().find(|image| image.is_executable)?;
    let names = program.section_data(".strtab", MAX_NAMES).ok()??;
    let found: Vec<&str> =
        all.iter().filter(|(crate_, _)| has_crate(&names, crate_)).map(|(_, what)| *what).collect();
    (!found.is_empty())
        .then(|| format!("the program has code of {}, whose tasks are not read", found.join(" and of ")))
}

/// Whether a name is of a function in this crate itself, not in a module that is called like it: `_ZN10async_task...` and
/// `...Cs1234_10async_task...`.
fn has_crate(names: &[u8], crate_: &[u8]) -> bool {
    memmem::find_iter(names, crate_).any(|at| {
        let before = names.get(..at).unwrap_or_default();
        let hash =
            before.strip_suffix(b"_").map(|before| before.rsplit(|c| !c.is_ascii_alphanumeric()).next());
        let is_root = |hash: &[u8]| hash.windows(2).any(|pair| pair == b"Cs");
        before.ends_with(b"_ZN") || before.ends_with(b"C") || hash.flatten().is_some_and(is_root)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crates_by_symbols() {
        let crate_ = ASYNC_TASK.0;
        for (name, is) in [
            ("_ZN10async_task3raw27RawTask$LT$F$C$T$C$S$C$M$GT$8allocate17h0123456789abcdefE", true),
            ("_RNvMs_NtCs4fqI2P2rA04_10async_task3rawINtB4_7RawTask3runE", true),
            ("_ZN3api10async_task3raw3run17h0123456789abcdefE", false),
            ("_RNvNtNtCs4fqI2P2rA04_3api10async_task3raw3run", false),
            ("10async_task3raw", false),
            ("", false),
        ] {
            assert_eq!(has_crate(name.as_bytes(), crate_), is, "{name}");
        }
    }
}
