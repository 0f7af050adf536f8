//! A core file, as the kernel and gdb's gcore write them.
//!
//! It is incomplete: unmodified pages of files are usually left out. They have to be read from the files
//! themselves, if these have not changed.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use object::elf;
use rustc_hash::{FxHashMap, FxHashSet};

use super::core_memory::{CoreMemory, PAGE, Piece, in_order, piece_at, piece_of};
use super::core_notes::{AuxiliaryVector, CoreNotes, NamedRange};
use super::elf::{Headers, Segment};
use super::image;
use super::image_file::ImageFile;
use super::{
    CoreExtent, Frozen, HoldTime, Image, Mapping, Memory, Range, Registers, Result, Target, TargetError,
    WithRegisters, proc,
};
use crate::cause::full_text;
use crate::snapshot::{ProcessFigures, SourceKind, TargetInfo};

/// Bytes of a file that are compared with the core file's copy of it.
const COMPARED: u64 = 4096;
/// Files opened at most.
const MAX_FILES: usize = 4096;

/// Opens a core file. `exe` names the program that produced it, if the program is no longer at the path
/// that the core file gives, or if the core file is from another machine.
///
/// # Errors
/// It cannot be read or is not a core file of this kind of machine, or `exe` is another program.
pub fn open_core(path: &Path, exe: Option<&Path>) -> Result<Box<dyn Target>> {
    CoreTarget::open(path, exe).map(|target| Box::new(target) as Box<dyn Target>)
}

/// A core file.
#[derive(Debug)]
struct CoreTarget {
    info: TargetInfo,
    memory: CoreMemory,
    mappings: Vec<Mapping>,
    images: Vec<Image>,
    threads: BTreeMap<u32, Registers>,
    extent: CoreExtent,
}

impl CoreTarget {
    fn open(path: &Path, exe: Option<&Path>) -> Result<CoreTarget> {
        let core = Arc::new(ImageFile::open(path)?);
        let headers = Headers::read(&core)?;
        headers.check_core(&core)?;
        let notes = CoreNotes::read(&headers, &core);
        if notes.threads.is_empty() {
            return Err(core.malformed("holds no threads: it was cut, or is no core file of a process"));
        }
        let dumped = headers.loads().filter(|load| load.file_size > 0).map(|load| Piece {
            start: load.address,
            end: load.address.saturating_add(load.file_size.min(load.memory_size)),
            present: load.file_size,
            offset: load.offset,
            file: Arc::clone(&core),
        });
        let mappings = mappings(&headers, &notes.files);
        let known = mappings.iter().map(|mapping| (mapping.start, mapping.end)).collect();
        let mut target = CoreTarget {
            info: TargetInfo { source: SourceKind::Core, ..TargetInfo::default() },
            memory: CoreMemory { dumped: in_order(dumped.collect()), mapped: Vec::new(), known },
            mappings,
            extent: extent(&headers, &core),
            images: Vec::new(),
            threads: notes.threads.iter().copied().collect(),
        };
        let executable = target.open_images(&notes, exe)?;
        target.complete_rights();
        target.info = info(&notes, &target.images, executable);
        Ok(target)
    }

    /// Opens the files that were mapped and have not changed. Returns the path of the executable.
    fn open_images(&mut self, notes: &CoreNotes, exe: Option<&Path>) -> Result<Option<String>> {
        let mappings = &self.mappings;
        let mut groups: BTreeMap<&str, Vec<&Mapping>> = BTreeMap::new();
        for mapping in mappings.iter().filter(|mapping| !mapping.path.is_empty()) {
            groups.entry(&mapping.path).or_default().push(mapping);
        }
        let executable = executable(mappings, notes);
        let (mut images, mut mapped) = (Vec::new(), Vec::new());
        for (&path, group) in groups.iter().take(MAX_FILES) {
            let is_executable = executable == Some(path);
            let given = exe.filter(|_| is_executable);
            match self.open_image(given.unwrap_or(Path::new(path)), path, group, is_executable) {
                Ok((image, pieces)) => {
                    images.push(image);
                    mapped.extend(pieces);
                }
                // The file that was named has to fit; others may be gone, or not be programs.
                Err(error) if given.is_some() => return Err(error),
                Err(error) if is_executable => {
                    tracing::warn!("{path}, which left the core file: {}", full_text(&error))
                }
                Err(error) => tracing::debug!("{path}, which the core file refers to: {}", full_text(&error)),
            }
        }
        if let Some(exe) = exe.filter(|_| executable.is_none()) {
            let (image, pieces) = unlisted_executable(exe, &notes.auxiliary, &self.extent)?;
            images.push(image);
            mapped.extend(pieces);
        }
        images.sort_by_key(|image: &Image| !image.is_executable);
        self.memory.mapped = in_order(mapped);
        self.images = images;
        Ok(executable.map(|path| image::plain(path).to_owned()))
    }

    /// Finds which mappings hold code among those whose rights the core file does not give.
    fn complete_rights(&mut self) {
        let mut code = FxHashSet::default();
        for image in &self.images {
            let segments = Headers::read(&image.file).map(|headers| headers.segments).unwrap_or_default();
            let executable = segments.iter().filter(|segment| segment.flags & elf::PF_X.0 != 0);
            code.extend(executable.map(|segment| (image.path.as_str(), segment.offset & !(PAGE - 1))));
        }
        for mapping in self.mappings.iter_mut().filter(|mapping| !mapping.write) {
            mapping.execute |= code.contains(&(image::plain(&mapping.path), mapping.offset));
        }
    }

    /// Opens one file and checks that it is the file that was mapped.
    fn open_image(
        &self,
        from: &Path,
        path: &str,
        group: &[&Mapping],
        is_executable: bool,
    ) -> Result<(Image, Vec<Piece>)> {
        let file = Arc::new(ImageFile::open(from)?);
        let headers = Headers::read(&file)?;
        if !headers.loads().any(|load| load.flags & elf::PF_X.0 != 0) {
            return Err(file.malformed("holds no code"));
        }
        self.check_same(&file, group)?;
        let bias = image::biases_of(&headers, group).first().copied();
        let bias = bias.ok_or_else(|| file.malformed("is not laid out as the core file says"))?;
        let piece = |mapping: &&Mapping| piece_of(mapping.start, mapping.end, mapping.offset, &file);
        // Memory that was not dumped can be taken from a file only where it cannot have been changed.
        let pieces = group.iter().filter(|mapping| !mapping.write).map(piece).collect();
        Ok((
            Image { path: image::plain(path).to_owned(), bias, is_executable, file: Arc::clone(&file) },
            pieces,
        ))
    }

    /// The start of a file (its headers and its build id) is nearly always dumped: it must be the same. If it
    /// was not dumped, the file must at least be long enough.
    fn check_same(&self, file: &ImageFile, group: &[&Mapping]) -> Result<()> {
        let other =
            |why: &str| file.malformed(format!("is another file than the one that was mapped: {why}"));
        for mapping in group {
            if mapping.offset >= file.len() {
                return Err(other("it is shorter"));
            }
            let dumped = piece_at(&self.memory.dumped, mapping.start).filter(|_| mapping.offset == 0);
            let Some(dumped) = dumped.filter(|_| !mapping.write) else { continue };
            let len = COMPARED.min(dumped.present).min(mapping.end - mapping.start).min(file.len());
            let len = usize::try_from(len).unwrap_or(0);
            // A truncated core file may lack it.
            let Ok(dumped) = self.memory.read_vec(mapping.start, len) else { continue };
            if dumped != file.read_at(0, len)? {
                return Err(other("its beginning differs"));
            }
        }
        Ok(())
    }
}

/// The executable of a core file that does not list the mapped files: placed by its entry point.
fn unlisted_executable(
    exe: &Path,
    auxiliary: &AuxiliaryVector,
    core: &CoreExtent,
) -> Result<(Image, Vec<Piece>)> {
    let file = Arc::new(ImageFile::open(exe)?);
    let headers = Headers::read(&file)?;
    let entry = headers.header.e_entry.get(object::LittleEndian);
    let there = auxiliary.entry.ok_or_else(|| {
        file.malformed(match core.missing {
            0 => "the core file does not say where it was loaded",
            _ => "the core file is cut, and does not say where it was loaded",
        })
    })?;
    let bias = there.wrapping_sub(entry);
    if bias % PAGE != 0 {
        return Err(file.malformed("is not the program that left the core file: its entry point differs"));
    }
    let whole = |load: &Segment| {
        let slack = load.offset % PAGE;
        let start = load.address.wrapping_add(bias).wrapping_sub(slack);
        let end = start.saturating_add(load.file_size.saturating_add(slack));
        piece_of(start, end, load.offset - slack, &file)
    };
    let pieces = headers.loads().filter(|load| load.flags & elf::PF_W.0 == 0).map(whole).collect();
    let path = exe.display().to_string();
    Ok((Image { path, bias, is_executable: true, file: Arc::clone(&file) }, pieces))
}

/// How much of the file is present. A missing part is common (a full disk, a limit) and explains much.
fn extent(headers: &Headers, core: &ImageFile) -> CoreExtent {
    let ends = headers.segments.iter().map(|segment| segment.offset.saturating_add(segment.file_size));
    let missing = ends.max().unwrap_or(0).saturating_sub(core.len());
    CoreExtent { bytes: core.len(), missing }
}

/// The path of the executable: of the file that contains the entry point, else of the file with the name that
/// the core file gives.
fn executable<'a>(mappings: &'a [Mapping], notes: &CoreNotes) -> Option<&'a str> {
    let mut files = mappings.iter().filter(|mapping| !mapping.path.is_empty());
    let found = match notes.auxiliary.entry {
        Some(entry) => files.find(|mapping| mapping.start <= entry && entry < mapping.end),
        None => files.find(|mapping| {
            let name = proc::file_name(image::plain(&mapping.path));
            !notes.name.is_empty() && name.starts_with(&notes.name)
        }),
    };
    found.map(|mapping| mapping.path.as_str())
}

/// The mappings, from the program headers and the list of mapped files together.
fn mappings(headers: &Headers, files: &[NamedRange]) -> Vec<Mapping> {
    // A core file has no inode numbers; the position of a path in the list distinguishes files equally well.
    let mut ids = FxHashMap::default();
    for file in files {
        let next = ids.len() as u64 + 1;
        ids.entry(file.path.as_str()).or_insert(next);
    }
    let mapping = |start: u64, end, flags: u32, file: Option<&NamedRange>| Mapping {
        start,
        end,
        offset: file.map_or(0, |file| file.offset.saturating_add(start.saturating_sub(file.start))),
        read: flags & elf::PF_R.0 != 0,
        write: flags & elf::PF_W.0 != 0,
        execute: flags & elf::PF_X.0 != 0,
        path: file.map_or_else(String::new, |file| file.path.clone()),
        file_id: (0, file.and_then(|file| ids.get(file.path.as_str()).copied()).unwrap_or(0)),
    };
    let file_at = |address: u64| {
        let behind = files.partition_point(|file| file.start <= address);
        files.get(behind.checked_sub(1)?).filter(|file| address < file.end)
    };
    let loads = headers.loads().map(|load| {
        let end = load.address.saturating_add(load.memory_size);
        mapping(load.address, end, load.flags, file_at(load.address))
    });
    // gdb leaves out the headers of what it did not dump, so the access rights there are not known.
    let files = files.iter().map(|file| mapping(file.start, file.end, elf::PF_R.0, Some(file)));
    let mut mappings: Vec<Mapping> =
        loads.chain(files).filter(|mapping| mapping.start < mapping.end).collect();
    // The sort is stable, so of two that begin at the same address the one with a header stays.
    mappings.sort_by_key(|mapping| mapping.start);
    let mut end = 0;
    mappings.retain(|mapping| {
        let fits = mapping.start >= end;
        end = if fits { mapping.end } else { end };
        fits
    });
    mappings
}

fn info(notes: &CoreNotes, images: &[Image], exe: Option<String>) -> TargetInfo {
    let executable = images.iter().find(|image| image.is_executable);
    let exe = exe.or_else(|| executable.map(|image| image.path.clone())).filter(|exe| !exe.is_empty());
    let name = exe.as_deref().map_or(notes.name.as_str(), proc::file_name);
    TargetInfo {
        source: SourceKind::Core,
        pid: notes.pid.or_else(|| notes.threads.first().map(|(tid, _)| *tid)).filter(|&pid| pid != 0),
        name: name.to_owned(),
        command: notes.arguments.split(' ').filter(|part| !part.is_empty()).map(str::to_owned).collect(),
        build_id: executable.and_then(Image::build_id),
        exe,
        ..TargetInfo::default()
    }
}

impl Memory for CoreTarget {
    fn read(&self, address: u64, buf: &mut [u8]) -> Result<()> {
        self.memory.read(address, buf)
    }

    fn read_many(&self, ranges: &[Range], buf: &mut [u8], ok: &mut [bool]) -> Result<()> {
        self.memory.read_many(ranges, buf, ok)
    }
}

impl Target for CoreTarget {
    fn info(&self) -> &TargetInfo {
        &self.info
    }

    fn mappings(&self) -> Result<Vec<Mapping>> {
        Ok(self.mappings.clone())
    }

    fn images(&self) -> Result<Vec<Image>> {
        Ok(self.images.clone())
    }

    fn threads(&self) -> Result<Vec<u32>> {
        Ok(self.threads.keys().copied().collect())
    }

    fn thread_from_inside(&self, tid: u32) -> Option<u32> {
        self.threads.contains_key(&tid).then_some(tid)
    }

    fn with_stopped_thread(&self, tid: u32, with: &mut WithRegisters<'_>) -> Result<HoldTime> {
        let registers = self.threads.get(&tid).ok_or_else(|| TargetError::CannotStop {
            tid,
            problem: "the core file holds no such thread".to_owned(),
        })?;
        with(registers);
        Ok(HoldTime::ZERO)
    }

    fn freeze(&self, _limit: std::time::Duration) -> Result<Frozen> {
        Ok(Frozen::new(|| Ok(HoldTime::ZERO)))
    }

    fn is_static(&self) -> bool {
        true
    }

    fn core_extent(&self) -> Option<CoreExtent> {
        Some(self.extent)
    }

    fn present(&self, start: u64, end: u64) -> Vec<(u64, u64)> {
        self.memory.present(start, end)
    }

    fn monotonic_ns(&self) -> Option<u64> {
        None
    }

    fn figures(&self) -> ProcessFigures {
        ProcessFigures { threads: u32::try_from(self.threads.len()).ok(), ..ProcessFigures::default() }
    }
}
