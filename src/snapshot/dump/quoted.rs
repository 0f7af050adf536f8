//! Strings as Go quotes them: `strconv.Quote` and the runtime's own `printquoted`.

/// Reads a quoted string that `text` begins with. Returns it with what follows the closing quote;
/// None if `text` does not begin with a well-formed one.
pub(super) fn unquote(text: &str) -> Option<(String, &str)> {
    let mut rest = text.strip_prefix('"')?;
    let mut bytes = Vec::new();
    loop {
        let special = rest.find(['"', '\\'])?;
        let (plain, from_special) = rest.split_at_checked(special)?;
        bytes.extend_from_slice(plain.as_bytes());
        if let Some(after) = from_special.strip_prefix('"') {
            return Some((into_text(bytes), after));
        }
        let mut after = from_special.strip_prefix('\\')?.chars();
        match after.next()? {
            'x' => rest = hex(after.as_str(), 2, |code| bytes.push(code as u8))?,
            'u' => rest = hex(after.as_str(), 4, |code| push(&mut bytes, code))?,
            'U' => rest = hex(after.as_str(), 8, |code| push(&mut bytes, code))?,
            letter => {
                bytes.push(plain_escape(letter)?);
                rest = after.as_str();
            }
        }
    }
}

/// Escapes may stand for bytes that are not UTF-8: they were not in the target either.
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
        // Surrogates and bytes that are no UTF-8 are replaced, as text has no place for them.
        assert_eq!(unquote(r#""\ud800\xff""#).unwrap().0, "\u{fffd}\u{fffd}");
    }
}
