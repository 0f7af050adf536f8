//! Text about chains of waits: from waiting tasks to their causes.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::io::{self, Write};

use super::TextOptions;
use crate::analysis::frames::frame_name;
use crate::analysis::why::{Answer, Chain, Found, NodeId, Why};
use crate::report::line::{DIM, HEAD, Line, PLAIN, STATE, WARN};
use crate::report::runtime_names::task_noun;
use crate::report::units::{count, thousands};
use crate::report::why::{Look, PageLine, PageOptions, Words, lines, notes};

/// Lines of one chain that are shown, unless all are asked for.
const LINES: usize = 40;
/// Causes that are shown, unless all are asked for.
const CAUSES: usize = 10;
/// Groups of tasks that depend on one cause.
const GROUPS: usize = 4;

/// Writes the chains of some tasks.
///
/// # Errors
/// Those of `out`.
pub fn chains(why: &Why<'_>, chains: &[Chain], options: &TextOptions, out: &mut dyn Write) -> io::Result<()> {
    let all: Vec<&Chain> = chains.iter().collect();
    let words = Words::new(why, &all, options.full_paths || options.verbose);
    let mut page = Page { why, words: &words, options, out };
    for (nth, chain) in all.iter().enumerate() {
        if nth > 0 {
            writeln!(page.out)?;
        }
        page.chain(chain)?;
    }
    page.footer(None)
}

/// Writes every cause and who depends on it.
///
/// # Errors
/// Those of `out`.
pub fn causes(why: &Why<'_>, answer: &Answer, options: &TextOptions, out: &mut dyn Write) -> io::Result<()> {
    let most = if options.verbose { usize::MAX } else { CAUSES };
    let shown = answer.causes.get(..most).unwrap_or(&answer.causes);
    let all: Vec<&Chain> = shown.iter().map(|found| &found.chain).collect();
    let words = Words::new(why, &all, options.full_paths || options.verbose);
    let mut page = Page { why, words: &words, options, out };
    page.header(answer)?;
    for found in shown {
        writeln!(page.out)?;
        page.chain(&found.chain)?;
        page.dependents(found)?;
    }
    page.footer(Some((answer, shown.len())))
}

struct Page<'p, 'w, 'a> {
    why: &'w Why<'a>,
    words: &'p Words<'w, 'a>,
    options: &'p TextOptions,
    out: &'p mut dyn Write,
}

impl<'a> Page<'_, '_, 'a> {
    fn line(&self) -> Line {
        Line::new(self.options.color)
    }

    /// What the tasks of all processes are called.
    fn noun(&self) -> &'a str {
        let mut nouns = self.why.graph().system().processes.iter().map(|seen| task_noun(&seen.first));
        let first = nouns.next().unwrap_or("task");
        if nouns.all(|noun| noun == first) { first } else { "task" }
    }

    /// "api (pid 4242): 1,204 of 1,388 goroutines wait, for 3 causes".
    fn header(&mut self, answer: &Answer) -> io::Result<()> {
        let processes = &self.why.graph().system().processes;
        let mut line = self.line();
        for (nth, seen) in processes.iter().enumerate() {
            let comma = if nth == 0 { "" } else { ", " };
            line.push(HEAD, &format!("{comma}{} (pid {})", seen.name, seen.pid));
        }
        let waiting = count(answer.waiting, self.noun());
        let causes = match answer.causes.len() as u64 {
            0 if !self.why.graph().system().stopped.is_empty() => "a process is stopped".to_owned(),
            0 => "nothing unusual keeps them waiting".to_owned(),
            n => count(n, "cause"),
        };
        let rest = format!(" · {waiting} {} · {causes}", if answer.waiting == 1 { "waits" } else { "wait" });
        line.wrap_text(PLAIN, &rest, 2, self.options.width, self.out)
    }

    /// One chain, a line for each step.
    fn chain(&mut self, chain: &Chain) -> io::Result<()> {
        let options = PageOptions {
            width: self.options.width,
            most: if self.options.verbose { usize::MAX } else { LINES },
            full: self.options.verbose || self.options.full_paths,
            hint: " (-v shows them)",
        };
        for PageLine { pieces, .. } in lines(&self.words.rows(chain), &options) {
            let mut line = self.line();
            for (look, text) in &pieces {
                line.push(style(*look), text);
            }
            line.write(self.out)?;
        }
        if chain.is_cut {
            self.line()
                .pad(2, 0)
                .push(DIM, "... the chain is longer and was not followed")
                .write(self.out)?;
        }
        Ok(())
    }

    /// "12 more goroutines depend on the same: 8 in main.serve, 4 in main.poll". Tasks that the chain names are not
    /// counted again.
    fn dependents(&mut self, found: &Found) -> io::Result<()> {
        let mut more = 0;
        // Several groups may be in one function.
        let mut places: BTreeMap<Option<String>, u64> = BTreeMap::new();
        for group in found.groups.iter().filter(|group| group.unnamed > 0) {
            more += group.unnamed;
            *places.entry(self.function(group.task)).or_default() += group.unnamed;
        }
        if more == 0 {
            return Ok(());
        }
        let mut places: Vec<(String, u64)> =
            places.into_iter().filter_map(|(place, tasks)| Some((place?, tasks))).collect();
        places.sort_by_key(|&(_, tasks)| Reverse(tasks));
        places.truncate(GROUPS);
        let rest = more - places.iter().map(|(_, tasks)| tasks).sum::<u64>();
        let mut text = format!("{} on the same", dependent(more, self.noun()));
        if !places.is_empty() {
            let known = places.iter().map(|(place, tasks)| format!("{} in {place}", thousands(*tasks)));
            let rest = (rest > 0).then(|| format!("{} elsewhere", thousands(rest)));
            text.push_str(&format!(": {}", known.chain(rest).collect::<Vec<_>>().join(", ")));
        }
        let mut line = self.line();
        line.pad(2, 0).wrap_text(DIM, &text, 4, self.options.width, self.out)
    }

    /// The function that the user looks for on the stack of a task.
    fn function(&self, task: NodeId) -> Option<String> {
        let frame = self.why.place(task)?;
        Some(frame_name(self.why.graph().task(task)?.0, frame).into_owned())
    }

    /// What was usual, what moved, when, and what was not asked.
    fn footer(&mut self, answer: Option<(&Answer, usize)>) -> io::Result<()> {
        let mut notes: Vec<(anstyle::Style, String)> = Vec::new();
        if let Some((answer, shown)) = answer {
            let left = answer.causes.get(shown..).unwrap_or_default();
            if !left.is_empty() {
                let tasks = left.iter().map(|found| found.tasks).sum();
                let causes = count(left.len() as u64, "more cause");
                notes.push((DIM, format!("{causes} of {} (-v shows all)", count(tasks, self.noun()))));
            }
            if answer.usual > 0 {
                let verb = if answer.usual == 1 { "waits" } else { "wait" };
                let more = if answer.causes.is_empty() { "" } else { " more" };
                let text = format!(
                    "{}{more} {verb} for connections, timers or signals, as usual",
                    thousands(answer.usual)
                );
                notes.push((DIM, text));
            }
            if answer.moving > 0 {
                notes.push((DIM, format!("{} went on between the readings", thousands(answer.moving))));
            }
        }
        let all = self::notes(self.why.graph()).into_iter();
        notes.extend(all.map(|note| (if note.warns { WARN } else { DIM }, note.text)));
        writeln!(self.out)?;
        for (style, note) in notes {
            self.line().pad(1, 0).wrap_text(style, &note, 3, self.options.width, self.out)?;
        }
        Ok(())
    }
}

fn style(look: Look) -> anstyle::Style {
    match look {
        Look::Head => HEAD,
        Look::End => STATE,
        Look::Plain => PLAIN,
        Look::Dim => DIM,
    }
}

/// "12 more goroutines depend".
fn dependent(n: u64, noun: &str) -> String {
    let verb = if n == 1 { "depends" } else { "depend" };
    format!("{} {verb}", count(n, &format!("more {noun}")))
}
