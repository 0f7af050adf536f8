//! Folded stacks: `frame;frame;frame weight`, the format that most flame graph tools read.

use std::io::{self, Write};

use super::super::escape::escape;
use crate::analysis::flame::Flame;

/// Writes one line per stack, outermost frame first, then its weight: tasks, milliseconds, bytes or, of a recording,
/// nanoseconds. A
/// difference has two weights, the earlier one first. Stacks of weight 0 are left out.
///
/// Escapes what the format cannot hold: semicolons, unprintable characters, spaces at either end of a name, and
/// text that readers would take for a weight or a comment.
///
/// # Errors
/// Those of `out`.
pub fn write(flame: &Flame, out: &mut dyn Write) -> io::Result<()> {
    let names: Vec<String> = flame.names.iter().map(|name| frame(&name.text)).collect();
    let mut line = String::new();
    for (id, now, was) in flame.stacks().filter(|(_, now, was)| now.weight > 0 || was.weight > 0) {
        line.clear();
        for (nth, node) in flame.path(id).into_iter().enumerate() {
            if nth > 0 {
                line.push(';');
            }
            line.push_str(names.get(flame.node(node).name.index()).map_or("", String::as_str));
        }
        if line.starts_with("# ") {
            line.replace_range(..1, "\\x23");
        }
        if flame.is_difference() {
            writeln!(out, "{line} {} {}", was.weight, now.weight)?;
        } else {
            writeln!(out, "{line} {}", now.weight)?;
        }
    }
    Ok(())
}

/// A name as the format can hold it.
fn frame(name: &str) -> String {
    let mut text = escape(name).replace(';', "\\x3b");
    if let Some(rest) = text.strip_prefix(' ') {
        text = format!("\\x20{rest}");
    }
    // Readers look for numbers at the end of a line, after a space.
    let number = |text: &str| text.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    if let Some((before, last)) = text.rsplit_once(' ').filter(|(_, last)| number(last)) {
        text = format!("{before}\\x20{last}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_the_format_could_not_hold() {
        for (name, safe) in [
            ("net/http.(*conn).serve", "net/http.(*conn).serve"),
            ("main.f[go.shape.struct { X int; Y int }]", "main.f[go.shape.struct { X int\\x3b Y int }]"),
            ("a\nb", "a\\nb"),
            (" a ", "\\x20a\\x20"),
            (" ", "\\x20"),
            ("thread 12", "thread\\x2012"),
            ("x 1.5", "x\\x201.5"),
            ("x 1 2", "x 1\\x202"),
            ("x 1y", "x 1y"),
        ] {
            assert_eq!(frame(name), safe);
        }
    }
}
