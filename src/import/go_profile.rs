//! The text of a goroutine profile with debug=1: equal stacks, counted, with their labels.
//!
//! Grammar after `printCountProfile` and `printStackRecord` of Go's `runtime/pprof`, 1.19 to 1.27. The lines
//! may be in a log and may be damaged ([`lines`]). Lines that could not be read are counted, and the
//! addresses of a stack show which of its frames are missing.

use rustc_hash::FxHashSet;

use lines::{Line, Record};

mod lines;

/// Stacks that are kept: no well-meaning program has two million different ones.
const MAX_STACKS: usize = 1 << 21;

/// A profile that counts stacks.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct GoProfile {
    /// What it is a profile of, by its own name: "goroutine", "goroutineleak", "threadcreate". Empty if its
    /// first line is missing.
    pub kind: String,
    /// The number of goroutines according to its first line. Without it: the sum of its stacks' counts.
    pub total: u64,
    /// The stacks, the most frequent first.
    pub stacks: Vec<CountedStack>,
    /// Lines within it that make no sense.
    pub other_lines: u64,
    /// Profiles in the text; this is the last complete one, or else the last one.
    pub profiles: u64,
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
    /// Frames, innermost first, including inlined ones. `runtime.goexit` and the runtime's functions at the
    /// inner end are left out.
    pub frames: Vec<ProfileFrame>,
    /// Lines below it that make no sense.
    pub other_lines: u64,
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
        let mut reader = ProfileReader::default();
        for line in text.split(|&b| b == b'\n') {
            reader.line(&String::from_utf8_lossy(line));
        }
        reader.finish()
    }

    /// The sum of its stacks' counts.
    pub fn counted(&self) -> u64 {
        self.stacks.iter().fold(0, |sum: u64, stack| sum.saturating_add(stack.count))
    }

    /// A part of it is missing, or foreign lines got into it: its stacks do not add up to its total.
    pub fn is_cut(&self) -> bool {
        self.counted() != self.total
    }

    /// It is certainly of goroutines: it says so, or it contains stacks with functions. A log line may look
    /// like a counted address.
    pub fn is_certain(&self) -> bool {
        match self.kind.as_str() {
            "goroutine" | "goroutineleak" => true,
            "" => self.stacks.iter().any(|stack| !stack.frames.is_empty() && !stack.pcs.is_empty()),
            _ => false,
        }
    }

    /// Stacks that it contains more than once, which Go never writes: several profiles were mixed.
    pub fn repeated(&self) -> u64 {
        let mut seen = FxHashSet::default();
        let known = self.stacks.iter().filter(|stack| !stack.pcs.is_empty());
        known.map(|stack| u64::from(!seen.insert((&stack.pcs, &stack.labels)))).sum()
    }
}

impl CountedStack {
    /// Is this the address of a call that returns to `pc`, or `pc` itself? The lines of frames give the
    /// address of the call, the list gives the address after it.
    pub(super) fn is_at(call: u64, pc: u64) -> bool {
        call == pc || call.checked_add(1) == Some(pc)
    }

    /// Addresses whose frames are missing. Go leaves out frames at the inner end, and the outermost frame,
    /// `runtime.goexit`.
    pub fn missing(&self) -> u64 {
        let Some(first) = self.frames.first() else { return 0 };
        let Some(begin) = self.pcs.iter().position(|&pc| Self::is_at(first.pc, pc)) else { return 0 };
        let calls: FxHashSet<u64> = self.frames.iter().map(|frame| frame.pc).collect();
        let is_there = |pc: u64| calls.contains(&pc) || calls.contains(&pc.wrapping_sub(1));
        let within = self.pcs.get(begin..self.pcs.len().saturating_sub(1)).unwrap_or_default();
        within.iter().filter(|&&pc| !is_there(pc)).count() as u64
    }
}

/// The last frame that was read of a stack.
#[derive(Debug, Clone, Copy, Default)]
struct Place {
    /// The address of the last frame, as an index.
    at: usize,
    /// A number precedes its count.
    numbered: bool,
}

/// Assembles a profile from the lines of a text, or of a log.
#[derive(Debug, Default)]
pub(super) struct ProfileReader {
    profile: GoProfile,
    titled: bool,
    /// The progress of each of its stacks.
    places: Vec<Place>,
    /// The last finished profile.
    last: Option<GoProfile>,
    profiles: u64,
    /// The text before the last stack, without digits. None if there was none.
    before: Option<String>,
    /// No blank line came since the last stack.
    within: bool,
    /// Lines since then that make no sense: they belong to something else unless more of the profile follows.
    between: u64,
}

impl ProfileReader {
    /// Takes a line, with or without text around it.
    pub(super) fn line(&mut self, line: &str) {
        self.escaped(line, 0);
    }

    fn escaped(&mut self, line: &str, depth: usize) {
        let line = line.strip_suffix('\r').unwrap_or(line);
        match unescaped(line).filter(|_| depth < MAX_NESTING) {
            Some(text) => text.lines().for_each(|line| self.escaped(line, depth + 1)),
            None => self.plain(line),
        }
    }

    fn plain(&mut self, text: &str) {
        let line = Line::read(text);
        match (line, self.profile.stacks.last_mut()) {
            (Line::Blank, _) => self.within = false,
            // In a log, a blank line consists of the text before each line.
            (Line::Other, _) if self.before.as_ref().is_some_and(|b| without_digits(text) == *b) => {
                self.within = false;
            }
            (Line::Title(kind, total), _) => {
                self.end();
                self.titled = true;
                (self.profile.kind, self.profile.total) = (kind, total);
            }
            (Line::Record(_), Some(_)) if self.places.len() >= MAX_STACKS => self.profile.other_lines += 1,
            (Line::Record(Record { before, count, pcs, odd, numbered }), _) => {
                self.before = (!before.trim().is_empty()).then(|| without_digits(&before));
                let other_lines = u64::from(odd);
                self.profile.other_lines += std::mem::take(&mut self.between) + other_lines;
                self.profile.stacks.push(CountedStack { count, pcs, other_lines, ..Default::default() });
                self.places.push(Place { at: 0, numbered });
                self.within = true;
            }
            (Line::Addresses(more), Some(stack)) if self.within && stack.frames.is_empty() => {
                let room = lines::MAX_PCS.saturating_sub(stack.pcs.len());
                stack.pcs.extend(more.into_iter().take(room));
            }
            (Line::Labels(labels), Some(stack)) => stack.labels = labels,
            (Line::Frame(frame, behind), Some(_)) => self.frame(frame, behind),
            (_, Some(stack)) if self.within => {
                stack.other_lines += 1;
                self.profile.other_lines += 1;
            }
            (_, Some(_)) => self.between += 1,
            (_, None) => self.between += u64::from(self.titled),
        }
    }

    /// If lines of several writers are mixed, a frame belongs to the last stack that has its address. The
    /// addresses also give the order, so frames of a stack whose first line is lost go to no other stack.
    fn frame(&mut self, frame: ProfileFrame, behind: bool) {
        /// Writers that are distinguished.
        const WRITERS: usize = 4;
        let near = self.profile.stacks.iter_mut().zip(&mut self.places).rev().take(WRITERS);
        for (stack, place) in near {
            let rest = stack.pcs.get(place.at..).unwrap_or_default();
            let ahead = rest.iter().position(|&pc| CountedStack::is_at(frame.pc, pc));
            if ahead.is_some() || stack.pcs.is_empty() {
                place.at += ahead.unwrap_or(0);
                if place.numbered && !behind && self.profile.kind.is_empty() {
                    // A log numbers each line. Only counts have cycles before them.
                    "contention".clone_into(&mut self.profile.kind);
                }
                stack.frames.push(frame);
                return;
            }
        }
        self.profile.other_lines += 1;
        if let Some(stack) = self.profile.stacks.last_mut() {
            stack.other_lines += 1;
        }
    }

    /// The current profile has ended.
    fn end(&mut self) {
        let mut profile = std::mem::take(&mut self.profile);
        let titled = std::mem::take(&mut self.titled);
        self.places.clear();
        (self.within, self.between) = (false, 0);
        if !titled {
            profile.total = profile.counted();
        }
        if profile.stacks.is_empty() && (!titled || profile.total > 0 && self.last.is_some()) {
            return;
        }
        self.profiles += 1;
        // A profile that is not of goroutines does not replace one that is.
        let better = |last: &GoProfile| {
            (profile.is_certain(), !profile.is_cut()) >= (last.is_certain(), !last.is_cut())
        };
        if self.last.as_ref().is_none_or(better) {
            self.last = Some(profile);
        }
    }

    /// The last complete profile, or else the last one.
    pub(super) fn finish(mut self) -> GoProfile {
        self.end();
        GoProfile { profiles: self.profiles, ..self.last.unwrap_or_default() }
    }
}

/// The text before a line has other numbers each time; a quote that it opens is closed after the line.
fn without_digits(text: &str) -> String {
    text.trim().trim_end_matches('"').chars().filter(|c| !c.is_ascii_digit()).collect()
}

/// Text that was escaped more often than this is not read.
const MAX_NESTING: usize = 3;

/// Unescapes lines that a logger put into one, and tabs. None if there are none.
fn unescaped(line: &str) -> Option<String> {
    let has = |marks: [&str; 2]| marks.iter().any(|mark| line.contains(mark));
    let as_written = line.starts_with("#\t") || line.starts_with("# labels: ");
    let several = || has(["\\n", "#012"]) && (line.contains(" @ 0x") || line.contains(" profile: total "));
    let one = || has(["\\t", "#011"]) && line.contains("0x");
    let labels = || line.contains("# labels: {\\\"");
    if as_written || !several() && !one() && !labels() {
        return None;
    }
    let line = line.replace("#012", "\n").replace("#011", "\t");
    let mut text = String::with_capacity(line.len());
    let mut rest = line.as_str();
    while let Some((plain, after)) = rest.split_once('\\') {
        text.push_str(plain);
        let mut chars = after.chars();
        match chars.next() {
            Some('n') => text.push('\n'),
            Some('t') => text.push('\t'),
            Some(c @ ('"' | '\\' | '/')) => text.push(c),
            other => text.extend(['\\'].into_iter().chain(other)),
        }
        rest = chars.as_str();
    }
    text.push_str(rest);
    Some(text)
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
        assert_eq!((profile.kind.as_str(), profile.profiles, profile.is_certain()), ("goroutine", 1, true));
        let stack = &profile.stacks[0];
        assert_eq!((stack.count, stack.pcs.as_slice()), (10, &[0x4a, 0x4b, 0x4c][..]));
        assert_eq!(stack.labels, [("a".into(), "b".into()), ("c d".into(), "\x1be\"".into())]);
        assert_eq!((stack.frames.len(), stack.missing(), stack.other_lines), (3, 0, 0));
        assert_eq!(
            (stack.frames[0].function.as_str(), stack.frames[0].offset),
            ("main.(*T).wait[...]", 0x2b)
        );
        assert_eq!((stack.frames[1].file.as_str(), stack.frames[1].line), ("/src/x y.go", 40));
        assert_eq!((profile.stacks[1].labels.len(), profile.stacks[1].other_lines), (0, 1));
    }

    /// Damage on the way is undone; `other` lines are lost.
    fn check(text: &str, other: u64) {
        let (plain, found) = (GoProfile::parse(PLAIN.as_bytes()), GoProfile::parse(text.as_bytes()));
        assert_eq!(found.stacks, plain.stacks, "{text}");
        assert_eq!((found.other_lines, found.is_certain()), (other, true), "{text}");
    }

    const PLAIN: &str = "goroutine profile: total 3\n\
        2 @ 0x49 0x4b 0x5b 0x99\n\
        # labels: {\"a\":\"b\"}\n\
        #\t0x4a\tmain.wait+0x2b\t\t/src/x.go:12\n\
        #\t0x5a\tmain.main+0x2b\t\t/src/x y.go:40\n\
        \n\
        1 @ 0x6b 0x7b 0x99\n\
        #\t0x6a\tmain.other+0x2b\t/src/x.go:13\n\
        #\t0x7a\tmain.main+0x4b\t/src/x y.go:44\n";

    #[test]
    fn whatever_became_of_it() {
        let lines = |with: &dyn Fn(&str) -> String| PLAIN.lines().map(|line| with(line) + "\n").collect();
        let all: [String; 14] = [
            PLAIN.replace('\n', "\r\n"),
            format!("\u{feff}{PLAIN}"),
            PLAIN.replace('\n', "\n\n"),
            PLAIN.replace('\t', "    "),
            PLAIN.replace("\t\t", "\t").replace('\t', " "),
            PLAIN.replace("#\t", "\t"),
            PLAIN.replace("#\t", ""),
            PLAIN.replacen("goroutine profile: total 3\n", "", 1),
            lines(&|line| format!("pump-1  | {line}")),
            lines(&|line| format!("2026-11-21T10:00:00.123Z app[12]: {}", line.replace('\t', "#011"))),
            lines(&|line| format!("> {line}")),
            format!("{{\"msg\":{PLAIN:?}}}"),
            format!("level=info msg={:?}", format!("{PLAIN:?}")),
            format!("app[1]: {}", PLAIN.replace('\n', "#012").replace('\t', "#011")),
        ];
        all.iter().for_each(|text| check(text, 0));
        check(&lines(&|line| format!("time=2026-11-21T10:00:00Z level=ERROR msg={line:?}")), 0);
        let numbered = PLAIN.lines().zip(1..).map(|(line, nth)| format!("{nth:3}  {line}\n"));
        check(&numbered.collect::<String>(), 0);
        // Another writer in between is noticed, and does no harm.
        check(&PLAIN.replace("1 @ 0x6b", "GET /index.html 200\n1 @ 0x6b"), 1);
        check(&format!("starting\n{PLAIN}\nstopped\nall is well\n"), 0);
        check(&format!("{PLAIN}\n{PLAIN}"), 0);
        check(&format!("{PLAIN}\ngoroutine profile: total 9\n5 @ 0x1\n"), 0);
    }

    #[test]
    fn what_is_missing_is_noticed() {
        for (gone, missing) in [
            ("#\t0x4a\tmain.wait+0x2b\t\t/src/x.go:12\n", 0),
            ("#\t0x5a\tmain.main+0x2b\t\t/src/x y.go:40\n", 1),
        ] {
            let profile = GoProfile::parse(PLAIN.replace(gone, "").as_bytes());
            assert_eq!(profile.stacks[0].missing(), missing, "{gone}");
        }
        // The first line of a stack is missing: its frames go to no other stack.
        let profile = GoProfile::parse(PLAIN.replace("1 @ 0x6b", "1 at 0x6b").as_bytes());
        assert_eq!((profile.stacks.len(), profile.is_cut()), (1, true));
        assert_eq!((profile.stacks[0].frames.len(), profile.other_lines), (2, 2));
    }

    #[test]
    fn two_writers() {
        let other =
            PLAIN.replace("0x4", "0xa4").replace("0x5", "0xa5").replace("0x6", "0xa6").replace("0x7", "0xa7");
        let mixed: String = PLAIN.lines().zip(other.lines()).map(|(a, b)| format!("{a}\n{b}\n")).collect();
        let profile = GoProfile::parse(mixed.as_bytes());
        assert_eq!((profile.profiles, profile.other_lines, profile.is_cut()), (2, 0, true));
        let frames: Vec<_> =
            profile.stacks.iter().map(|stack| (stack.frames.len(), stack.missing())).collect();
        assert_eq!(frames, [(2, 0); 4]);
        let twice = PLAIN.lines().skip(1).collect::<Vec<_>>().join("\n") + "\n";
        assert_eq!(GoProfile::parse(twice.repeat(2).as_bytes()).repeated(), 2);
    }

    #[test]
    fn what_only_looks_like_one() {
        for text in [
            "signal 11 @ 0x0\nother text\n",
            "threadcreate profile: total 1\n1 @ 0x4b\n#\t0x4a\tmain.f+0x1\t/x.go:1\n",
            "2313 1 @ 0x4b\n#\t0x4a\tmain.f+0x1\t/x.go:1\n",
        ] {
            assert!(!GoProfile::parse(text.as_bytes()).is_certain(), "{text}");
        }
        let numbered = "17 1 @ 0x4b\n18 #\t0x4a\tmain.f+0x1\t/x.go:1\n";
        assert!(GoProfile::parse(numbered.as_bytes()).is_certain());
    }

    proptest! {
        #[test]
        fn never_panics(at in 0..PROFILE.len(), len in 0..40usize, with in prop::collection::vec(any::<u8>(), 0..5)) {
            let mut bytes = PROFILE.as_bytes().to_vec();
            bytes.splice(at..(at + len).min(PROFILE.len()), with);
            let profile = GoProfile::parse(&bytes);
            profile.stacks.iter().for_each(|stack| { stack.missing(); });
        }
    }
}
