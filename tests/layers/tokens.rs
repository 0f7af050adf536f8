//! Rust source as a list of words and marks, without comments, strings and characters.

/// One word or mark. A path's `::` is one mark.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Token {
    /// An identifier, a keyword or a number.
    Word(String),
    /// Everything else.
    Mark(&'static str),
}

impl Token {
    /// Is it this word or mark?
    pub(crate) fn is(&self, text: &str) -> bool {
        match self {
            Token::Word(word) => word == text,
            Token::Mark(mark) => *mark == text,
        }
    }

    /// The word, where it is one.
    pub(crate) fn word(&self) -> Option<&str> {
        match self {
            Token::Word(word) => Some(word),
            Token::Mark(_) => None,
        }
    }
}

/// Marks that mean something here. All others are kept as one and the same.
const MARKS: [&str; 13] = ["::", "{", "}", "(", ")", "[", "]", ",", ";", "*", "#", "!", "="];
const OTHER: &str = "other";

/// Splits a file.
pub(crate) fn split(source: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut rest = source;
    while let Some(first) = rest.chars().next() {
        let len = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            block_comment(rest)
        } else if let Some(len) = string(rest).or_else(|| character(rest)) {
            tokens.push(Token::Mark(OTHER));
            len
        } else if is_word(first) {
            let len = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
            tokens.push(Token::Word(rest[..len].to_owned()));
            len
        } else if first.is_whitespace() {
            first.len_utf8()
        } else {
            let mark = MARKS.into_iter().find(|mark| rest.starts_with(mark));
            tokens.push(Token::Mark(mark.unwrap_or(OTHER)));
            mark.map_or(first.len_utf8(), str::len)
        };
        rest = &rest[len..];
    }
    tokens
}

fn is_word(c: char) -> bool {
    c == '_' || c.is_alphanumeric()
}

fn block_comment(text: &str) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < text.len() {
        if text[at..].starts_with("/*") {
            (depth, at) = (depth + 1, at + 2);
        } else if text[at..].starts_with("*/") {
            (depth, at) = (depth - 1, at + 2);
            if depth == 0 {
                return at;
            }
        } else {
            at += text[at..].chars().next().map_or(1, char::len_utf8);
        }
    }
    text.len()
}

/// The length of the string literal that `text` begins with.
fn string(text: &str) -> Option<usize> {
    let prefix = ["br", "cr", "r", "b", "c", ""].into_iter().find(|prefix| {
        let after = text.strip_prefix(prefix);
        after.is_some_and(|after| after.trim_start_matches('#').starts_with('"'))
            && (prefix.ends_with('r') || after.is_some_and(|after| after.starts_with('"')))
    })?;
    let body = &text[prefix.len()..];
    if prefix.ends_with('r') {
        let fence = body.len() - body.trim_start_matches('#').len();
        let end = format!("\"{}", "#".repeat(fence));
        let inside = &body[fence + 1..];
        return Some(prefix.len() + fence + 1 + inside.find(&end).map_or(inside.len(), |at| at + end.len()));
    }
    let mut escaped = false;
    let end = body.char_indices().skip(1).find(|(_, c)| {
        let ends = *c == '"' && !escaped;
        escaped = *c == '\\' && !escaped;
        ends
    });
    Some(prefix.len() + end.map_or(body.len(), |(at, _)| at + 1))
}

/// The length of the character literal that `text` begins with. A lifetime is none.
fn character(text: &str) -> Option<usize> {
    let body = text.strip_prefix("b'").or_else(|| text.strip_prefix('\''))?;
    let prefix = text.len() - body.len();
    let mut chars = body.char_indices();
    let (_, first) = chars.next()?;
    if first == '\\' {
        let (escaped, _) = chars.next()?;
        let after = escaped + 1;
        return Some(prefix + after + body.get(after..)?.find('\'')? + 1);
    }
    let (at, next) = chars.next()?;
    (next == '\'').then_some(prefix + at + 1)
}

#[test]
fn what_only_looks_like_code_is_left_out() {
    let source = r###"
        // use crate::a;
        /* use /* crate::b */ crate::c; */
        let text = "use crate::d; \" use crate::e";
        let raw = r#"use crate::f; " use crate::g"#;
        let (quote, tick, life): (char, u8, &'static str) = ('"', b'\'', "use crate::h");
        use crate::real;
    "###;
    let words: Vec<String> =
        split(source).iter().filter_map(|token| token.word().map(str::to_owned)).collect();
    let expected = "let text let raw let quote tick life char u8 static str use crate real";
    assert_eq!(words.join(" "), expected);
}
