//! Values of options.

use crate::report::units::parse_duration;

/// `KEY` or `KEY=VALUE`.
pub(super) fn label(text: &str) -> Result<(String, Option<String>), String> {
    let (key, value) = match text.split_once('=') {
        Some((key, value)) => (key, Some(value.to_owned())),
        None => (text, None),
    };
    if key.is_empty() { Err("a label needs a key".to_owned()) } else { Ok((key.to_owned(), value)) }
}

/// A duration like "90s", "1h30m" or "2 min", in nanoseconds.
pub(super) fn duration(text: &str) -> Result<u64, String> {
    parse_duration(text).map_err(|problem| problem.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_is_a_key_with_or_without_a_value() {
        assert_eq!(label("a"), Ok(("a".to_owned(), None)));
        assert_eq!(label("a=b=c"), Ok(("a".to_owned(), Some("b=c".to_owned()))));
        assert!(label("=b").is_err());
    }
}
