//! Executors whose tasks are not read: those of async-std and smol (async-task), and the pools of `futures`.
//!
//! Their code is told by the names of its functions, so nothing is known of a stripped program.

use memchr::memmem;

use crate::process::{Image, Target};
use crate::symbols::native::NativeCode;

/// Names of functions that are searched, bytes.
const MAX_NAMES: u64 = 256 << 20;
/// A name may be cut by the end of a piece: this much of it is searched twice.
const OVERLAP: usize = 512;

/// How names of functions of a crate go on behind its length and name, and what the crate is for.
type Named = (&'static [u8], &'static str);

const ASYNC_TASK: Named = (b"10async_task3raw", "async-task (async-std, smol and others)");
const FUTURES: Named = (b"16futures_executor", "the executors of the futures crate");

/// One sentence for executors of a program whose tasks are not read, if it has any.
pub(super) fn not_read(target: &dyn Target) -> Option<String> {
    let images = target.images().ok()?;
    let program = images.iter().find(|image| image.is_executable)?;
    let all = [ASYNC_TASK, FUTURES];
    let has = search(program, all)?;
    let found: Vec<&str> = all.iter().zip(has).filter(|(_, has)| *has).map(|((_, what), _)| *what).collect();
    (!found.is_empty()).then(|| sentence(&found.join(" and of ")))
}

/// The same for a program with another runtime: much of what runs there uses a function of the futures crate.
pub(super) fn not_read_besides(code: &mut NativeCode) -> Option<String> {
    let find = |program: &Image| search(program, [ASYNC_TASK]).map(|[has]| u64::from(has));
    (code.about_program("has async-task", find)? == 1).then(|| sentence(ASYNC_TASK.1))
}

fn sentence(what: &str) -> String {
    format!("the program has code of {what}, whose tasks are not read")
}

/// Whether a program has functions of these crates. None: it has no names, or they cannot be read.
fn search<const N: usize>(program: &Image, all: [Named; N]) -> Option<[bool; N]> {
    let sections = program.sections().ok()?;
    let names = sections.iter().find(|section| section.name == ".strtab" && section.has_bytes())?;
    let mut found = [false; N];
    let mut look = |bytes: &[u8]| {
        found
            .iter_mut()
            .zip(all)
            .for_each(|(found, (crate_, _))| *found = *found || has_crate(bytes, crate_));
    };
    program.file.in_pieces(names.offset, names.size.min(MAX_NAMES), OVERLAP, &mut look).ok()?;
    Some(found)
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

    #[test]
    fn names_of_the_test_program() {
        let program = Image::from_file("/proc/self/exe").unwrap();
        let all: [Named; 3] =
            [(b"14rustc_demangle", ""), (b"6loiter8runtimes", ""), (b"10not_in_it3raw", "")];
        assert_eq!(search(&program, all), Some([true, true, false]));
    }
}
