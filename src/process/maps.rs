//! The list of mappings in /proc/PID/maps.
//!
//! Parsed here rather than by a crate because a path may hold anything: spaces, "(deleted)", bytes that are
//! not UTF-8. A line that cannot be parsed is left out and does not hide the others.

use super::Mapping;

/// At most this much of a maps file is read: 65,530 mappings (the kernel's default limit) with the longest
/// paths need about this much.
pub(super) const MAX_BYTES: u64 = 256 << 20;

/// Parses the bytes of a maps file. The result is in ascending order and has no overlaps.
pub(super) fn parse(bytes: &[u8]) -> Vec<Mapping> {
    let mut mappings: Vec<Mapping> = Vec::new();
    for line in bytes.split(|&byte| byte == b'\n') {
        let Some(mapping) = parse_line(line) else { continue };
        // The kernel promises this order; a file that changed while it was read may repeat a piece.
        if mappings.last().is_none_or(|last| last.end <= mapping.start) {
            mappings.push(mapping);
        }
    }
    mappings
}

/// One line: "start-end perms offset major:minor inode   path".
fn parse_line(line: &[u8]) -> Option<Mapping> {
    let mut rest = line;
    let range = word(&mut rest)?;
    let permissions = word(&mut rest)?.as_bytes();
    let offset = hex(word(&mut rest)?)?;
    let (major, minor) = word(&mut rest)?.split_once(':')?;
    let inode = word(&mut rest)?.parse().ok()?;
    let (start, end) = range.split_once('-')?;
    let (start, end) = (hex(start)?, hex(end)?);
    if start >= end {
        return None;
    }
    let device = libc::makedev(u32::try_from(hex(major)?).ok()?, u32::try_from(hex(minor)?).ok()?);
    Some(Mapping {
        start,
        end,
        offset,
        read: permissions.first() == Some(&b'r'),
        write: permissions.get(1) == Some(&b'w'),
        execute: permissions.get(2) == Some(&b'x'),
        path: path(rest),
        file_id: (device, inode),
    })
}

/// Takes the next word off `rest`, with the one space after it.
fn word<'a>(rest: &mut &'a [u8]) -> Option<&'a str> {
    let end = rest.iter().position(|&byte| byte == b' ').unwrap_or(rest.len());
    let (word, tail) = rest.split_at(end);
    *rest = tail.get(1..).unwrap_or(&[]);
    std::str::from_utf8(word).ok().filter(|word| !word.is_empty())
}

fn hex(text: &str) -> Option<u64> {
    u64::from_str_radix(text, 16).ok()
}

/// The path follows padding spaces. Only a newline is escaped in it.
fn path(rest: &[u8]) -> String {
    let start = rest.iter().position(|&byte| byte != b' ').unwrap_or(rest.len());
    let text = String::from_utf8_lossy(rest.get(start..).unwrap_or(&[]));
    if text.contains("\\012") { text.replace("\\012", "\n") } else { text.into_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn odd_paths() {
        let text = b"00400000-00452000 r-xp 00001000 08:02 173521      /usr/bin/a b (deleted)\n\
            7f00-8f00 rw-p 00000000 00:00 0 \n\
            8f00-9f00 ---p 00000000 00:00 0                          [stack]\n\
            9f00-af00 r--s 00000000 00:05 7                          /tmp/\xff\\012x\n";
        let mappings = parse(text);
        let paths: Vec<&str> = mappings.iter().map(|mapping| mapping.path.as_str()).collect();
        // The second mapping is below the first: out of order, so it and what follows are left out.
        assert_eq!(paths, ["/usr/bin/a b (deleted)"]);
        assert_eq!(mappings[0].file_id, (libc::makedev(8, 2), 173_521));
        assert!(mappings[0].read && mappings[0].execute && !mappings[0].write);

        let mappings = parse(&text[text.iter().position(|&b| b == b'\n').unwrap_or(0)..]);
        let paths: Vec<&str> = mappings.iter().map(|mapping| mapping.path.as_str()).collect();
        assert_eq!(paths, ["", "[stack]", "/tmp/\u{fffd}\nx"]);
    }

    #[test]
    fn our_own_mappings_hold_our_own_code() {
        let mappings = parse(&std::fs::read("/proc/self/maps").expect("readable"));
        let here = our_own_mappings_hold_our_own_code as fn() as usize as u64;
        assert!(mappings.iter().any(|m| m.execute && m.start <= here && here < m.end));
    }

    proptest! {
        #[test]
        fn any_bytes(bytes: Vec<u8>) {
            parse(&bytes);
        }

        #[test]
        fn lines_of_nearly_the_right_shape(
            lines in prop::collection::vec("[0-9a-f]{0,17}-[0-9a-f]{0,17} [r-][w-]?[x-]?[ps]? [0-9a-f]{0,9} ?[0-9a-f]{1,9}:[0-9a-f]{1,3} [0-9]{0,21} *.{0,20}", 0..8),
        ) {
            let mappings = parse(lines.join("\n").as_bytes());
            prop_assert!(mappings.iter().all(|m| m.start < m.end));
            prop_assert!(mappings.windows(2).all(|pair| pair[0].end <= pair[1].start));
        }

        #[test]
        fn what_the_kernel_would_write_comes_back(
            pieces in prop::collection::vec((1u64..1000, 1u64..1000, 0u64..1 << 40, any::<[bool; 3]>(), 0u32..4096, 0u32..256, any::<u64>(), "[^\0\n\\\\ ][^\0\n\\\\]{0,30}"), 0..20),
        ) {
            let mut at = 0;
            let mut expected = Vec::new();
            let mut text = String::new();
            for (gap, len, offset, [read, write, execute], major, minor, inode, path) in pieces {
                let start = at + gap * 4096;
                at = start + len * 4096;
                let flag = |on, letter| if on { letter } else { '-' };
                text += &format!(
                    "{start:08x}-{at:08x} {}{}{}p {offset:08x} {major:02x}:{minor:02x} {inode}    {path}\n",
                    flag(read, 'r'), flag(write, 'w'), flag(execute, 'x')
                );
                let file_id = (libc::makedev(major, minor), inode);
                expected.push(Mapping { start, end: at, offset, read, write, execute, path, file_id });
            }
            prop_assert_eq!(parse(text.as_bytes()), expected);
        }
    }
}
