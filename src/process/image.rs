//! ELF files mapped into a target, and how to open exactly the mapped file, not another file that is now at
//! the same path.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use object::elf;

use rustc_hash::{FxHashMap, FxHashSet};

use super::elf::Headers;
use super::image_file::ImageFile;
use super::memory::ProcessMemory;
use super::{Image, Mapping, Memory as _, Result, Target, TargetError, UnreadableImage, proc, slow_files};
use crate::cause::full_text;

/// Files examined in one process at most.
const MAX_FILES: usize = 4096;
/// Bytes of a file that are compared with memory if device numbers cannot be trusted.
const COMPARED: usize = 4096;
const PAGE: u64 = 4096;
/// Mappings of one file that are examined to find where it is loaded.
const MAX_MAPPINGS: usize = 4096;
/// Addresses at which one file may be loaded.
const MAX_PLACES: usize = 16;

impl Image {
    /// An ELF file that is not mapped anywhere: bias 0.
    ///
    /// # Errors
    /// It cannot be opened, or is not an ELF file.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Image> {
        let path = path.as_ref();
        let file = Arc::new(ImageFile::open(path)?);
        Headers::read(&file)?;
        Ok(Image { path: path.display().to_string(), bias: 0, is_executable: true, file })
    }

    /// The image that the kernel maps into each process for calls that need not enter it, with the clock. It is no file,
    /// so [`Target::images`] lacks it. None if the target has none, or it cannot be read.
    pub fn vdso(target: &dyn Target) -> Option<Image> {
        /// It has two to four pages.
        const MAX: u64 = 1 << 18;
        const PT_LOAD: u32 = 1;
        let mappings = target.mappings().ok()?;
        let mapping = mappings.iter().find(|mapping| mapping.path == "[vdso]")?;
        let len = mapping.end.checked_sub(mapping.start).filter(|len| *len <= MAX)?;
        let bytes = target.read_vec(mapping.start, usize::try_from(len).ok()?).ok()?;
        let file = Arc::new(ImageFile::of_bytes("[vdso]", &bytes).ok()?);
        let headers = Headers::read(&file).ok()?;
        let first = headers.segments.iter().find(|segment| segment.kind == PT_LOAD)?.address;
        let bias = mapping.start.wrapping_sub(first);
        Some(Image { path: "[vdso]".to_owned(), bias, is_executable: false, file })
    }

    /// The length of a file of the file system that this one is from, by its path there, bytes. None if there is no such
    /// file, or it cannot be known in time.
    pub(crate) fn len_beside(&self, path: &str) -> Option<u64> {
        let path = format!("{}{path}", self.file.root);
        let found = slow_files::within(move || std::fs::metadata(path)).ok()?;
        found.is_file().then_some(found.len())
    }

    /// Another ELF file of the file system that this one is from, by its path there, with this one's bias. None if
    /// there is none that can be read.
    pub(crate) fn beside(&self, path: &str) -> Option<Image> {
        let opened = ImageFile::open_io(Path::new(&format!("{}{path}", self.file.root))).ok()?;
        let file = Arc::new(opened.with_root(self.file.root.clone()));
        Headers::read(&file).ok()?;
        Some(Image { path: path.to_owned(), file, ..self.clone() })
    }
}

/// The mappings of one file.
struct Group<'a> {
    mappings: Vec<&'a Mapping>,
    is_executable: bool,
}

/// Groups the mappings by file, in order of first address.
fn group<'a>(mappings: &'a [Mapping], executable: Option<(u64, u64)>, exe_path: &str) -> Vec<Group<'a>> {
    let mut groups: Vec<Group<'a>> = Vec::new();
    let mut known = FxHashMap::default();
    for mapping in mappings.iter().filter(|mapping| mapping.file_id.1 != 0) {
        let key = (mapping.file_id, mapping.path.as_str());
        let index = *known.entry(key).or_insert_with(|| {
            // Device numbers differ between stat and maps on some file systems (btrfs, overlayfs).
            let same = Some(mapping.file_id) == executable
                || (executable.is_some_and(|(_, inode)| inode == mapping.file_id.1)
                    && plain(&mapping.path) == exe_path);
            groups.push(Group { mappings: Vec::new(), is_executable: same });
            groups.len() - 1
        });
        if let Some(group) = groups.get_mut(index) {
            group.mappings.push(mapping);
        }
    }
    groups
}

/// The path without the kernel's " (deleted)" mark.
pub(super) fn plain(path: &str) -> &str {
    path.strip_suffix(" (deleted)").unwrap_or(path)
}

/// A file by device, inode and path.
type Key = ((u64, u64), String);

/// The opened files of a process, kept for reuse: they do not change while they are mapped, and a file that
/// does not answer must not be waited for again.
#[derive(Debug, Default)]
pub(super) struct OpenedFiles {
    known: Mutex<FxHashMap<Key, Result<Arc<ImageFile>, Refusal>>>,
    unreadable: Mutex<Vec<UnreadableImage>>,
    /// Even the identity of the executable could not be found in time.
    nameless: AtomicBool,
}

/// Why a file could not be opened.
#[derive(Debug, Clone)]
struct Refusal {
    /// Opening should have been possible: the file system failed or does not answer.
    unexpected: bool,
    late: bool,
    why: String,
}

impl Refusal {
    fn new(error: &io::Error) -> Refusal {
        use io::ErrorKind::{NotFound, Other, PermissionDenied, TimedOut};
        let unexpected = !matches!(error.kind(), NotFound | Other | PermissionDenied);
        Refusal { unexpected, late: error.kind() == TimedOut, why: error.to_string() }
    }
}

impl OpenedFiles {
    /// The images that the last [`OpenedFiles::images`] could not read.
    pub(super) fn unreadable(&self) -> Vec<UnreadableImage> {
        self.unreadable.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Device and inode of the executable; None if they cannot be known, which is recorded if unexpected.
    fn executable(&self, pid: u32, unreadable: &mut Vec<UnreadableImage>) -> Result<Option<(u64, u64)>> {
        let link = format!("/proc/{pid}/exe");
        let path = link.clone();
        let found = match self.nameless.load(Ordering::Relaxed) {
            false => slow_files::within(move || std::fs::metadata(path)),
            true => Err(slow_files::no_answer()),
        };
        match found {
            Ok(metadata) => Ok(Some((metadata.dev(), metadata.ino()))),
            Err(source) if slow_files::is_our_own(&source) => {
                Err(TargetError::io(format!("stat {link}"), source))
            }
            Err(error) => {
                let refusal = Refusal::new(&error);
                self.nameless.store(refusal.late, Ordering::Relaxed);
                if refusal.unexpected {
                    let path = proc::exe(pid).unwrap_or(link);
                    unreadable.push(UnreadableImage { path, is_executable: true, why: refusal.why });
                }
                Ok(None)
            }
        }
    }

    /// The ELF files mapped into a live process, the executable first. Files that cannot be reached are left
    /// out; the reason is kept or, where it is usual, logged.
    ///
    /// # Errors
    /// loiter itself has too many open files, or no memory or thread.
    pub(super) fn images(
        &self,
        pid: u32,
        mappings: &[Mapping],
        memory: &ProcessMemory,
    ) -> Result<Vec<Image>> {
        let mut unreadable = Vec::new();
        let exe = self.executable(pid, &mut unreadable)?;
        let exe_path = proc::exe(pid).unwrap_or_default();
        let mut groups = group(mappings, exe, &exe_path);
        groups.sort_by_key(|group| !group.is_executable);
        groups.retain(|group| group.is_executable || group.mappings.iter().any(|mapping| mapping.execute));
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let mut before = std::mem::take(&mut *known);
        // Devices with a file that did not answer: their other files will not answer either.
        let mut late = FxHashSet::default();
        let mut images = Vec::new();
        for group in groups.iter().take(MAX_FILES) {
            let Some(first) = group.mappings.first() else { continue };
            let key = (first.file_id, first.path.clone());
            let device = first.file_id.0;
            let opened = match before.remove(&key) {
                Some(known) => known,
                None if late.contains(&device) => Err(Refusal::new(&slow_files::no_answer())),
                None => match open_mapped(pid, group, memory) {
                    Ok(file) => Ok(Arc::new(file.with_root(format!("/proc/{pid}/root")))),
                    Err(source) if slow_files::is_our_own(&source) => {
                        return Err(TargetError::io(format!("open {}", first.path), source));
                    }
                    Err(error) => Err(Refusal::new(&error)),
                },
            };
            let refusal = match &opened {
                Ok(file) => add_images(&mut images, group, &first.path, file).err(),
                Err(refusal) => Some(refusal.clone()),
            };
            if let Some(refusal) = refusal {
                tracing::debug!("{} is left out: {}", first.path, refusal.why);
                late.extend(refusal.late.then_some(device));
                if refusal.unexpected || (group.is_executable && opened.is_err()) {
                    let (path, is_executable) = (plain(&first.path).to_owned(), group.is_executable);
                    unreadable.push(UnreadableImage { path, is_executable, why: refusal.why.clone() });
                }
                known.insert(key, if refusal.late { Err(refusal) } else { opened });
            } else {
                known.insert(key, opened);
            }
        }
        if let Some(more) = groups.len().checked_sub(MAX_FILES).filter(|more| *more > 0) {
            unreadable.push(UnreadableImage {
                path: format!("{more} of {} mapped files", groups.len()),
                is_executable: false,
                why: format!("more than {MAX_FILES} files with code are not looked at"),
            });
        }
        *self.unreadable.lock().unwrap_or_else(PoisonError::into_inner) = unreadable;
        Ok(images)
    }
}

/// Adds an image for each address at which a file is loaded. There is one, except in the rare program that
/// loads the same library twice.
fn add_images(
    images: &mut Vec<Image>,
    group: &Group<'_>,
    path: &str,
    file: &Arc<ImageFile>,
) -> Result<(), Refusal> {
    let headers = Headers::read(file).map_err(|error| match error {
        TargetError::Io { source, .. } => Refusal::new(source.as_io()),
        // Not an ELF file, or not one of this kind of machine.
        other => Refusal { unexpected: false, late: false, why: full_text(&other) },
    })?;
    let mappings = group.mappings.get(..MAX_MAPPINGS).unwrap_or(&group.mappings);
    let mut biases: Vec<u64> = Vec::new();
    for bias in biases_of(&headers, mappings) {
        if !biases.contains(&bias) && biases.len() < MAX_PLACES {
            biases.push(bias);
        }
    }
    images.extend(biases.into_iter().map(|bias| Image {
        path: plain(path).to_owned(),
        bias,
        is_executable: group.is_executable,
        file: Arc::clone(file),
    }));
    Ok(())
}

/// What to add to the addresses in a file, from where its executable parts are mapped. If none is mapped (its
/// text may have been moved to huge pages), from the first mapped part.
pub(super) fn biases_of(headers: &Headers, mappings: &[&Mapping]) -> Vec<u64> {
    if headers.header.e_type.get(object::LittleEndian) == elf::ET_EXEC {
        return vec![0];
    }
    let code = mappings.iter().filter(|mapping| mapping.execute);
    let biases: Vec<u64> = code.filter_map(|mapping| bias_of(headers, mapping)).collect();
    if biases.is_empty() {
        return mappings.iter().find_map(|mapping| bias_of(headers, mapping)).into_iter().collect();
    }
    biases
}

/// The kernel maps whole pages, so a mapping begins at the page of its segment's first byte. One page of the
/// file may be mapped twice, as the end of one segment and the start of the next. The right to execute
/// distinguishes them.
fn bias_of(headers: &Headers, mapping: &Mapping) -> Option<u64> {
    let holds = |segment: &&super::Segment| {
        let start = segment.offset & !(PAGE - 1);
        let end = segment.offset.saturating_add(segment.file_size);
        start <= mapping.offset && mapping.offset < end
    };
    let same_rights = |segment: &&super::Segment| (segment.flags & elf::PF_X.0 != 0) == mapping.execute;
    let segment = headers
        .loads()
        .find(|segment| holds(segment) && same_rights(segment))
        .or_else(|| headers.loads().find(holds))?;
    let address = mapping.offset.wrapping_sub(segment.offset).wrapping_add(segment.address);
    Some(mapping.start.wrapping_sub(address))
}

/// Opens exactly the mapped file.
fn open_mapped(pid: u32, group: &Group<'_>, memory: &ProcessMemory) -> io::Result<ImageFile> {
    let mut error = io::Error::from(io::ErrorKind::NotFound);
    let first = group.mappings.first().ok_or(io::ErrorKind::NotFound)?;
    // The kernel's own link to the mapped file. Needs CAP_CHECKPOINT_RESTORE or CAP_SYS_ADMIN.
    let (start, end) = (first.start, first.end);
    match ImageFile::open_io(Path::new(&format!("/proc/{pid}/map_files/{start:x}-{end:x}"))) {
        Ok(file) => return Ok(file),
        Err(failed) if is_final(&failed) => return Err(failed),
        Err(failed) => error = merge(error, failed),
    }
    if group.is_executable {
        match ImageFile::open_io(Path::new(&format!("/proc/{pid}/exe"))) {
            Ok(file) => return Ok(file),
            Err(failed) if is_final(&failed) => return Err(failed),
            Err(failed) => error = merge(error, failed),
        }
    }
    if first.path.starts_with('/') && !first.path.ends_with(" (deleted)") {
        match ImageFile::open_io(Path::new(&format!("/proc/{pid}/root{}", first.path))) {
            Ok(file) if is_mapped_file(&file, group, memory) => return Ok(file),
            Ok(_) => error = io::Error::other("another file has come to stand at that path"),
            Err(failed) => error = merge(error, failed),
        }
    }
    Err(error)
}

/// Whether another path to the same file would not help.
fn is_final(error: &io::Error) -> bool {
    slow_files::is_our_own(error) || error.kind() == io::ErrorKind::TimedOut
}

/// Of several errors, the last one that is more than "not found".
fn merge(before: io::Error, now: io::Error) -> io::Error {
    if now.kind() == io::ErrorKind::NotFound { before } else { now }
}

/// Whether a file opened by its path is the mapped one: the same device and inode or, where the file system
/// gives two device numbers for one file, the same inode and the same bytes at its start.
fn is_mapped_file(file: &ImageFile, group: &Group<'_>, memory: &ProcessMemory) -> bool {
    let Some(first) = group.mappings.first() else { return false };
    let handle = Arc::clone(&file.file);
    let Ok(metadata) = slow_files::within(move || handle.metadata()) else { return false };
    if (metadata.dev(), metadata.ino()) == first.file_id {
        return true;
    }
    let head = group.mappings.iter().find(|mapping| mapping.offset == 0 && mapping.read && !mapping.write);
    let Some(head) = head.filter(|_| metadata.ino() == first.file_id.1) else { return false };
    let len = COMPARED.min(usize::try_from(file.len()).unwrap_or(usize::MAX));
    match (file.read_at(0, len), memory.read_vec(head.start, len)) {
        (Ok(there), Ok(mapped)) => there == mapped,
        _ => false,
    }
}
