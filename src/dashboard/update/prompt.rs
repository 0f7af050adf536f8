//! Handles keys while the user types.

use std::sync::Arc;

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::{Command, What, complain};
use crate::analysis::GroupKey;
use crate::analysis::flame::Root;
use crate::dashboard::filter_query::Wanted;
use crate::dashboard::query::View;
use crate::dashboard::state::{AppState, Input, Prompt};

/// A line takes at most this many characters.
const LONGEST: usize = 500;

/// Asks what to group by.
pub(super) fn ask_key(state: &mut AppState) -> Vec<Command> {
    match state.query.view {
        View::Groups => state.prompt = Some(Prompt::GroupBy(Input::new(&state.query.key.to_string()))),
        View::Flame => state.prompt = Some(Prompt::GroupBy(Input::new(&state.query.flame.root.to_string()))),
        _ => complain(state, "this view has no groups (2 shows groups, 5 a flame graph)"),
    }
    Vec::new()
}

/// Handles a key while the user types.
pub(super) fn on_key(state: &mut AppState, key: KeyEvent) -> Vec<Command> {
    let control = key.modifiers.contains(KeyModifiers::CONTROL);
    if key.code == KeyCode::Esc || control && key.code == KeyCode::Char('c') {
        state.prompt = None;
        return Vec::new();
    }
    match state.prompt.take() {
        Some(Prompt::Write) => write(key),
        Some(Prompt::Filter(input)) if key.code == KeyCode::Enter => filter(state, input),
        Some(Prompt::GroupBy(input)) if key.code == KeyCode::Enter => group_by(state, input),
        Some(Prompt::GroupBy(input)) if matches!(key.code, KeyCode::Tab | KeyCode::Down | KeyCode::Up) => {
            let choice = next_choice(state, &input.text, key.code == KeyCode::Up);
            state.prompt = Some(Prompt::GroupBy(Input::new(&choice)));
            Vec::new()
        }
        Some(Prompt::Filter(mut input)) => {
            edit(&mut input, key);
            state.prompt = Some(Prompt::Filter(input));
            Vec::new()
        }
        Some(Prompt::GroupBy(mut input)) => {
            edit(&mut input, key);
            state.prompt = Some(Prompt::GroupBy(input));
            Vec::new()
        }
        None => Vec::new(),
    }
}

/// Pasted text goes into the edited line.
pub(super) fn paste(state: &mut AppState, text: &str) -> Vec<Command> {
    if let Some(Prompt::Filter(input) | Prompt::GroupBy(input)) = &mut state.prompt {
        text.chars().filter(|c| !c.is_control()).for_each(|c| insert(input, c));
    }
    Vec::new()
}

fn write(key: KeyEvent) -> Vec<Command> {
    let what = match key.code {
        KeyCode::Char('s') => What::Snapshot,
        KeyCode::Char('r') => What::Report,
        KeyCode::Char('f') => What::Flame,
        _ => return Vec::new(),
    };
    vec![Command::Write(what)]
}

fn filter(state: &mut AppState, mut input: Input) -> Vec<Command> {
    match Wanted::parse(&input.text) {
        Ok(wanted) => {
            state.ask(|query| query.wanted = Arc::new(wanted));
            vec![Command::Compute]
        }
        Err(problem) => {
            input.problem = Some(problem);
            state.prompt = Some(Prompt::Filter(input));
            Vec::new()
        }
    }
}

fn group_by(state: &mut AppState, mut input: Input) -> Vec<Command> {
    let text = input.text.trim().to_owned();
    let outcome = if state.query.view == View::Flame {
        text.parse::<Root>().map(|root| state.ask(|query| query.flame.root = root))
    } else {
        text.parse::<GroupKey>().map(|key| state.ask(|query| query.key = key))
    };
    match outcome {
        Ok(()) => vec![Command::Compute],
        Err(problem) => {
            input.problem = Some(problem.to_string());
            state.prompt = Some(Prompt::GroupBy(input));
            Vec::new()
        }
    }
}

/// What the user can group by: the keys, and the labels that tasks have.
fn choices(state: &AppState) -> Vec<String> {
    let mut choices: Vec<String> = match state.query.view {
        View::Flame => ["none", "state", "creator", "thread"].map(str::to_owned).to_vec(),
        _ => ["stack", "function", "state", "creator", "waits-on"].map(str::to_owned).to_vec(),
    };
    let snapshot = &state.tables.picture.snapshot;
    // A program can have any number of labels; the user can type the others.
    for (key, _) in snapshot.code.label_sets.iter().take(1000).flat_map(|set| &set.pairs) {
        let choice = format!("label:{}", snapshot.str(*key));
        if !choices.contains(&choice) && choices.len() < 50 {
            choices.push(choice);
        }
    }
    choices
}

fn next_choice(state: &AppState, now: &str, back: bool) -> String {
    let choices = choices(state);
    let at = choices.iter().position(|choice| choice == now.trim());
    let len = choices.len();
    let next = match at {
        None => 0,
        Some(at) if back => (at + len - 1) % len,
        Some(at) => (at + 1) % len,
    };
    choices.get(next).cloned().unwrap_or_default()
}

/// Edits a line, like shells do.
pub(in crate::dashboard) fn edit(input: &mut Input, key: KeyEvent) {
    input.problem = None;
    let len = input.text.chars().count();
    let control = key.modifiers.contains(KeyModifiers::CONTROL);
    match key.code {
        KeyCode::Char('u') if control => {
            input.text = input.text.chars().skip(input.cursor).collect();
            input.cursor = 0;
        }
        KeyCode::Char('w') if control => {
            let before: String = input.text.chars().take(input.cursor).collect();
            let kept = before.trim_end().rfind(' ').map_or(0, |at| at + 1);
            let kept = before.get(..kept).unwrap_or_default().to_owned();
            let after: String = input.text.chars().skip(input.cursor).collect();
            input.cursor = kept.chars().count();
            input.text = kept + &after;
        }
        KeyCode::Char('a') if control => input.cursor = 0,
        KeyCode::Char('e') if control => input.cursor = len,
        KeyCode::Char(c) if !control && !c.is_control() => insert(input, c),
        KeyCode::Home => input.cursor = 0,
        KeyCode::End => input.cursor = len,
        KeyCode::Left => input.cursor = input.cursor.saturating_sub(1),
        KeyCode::Right => input.cursor = (input.cursor + 1).min(len),
        KeyCode::Backspace if input.cursor > 0 => {
            input.cursor -= 1;
            remove(input);
        }
        KeyCode::Delete => remove(input),
        _ => {}
    }
}

fn insert(input: &mut Input, c: char) {
    if input.text.chars().count() < LONGEST {
        let at = input.text.char_indices().nth(input.cursor).map_or(input.text.len(), |(at, _)| at);
        input.text.insert(at, c);
        input.cursor += 1;
    }
}

/// Removes the character at the cursor.
fn remove(input: &mut Input) {
    if let Some((at, _)) = input.text.char_indices().nth(input.cursor) {
        input.text.remove(at);
    }
}
