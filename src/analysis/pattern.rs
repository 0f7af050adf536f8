//! Patterns for names.

/// A pattern for names: plain text in which `*` matches any run of characters, even an empty one.
///
/// Case matters, unless [`Pattern::any_case`] is used. A literal `*`, as in `net/http.(*Server).Serve`, needs
/// no escape, because `*` also matches itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    /// The original text.
    text: String,
    /// The pieces between the stars.
    pieces: Vec<String>,
    /// It must match the whole name, not just a part of it.
    whole: bool,
    /// Case does not matter; the pieces are in lower case.
    any_case: bool,
}

impl Pattern {
    /// Matches names that contain something that fits.
    pub fn anywhere(text: &str) -> Self {
        Pattern {
            text: text.to_owned(),
            pieces: text.split('*').map(str::to_owned).collect(),
            whole: false,
            any_case: false,
        }
    }

    /// Matches names that fit from beginning to end.
    pub fn whole(text: &str) -> Self {
        Pattern {
            text: text.to_owned(),
            pieces: text.split('*').map(str::to_owned).collect(),
            whole: true,
            any_case: false,
        }
    }

    /// The same pattern, but case does not matter.
    pub fn any_case(mut self) -> Self {
        self.pieces.iter_mut().for_each(|piece| *piece = piece.to_lowercase());
        self.any_case = true;
        self
    }

    /// The original text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether a name fits.
    pub fn matches(&self, name: &str) -> bool {
        if self.any_case { self.fits(&name.to_lowercase()) } else { self.fits(name) }
    }

    fn fits(&self, name: &str) -> bool {
        let mut rest = name;
        let mut pieces = self.pieces.as_slice();
        if self.whole {
            let [first, others @ ..] = pieces else { return name.is_empty() };
            let [middle @ .., last] = others else { return name == first };
            let Some(stripped) = rest.strip_prefix(first.as_str()) else { return false };
            let Some(stripped) = stripped.strip_suffix(last.as_str()) else { return false };
            (rest, pieces) = (stripped, middle);
        }
        // The leftmost place for each piece leaves the most room for the next.
        for piece in pieces {
            let Some((_, after)) = rest.split_once(piece.as_str()) else { return false };
            rest = after;
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn anywhere_finds_parts_and_stars_span() {
        let name = "net/http.(*Server).Serve.func1";
        for text in [
            "",
            "http",
            "(*Server).Serve",
            "net*Serve",
            "*",
            "Server*func1",
            "net/http.(*Server).Serve.func1",
        ] {
            assert!(Pattern::anywhere(text).matches(name), "{text}");
        }
        for text in ["serve", "func1*net", "Servers"] {
            assert!(!Pattern::anywhere(text).matches(name), "{text}");
        }
    }

    #[test]
    fn case_counts_unless_told_otherwise() {
        assert!(!Pattern::anywhere("SERVE").matches("net/http.Serve"));
        assert!(Pattern::anywhere("HTTP*serve").any_case().matches("net/http.Serve"));
        assert!(Pattern::whole("NET/*").any_case().matches("net/HTTP"));
        assert!(Pattern::anywhere("ÄB").any_case().matches("xäb"));
    }

    #[test]
    fn whole_needs_both_ends() {
        for (text, name, fits) in [
            ("net/http", "net/http", true),
            ("net/http", "net/http/internal", false),
            ("net/*", "net/http", true),
            ("net/*", "net", false),
            ("*", "", true),
            ("", "", true),
            ("", "x", false),
            ("a*b*c", "a1b2c", true),
            ("a*b*c", "abc", true),
            ("ab*ba", "aba", false),
        ] {
            assert_eq!(Pattern::whole(text).matches(name), fits, "{text} {name}");
        }
    }
}
