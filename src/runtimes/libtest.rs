//! The tests of a program that was built with Rust's test harness: the names in the descriptors that the compiler makes.
//!
//! `#[test]` makes a constant `TestDescAndFn` (`library/test/src/types.rs` of Rust). Among its words are the name and the
//! source file (each an address and a length), four numbers for the first and last line and column of the function's name,
//! and the address of the function that runs the test. The compiler decides where they are: the distances below are those of
//! Rust 1.95 and 1.97, whose programs list (`--list`) exactly the tests that are found by them. With other distances, no test
//! is found.

use crate::process::{Image, Result, Target};

/// The part of the data that holds such constants is read up to this size, bytes.
const MAX_DATA: u64 = 64 << 20;
/// Tests of one program.
const MAX_TESTS: usize = 1 << 17;
/// Texts that are looked at, whether they are of a test or not.
const MAX_TEXTS: usize = 1 << 20;
const MAX_NAME: u64 = 1024;
const MAX_PATH: u64 = 4096;
/// A line or column is below this.
const MAX_LINE: u64 = 1 << 24;
/// Words from the name to the source file, the place of the function and its address.
const FILE: usize = 3;
const PLACE: usize = 7;
const FUNCTION: usize = 13;

/// `PT_GNU_RELRO`: data that is read only once its addresses are right.
const PT_GNU_RELRO: u32 = 0x6474_e552;
const PT_LOAD: u32 = 1;
const PF_X: u32 = 1;

/// The names of its tests, as the harness prints them ("api::tests::it_closes"), in order. Empty if it is no such program, or
/// if they are not found.
///
/// # Errors
/// The target cannot be read.
pub(crate) fn tests(target: &dyn Target) -> Result<Vec<String>> {
    let images = target.images()?;
    let Some(program) = images.iter().find(|image| image.is_executable) else { return Ok(Vec::new()) };
    let Some(data) = Data::read(target, program)? else { return Ok(Vec::new()) };
    let mut names = data.names();
    names.sort_unstable();
    names.dedup();
    Ok(names)
}

/// The constants with addresses in them, and what addresses may lead to.
struct Data<'a> {
    target: &'a dyn Target,
    words: Vec<u64>,
    /// First address and one past the last.
    code: Vec<(u64, u64)>,
    texts: Vec<(u64, u64)>,
}

impl<'a> Data<'a> {
    fn read(target: &'a dyn Target, program: &Image) -> Result<Option<Data<'a>>> {
        let segments = program.segments()?;
        let Some(constants) = segments.iter().find(|segment| segment.kind == PT_GNU_RELRO) else {
            return Ok(None);
        };
        let Some(aligned) = constants.address.checked_next_multiple_of(8) else { return Ok(None) };
        let len = constants.memory_size.saturating_sub(aligned - constants.address).min(MAX_DATA) & !7;
        let bytes = target.read_vec(aligned, usize::try_from(len).unwrap_or(0))?;
        let (words, _) = bytes.as_chunks::<8>();
        let ranges = |is_code: bool| {
            let loads =
                segments.iter().filter(move |one| one.kind == PT_LOAD && (one.flags & PF_X != 0) == is_code);
            loads.map(|one| (one.address, one.address.saturating_add(one.memory_size))).collect()
        };
        let words = words.iter().map(|word| u64::from_le_bytes(*word)).collect();
        Ok(Some(Data { target, words, code: ranges(true), texts: ranges(false) }))
    }

    fn names(&self) -> Vec<String> {
        let (mut names, mut texts) = (Vec::new(), 0);
        for at in 0..self.words.len() {
            if names.len() >= MAX_TESTS || texts >= MAX_TEXTS {
                break;
            }
            if !self.may_be_test(at) {
                continue;
            }
            texts += 1;
            if self.text(at + FILE, MAX_PATH).is_some_and(|path| path.ends_with(".rs")) {
                names.extend(self.text(at, MAX_NAME).filter(|name| is_path(name)));
            }
        }
        names
    }

    /// Whether the name of a test may be here, by the words around it.
    fn may_be_test(&self, name: usize) -> bool {
        self.text_at(name, MAX_NAME).is_some()
            && self.text_at(name + FILE, MAX_PATH).is_some()
            && self.is_place(name + PLACE)
            && self.is_code(name + FUNCTION)
    }

    fn word(&self, at: usize) -> Option<u64> {
        self.words.get(at).copied()
    }

    /// The address and the length of what may be a text here.
    fn text_at(&self, at: usize, max: u64) -> Option<(u64, u64)> {
        let (address, len) = (self.word(at)?, self.word(at + 1)?);
        let end = address.checked_add(len).filter(|_| (1..=max).contains(&len))?;
        self.texts.iter().any(|(first, last)| *first <= address && end <= *last).then_some((address, len))
    }

    fn text(&self, at: usize, max: u64) -> Option<String> {
        let (address, len) = self.text_at(at, max)?;
        let bytes = self.target.read_vec(address, usize::try_from(len).ok()?).ok()?;
        str::from_utf8(&bytes).ok().map(str::to_owned)
    }

    /// First line, first column, last line, last column.
    fn is_place(&self, at: usize) -> bool {
        let Some(&[line, column, last_line, last_column]) = self.words.get(at..at + 4) else { return false };
        let numbers = [line, column, last_line, last_column];
        numbers.iter().all(|number| (1..MAX_LINE).contains(number))
            && (line, column) <= (last_line, last_column)
    }

    fn is_code(&self, at: usize) -> bool {
        let Some(address) = self.word(at) else { return false };
        self.code.iter().any(|(first, last)| (*first..*last).contains(&address))
    }
}

/// Whether a text is the path of a function: "api::tests::it_closes".
fn is_path(text: &str) -> bool {
    text.split("::").all(|name| {
        let name = name.strip_prefix("r#").unwrap_or(name);
        !name.is_empty()
            && !name.starts_with(|c: char| c.is_ascii_digit())
            && name.chars().all(|c| c == '_' || c.is_alphanumeric())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tests_of_this_program_are_found() {
        let this = crate::process::open_pid(std::process::id()).unwrap();
        let program = std::env::current_exe().unwrap();
        let output = std::process::Command::new(program).arg("--list").output().unwrap();
        let output = String::from_utf8(output.stdout).unwrap();
        let mut listed: Vec<&str> = output.lines().filter_map(|line| line.strip_suffix(": test")).collect();
        listed.sort_unstable();
        assert!(listed.len() > 1 && tests(this.as_ref()).unwrap() == listed, "{listed:?}");
    }

    #[test]
    fn paths_of_functions() {
        for (text, is) in [
            ("closes", true),
            ("api::tests::it_closes", true),
            ("tests::r#match", true),
            ("prüft", true),
            ("", false),
            ("a::", false),
            ("src/lib.rs", false),
            ("a b", false),
            ("1x", false),
        ] {
            assert_eq!(is_path(text), is, "{text}");
        }
    }
}
