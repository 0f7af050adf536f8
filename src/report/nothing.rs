//! Why no task matches a filter, and which values the tasks have instead.

use rustc_hash::FxHashMap;

use super::runtime_names::task_noun;
use super::units::{age, count, duration, thousands};
use crate::analysis::frames::{code_of, creator_frame, frame_name, shown_frames, user_frame};
use crate::analysis::modules::Owners;
use crate::analysis::{Filter, Pattern};
use crate::snapshot::{Frame, Snapshot, Task};

/// At most this many values are listed.
const LISTED: usize = 6;

/// Why no task matches. For each condition that no task meets: the values that the tasks have. If some task
/// meets each condition: how many tasks meet each. Raw from the target: escape before printing.
pub(crate) fn nothing(snapshot: &Snapshot, filter: &Filter) -> Vec<String> {
    let bare = Filter { system: filter.system, all_frames: filter.all_frames, ..Filter::default() };
    let all = bare.select(snapshot).tasks;
    let noun = task_noun(snapshot);
    if all.is_empty() {
        return vec![format!("there are no {noun}s")];
    }
    let tasks = Tasks { snapshot, noun, all };
    let (mut never, mut alone) = (Vec::new(), Vec::new());
    for (name, one, why) in conditions(filter, &bare) {
        match snapshot.count_of(&one.select(snapshot).tasks) {
            0 => never.push(why(&tasks)),
            n => alone.push(format!("{} match {name}", thousands(n))),
        }
    }
    if never.is_empty() && alone.len() > 1 {
        never.push(format!("no {noun} matches all filters together: {}", alone.join(", ")));
    }
    never
}

/// Words a condition that no task meets.
type Why<'a> = Box<dyn Fn(&Tasks<'_>) -> String + 'a>;

/// One of a filter's lists of patterns.
type Field = fn(&mut Filter) -> &mut Vec<Pattern>;

/// The conditions of a filter, one by one.
fn conditions<'a>(filter: &'a Filter, bare: &Filter) -> Vec<(&'static str, Filter, Why<'a>)> {
    let mut all: Vec<(&'static str, Filter, Why<'a>)> = Vec::new();
    if !filter.states.is_empty() {
        let names: Vec<_> = filter.states.iter().map(|state| state.name()).collect();
        let one = Filter { states: filter.states.clone(), ..bare.clone() };
        all.push(("--state", one, Box::new(move |tasks| tasks.say("is", &names, state))));
    }
    let patterns: [(&'static str, &Vec<Pattern>, Field, &'static str, Of); 4] = [
        ("--reason", &filter.reasons, |f| &mut f.reasons, "waits for", reason),
        ("--function", &filter.functions, |f| &mut f.functions, "has a function", function),
        ("--package", &filter.packages, |f| &mut f.packages, "has a function of package", package),
        ("--creator", &filter.creators, |f| &mut f.creators, "was created by", creator),
    ];
    for (name, patterns, field, does, of) in patterns {
        if !patterns.is_empty() {
            let mut one = bare.clone();
            *field(&mut one) = patterns.clone();
            let texts: Vec<_> = patterns.iter().map(Pattern::text).collect();
            all.push((name, one, Box::new(move |tasks| tasks.say(does, &texts, of))));
        }
    }
    if !filter.labels.is_empty() {
        let one = Filter { labels: filter.labels.clone(), ..bare.clone() };
        all.push(("--label", one, Box::new(|tasks| tasks.labels(&filter.labels))));
    }
    if !filter.ids.is_empty() {
        let one = Filter { ids: filter.ids.clone(), ..bare.clone() };
        all.push(("--id", one, Box::new(|tasks| tasks.ids(&filter.ids))));
    }
    if let Some(min) = filter.min_age_ns {
        let one = Filter { min_age_ns: Some(min), ..bare.clone() };
        all.push(("--min-age", one, Box::new(move |tasks| tasks.ages(min))));
    }
    all
}

/// A value of a task, if it has one.
type Of = fn(&Snapshot, &Owners, &Task) -> Option<String>;

fn state(_: &Snapshot, _: &Owners, task: &Task) -> Option<String> {
    Some(task.state.name().to_owned())
}

fn reason(snapshot: &Snapshot, _: &Owners, task: &Task) -> Option<String> {
    task.reason.map(|id| snapshot.str(id).to_owned())
}

fn function(snapshot: &Snapshot, owners: &Owners, task: &Task) -> Option<String> {
    named(snapshot.function_name(user(snapshot, owners, task)?.function))
}

fn package(snapshot: &Snapshot, owners: &Owners, task: &Task) -> Option<String> {
    named(code_of(snapshot, user(snapshot, owners, task)?).package)
}

fn creator(snapshot: &Snapshot, _: &Owners, task: &Task) -> Option<String> {
    named(&frame_name(snapshot, creator_frame(snapshot, task.creator?)?))
}

/// The frame that the user looks for.
fn user(snapshot: &Snapshot, owners: &Owners, task: &Task) -> Option<Frame> {
    let shown = shown_frames(snapshot, snapshot.stack_of(task), false);
    user_frame(snapshot, owners, &shown).map(|at| at.frame)
}

fn named(name: &str) -> Option<String> {
    (!name.is_empty()).then(|| name.to_owned())
}

/// The tasks without any condition.
struct Tasks<'a> {
    snapshot: &'a Snapshot,
    noun: &'a str,
    all: Vec<u32>,
}

impl Tasks<'_> {
    fn tasks(&self) -> impl Iterator<Item = &Task> {
        self.all.iter().filter_map(|&index| self.snapshot.tasks.get(index as usize))
    }

    /// "no goroutine waits for 'chan sned'; found: chan send (1,204), select (31)".
    fn say(&self, does: &str, wanted: &[&str], of: Of) -> String {
        let owners = Owners::new(self.snapshot);
        // The values follow from a few interned things, which many tasks share.
        let mut alike: FxHashMap<_, (u64, &Task)> = FxHashMap::default();
        for task in self.tasks() {
            let key = (task.state, task.reason, task.stack, task.creator, task.entry);
            alike.entry(key).or_insert((0, task)).0 += task.count();
        }
        let counted =
            alike.into_values().filter_map(|(n, task)| Some((of(self.snapshot, &owners, task)?, n)));
        format!("no {} {does} {}; {}", self.noun, quoted(wanted), there_are(counted))
    }

    /// Values of an existing key; else the keys.
    fn labels(&self, wanted: &[(String, Option<String>)]) -> String {
        let texts: Vec<String> = (wanted.iter())
            .map(|(key, value)| value.as_ref().map_or_else(|| key.clone(), |value| format!("{key}={value}")))
            .collect();
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let pairs = || {
            let with =
                |task: &Task| Some((self.snapshot.code.label_sets.get(task.labels?.index())?, task.count()));
            let text = |id| self.snapshot.str(id);
            self.tasks().filter_map(with).flat_map(move |(set, n)| {
                set.pairs.iter().map(move |&(key, value)| (text(key), text(value), n))
            })
        };
        let asked = |key: &str| wanted.iter().any(|(other, _)| other.eq_ignore_ascii_case(key));
        let there = if pairs().any(|(key, ..)| asked(key)) {
            there_are(
                pairs().filter(|(key, ..)| asked(key)).map(|(key, value, n)| (format!("{key}={value}"), n)),
            )
        } else {
            there_are(pairs().map(|(key, _, n)| (key.to_owned(), n)))
        };
        format!("no {} has the label {}; {there}", self.noun, quoted(&texts))
    }

    fn ids(&self, wanted: &[u64]) -> String {
        let texts: Vec<String> = wanted.iter().map(u64::to_string).collect();
        let ids = || self.tasks().filter_map(|task| task.id);
        let there = match (ids().min(), ids().max()) {
            (Some(low), Some(high)) => format!("ids go from {low} to {high}"),
            _ => "the source has no ids".to_owned(),
        };
        format!("no {} has the id {}; {there}", self.noun, texts.join(" or "))
    }

    fn ages(&self, min: u64) -> String {
        let oldest = self.tasks().map(|task| task.age).max_by_key(|age| age.nanos()).unwrap_or_default();
        let there = match oldest.nanos() {
            Some(_) => format!("the longest time is {}", age(oldest)),
            None => "all ages are unknown".to_owned(),
        };
        format!("no {} has been in its state for {}; {there}", self.noun, duration(min))
    }
}

/// "'a' or 'b'".
fn quoted(texts: &[&str]) -> String {
    texts.iter().map(|text| format!("'{text}'")).collect::<Vec<_>>().join(" or ")
}

/// "found: chan send (1,204), select (31), and 3 more".
fn there_are(counted: impl Iterator<Item = (String, u64)>) -> String {
    let mut by_name: FxHashMap<String, u64> = FxHashMap::default();
    counted.for_each(|(name, n)| *by_name.entry(name).or_default() += n);
    if by_name.is_empty() {
        return "none found".to_owned();
    }
    let mut all: Vec<_> = by_name.into_iter().collect();
    all.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    let named = all.iter().take(LISTED).map(|(name, n)| format!("{name} ({})", thousands(*n)));
    let mut named: Vec<String> = named.collect();
    if all.len() > LISTED {
        named.push(format!("and {}", count((all.len() - LISTED) as u64, "more").trim_end_matches('s')));
    }
    format!("found: {}", named.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::{Age, RuntimeInfo, SnapshotBuilder, TaskState};

    fn snapshot() -> Snapshot {
        let mut builder = SnapshotBuilder::new();
        let labels = Some(builder.code.labels([("route", "/v1/users")]));
        for (id, reason) in [(1, "chan send"), (2, "chan send"), (9, "select")] {
            let reason = Some(builder.code.string(reason));
            let age = Age::AtLeast(300_000_000_000);
            let state = TaskState::Waiting;
            builder.task(Task { id: Some(id), reason, state, age, labels, ..Task::default() });
        }
        let mut snapshot = builder.finish();
        snapshot.header.runtimes =
            vec![RuntimeInfo { task_noun: "goroutine".to_owned(), ..Default::default() }];
        snapshot
    }

    fn said(filter: Filter) -> Vec<String> {
        nothing(&snapshot(), &filter)
    }

    #[test]
    fn what_there_is_is_listed() {
        let any = |text: &str| vec![Pattern::anywhere(text).any_case()];
        let default = Filter::default;
        assert_eq!(
            said(Filter { reasons: any("chan sned"), ..default() }),
            ["no goroutine waits for 'chan sned'; found: chan send (2), select (1)"]
        );
        assert_eq!(
            said(Filter { states: vec![TaskState::Running], ..default() }),
            ["no goroutine is 'running'; found: waiting (3)"]
        );
        assert_eq!(
            said(Filter { functions: any("main"), ids: vec![7], ..default() }),
            [
                "no goroutine has a function 'main'; none found",
                "no goroutine has the id 7; ids go from 1 to 9"
            ]
        );
        let label = |key: &str, value: Option<&str>| vec![(key.to_owned(), value.map(str::to_owned))];
        assert_eq!(
            said(Filter { labels: label("route", Some("/x")), ..default() }),
            ["no goroutine has the label 'route=/x'; found: route=/v1/users (3)"]
        );
        assert_eq!(
            said(Filter { labels: label("user", None), ..default() }),
            ["no goroutine has the label 'user'; found: route (3)"]
        );
        assert_eq!(
            said(Filter { min_age_ns: Some(600_000_000_000), ..default() }),
            ["no goroutine has been in its state for 10 min; the longest time is >= 5 min"]
        );
        assert_eq!(
            said(Filter { reasons: any("select"), ids: vec![1], ..default() }),
            ["no goroutine matches all filters together: 1 match --reason, 1 match --id"]
        );
    }
}
