//! A baseline: kinds of tasks that are known to be left or to leak, and are not reported again.
//!
//! It is a text file for people, with one kind a line: the function where the tasks are, the function that started
//! them, and what they wait for, each a pattern in which `*` stands for any characters. A day after which the line no
//! longer counts, and a comment, may follow. Lines belong to one program, whose name is in brackets above them; lines
//! above the first such name count for all programs.
//!
//! ```text
//! [example.com/api]
//! api.(*Client).poll | api.New | select | until 2027-01-31 # ends with the old client
//! ```
//!
//! [`mod@file`] reads and writes the text.

mod date;
pub mod file;
mod names;
mod program;

pub use date::Date;
pub use names::tolerant;
pub use program::program_of;
pub(in crate::analysis) use program::without_number;

use super::Pattern;

/// A kind of task, as one line of a baseline names it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Kind {
    /// The function where the tasks are, as a pattern that does not depend on the numbering of closures. Empty if
    /// unknown.
    pub function: String,
    /// The function that started them, the same way. Empty if unknown.
    pub creator: String,
    /// What they wait for, in the runtime's words. Empty for tasks that were on their way when they were read: any
    /// reason fits them.
    pub reason: String,
}

/// A line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Where the tasks are.
    pub function: Pattern,
    /// What started them.
    pub creator: Pattern,
    /// What they wait for.
    pub reason: Pattern,
    /// The last day on which the line counts. None: it has no end.
    pub until: Option<Date>,
    /// A comment on the line. Empty: none.
    pub comment: String,
    /// Lines of comments, and empty lines, that precede it in the file.
    pub above: Vec<String>,
    /// Its number in the file, from 1. 0: not from a file.
    pub number: usize,
}

/// The lines that belong to one program.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Section {
    /// The program. Empty for lines that count for all programs.
    pub program: String,
    /// Lines of comments, and empty lines, that precede the name.
    pub above: Vec<String>,
    /// The lines.
    pub lines: Vec<Line>,
}

/// A baseline.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Baseline {
    /// The sections, in the order of the file.
    pub sections: Vec<Section>,
    /// Lines of comments, and empty lines, at the end.
    pub below: Vec<String>,
}

/// What a baseline says of a kind of task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Said<'a> {
    /// It is not in the baseline.
    New,
    /// This line knows it.
    Known(&'a Line),
    /// This line knew it, until its last day was over.
    Expired(&'a Line),
}

impl Line {
    /// A line for this kind.
    pub fn new(kind: &Kind) -> Self {
        let reason = if kind.reason.is_empty() { "*" } else { &kind.reason };
        Line {
            function: Pattern::whole(&kind.function),
            creator: Pattern::whole(&kind.creator),
            reason: Pattern::whole(reason),
            until: None,
            comment: String::new(),
            above: Vec::new(),
            number: 0,
        }
    }

    /// Whether it names this kind.
    pub fn fits(&self, kind: &Kind) -> bool {
        self.function.matches(&kind.function)
            && self.creator.matches(&kind.creator)
            && (kind.reason.is_empty() || self.reason.matches(&kind.reason))
    }

    /// Whether it still counts. A day that is not known does not end it.
    pub fn counts(&self, today: Option<Date>) -> bool {
        self.until.zip(today).is_none_or(|(until, today)| until >= today)
    }
}

impl Baseline {
    /// The lines that count for a program: its own, and those for all programs.
    fn lines_of<'a>(&'a self, program: &'a str) -> impl Iterator<Item = &'a Line> {
        let ours = move |section: &&Section| {
            section.program.is_empty() || program::is_same(&section.program, program)
        };
        self.sections.iter().filter(ours).flat_map(|section| &section.lines)
    }

    /// What it says of tasks of a program.
    pub fn says<'a>(&'a self, program: &'a str, kind: &Kind, today: Option<Date>) -> Said<'a> {
        let mut said = Said::New;
        for line in self.lines_of(program).filter(|line| line.fits(kind)) {
            if line.counts(today) {
                return Said::Known(line);
            }
            said = Said::Expired(line);
        }
        said
    }

    /// The lines that none of these programs, each with its kinds, needs any more. Lines for all programs are not asked
    /// if there are lines for single programs, because another program may need them.
    pub fn stale<'a>(&'a self, found: &[(String, Vec<Kind>)]) -> Vec<&'a Line> {
        let single = self.sections.iter().any(|section| !section.program.is_empty());
        let mut stale = Vec::new();
        for section in &self.sections {
            let is_for_all = section.program.is_empty();
            let ours = || found.iter().filter(|(program, _)| is_for_all || *program == section.program);
            if (is_for_all && single) || ours().next().is_none() {
                continue;
            }
            let needed = |line: &&Line| ours().flat_map(|(_, kinds)| kinds).any(|kind| line.fits(kind));
            stale.extend(section.lines.iter().filter(|line| !needed(line)));
        }
        stale
    }

    /// How many of a program's own lines nothing needs any more: [`Baseline::renew`] removes them.
    pub fn unneeded(&self, program: &str, kinds: &[Kind]) -> usize {
        let own = self.sections.iter().filter(|section| section.program == program);
        let lines = own.flat_map(|section| &section.lines);
        lines.filter(|line| !kinds.iter().any(|kind| line.fits(kind))).count()
    }

    /// Makes it the baseline of what a program left now: its lines that nothing needs any more go, the others stay as
    /// they are, and new kinds get a line each. Lines of other programs and for all programs stay.
    pub fn renew(&mut self, program: &str, kinds: &[Kind]) {
        let new: Vec<&Kind> =
            kinds.iter().filter(|kind| !self.lines_of(program).any(|line| line.fits(kind))).collect();
        let mut new: Vec<Line> = new.into_iter().map(Line::new).collect();
        if let Some(section) = self.sections.iter_mut().find(|section| section.program == program) {
            let mut kept: Vec<Line> = Vec::new();
            let mut carried = Vec::new();
            for mut line in std::mem::take(&mut section.lines) {
                if kinds.iter().any(|kind| line.fits(kind)) {
                    carried.append(&mut line.above);
                    line.above = std::mem::take(&mut carried);
                    kept.push(line);
                } else {
                    // A comment that an empty line separates belongs to more than this line.
                    let end = line.above.iter().rposition(String::is_empty).map_or(0, |at| at + 1);
                    carried.extend(line.above.into_iter().take(end));
                }
            }
            if let Some(first) = new.first_mut() {
                first.above = std::mem::take(&mut carried);
            }
            section.above.extend(carried);
            kept.append(&mut new);
            section.lines = kept;
        } else if !new.is_empty() {
            // What a file without lines begins with is below all of them.
            let above = match self.sections.is_empty() {
                true => std::mem::take(&mut self.below),
                false => vec![String::new()],
            };
            self.sections.push(Section { program: program.to_owned(), above, lines: new });
        }
        // A program that leaves nothing needs no name, unless a comment is there.
        let needed = |s: &Section| {
            s.program.is_empty() || !s.lines.is_empty() || s.above.iter().any(|t| !t.is_empty())
        };
        self.sections.retain(needed);
    }
}

#[cfg(test)]
mod tests;
