//! Makes text from a target safe to print.

use std::borrow::Cow;
use std::fmt::Write;

/// Replaces everything that does not print as itself: control characters (so that text can neither drive the
/// terminal nor begin a new line), bidirectional overrides and zero-width characters (so that text cannot look
/// like other text), unassigned and private ones. They are shown as `\n`, `\t`, `\x1b` or `\u{202e}`.
pub fn escape(text: &str) -> Cow<'_, str> {
    if text.bytes().all(|b| (b' '..=b'~').contains(&b)) || text.chars().all(is_printable) {
        return Cow::Borrowed(text);
    }
    let mut safe = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            c if is_printable(c) => safe.push(c),
            '\n' => safe.push_str("\\n"),
            '\t' => safe.push_str("\\t"),
            '\r' => safe.push_str("\\r"),
            // Writing to a string does not fail.
            c if c.is_ascii() => _ = write!(safe, "\\x{:02x}", u32::from(c)),
            c => _ = write!(safe, "\\u{{{:x}}}", u32::from(c)),
        }
    }
    Cow::Owned(safe)
}

/// Whether a character prints as itself. The standard library exposes this only through its debug format. The
/// test puts a letter first, so that combining characters, which are harmless there, pass.
pub(crate) fn is_printable(c: char) -> bool {
    if c.is_ascii() {
        return (' '..='~').contains(&c);
    }
    let mut buf = [0; 5];
    buf[0] = b'a';
    let len = 1 + c.encode_utf8(&mut buf[1..]).len();
    let pair = buf.get(..len).and_then(|bytes| std::str::from_utf8(bytes).ok()).unwrap_or_default();
    pair.escape_debug().nth(2).is_none()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_could_do_harm_is_shown_as_text() {
        for (raw, safe) in [
            ("net/http.(*conn).serve", "net/http.(*conn).serve"),
            ("\x1b[31mred\x1b]0;t\x07", "\\x1b[31mred\\x1b]0;t\\x07"),
            ("a\nb\tc\rd", "a\\nb\\tc\\rd"),
            ("exe\u{202e}txt", "exe\\u{202e}txt"),
            ("\u{9b}31m\u{85}", "\\u{9b}31m\\u{85}"),
            ("a\u{200b}b\u{feff}\u{2028}\u{2066}", "a\\u{200b}b\\u{feff}\\u{2028}\\u{2066}"),
            ("\u{7f}\0", "\\x7f\\x00"),
            ("Straße, 東京, हिन्दी, e\u{301}", "Straße, 東京, हिन्दी, e\u{301}"),
        ] {
            assert_eq!(escape(raw), safe);
        }
    }

    proptest! {
        #[test]
        fn nothing_unprintable_is_left(text: String) {
            let safe = escape(&text);
            prop_assert!(safe.chars().all(is_printable));
            prop_assert!(!safe.chars().any(char::is_control));
            prop_assert_eq!(escape(&safe), safe.as_ref());
        }
    }
}
