//! The two lines of a frame: a call, and its source location.

use super::go_dump::{CreatedBy, DumpFrame};

/// Does a line look like a call? Names contain blanks only in type arguments; arguments are numbers.
pub(super) fn is_call(line: &str) -> bool {
    if let Some(creator) = line.strip_prefix("created by ") {
        let (function, _) = split_creator(creator);
        return is_function(function);
    }
    let (function, Some(arguments)) = split_arguments(line) else { return false };
    are_arguments(arguments) && (function == "panic" || function.contains('.')) && is_function(function)
}

fn are_arguments(arguments: &str) -> bool {
    let may_be = |b| matches!(b, b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F' | b'x' | b'{' | b'}' | b'.' | b',' | b'?' | b'_' | b' ');
    arguments.bytes().all(may_be)
}

/// Can it be the name of a function?
fn is_function(function: &str) -> bool {
    let made_by_compiler = ["type:", "type..", "go:"].iter().any(|prefix| function.starts_with(prefix));
    let plain = match (function.find('['), function.rfind(']')) {
        (Some(open), Some(close)) if open < close => function.get(..open).unwrap_or_default(),
        _ => function,
    };
    // Tools that shorten lines insert an ellipsis.
    let impossible = |b| matches!(b, 0..=b' ' | b'"' | b'=' | b'|' | b';' | b':' | b'`');
    !plain.is_empty() && !is_shortened(function) && (made_by_compiler || !plain.bytes().any(impossible))
}

/// Did a tool cut out its middle?
fn is_shortened(text: &str) -> bool {
    !text.is_ascii() && text.contains('…')
}

/// Splits `main.f(0x1, {0x2, ...})` before its last pair of parentheses. Argument values contain no
/// parentheses; names do: `net.(*conn).Read(...)`. Foreign frames have no arguments.
pub(super) fn split_arguments(line: &str) -> (&str, Option<&str>) {
    match line.strip_suffix(')').and_then(|line| line.rsplit_once('(')) {
        Some((function, arguments)) => (function, Some(arguments)),
        None => (line, None),
    }
}

/// `main.start in goroutine 1`
fn split_creator(creator: &str) -> (&str, Option<u64>) {
    match creator.rsplit_once(" in goroutine ") {
        Some((function, id)) if id.parse::<u64>().is_ok() => (function, id.parse().ok()),
        _ => (creator, None),
    }
}

/// The creator of a goroutine, from the text after "created by ".
pub(super) fn creator_of(creator: &str, place: Option<&Place<'_>>) -> CreatedBy {
    let (function, goroutine) = split_creator(creator);
    let named = CreatedBy::named(function, goroutine);
    match place {
        Some(place) => {
            CreatedBy { file: place.file.to_owned(), line: place.line, offset: place.offset, ..named }
        }
        None => named,
    }
}

/// Is it a call of a C function as old versions of Go print it, with a name that has no package?
pub(super) fn is_call_of_c(line: &str, place: &Place<'_>) -> bool {
    let (function, arguments) = split_arguments(line.trim_start());
    [".c", ".goc", ".s"].iter().any(|end| place.file.ends_with(end))
        && arguments.is_some_and(are_arguments)
        && is_function(function)
}

/// The call that the line begins with, if the rest of the line was lost or another writer wrote into it.
pub(super) fn name_of_damaged(line: &str) -> Option<String> {
    let line = line.trim_start();
    // A method's arguments come after two pairs: "main.(*T).f(".
    let open = line.match_indices('(').map(|(at, _)| at).find(|&at| {
        let followed = line.get(at + 1..).unwrap_or_default();
        !followed.starts_with('*') && followed.starts_with(|c: char| c == '0' || "{)_.".contains(c))
    })?;
    let function = line.get(..open)?;
    let plausible = function.contains('.') && is_function(function) && !function.ends_with(')');
    plausible.then(|| format!("{function}()"))
}

/// `/src/file.go:12 +0x1d fp=0x1 sp=0x2 pc=0x3`
pub(super) struct Place<'a> {
    pub(super) file: &'a str,
    pub(super) line: u32,
    pub(super) offset: Option<u64>,
    pub(super) pc: Option<u64>,
}

impl<'a> Place<'a> {
    pub(super) fn parse(text: &'a str) -> Option<Self> {
        let mut place = Place { file: "", line: 0, offset: None, pc: None };
        let mut rest = text;
        // From the end: paths may contain blanks and colons.
        loop {
            let (before, last) = rest.rsplit_once(' ').unwrap_or(("", rest));
            if let Some(pc) = last.strip_prefix("pc=").and_then(number) {
                place.pc = Some(pc);
            } else if let Some(offset) = last.strip_prefix('+').and_then(number) {
                place.offset = Some(offset);
            } else if last.strip_prefix("fp=").or_else(|| last.strip_prefix("sp=")).and_then(number).is_none()
            {
                break;
            }
            rest = before;
        }
        if let Some((file, line)) = rest.rsplit_once(':') {
            place.file = file;
            place.line = line.parse().ok()?;
            return (!is_shortened(file)).then_some(place);
        }
        (rest.is_empty() && place.pc.is_some()).then_some(place)
    }

    /// It is certainly a source location, even without indentation.
    pub(super) fn is_sure(&self) -> bool {
        let source = [".go", ".s", "<autogenerated>"].iter().any(|end| self.file.ends_with(end));
        self.offset.is_some()
            || self.pc.is_some()
            || source && (self.file.starts_with('/') || !self.file.contains(' '))
    }

    /// It may be a source location if it is indented.
    pub(super) fn is_plausible(&self) -> bool {
        self.offset.is_some() || self.pc.is_some() || self.file.contains(['/', '.', '<', '?', '\\'])
    }

    pub(super) fn frame(&self) -> DumpFrame {
        DumpFrame {
            file: self.file.to_owned(),
            line: self.line,
            offset: self.offset,
            pc: self.pc,
            ..DumpFrame::default()
        }
    }
}

/// A number as Go prints it.
pub(super) fn number(text: &str) -> Option<u64> {
    match text.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16).ok(),
        None => text.parse().ok(),
    }
}
