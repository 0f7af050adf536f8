//! Colours and other terminal commands, which are not part of a text.

use std::borrow::Cow;

/// The text without the escape sequences in it, also where a tool wrote ESC as `^[` or `#033`.
pub(super) fn strip(text: &str) -> Cow<'_, str> {
    if next(text).is_none() {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((at, length)) = next(rest) {
        out.push_str(rest.get(..at).unwrap_or_default());
        rest = sequence(rest.get(at + length..).unwrap_or_default());
    }
    out.push_str(rest);
    Cow::Owned(out)
}

/// The next ESC: its position, and the length of its representation.
fn next(text: &str) -> Option<(usize, usize)> {
    let candidates = memchr::memchr3_iter(0x1b, b'^', b'#', text.as_bytes());
    candidates.filter_map(|at| Some((at, text.get(at..)?))).find_map(|(at, rest)| {
        let forms = [("\x1b", 1), ("^[[", 2), ("#033[", 4)];
        forms.into_iter().find(|(form, _)| rest.starts_with(form)).map(|(_, length)| (at, length))
    })
}

/// The text after the sequence whose ESC came before `text`.
fn sequence(text: &str) -> &str {
    /// No title or link is longer than this.
    const LONGEST: usize = 4096;
    if let Some(parameters) = text.strip_prefix('[') {
        let end = parameters.find(|c: char| !matches!(c, '0'..='?' | ' '..='/')).unwrap_or(parameters.len());
        let last = parameters.get(end..).and_then(|rest| rest.chars().next()).map_or(0, char::len_utf8);
        return parameters.get(end + last..).unwrap_or_default();
    }
    if let Some(command) = text.strip_prefix(']') {
        let near = command.as_bytes().get(..command.len().min(LONGEST)).unwrap_or_default();
        return match memchr::memchr2(0x07, 0x1b, near) {
            Some(at) if near.get(at) == Some(&0x07) => command.get(at + 1..).unwrap_or_default(),
            Some(at) => command.get(at + 2..).unwrap_or_default(),
            None => text,
        };
    }
    let mut chars = text.chars();
    chars.next();
    chars.as_str()
}

#[cfg(test)]
mod tests {
    use super::strip;

    #[test]
    fn takes_sequences_out() {
        for (text, without) in [
            ("plain [0m", "plain [0m"),
            ("\x1b[31mpanic: x\x1b[0m", "panic: x"),
            ("\x1b[1;36mweb | \x1b[0mmain.f()", "web | main.f()"),
            ("\x1b]8;;http://x\x07link\x1b]8;;\x1b\\", "link"),
            ("^[[31mred^[[0m", "red"),
            ("#033[31mred#033[0m", "red"),
            ("\x1bMé\x1b", "é"),
            ("\x1b[", ""),
            ("\x1b[3é", ""),
        ] {
            assert_eq!(strip(text), without, "{text:?}");
        }
    }
}
