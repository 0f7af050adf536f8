//! loiter-limits(7), made from docs/limits.md: the limits are written once.

/// The page's source. It uses headings, paragraphs, list items, `code` and nothing else of Markdown.
const LIMITS: &str = include_str!("../../../docs/limits.md");

/// The man page.
pub(super) fn roff() -> String {
    let mut roff = String::from(
        ".TH loiter\\-limits 7 \"\" \"loiter\" \"loiter\"\n.SH NAME\nloiter\\-limits \\- what loiter does not do, does not know, or bounds\n",
    );
    for block in LIMITS.split("\n\n").flat_map(items) {
        let text = inline(&block.split_whitespace().collect::<Vec<_>>().join(" "));
        if text.starts_with("# ") {
            roff.push_str(".SH DESCRIPTION\n");
        } else if let Some(heading) = text.strip_prefix("## ") {
            roff.push_str(&format!(".SH {}\n", heading.to_uppercase()));
        } else if let Some(item) = text.strip_prefix("\\- ") {
            roff.push_str(&format!(".IP \\(bu 2\n{item}\n"));
        } else if !text.is_empty() {
            roff.push_str(&format!(".PP\n{text}\n"));
        }
    }
    roff
}

/// A list is one block; each of its items becomes a block of its own.
fn items(block: &str) -> Vec<String> {
    let mut items: Vec<String> = Vec::new();
    for line in block.lines() {
        match items.last_mut() {
            Some(item) if !line.starts_with("- ") => {
                item.push(' ');
                item.push_str(line);
            }
            _ => items.push(line.to_owned()),
        }
    }
    items
}

/// Escapes what has a meaning in roff, and sets `code` in bold.
fn inline(text: &str) -> String {
    let text = text.replace('\\', "\\e").replace('-', "\\-").replace('\'', "\\(aq");
    let mut out = String::new();
    for (nth, part) in text.split('`').enumerate() {
        if nth > 0 {
            out.push_str(if nth % 2 == 1 { "\\fB" } else { "\\fR" });
        }
        out.push_str(part);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_limit_is_on_the_page() {
        let page = roff();
        let limits = LIMITS.lines().filter(|line| line.starts_with("- ")).count();
        assert!(limits > 30, "{limits}");
        assert_eq!(page.matches(".IP").count(), limits);
        assert_eq!(
            page.matches(".SH").count(),
            1 + LIMITS.lines().filter(|line| line.starts_with('#')).count()
        );
        assert!(!page.contains('`') && !page.contains('*'));
        assert_eq!(inline("a `--b` 'c'"), "a \\fB\\-\\-b\\fR \\(aqc\\(aq");
    }
}
