//! The text of a goroutine profile with debug=1: equal stacks, counted, with their labels.
//!
//! Grammar after `printCountProfile` and `printStackRecord` of Go's `runtime/pprof`, 1.19 to 1.27.

use super::quoted::unquote;

/// A profile that counts stacks.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct GoProfile {
    /// What it is a profile of, by its own name: "goroutine", "goroutineleak", "threadcreate". Empty if
    /// it does not begin as one.
    pub kind: String,
    /// How many goroutines it says it has.
    pub total: u64,
    /// The stacks, the most frequent first.
    pub stacks: Vec<CountedStack>,
    /// Lines that make no sense.
    pub other_lines: u64,
}

/// Goroutines with the same stack and the same labels.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CountedStack {
    /// How many.
    pub count: u64,
    /// Return addresses, innermost first. Cut by the runtime: at 32 up to Go 1.22, at 128 later.
    pub pcs: Vec<u64>,
    /// Labels.
    pub labels: Vec<(String, String)>,
    /// Frames, innermost first, inlined ones too. `runtime.goexit` is left out, and so are the
    /// runtime's functions at the inner end.
    pub frames: Vec<ProfileFrame>,
}

/// A frame.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ProfileFrame {
    /// The address.
    pub pc: u64,
    /// The address less the function's start. 0 if unknown.
    pub offset: u64,
    /// Function, with "[...]" for type arguments. Empty if unknown.
    pub function: String,
    /// Source file. Empty if unknown.
    pub file: String,
    /// Line. 0 if unknown.
    pub line: u32,
}

impl GoProfile {
    /// Reads a profile out of `text`.
    pub fn parse(text: &[u8]) -> GoProfile {
        let mut profile = GoProfile::default();
        for line in text.split(|&b| b == b'\n') {
            let line = String::from_utf8_lossy(line.strip_suffix(b"\r").unwrap_or(line));
            if !line.is_empty() && profile.take(&line).is_none() {
                profile.other_lines += 1;
            }
        }
        profile
    }

    /// How many goroutines its stacks count.
    pub fn counted(&self) -> u64 {
        self.stacks.iter().fold(0, |sum: u64, stack| sum.saturating_add(stack.count))
    }

    /// A part of it is missing: its stacks do not count as many goroutines as it says.
    pub fn is_cut(&self) -> bool {
        self.counted() != self.total
    }

    fn take(&mut self, line: &str) -> Option<()> {
        if let Some((kind, total)) = line.split_once(" profile: total ") {
            self.total = total.trim_end().parse().ok()?;
            self.kind = kind.rsplit(' ').next().unwrap_or_default().to_owned();
        } else if let Some(labels) = line.strip_prefix("# labels: ") {
            self.stacks.last_mut()?.labels = parse_labels(labels)?;
        } else if let Some(frame) = line.strip_prefix('#') {
            self.stacks.last_mut()?.frames.push(parse_frame(frame)?);
        } else {
            let (count, pcs) = line.split_once(" @")?;
            let pcs = pcs.split_ascii_whitespace().map(hex).collect::<Option<_>>()?;
            self.stacks.push(CountedStack { count: count.parse().ok()?, pcs, ..CountedStack::default() });
        }
        Some(())
    }
}

/// `{"key":"value", "k2":"v2"}`
fn parse_labels(text: &str) -> Option<Vec<(String, String)>> {
    let mut rest = text.strip_prefix('{')?.strip_suffix('}')?;
    let mut labels = Vec::new();
    while !rest.is_empty() {
        let (key, after) = unquote(rest)?;
        let (value, after) = unquote(after.strip_prefix(':')?)?;
        labels.push((key, value));
        rest = match after.strip_prefix(", ") {
            Some(more) if !more.is_empty() => more,
            Some(_) => return None,
            None if after.is_empty() => after,
            None => return None,
        };
    }
    Some(labels)
}

/// Columns, aligned by one or more tabs: address, function+offset, file:line.
fn parse_frame(text: &str) -> Option<ProfileFrame> {
    let mut columns = text.split('\t').filter(|column| !column.is_empty());
    let mut frame = ProfileFrame { pc: hex(columns.next()?)?, ..ProfileFrame::default() };
    if let Some(function) = columns.next() {
        let (name, offset) = function.rsplit_once('+').unwrap_or((function, "0x0"));
        frame.function = name.to_owned();
        frame.offset = hex(offset)?;
        let (file, line) = columns.next()?.rsplit_once(':')?;
        frame.file = file.to_owned();
        frame.line = line.parse().ok()?;
    }
    columns.next().is_none().then_some(frame)
}

fn hex(text: &str) -> Option<u64> {
    u64::from_str_radix(text.strip_prefix("0x")?, 16).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PROFILE: &str = "goroutine profile: total 12\n\
        10 @ 0x4a 0x4b 0x4c\n\
        # labels: {\"a\":\"b\", \"c d\":\"\\x1be\\\"\"}\n\
        #\t0x4a\tmain.(*T).wait[...]+0x2b\t\t/src/x.go:12\n\
        #\t0x4b\tmain.main+0x2b\t\t\t/src/x y.go:40\n\
        #\t0x4c\n\
        \n\
        2 @ 0x5a\n\
        # labels: {}\n\
        nonsense\n";

    #[test]
    fn reads_counts_labels_and_frames() {
        let profile = GoProfile::parse(PROFILE.as_bytes());
        assert_eq!((profile.total, profile.stacks.len(), profile.other_lines), (12, 2, 1));
        assert_eq!(profile.kind, "goroutine");
        let stack = &profile.stacks[0];
        assert_eq!((stack.count, stack.pcs.as_slice()), (10, &[0x4a, 0x4b, 0x4c][..]));
        assert_eq!(stack.labels, [("a".into(), "b".into()), ("c d".into(), "\x1be\"".into())]);
        assert_eq!(stack.frames.len(), 3);
        assert_eq!(
            (stack.frames[0].function.as_str(), stack.frames[0].offset),
            ("main.(*T).wait[...]", 0x2b)
        );
        assert_eq!((stack.frames[1].file.as_str(), stack.frames[1].line), ("/src/x y.go", 40));
        assert_eq!(profile.stacks[1].labels, []);
    }

    proptest! {
        #[test]
        fn never_panics(at in 0..PROFILE.len(), len in 0..40usize, with in prop::collection::vec(any::<u8>(), 0..5)) {
            let mut bytes = PROFILE.as_bytes().to_vec();
            bytes.splice(at..(at + len).min(PROFILE.len()), with);
            GoProfile::parse(&bytes);
        }
    }
}
