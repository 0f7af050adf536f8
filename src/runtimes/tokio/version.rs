//! The version of Tokio in a program: from the paths of its sources, which panics and spawns refer to.

use memchr::memmem;

use crate::process::{Image, Target};

/// Read-only data searched, bytes.
const MAX_BYTES: u64 = 128 << 20;
const BLOCK: u64 = 1 << 20;
const BEFORE: &[u8] = b"/tokio-1.";
/// A path may be cut by the end of a block: this much is read twice.
const OVERLAP: u64 = 64;

/// Minor and patch version.
pub(super) type Version = (u32, u32);

/// The oldest and the newest minor version whose tasks were compared with what programs know of themselves.
pub(super) const OLDEST_KNOWN: u32 = 28;
pub(super) const NEWEST_KNOWN: u32 = 54;

/// The versions of Tokio that an image names, ascending. Empty if the paths were removed or are unusual.
pub(super) fn versions(target: &dyn Target, image: &Image) -> Vec<Version> {
    const PT_LOAD: u32 = 1;
    const WRITE_OR_EXECUTE: u32 = 3;
    let mut found = Vec::new();
    let mut left = MAX_BYTES;
    let Ok(segments) = image.segments() else { return found };
    let constants =
        segments.iter().filter(|segment| segment.kind == PT_LOAD && segment.flags & WRITE_OR_EXECUTE == 0);
    for segment in constants {
        let (mut at, end) = (0, segment.file_size);
        while at < end && left > 0 {
            let len = BLOCK.min(end - at).min(left);
            left -= len;
            let offset = segment.offset.saturating_add(at);
            let bytes = image.file.read_at(offset, len as usize);
            let bytes = bytes.or_else(|_| target.read_vec(segment.address.saturating_add(at), len as usize));
            if let Ok(bytes) = bytes {
                found.extend(in_bytes(&bytes));
            }
            at = if at + len < end { at + len.saturating_sub(OVERLAP).max(1) } else { end };
        }
    }
    found.sort_unstable();
    found.dedup();
    found
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
