//! Units whose entries are in other files: all of them in one package beside the program (`.dwp`), or each in an object
//! (`.dwo`). The program itself has a skeleton of each, which says where its code is.
//!
//! An object is read when its unit is first needed. Source: DWARF Debugging Information Format, version 5, sections 3.1.3
//! and 7.3; for version 4, GCC's DebugFission.

use std::sync::{Arc, OnceLock};

use gimli::{DebugCuIndex, DebugInfo, EndianSlice, IndexSectionId, LittleEndian, SectionId, UnitType};

use super::lists::Lists;
use super::pieces::{Budget, Section};
use super::strings::Strings;
use crate::process::Image;

/// Bytes that sections may have that must be read whole, because they are compressed: those of a package together.
const MAX_WHOLE: usize = 256 << 20;
/// Units of one object that are looked at: those of types come first.
const MAX_UNITS: usize = 64;
/// The sections that the entries of a unit refer to.
const SECTIONS: [IndexSectionId; 6] = [
    IndexSectionId::DebugInfo,
    IndexSectionId::DebugAbbrev,
    IndexSectionId::DebugStrOffsets,
    IndexSectionId::DebugRngLists,
    IndexSectionId::DebugLoc,
    IndexSectionId::DebugLocLists,
];

/// What a program says of a unit whose entries are elsewhere.
#[derive(Debug)]
pub(super) struct Skeleton {
    /// Its offset in `.debug_info`.
    pub(super) offset: usize,
    /// The number that the unit has, too.
    pub(super) id: u64,
    /// The path of the object, perhaps relative to `folder`.
    pub(super) object: Option<String>,
    pub(super) folder: Option<String>,
}

/// A unit whose entries are elsewhere.
#[derive(Debug)]
pub(super) struct SplitUnit {
    pub(super) skeleton: usize,
    pub(super) id: u64,
    source: Source,
    read: OnceLock<Option<SplitBytes>>,
}

/// Where its entries are.
#[derive(Debug)]
enum Source {
    /// Where each part is in the section of the package: offset and length.
    Package(Arc<Package>, [(usize, usize); SECTIONS.len()]),
    /// The program, and the path of the object in the same file system.
    Object(Image, String),
}

/// The package with all units of a program.
#[derive(Debug)]
struct Package {
    sections: [Section; SECTIONS.len()],
    strings: Strings,
}

/// The parts of a unit.
#[derive(Debug)]
struct SplitBytes {
    info: Vec<u8>,
    abbreviations: Vec<u8>,
    string_offsets: Vec<u8>,
    ranges: Vec<u8>,
    lists: Lists,
    /// Those of an object; a package has one table for all.
    own_strings: Strings,
}

/// The parts of a unit that was read.
#[derive(Debug, Clone, Copy)]
pub(super) struct SplitParts<'a> {
    pub(super) info: &'a [u8],
    pub(super) abbreviations: &'a [u8],
    pub(super) string_offsets: &'a [u8],
    pub(super) ranges: &'a [u8],
    pub(super) lists: &'a Lists,
    pub(super) strings: &'a Strings,
}

/// Finds the units of skeletons. With each the room that it needs at most, bytes. None for one that is nowhere.
pub(super) fn find(program: &Image, skeletons: &[&Skeleton]) -> Vec<Option<(SplitUnit, usize)>> {
    let package = Package::beside(program, skeletons);
    let found = |skeleton: &Skeleton| {
        let Skeleton { offset, id, .. } = *skeleton;
        let unit = |source| SplitUnit { skeleton: offset, id, source, read: OnceLock::new() };
        if let Some((package, all)) = &package
            && let Some(&parts) = all.get(&id)
        {
            return Some((unit(Source::Package(Arc::clone(package), parts)), parts[0].1));
        }
        let (path, len) = object(program, skeleton)?;
        Some((unit(Source::Object(program.clone(), path)), len))
    };
    skeletons.iter().copied().map(found).collect()
}

/// The path and the length of the object of a skeleton: where it was made or, with the same name, beside the program.
fn object(program: &Image, skeleton: &Skeleton) -> Option<(String, usize)> {
    let name = skeleton.object.as_ref()?;
    let folder = skeleton.folder.as_deref().unwrap_or_default().trim_end_matches('/');
    let made = if name.starts_with('/') { name.clone() } else { format!("{folder}/{name}") };
    let (here, _) = program.path.rsplit_once('/')?;
    let moved = format!("{here}/{}", name.rsplit('/').next()?);
    [made, moved].into_iter().find_map(|path| {
        let len = program.len_beside(&path)?;
        Some((path, usize::try_from(len).ok()?))
    })
}

type PartsById = rustc_hash::FxHashMap<u64, [(usize, usize); SECTIONS.len()]>;

impl Package {
    /// The package of a program, and where the units of these skeletons are in it.
    fn beside(program: &Image, skeletons: &[&Skeleton]) -> Option<(Arc<Package>, PartsById)> {
        let image = program.beside(&format!("{}.dwp", program.path))?;
        let index = image.section_data(SectionId::DebugCuIndex.name(), MAX_WHOLE).ok()??;
        let index = DebugCuIndex::new(&index, LittleEndian).index().ok()?;
        let mut room = MAX_WHOLE;
        let mut section = |name| {
            let found = Section::named(&image, name, room).unwrap_or_default();
            room = room.saturating_sub(found.size());
            found
        };
        let strings = Strings::new(section(".debug_str.dwo"));
        let sections = SECTIONS.map(|id| section(id.dwo_name()));
        let parts_of = |id: u64| -> Option<_> {
            let mut parts = [(0, 0); SECTIONS.len()];
            for part in index.sections(index.find(id)?).ok()? {
                if let Some(at) = SECTIONS.iter().position(|id| *id == part.section) {
                    parts[at] = (part.offset as usize, part.size as usize);
                }
            }
            Some((id, parts))
        };
        let parts = skeletons.iter().filter_map(|skeleton| parts_of(skeleton.id)).collect();
        Some((Arc::new(Package { sections, strings }), parts))
    }
}

impl SplitUnit {
    /// Its parts, which are read at the first call. None if they cannot be read.
    pub(super) fn parts(&self, budget: &Budget) -> Option<SplitParts<'_>> {
        let bytes = self.read.get_or_init(|| self.source.read(budget)).as_ref()?;
        let strings = match &self.source {
            Source::Package(package, _) => &package.strings,
            Source::Object(..) => &bytes.own_strings,
        };
        Some(SplitParts {
            info: &bytes.info,
            abbreviations: &bytes.abbreviations,
            string_offsets: &bytes.string_offsets,
            ranges: &bytes.ranges,
            lists: &bytes.lists,
            strings,
        })
    }
}

impl Source {
    fn read(&self, budget: &Budget) -> Option<SplitBytes> {
        let (parts, own_strings) = match self {
            Source::Package(package, parts) => {
                let mut sections = package.sections.iter().zip(parts);
                let part =
                    |_| sections.next().and_then(|(section, (at, len))| section.take(*at, *len, budget));
                (SECTIONS.map(part), Strings::default())
            }
            Source::Object(program, path) => {
                let image = program.beside(path)?;
                let whole = |name| {
                    let section = Section::named(&image, name, MAX_WHOLE).ok()?;
                    section.take(0, section.len(), budget)
                };
                let strings = Section::Whole(whole(".debug_str.dwo").unwrap_or_default());
                (SECTIONS.map(|id| whole(id.dwo_name())), Strings::new(strings))
            }
        };
        let [info, abbreviations, string_offsets, ranges, old_lists, lists] = parts;
        Some(SplitBytes {
            info: compilation(info?)?,
            abbreviations: abbreviations?,
            string_offsets: string_offsets.unwrap_or_default(),
            ranges: ranges.unwrap_or_default(),
            lists: Lists::split(old_lists.unwrap_or_default(), lists.unwrap_or_default()),
            own_strings,
        })
    }
}

/// The bytes of the first unit that is not one of types.
fn compilation(mut info: Vec<u8>) -> Option<Vec<u8>> {
    let (mut start, mut found) = (0, None);
    for _ in 0..MAX_UNITS {
        let rest = info.get(start..)?;
        let mut units = DebugInfo::from(EndianSlice::new(rest, LittleEndian)).units();
        let header = units.next().ok()??;
        let len = header.length_including_self();
        if matches!(header.type_(), UnitType::Compilation | UnitType::SplitCompilation(_)) {
            found = Some(start..start.checked_add(len)?);
            break;
        }
        start = start.checked_add(len)?;
    }
    let found = found?;
    info.truncate(found.end);
    Some(info.split_off(found.start))
}
