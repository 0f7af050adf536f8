//! Why tasks wait: chains of causes, as they are asked for and shown.

use std::sync::Arc;

use super::cursor::Cursor;
use super::query::TaskKey;
use super::task_detail::{self, PieceKind, Row};
use crate::analysis::frames::{creator_frame, shown_frames};
use crate::analysis::why::System;
use crate::report::line::wrapped;
use crate::report::why::{self, Look, Note, PageOptions};
use crate::session::{Picture, ProgramId};

/// At most this many rows of one chain are listed; a line says how many are left out.
const ROWS: usize = 1_000;
/// Columns that are left free: for the mark of the selection, and at the right.
const MARGIN: usize = 2;

/// What is asked.
#[derive(Debug, Clone)]
pub enum Question {
    /// Why some tasks of a reading wait.
    Tasks {
        /// The reading.
        picture: Arc<Picture>,
        /// The tasks.
        rows: Vec<u32>,
        /// The program, which is read again for it. None: the reading has to do.
        live: Option<ProgramId>,
    },
    /// Why a task of another process waits. An answer names the task.
    Onward {
        /// The answer.
        answer: Arc<Answer>,
        /// The process, an index of [`System::processes`].
        process: u32,
        /// The task, a row of its first reading.
        row: u32,
    },
}

/// What was found.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Everything that was read.
    pub system: Arc<System>,
    /// The chains, a list of rows for each.
    pub chains: Vec<Vec<Told>>,
    /// What is said below them.
    pub notes: Vec<Note>,
    /// The process that is watched, by its number in the session.
    pub life: u32,
}

/// A row of a chain, and the task that it names.
#[derive(Debug, Clone)]
pub struct Told {
    /// Its words.
    pub row: why::Row,
    /// The task.
    pub link: Option<Link>,
}

/// A task that a row of a chain names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// "goroutine 12", "goroutine 88 of pid 911 inventory". Raw from the target.
    pub name: String,
    /// Where Enter leads.
    pub to: Goal,
}

/// Where Enter leads from a row of a chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Goal {
    /// A task of the process that is watched.
    Task(TaskKey),
    /// A task of another process: its chain, from there on.
    Chain {
        /// The process, an index of [`System::processes`].
        process: u32,
        /// The task, a row of its first reading.
        row: u32,
    },
}

/// How far the search is.
#[derive(Debug, Clone)]
pub enum Stage {
    /// It goes on: what it does at the moment.
    Looking(String),
    /// It has ended.
    Found(Arc<Answer>),
    /// It has failed: why.
    Failed(String),
}

/// A question and its answer on the screen.
#[derive(Debug, Clone)]
pub struct ChainView {
    /// The tasks: "goroutine 41", "12 goroutines". Raw from the target.
    pub name: String,
    /// What is asked.
    pub question: Question,
    /// How far the search is.
    pub stage: Stage,
    /// The selected line.
    pub cursor: Cursor,
}

impl ChainView {
    /// A question that was not answered yet.
    pub fn new(name: String, question: Question) -> Self {
        let begins = match &question {
            Question::Tasks { live: Some(_), .. } => "reading the process",
            _ => "adding up what was read",
        };
        let stage = Stage::Looking(begins.to_owned());
        ChainView { name, question, stage, cursor: Cursor::default() }
    }

    /// "goroutine 41 waits", "12 goroutines wait".
    fn waits(&self) -> String {
        let several = matches!(&self.question, Question::Tasks { rows, .. } if rows.len() > 1);
        format!("{} {}", self.name, if several { "wait" } else { "waits" })
    }

    /// The search goes on.
    pub fn is_looking(&self) -> bool {
        matches!(self.stage, Stage::Looking(_))
    }

    /// The lines, and the task that each leads to: the one that it names, else the next one below. The first line of a
    /// chain names the task that is asked about: it leads to the next one, too.
    pub fn lines(&self, columns: usize) -> Vec<(Row, Option<&Link>)> {
        let room = columns.saturating_sub(MARGIN);
        let text = |kind, text: &str| {
            let lines = wrapped(text, room, 2).into_iter().enumerate();
            let row = |(nth, line): (usize, String)| {
                (Row::new(kind, &format!("{}{line}", if nth == 0 { " " } else { "   " })), None)
            };
            lines.map(row).collect::<Vec<_>>()
        };
        match &self.stage {
            Stage::Looking(step) => {
                text(PieceKind::Plain, &format!("looking for the reason why {}: {step} ...", self.waits()))
            }
            Stage::Failed(why) => {
                text(PieceKind::State, &format!("why {} was not found: {why}", self.waits()))
            }
            Stage::Found(answer) => {
                let mut lines = Vec::new();
                if let Question::Onward { .. } = self.question {
                    let title = format!("why {}, by the same readings", self.waits());
                    let first = answer.chains.first().and_then(|chain| lead(chain, 0));
                    lines.extend(text(PieceKind::Title, &title).into_iter().map(|(row, _)| (row, first)));
                }
                for chain in &answer.chains {
                    lines.extend(on_page(chain, room));
                    lines.push((Row::default(), None));
                }
                if let &Question::Onward { process, row, .. } = &self.question {
                    lines
                        .extend(stack(&answer.system, process, row, room).into_iter().map(|row| (row, None)));
                }
                for note in &answer.notes {
                    let kind = if note.warns { PieceKind::State } else { PieceKind::Dim };
                    lines.extend(text(kind, &note.text));
                }
                lines
            }
        }
    }

    /// Where Enter leads from the selected line.
    pub fn link(&self, columns: usize) -> Option<Link> {
        self.lines(columns).into_iter().nth(self.cursor.at)?.1.cloned()
    }
}

/// The stack of a task of another process, which has no view of its own.
fn stack(system: &System, process: u32, row: u32, room: usize) -> Vec<Row> {
    let snapshot = system.processes.get(process as usize).map(|seen| &*seen.first);
    let task = snapshot.and_then(|snapshot| Some((snapshot, snapshot.tasks.get(row as usize)?)));
    let Some((snapshot, task)) = task else { return Vec::new() };
    let shown = shown_frames(snapshot, snapshot.stack_of(task), false);
    let mut rows = task_detail::frames(snapshot, &shown, room);
    rows.extend(task_detail::status(snapshot, task.stack_status, shown.is_empty()));
    let creator = task.creator.and_then(|id| creator_frame(snapshot, id));
    rows.extend(creator.map(|frame| task_detail::creator(snapshot, frame)));
    rows.push(Row::default());
    rows
}

/// The lines of one chain.
fn on_page(chain: &[Told], room: usize) -> Vec<(Row, Option<&Link>)> {
    let rows: Vec<why::Row> = chain.iter().map(|told| told.row.clone()).collect();
    let hint = " (loiter why -v shows them)";
    let options = PageOptions { width: room, most: ROWS, full: false, hint };
    let lines = why::lines(&rows, &options).into_iter().map(|line| {
        let row = Row::new(PieceKind::Plain, " ");
        let row = line.pieces.iter().fold(row, |row, (look, text)| row.add(kind(*look), text));
        (row, line.row.and_then(|nth| lead(chain, nth)))
    });
    lines.collect()
}

/// Where Enter leads from a row of a chain.
fn lead(chain: &[Told], nth: usize) -> Option<&Link> {
    let below = chain.get(nth.max(1)..).unwrap_or_default();
    let next = below.iter().find_map(|told| told.link.as_ref());
    let own = || chain.first()?.link.as_ref().filter(|link| matches!(link.to, Goal::Task(_)));
    next.or_else(|| own().filter(|_| nth == 0))
}

fn kind(look: Look) -> PieceKind {
    match look {
        Look::Head => PieceKind::Head,
        Look::End => PieceKind::State,
        Look::Plain => PieceKind::Plain,
        Look::Dim => PieceKind::Dim,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests;
