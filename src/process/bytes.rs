//! Numbers in bytes, in the byte order of this machine's targets: little-endian.

/// The u32 at an offset; None if the bytes end before it does.
pub(crate) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|bytes| u32::from_le_bytes(*bytes))
}

/// The u64 at an offset; None if the bytes end before it does.
pub(crate) fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..)?.first_chunk().map(|bytes| u64::from_le_bytes(*bytes))
}

/// The word at an offset of a struct that was read whole; 0 if the bytes end before it does.
pub(crate) fn word(bytes: &[u8], at: usize) -> u64 {
    u64_at(bytes, at).unwrap_or(0)
}

/// All words in order. Trailing bytes that do not fill a word are left out.
pub(crate) fn words(bytes: &[u8]) -> impl Iterator<Item = u64> {
    let (words, _) = bytes.as_chunks();
    words.iter().map(|word| u64::from_le_bytes(*word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_end_where_the_bytes_do() {
        let bytes = [1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 4];
        assert_eq!((u32_at(&bytes, 4), u32_at(&bytes, 10), u32_at(&bytes, 99)), (Some(2), None, None));
        assert_eq!((u64_at(&bytes, 0), u64_at(&bytes, 6)), (Some(2 << 32 | 1), None));
        assert_eq!((word(&bytes, 4), word(&bytes, usize::MAX)), (3 << 32 | 2, 0));
        assert_eq!(words(&bytes).collect::<Vec<_>>(), [2 << 32 | 1]);
    }
}
