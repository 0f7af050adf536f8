//! The program that a process runs: what tells it from the next one, after execve, and whether it is there yet.

use std::fs::File;
use std::hash::{Hash, Hasher};
use std::io::Read;
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustc_hash::FxHasher;

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

/// Waits while the kernel maps a program that has just begun: it reads its file for that, and until it is done only a
/// part of the program can be seen.
pub(super) fn wait(pid: u32) {
    let begin = Instant::now();
    while vector(pid).is_some_and(|vector| is_being_mapped(&vector)) && begin.elapsed() < START {
        sleep(LOOK);
    }
}

/// A recording asks for it at each batch of samples: one call to read it.
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
    fn a_program_that_runs_is_there() {
        let own = vector(std::process::id()).unwrap();
        assert!(!is_being_mapped(&own));
        assert!(begun(std::process::id()).is_some());
        assert_eq!(begun(std::process::id()), beginning(std::process::id()));
    }

    #[test]
    fn one_that_is_being_mapped_has_only_the_end_of_its_vector() {
        assert!(is_being_mapped(&[0; 16]));
        assert!(!is_being_mapped(&[]), "a kernel thread is not waited for");
        let told = [6u64.to_ne_bytes(), 4096u64.to_ne_bytes(), [0; 8], [0; 8]].concat();
        assert!(!is_being_mapped(&told));
    }
}
