//! The filter line: words, and `field:value`.

use crate::analysis::filter::{Filter, Selection};
use crate::analysis::frames::{creator_frame, frame_name, shown_frames};
use crate::analysis::pattern::Pattern;
use crate::report::units::parse_duration;
use crate::snapshot::{Snapshot, StrId, Task, TaskState, UnknownState};

/// The fields that the filter line knows.
pub const FIELDS: &str = "state, reason, function, package, creator, label, id, age";

/// A filter as the user typed it.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// The text, without spaces around it.
    pub text: String,
    filter: Filter,
    /// Each must occur in a task's functions, creator, reason, state, labels or id. In lower case.
    words: Vec<String>,
}

impl Wanted {
    /// Reads the text of the filter line.
    ///
    /// # Errors
    /// A sentence about what is wrong with the text.
    pub fn parse(text: &str) -> Result<Wanted, String> {
        let mut wanted = Wanted { text: text.trim().to_owned(), ..Wanted::default() };
        for term in terms(text) {
            match term.split_once(':') {
                Some((field, value)) if is_field(field) => wanted.field(field, value)?,
                _ => wanted.words.push(term.to_lowercase()),
            }
        }
        Ok(wanted)
    }

    fn field(&mut self, field: &str, value: &str) -> Result<(), String> {
        if value.is_empty() {
            return Err(format!("{field}: needs a value"));
        }
        let filter = &mut self.filter;
        let pattern = || Pattern::anywhere(value).any_case();
        match field {
            "state" => {
                let state: TaskState = value.parse().map_err(|problem: UnknownState| problem.to_string())?;
                filter.states.push(state);
            }
            "reason" => filter.reasons.push(pattern()),
            "function" | "func" | "fn" => filter.functions.push(pattern()),
            "package" | "pkg" => filter.packages.push(Pattern::whole(value).any_case()),
            "creator" => filter.creators.push(pattern()),
            "label" => filter.labels.push(match value.split_once('=') {
                Some((key, value)) => (key.to_owned(), Some(value.to_owned())),
                None => (value.to_owned(), None),
            }),
            "id" => {
                let id = value.parse().map_err(|_| format!("{value} is not an id"))?;
                filter.ids.push(id);
            }
            "age" => {
                let age =
                    parse_duration(value).map_err(|problem| format!("{value} is not an age: {problem}"))?;
                filter.min_age_ns = Some(age);
            }
            _ => return Err(format!("unknown field {field}; fields: {FIELDS}")),
        }
        Ok(())
    }

    /// Whether every task passes.
    pub fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// The conditions without the words.
    pub fn filter(&self, system: bool) -> Filter {
        Filter { system, ..self.filter.clone() }
    }

    /// Selects the tasks that pass. `system` includes the runtime's own tasks.
    pub fn select(&self, snapshot: &Snapshot, system: bool) -> Selection {
        let mut selection = self.filter(system).select(snapshot);
        for word in &self.words {
            let finder = Finder::new(snapshot, word);
            selection
                .tasks
                .retain(|&index| snapshot.tasks.get(index as usize).is_some_and(|task| finder.finds(task)));
        }
        if !self.words.is_empty() {
            selection.count = snapshot.count_of(&selection.tasks);
        }
        selection
    }
}

/// Whether this could be the name of a field. Beginnings of paths and of Go types are not.
fn is_field(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_lowercase())
}

/// Splits at spaces, but not between quotes.
fn terms(text: &str) -> Vec<String> {
    let mut terms = Vec::new();
    let (mut term, mut quoted) = (String::new(), false);
    for c in text.chars() {
        match c {
            '"' => quoted = !quoted,
            c if c.is_whitespace() && !quoted => terms.push(std::mem::take(&mut term)),
            c => term.push(c),
        }
    }
    terms.push(term);
    terms.retain(|term| !term.is_empty());
    terms
}

/// Looks for one word. Each interned string, stack and set of labels is searched once.
struct Finder<'a> {
    word: &'a str,
    strings: Vec<bool>,
    functions: Vec<bool>,
    stacks: Vec<bool>,
    creators: Vec<bool>,
    labels: Vec<bool>,
}

impl<'a> Finder<'a> {
    fn new(snapshot: &Snapshot, word: &'a str) -> Self {
        let has = |text: &str| text.to_lowercase().contains(word);
        let strings: Vec<bool> = snapshot.code.strings.iter().map(|s| has(s)).collect();
        let string = |id: StrId| at(&strings, id.index());
        let functions: Vec<bool> = snapshot.code.functions.iter().map(|f| string(f.name)).collect();
        let stack = |stack: &crate::snapshot::Stack| {
            let mut frames = shown_frames(snapshot, &stack.locations, false).into_iter();
            frames.any(|f| at(&functions, f.frame.function.index()))
        };
        let creator = |id: u32| {
            let frame = creator_frame(snapshot, crate::snapshot::LocationId(id));
            frame.is_some_and(|frame| has(&frame_name(snapshot, frame)))
        };
        let label = |set: &crate::snapshot::LabelSet| {
            set.pairs.iter().any(|&(key, value)| {
                string(key) || string(value) || has(&format!("{}={}", snapshot.str(key), snapshot.str(value)))
            })
        };
        Finder {
            stacks: snapshot.code.stacks.iter().map(stack).collect(),
            creators: (0..snapshot.code.locations.len() as u32).map(creator).collect(),
            labels: snapshot.code.label_sets.iter().map(label).collect(),
            strings,
            functions,
            word,
        }
    }

    fn finds(&self, task: &Task) -> bool {
        let in_table = |table: &[bool], index: Option<usize>| index.is_some_and(|index| at(table, index));
        in_table(&self.stacks, task.stack.map(|id| id.index()))
            || in_table(&self.creators, task.creator.map(|id| id.index()))
            || in_table(&self.strings, task.reason.map(|id| id.index()))
            || in_table(&self.functions, task.entry.map(|id| id.index()))
            || in_table(&self.labels, task.labels.map(|id| id.index()))
            || task.state.name().contains(self.word)
            || task.id.is_some_and(|id| id.to_string() == self.word)
    }
}

fn at(flags: &[bool], index: usize) -> bool {
    flags.get(index).copied().unwrap_or(false)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn fields_words_and_quotes() {
        let wanted =
            Wanted::parse("reason:\"chan send\" Fetch state:waiting net/http.(*conn) f.go:12").unwrap();
        assert_eq!(wanted.words, ["fetch", "net/http.(*conn)", "f.go:12"]);
        assert_eq!(wanted.filter.states, [TaskState::Waiting]);
        assert!(wanted.filter.reasons.iter().all(|pattern| pattern.matches("chan send")));
        assert_eq!(Wanted::parse("age:10m").unwrap().filter.min_age_ns, Some(600_000_000_000));
        assert_eq!(Wanted::parse("age:1h30m").unwrap().filter.min_age_ns, Some(5_400_000_000_000));
        assert_eq!(Wanted::parse("state:Waiting").unwrap().filter.states, [TaskState::Waiting]);
        assert!(Wanted::parse("  ").unwrap().is_empty());
    }

    #[test]
    fn mistakes_are_explained() {
        for (text, problem) in [
            ("staet:waiting", "unknown field staet; fields: state, reason"),
            ("state:asleep", "unknown state asleep; states: running, runnable"),
            ("id:x", "x is not an id"),
            ("age:ten", "ten is not an age: use a number and a unit"),
            ("age:99999999999999d", "is not an age: this duration is too long"),
            ("reason:", "needs a value"),
        ] {
            let error = Wanted::parse(text).unwrap_err();
            assert!(error.contains(problem), "{text}: {error}");
        }
    }
}
