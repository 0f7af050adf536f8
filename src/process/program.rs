//! The program that a process runs: what tells it from the next one, after execve, and whether it is there yet.

use std::fs::File;
use std::hash::{Hash, Hasher};
use std::io::Read;
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustc_hash::FxHasher;

use super::Memory;
use super::bytes::words;

/// What the kernel tells a program (its auxiliary vector) is a few hundred bytes (`AT_VECTOR_SIZE` in Linux 6.18).
const MAX_VECTOR: usize = 2048;
/// A program that is waited for longer than this is taken as it is.
const START: Duration = Duration::from_secs(5);
/// Between two looks at a program that is not there yet.
const LOOK: Duration = Duration::from_millis(1);

/// Something that a program keeps from beginning to end, and that the next program of the same process (after
/// execve) does not share: what the kernel tells it when it begins, random addresses among it. None if unknown.
/// While the kernel maps the next program it is that of no program.
pub(crate) fn beginning(pid: u32) -> Option<u64> {
    let vector = vector(pid).filter(|vector| !vector.is_empty())?;
    let mut hasher = FxHasher::default();
    vector.hash(&mut hasher);
    Some(hasher.finish())
}

/// The same of a program that is there as a whole: waits while the kernel maps it.
pub(crate) fn begun(pid: u32) -> Option<u64> {
    wait(pid);
    beginning(pid)
}

/// A sign that a program is still the same, which one short read finds: random bytes that the kernel puts on the stack of each
/// new program (AT_RANDOM, getauxval(3)), at a place that is random, too.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mark {
    address: u64,
    bytes: [u8; 16],
}

impl Mark {
    /// That of the program which began in this way. None if the process runs another one by now, or if there is none.
    pub(crate) fn of(memory: &(impl Memory + ?Sized), pid: u32, began: u64) -> Option<Mark> {
        let address = random_bytes(&vector(pid)?)?;
        let mut mark = Mark { address, bytes: [0; 16] };
        memory.read(address, &mut mark.bytes).ok()?;
        (beginning(pid) == Some(began)).then_some(mark)
    }

    /// It is there: the program is the same. If it is not, the program may have changed the bytes itself.
    pub(crate) fn is_there(&self, memory: &(impl Memory + ?Sized)) -> bool {
        let mut bytes = [0; 16];
        memory.read(self.address, &mut bytes).is_ok() && bytes == self.bytes
    }
}

/// Where the random bytes of a program are.
fn random_bytes(vector: &[u8]) -> Option<u64> {
    const AT_RANDOM: u64 = 25;
    let words: Vec<u64> = words(vector).collect();
    let (pairs, _) = words.as_chunks();
    pairs.iter().find(|[key, _]| *key == AT_RANDOM).map(|[_, address]| *address)
}

/// Waits while the kernel maps a program that has just begun: it reads its file for that, and until it is done only a
/// part of the program can be seen.
pub(super) fn wait(pid: u32) {
    let begin = Instant::now();
    while vector(pid).is_some_and(|vector| is_being_mapped(&vector)) && begin.elapsed() < START {
        sleep(LOOK);
    }
}

/// The machine that the program of a process is built for, where that is not x86-64 ("32-bit x86"). None also if its
/// file cannot be read.
pub(super) fn foreign_machine(pid: u32) -> Option<String> {
    let mut header = [0; 20];
    File::open(format!("/proc/{pid}/exe")).and_then(|mut file| file.read_exact(&mut header)).ok()?;
    machine(&header)
}

/// The machine in the first bytes of an ELF file (`elf(5)`).
fn machine(header: &[u8; 20]) -> Option<String> {
    const ELF: &[u8] = b"\x7fELF";
    const CLASS_64: u8 = 2;
    const I386: u16 = 3;
    const X86_64: u16 = 62;
    let number = u16::from_le_bytes([header[18], header[19]]);
    match (number, header[4]) {
        _ if !header.starts_with(ELF) => None,
        (X86_64, CLASS_64) => None,
        (X86_64, _) => Some("x32".to_owned()),
        (I386, _) => Some("32-bit x86".to_owned()),
        (number, _) => Some(format!("another machine (ELF machine {number})")),
    }
}

/// One call to read it.
fn vector(pid: u32) -> Option<Vec<u8>> {
    let mut bytes = vec![0; MAX_VECTOR];
    let len = File::open(format!("/proc/{pid}/auxv")).and_then(|mut file| file.read(&mut bytes)).ok()?;
    bytes.truncate(len);
    Some(bytes)
}

/// The kernel writes the vector last of all (`create_elf_tables` in Linux 6.18's `fs/binfmt_elf.c`). Until then it has
/// its end only, AT_NULL; that of a process without memory has no bytes at all.
fn is_being_mapped(vector: &[u8]) -> bool {
    !vector.is_empty() && vector.iter().all(|&byte| byte == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn machines() {
        let header = |class, number: u8| {
            let mut header = [0; 20];
            header[..5].copy_from_slice(&[0x7f, b'E', b'L', b'F', class]);
            header[18] = number;
            header
        };
        assert_eq!(machine(&header(2, 62)), None);
        assert_eq!(machine(&header(1, 3)).as_deref(), Some("32-bit x86"));
        assert_eq!(machine(&header(1, 62)).as_deref(), Some("x32"));
        assert_eq!(machine(&header(2, 183)).as_deref(), Some("another machine (ELF machine 183)"));
        assert_eq!(machine(b"#!/bin/sh echo hello"), None);
        assert_eq!(foreign_machine(std::process::id()), None);
    }

    #[test]
    fn a_program_that_runs_is_there() {
        let own = vector(std::process::id()).unwrap();
        assert!(!is_being_mapped(&own));
        assert!(begun(std::process::id()).is_some());
        assert_eq!(begun(std::process::id()), beginning(std::process::id()));
    }

    #[test]
    fn a_mark_is_there_as_long_as_the_program() {
        let pid = std::process::id();
        let target = crate::process::open_pid(pid).unwrap();
        let began = beginning(pid).unwrap();
        let mark = Mark::of(target.as_ref(), pid, began).unwrap();
        assert!(mark.is_there(target.as_ref()));
        assert!(mark.bytes != [0; 16]);
        let other = Mark { bytes: [0; 16], ..mark };
        assert!(!other.is_there(target.as_ref()));
        assert!(Mark::of(target.as_ref(), pid, began ^ 1).is_none(), "it is of another program");
    }

    #[test]
    fn one_that_is_being_mapped_has_only_the_end_of_its_vector() {
        assert!(is_being_mapped(&[0; 16]));
        assert!(!is_being_mapped(&[]), "a kernel thread is not waited for");
        let told = [6u64.to_ne_bytes(), 4096u64.to_ne_bytes(), [0; 8], [0; 8]].concat();
        assert!(!is_being_mapped(&told));
    }
}
