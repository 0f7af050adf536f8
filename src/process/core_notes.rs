//! The notes of a core file: its process, its threads, its mapped files. Layouts: struct elf_prstatus and
//! elf_prpsinfo in sys/procfs.h, NT_FILE in the kernel's fs/binfmt_elf.c.

use object::LittleEndian as Le;
use object::elf;

use super::bytes::{u32_at, u64_at};
use super::elf::{Headers, Note};
use super::image_file::ImageFile;
use super::registers::{PRSTATUS_OFFSET, WORDS};
use super::{Registers, Result};

/// A note segment longer than this is cut: 4 KiB a thread, for 65,536 threads.
const MAX_NOTES: u64 = 256 << 20;
const AT_ENTRY: u64 = 9;

/// The needed part of the vector that the kernel gives to a new program.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct AuxiliaryVector {
    /// Entry point of the executable, as loaded.
    pub(super) entry: Option<u64>,
}

/// A mapping of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct NamedRange {
    pub(super) start: u64,
    pub(super) end: u64,
    /// Offset in the file, bytes.
    pub(super) offset: u64,
    pub(super) path: String,
}

/// The notes of a core file.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct CoreNotes {
    pub(super) pid: Option<u32>,
    /// Short name, at most 15 bytes.
    pub(super) name: String,
    /// The arguments with spaces between them, at most 79 bytes.
    pub(super) arguments: String,
    /// Threads; the thread that caused the dump first.
    pub(super) threads: Vec<(u32, Registers)>,
    /// Ascending by start.
    pub(super) files: Vec<NamedRange>,
    pub(super) auxiliary: AuxiliaryVector,
}

impl Headers {
    /// An error unless this is a core file of an x86-64 process.
    pub(super) fn check_core(&self, file: &ImageFile) -> Result<()> {
        if self.header.e_type.get(Le) != elf::ET_CORE {
            return Err(file.malformed("is an ELF file, but not a core file"));
        }
        if self.header.e_machine.get(Le) != elf::EM_X86_64 {
            return Err(file.malformed("is a core file of another kind of machine than x86-64"));
        }
        Ok(())
    }
}

impl CoreNotes {
    pub(super) fn read(headers: &Headers, file: &ImageFile) -> CoreNotes {
        Self::parse(&headers.notes(file, MAX_NOTES))
    }

    pub(super) fn parse(notes: &[Note]) -> CoreNotes {
        let mut found = CoreNotes::default();
        for note in notes.iter().filter(|note| note.name == b"CORE") {
            let kind = elf::NoteType(note.kind);
            if kind == elf::NT_PRSTATUS {
                found.threads.extend(thread(&note.data));
            } else if kind == elf::NT_PRPSINFO {
                found.pid = u32_at(&note.data, 24);
                found.name = text(&note.data, 40, 16);
                found.arguments = text(&note.data, 56, 80);
            } else if kind == elf::NT_FILE {
                found.files = files(&note.data).unwrap_or_default();
            } else if kind == elf::NT_AUXV {
                found.auxiliary.entry = auxiliary(&note.data, AT_ENTRY);
            }
        }
        found.files.sort_by_key(|file| file.start);
        found
    }
}

/// A text in a field of fixed length, terminated by NUL.
fn text(data: &[u8], at: usize, len: usize) -> String {
    let field = data.get(at..).unwrap_or_default();
    let field = field.get(..len).unwrap_or(field);
    let end = memchr::memchr(0, field).unwrap_or(field.len());
    String::from_utf8_lossy(field.get(..end).unwrap_or_default()).into_owned()
}

fn thread(data: &[u8]) -> Option<(u32, Registers)> {
    const PR_PID: usize = 32;
    let tid = u32_at(data, PR_PID)?;
    let mut words = [0; WORDS];
    for (index, word) in words.iter_mut().enumerate() {
        *word = u64_at(data, PRSTATUS_OFFSET + index * 8)?;
    }
    Some((tid, Registers::from_words(&words)))
}

fn auxiliary(data: &[u8], wanted: u64) -> Option<u64> {
    let mut pairs =
        (0..data.len()).step_by(16).map_while(|at| Some((u64_at(data, at)?, u64_at(data, at + 8)?)));
    pairs.find(|&(key, _)| key == wanted).map(|(_, value)| value)
}

/// A count, the page size, then each file's start, end and offset in pages, then the paths.
fn files(data: &[u8]) -> Option<Vec<NamedRange>> {
    let count = usize::try_from(u64_at(data, 0)?).ok()?;
    let page = u64_at(data, 8)?;
    let table = data.get(16..)?;
    let names = table.get(count.checked_mul(24)?..)?;
    let paths = names.split(|&byte| byte == 0);
    let range = |(at, path): (usize, &[u8])| {
        Some(NamedRange {
            start: u64_at(table, at)?,
            end: u64_at(table, at + 8)?,
            offset: u64_at(table, at + 16)?.checked_mul(page)?,
            path: String::from_utf8_lossy(path).into_owned(),
        })
    };
    let ranges = (0..count).map(|index| index * 24).zip(paths);
    Some(ranges.filter_map(range).filter(|range| range.start < range.end).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::elf::parse_notes;
    use proptest::prelude::*;

    #[test]
    fn a_list_of_files() {
        let words = [2u64, 4096, 0x1000, 0x2000, 0, 0x2000, 0x3000, 5];
        let mut data: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        data.extend_from_slice(b"/bin/a\0/bin/b c\0");
        let files = files(&data).expect("parses");
        assert_eq!((files[0].path.as_str(), files[1].path.as_str()), ("/bin/a", "/bin/b c"));
        assert_eq!((files[1].start, files[1].end, files[1].offset), (0x2000, 0x3000, 5 * 4096));
    }

    #[test]
    fn counts_that_lie() {
        let huge: Vec<u8> = [u64::MAX, 4096, 1, 2, 3].iter().flat_map(|word| word.to_le_bytes()).collect();
        assert_eq!(files(&huge), None);
        assert_eq!(files(b""), None);
    }

    proptest! {
        #[test]
        fn any_notes(kinds in prop::collection::vec((prop::sample::select(vec![1u32, 3, 6, 0x4649_4c45, 9]), any::<Vec<u8>>()), 0..8)) {
            let notes: Vec<Note> = kinds.into_iter().map(|(kind, data)| Note { name: b"CORE".to_vec(), kind, data }).collect();
            CoreNotes::parse(&notes);
        }

        #[test]
        fn any_bytes_as_notes(bytes: Vec<u8>) {
            let mut notes = Vec::new();
            parse_notes(&bytes, &mut notes);
            CoreNotes::parse(&notes);
        }
    }
}
