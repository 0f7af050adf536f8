//! The file with the debug information of an image: the image itself, or a separate file.
//!
//! Separate files are where debuggers look for them, in the file system of the target. Source: the GDB manual,
//! "Debugging Information in Separate Files".

use std::path::Path;

use super::sections::Sections;
use crate::cause::full_text;
use crate::process::{Image, Section};

/// Where distributions put separate files.
const FOLDER: &str = "/usr/lib/debug";
/// Bytes of `.gnu_debuglink`: a file name, padding and a checksum.
const MAX_LINK: usize = 4 << 10;
/// A file that is longer is not compared with the checksum, bytes.
const MAX_FILE: u64 = 4 << 30;
/// Bytes of a file that are read at a time.
const PIECE: u64 = 1 << 20;

/// The file that has the debug information of an image. None if there is none.
pub(crate) fn debug_file(image: &Image) -> Option<Image> {
    if Sections::are_in(image) {
        return Some(image.clone());
    }
    by_build_id(image).or_else(|| by_link(image))
}

/// The same, for a user who says which file has it.
///
/// # Errors
/// It cannot be read, has no debug information, or belongs to another build: one sentence.
pub(crate) fn given(image: &Image, path: &Path) -> Result<Image, String> {
    let found = Image::from_file(path).map_err(|error| full_text(&error))?;
    let found = Image { bias: image.bias, ..found };
    let (file, program) = (&found.path, &image.path);
    match (image.build_id(), found.build_id()) {
        (Some(ours), Some(theirs)) if ours != theirs => {
            return Err(format!(
                "{file} is of another build: its build id is {theirs}, that of {program} is {ours}"
            ));
        }
        (Some(_), Some(_)) => {}
        _ if is_laid_out_alike(image, &found) => {}
        _ => return Err(format!("{file} is of another build than {program}: its sections are elsewhere")),
    }
    if Sections::are_in(&found) { Ok(found) } else { Err(format!("{file} has no debug information")) }
}

/// Whether two files have the same parts of a program at the same places.
fn is_laid_out_alike(one: &Image, other: &Image) -> bool {
    let loaded = |image: &Image| -> Vec<(String, u64, u64)> {
        let sections = image.sections().unwrap_or_default();
        let loaded = sections.into_iter().filter(Section::is_loaded);
        loaded.map(|section| (section.name, section.address, section.size)).collect()
    };
    let ours = loaded(one);
    !ours.is_empty() && ours == loaded(other)
}

fn by_build_id(image: &Image) -> Option<Image> {
    let id = image.build_id()?;
    // Go's own ids are not in hexadecimal.
    let is_hex = id.len() > 2 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    let (first, rest) = is_hex.then(|| id.split_at(2))?;
    let found = image.beside(&format!("{FOLDER}/.build-id/{first}/{rest}.debug"))?;
    (found.build_id() == Some(id)).then_some(found)
}

fn by_link(image: &Image) -> Option<Image> {
    let link = image.section_data(".gnu_debuglink", MAX_LINK).ok()??;
    let (name, checksum) = parse_link(&link)?;
    let (folder, _) = image.path.rsplit_once('/')?;
    let places =
        [format!("{folder}/{name}"), format!("{folder}/.debug/{name}"), format!("{FOLDER}{folder}/{name}")];
    places.iter().filter_map(|path| image.beside(path)).find(|found| is_linked(image, found, checksum))
}

/// The file name and the checksum in a `.gnu_debuglink`.
fn parse_link(link: &[u8]) -> Option<(&str, u32)> {
    let end = memchr::memchr(0, link)?;
    let name = std::str::from_utf8(link.get(..end)?).ok()?;
    // A name, not a path to some other place.
    let is_name = !name.is_empty() && !name.contains('/') && name != "." && name != "..";
    let checksum = link.get((end + 1).next_multiple_of(4)..)?.first_chunk::<4>()?;
    is_name.then(|| (name, u32::from_le_bytes(*checksum)))
}

/// Whether a file that was found by its name is the right one: with the same build id or, without build ids, the
/// checksum of the link.
fn is_linked(image: &Image, found: &Image, checksum: u32) -> bool {
    match (image.build_id(), found.build_id()) {
        (Some(ours), Some(theirs)) => ours == theirs,
        _ => checksum_of(found) == Some(checksum),
    }
}

/// The CRC-32 of a file.
fn checksum_of(image: &Image) -> Option<u32> {
    let len = Some(image.file.len()).filter(|len| *len <= MAX_FILE)?;
    let mut checksum = flate2::Crc::new();
    let mut at = 0;
    while at < len {
        let piece = image.file.read_at(at, PIECE.min(len - at) as usize).ok()?;
        checksum.update(&piece);
        at += piece.len() as u64;
    }
    Some(checksum.sum())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links() {
        assert_eq!(parse_link(b"a.debug\0\x01\x02\x03\x04"), Some(("a.debug", 0x0403_0201)));
        assert_eq!(parse_link(b"ab\0\0\x01\0\0\0"), Some(("ab", 1)));
        assert_eq!(parse_link(b"ab\0\0\x01\0\0"), None, "cut");
        assert_eq!(parse_link(b"../ab\0\0\0\x01\0\0\0"), None);
        assert_eq!(parse_link(b"..\0\0\x01\0\0\0"), None);
        assert_eq!(parse_link(b"\0\0\0\0\x01\0\0\0"), None);
        assert_eq!(parse_link(b""), None);
    }
}
