//! Strings as Go quotes them: `strconv.Quote` and the runtime's own `printquoted`.

/// Reads the quoted string at the beginning of `text`. Returns it with the text after the closing quote; None
/// if there is no well-formed string.
pub(super) fn unquote(text: &str) -> Option<(String, &str)> {
    unquote_with(text, '"')
}

/// The same with another kind of quote.
pub(super) fn unquote_with(text: &str, quote: char) -> Option<(String, &str)> {
    let mut rest = text.strip_prefix(quote)?;
    let mut bytes = Vec::new();
    loop {
        let special = rest.find([quote, '\\'])?;
        let (plain, from_special) = rest.split_at_checked(special)?;
        bytes.extend_from_slice(plain.as_bytes());
        if let Some(after) = from_special.strip_prefix(quote) {
            return Some((into_text(bytes), after));
        }
        rest = escape(from_special.strip_prefix('\\')?, &mut bytes)?;
    }
}

/// A text without its escapes. Malformed escapes stay as they are.
pub(super) fn unquote_lenient(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        let (plain, special) = rest.split_at(at);
        bytes.extend_from_slice(plain.as_bytes());
        let after = special.get(1..).unwrap_or_default();
        rest = escape(after, &mut bytes).unwrap_or_else(|| {
            bytes.push(b'\\');
            after
        });
    }
    bytes.extend_from_slice(rest.as_bytes());
    into_text(bytes)
}

/// Reads the text after a backslash.
fn escape<'a>(text: &'a str, bytes: &mut Vec<u8>) -> Option<&'a str> {
    let mut after = text.chars();
    match after.next()? {
        'x' => hex(after.as_str(), 2, |code| bytes.push(code as u8)),
        'u' => hex(after.as_str(), 4, |code| push(bytes, code)),
        'U' => hex(after.as_str(), 8, |code| push(bytes, code)),
        letter => {
            bytes.push(plain_escape(letter)?);
            Some(after.as_str())
        }
    }
}

/// Escapes may represent bytes that are not UTF-8: they were not UTF-8 in the target either.
fn into_text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned())
}

fn plain_escape(letter: char) -> Option<u8> {
    Some(match letter {
        'a' => 0x07,
        'b' => 0x08,
        'f' => 0x0c,
        'n' => b'\n',
        'r' => b'\r',
        't' => b'\t',
        'v' => 0x0b,
        '\\' => b'\\',
        '"' => b'"',
        '\'' => b'\'',
        // JSON's.
        '/' => b'/',
        _ => return None,
    })
}

fn hex(text: &str, digits: usize, mut with: impl FnMut(u32)) -> Option<&str> {
    let (number, rest) = text.split_at_checked(digits)?;
    if !number.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    with(u32::from_str_radix(number, 16).ok()?);
    Some(rest)
}

fn push(bytes: &mut Vec<u8>, code: u32) {
    let char = char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER);
    bytes.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes());
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::unquote;

    #[test]
    fn reads_escapes() {
        let (text, rest) = unquote(r#""a\"b\\c\x1b\n\u00df\U0001F600ü": x"#).unwrap();
        assert_eq!(text, "a\"b\\c\x1b\nß😀ü");
        assert_eq!(rest, ": x");
    }

    #[test]
    fn refuses_what_is_malformed() {
        for text in ["", "a", "\"", "\"a", r#""\"#, r#""\q""#, r#""\x1""#, r#""\x+1""#, r#""\uD80""#] {
            assert_eq!(unquote(text), None, "{text}");
        }
        // Surrogates and bytes that are not UTF-8 are replaced, because text cannot contain them.
        assert_eq!(unquote(r#""\ud800\xff""#).unwrap().0, "\u{fffd}\u{fffd}");
    }
}
