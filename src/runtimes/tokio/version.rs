//! The version of Tokio in a program: from the paths of its sources, which panics and spawns refer to.

use memchr::memmem;

use crate::process::{Image, Target};

/// Read-only data searched, bytes.
const MAX_BYTES: u64 = 128 << 20;
/// Bytes read at a time of memory.
const BLOCK: usize = 1 << 20;
const BEFORE: &[u8] = b"/tokio-1.";
/// A path may be cut by the end of a block: this much is read twice.
const OVERLAP: usize = 64;

/// Minor and patch version.
pub(super) type Version = (u32, u32);

/// The oldest and the newest minor version whose tasks were compared with what programs know of themselves.
pub(super) const OLDEST_KNOWN: u32 = 28;
pub(super) const NEWEST_KNOWN: u32 = 54;

/// The versions of Tokio that an image names, ascending. Empty if the paths were removed or are unusual.
pub(super) fn versions(target: &dyn Target, image: &Image) -> Vec<Version> {
    let mut found = Vec::new();
    let mut left = MAX_BYTES;
    for Constants { offset, address, len } in constants(image) {
        let len = len.min(left);
        left -= len;
        let mut look = |bytes: &[u8]| found.extend(in_bytes(bytes));
        if image.file.in_pieces(offset, len, OVERLAP, &mut look).is_ok() {
            continue;
        }
        // The file may be missing, or cut.
        for at in (0..len).step_by(BLOCK - OVERLAP) {
            let len = (BLOCK as u64).min(len - at) as usize;
            if let Ok(bytes) = target.read_vec(address.saturating_add(at), len) {
                found.extend(in_bytes(&bytes));
            }
        }
    }
    found.sort_unstable();
    found.dedup();
    found
}

/// Read-only data of an image: where it is in the file and in the target, and its length.
struct Constants {
    offset: u64,
    address: u64,
    len: u64,
}

/// Where texts may be: not in what is for the linker, or for finding callers of frames, which is more in a large program. Without
/// sections, in all read-only data.
fn constants(image: &Image) -> Vec<Constants> {
    const PT_LOAD: u32 = 1;
    const WRITE_OR_EXECUTE: u32 = 3;
    const SHT_PROGBITS: u32 = 1;
    /// Write, execute.
    const OTHERS: u64 = 5;
    const TABLES: [&str; 3] = [".eh_frame", ".eh_frame_hdr", ".gcc_except_table"];
    let sections = image.sections().unwrap_or_default();
    let sections = sections.iter().filter(|section| {
        let is_read_only = section.is_loaded() && section.flags & OTHERS == 0;
        is_read_only && section.kind == SHT_PROGBITS && !TABLES.contains(&section.name.as_str())
    });
    let sections: Vec<_> = sections
        .map(|section| Constants { offset: section.offset, address: section.address, len: section.size })
        .collect();
    if !sections.is_empty() {
        return sections;
    }
    let segments = image.segments().unwrap_or_default();
    let segments =
        segments.iter().filter(|segment| segment.kind == PT_LOAD && segment.flags & WRITE_OR_EXECUTE == 0);
    segments
        .map(|segment| Constants { offset: segment.offset, address: segment.address, len: segment.file_size })
        .collect()
}

/// "/tokio-1.54.1/src/" anywhere.
fn in_bytes(bytes: &[u8]) -> impl Iterator<Item = Version> {
    memmem::find_iter(bytes, BEFORE).filter_map(|at| {
        let (minor, rest) = number(bytes.get(at + BEFORE.len()..)?)?;
        let (patch, rest) = number(rest.strip_prefix(b".")?)?;
        // "1.40.0-beta.1" and "1.40.0+build" are versions, too.
        rest.first().is_some_and(|next| b"/-+".contains(next)).then_some((minor, patch))
    })
}

fn number(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let len = bytes.iter().take(4).take_while(|byte| byte.is_ascii_digit()).count();
    let (digits, rest) = bytes.split_at_checked(len)?;
    Some((std::str::from_utf8(digits).ok()?.parse().ok()?, rest))
}

/// What to say about a version that was not tested. None if it was.
pub(super) fn warning(versions: &[Version]) -> Option<String> {
    match versions {
        [] => Some(
            "the version of Tokio is unknown: the paths of its sources are not in the program".to_owned(),
        ),
        [(minor, _)] if *minor < OLDEST_KNOWN => {
            Some(format!("Tokio 1.{minor} is older than what was tested: tasks may be missing"))
        }
        [(minor, _)] if *minor > NEWEST_KNOWN => {
            Some(format!("Tokio 1.{minor} is newer than this loiter knows: what differs may be wrong"))
        }
        [_] => None,
        several => {
            let names: Vec<_> = several.iter().map(|(minor, patch)| format!("1.{minor}.{patch}")).collect();
            Some(format!("the program has several versions of Tokio: {}", names.join(", ")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths() {
        let text =
            b"x/tokio-1.54.1/src/runtime/mod.rs/tokio-1.28.2/src/a/tokio-util-0.7.1/src/tokio-1.5/tokio-1.";
        assert_eq!(in_bytes(text).collect::<Vec<_>>(), [(54, 1), (28, 2)]);
        assert_eq!(in_bytes(b"/tokio-1.40.0-rc.1/src").collect::<Vec<_>>(), [(40, 0)]);
        assert_eq!(in_bytes(b"/tokio-1.99999999999999.1/").count(), 0);
    }

    #[test]
    fn what_was_tested_needs_no_warning() {
        assert_eq!(warning(&[(28, 0)]), None);
        assert_eq!(warning(&[(54, 9)]), None);
        for odd in [&[][..], &[(20, 0)], &[(55, 0)], &[(28, 2), (54, 1)]] {
            assert!(warning(odd).is_some(), "{odd:?}");
        }
    }
}
