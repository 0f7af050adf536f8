//! What is known and what is chosen. No drawing, no input or output.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::chain::ChainView;
use super::cpu::Cpu;
pub use super::cursor::Cursor;
use super::flame::FramePath;
use super::query::{Query, TaskKey, View};
use super::tables::{Tables, TreeNode};
use super::task_detail::{self, Lead, Row};
use crate::analysis::leaks::Report;
use crate::session::Picture;

/// Where the readings come from, and their status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// Nothing has been read yet.
    Waiting,
    /// A process that is read repeatedly.
    Live,
    /// The target cannot be read at the moment; loiter retries. A sentence says why.
    Trouble(String),
    /// There will be no more readings. A sentence says why.
    Ended(String),
    /// One saved snapshot.
    File,
    /// A recording is being opened.
    Opening {
        /// Readings opened so far.
        done: usize,
        /// Readings in total.
        of: usize,
    },
    /// Readings that were recorded.
    Replay {
        /// The reading that is shown, from 0.
        at: usize,
        /// How many there are.
        of: usize,
    },
}

/// What is being typed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Prompt {
    /// The filter.
    Filter(Input),
    /// What to group by.
    GroupBy(Input),
    /// What to write: one key.
    Write,
}

/// A line that is being edited.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Input {
    /// The text so far.
    pub text: String,
    /// The position of the cursor, characters from the left.
    pub cursor: usize,
    /// What is wrong with it.
    pub problem: Option<String>,
}

impl Input {
    /// A line with a text to begin with; the cursor is behind it.
    pub fn new(text: &str) -> Self {
        Input { text: text.to_owned(), cursor: text.chars().count(), problem: None }
    }
}

/// How much of the screen the lower pane takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Pane {
    /// A few lines.
    #[default]
    Small,
    /// Half of it.
    Half,
    /// Nearly all of it.
    Large,
}

/// What is known and what is chosen.
#[derive(Debug, Clone)]
pub struct AppState {
    /// Columns and lines of the terminal.
    pub size: (u16, u16),
    /// What the user wants to see.
    pub query: Arc<Query>,
    /// The last reading.
    pub latest: Option<Arc<Picture>>,
    /// The reading that is shown: the last one, unless the picture is frozen.
    pub picture: Option<Arc<Picture>>,
    /// What the views show of it. May lag behind while it is computed.
    pub tables: Arc<Tables>,
    /// The picture is frozen.
    pub frozen: bool,
    /// Where the readings come from.
    pub source: Source,
    /// How often the target is read.
    pub interval: Duration,
    /// Time since the last reading arrived.
    pub quiet: Duration,
    /// CPU sampling.
    pub cpu: Cpu,
    /// Where readings are recorded, if they are.
    pub record: Option<String>,
    /// The selection among the groups, the tasks, the creators and the lines of one task.
    pub cursors: Cursors,
    /// The selected frame of the flame graph.
    pub frame: FramePath,
    /// Branches of the tree that differ from the default.
    pub folded: BTreeSet<u64>,
    /// Why a task waits, in front of the tasks.
    pub chain: Option<ChainView>,
    /// The number of the last search for a chain. What others find is out of date.
    pub chain_turn: u32,
    /// What was shown before the current task or chain, to go back to.
    pub visited: Vec<Place>,
    /// What is being typed.
    pub prompt: Option<Prompt>,
    /// The help is shown from this line on.
    pub help: Option<usize>,
    /// How large the lower pane is.
    pub pane: Pane,
    /// The last action, or failure.
    pub message: Option<Message>,
}

/// Something that was shown.
#[derive(Debug, Clone)]
pub enum Place {
    /// A task in detail.
    Task(TaskKey),
    /// Why a task waits.
    Chain(Box<ChainView>),
    /// Another view.
    View(View),
}

/// The selection in each list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Cursors {
    /// Among the groups.
    pub groups: Cursor,
    /// Among the tasks.
    pub tasks: Cursor,
    /// In the tree of creators.
    pub creators: Cursor,
    /// Among the lines about one task.
    pub closeup: Cursor,
    /// Among the findings.
    pub findings: Cursor,
    /// Among the workers.
    pub scheduler: Cursor,
}

/// A message to the user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Its text.
    pub text: String,
    /// Something failed.
    pub error: bool,
}

/// The lists with a cursor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum List {
    /// Groups.
    Groups,
    /// Tasks.
    Tasks,
    /// The tree of creators.
    Creators,
    /// Lines about one task.
    Closeup,
    /// Lines about why a task waits.
    Chain,
    /// Findings.
    Findings,
    /// Workers of the schedulers.
    Scheduler,
}

impl AppState {
    /// The state before anything has been read.
    pub fn new(query: Query, interval: Duration, source: Source) -> Self {
        AppState {
            size: (80, 24),
            query: Arc::new(query),
            latest: None,
            picture: None,
            tables: Arc::default(),
            frozen: false,
            source,
            interval,
            quiet: Duration::ZERO,
            cpu: Cpu::default(),
            record: None,
            cursors: Cursors::default(),
            frame: FramePath::default(),
            folded: BTreeSet::new(),
            chain: None,
            chain_turn: 0,
            visited: Vec::new(),
            prompt: None,
            help: None,
            pane: Pane::Small,
            message: None,
        }
    }

    /// The list that the keys move in. None if there is none.
    pub fn list(&self) -> Option<List> {
        match self.query.view {
            View::Overview | View::Flame => None,
            View::Groups => Some(List::Groups),
            View::Tasks if self.chain.is_some() => Some(List::Chain),
            View::Tasks if self.query.task.is_some() => Some(List::Closeup),
            View::Tasks => Some(List::Tasks),
            View::Creators => Some(List::Creators),
            View::Findings => Some(List::Findings),
            View::Scheduler => Some(List::Scheduler),
        }
    }

    /// The cursor of a list.
    pub fn cursor(&mut self, list: List) -> &mut Cursor {
        match list {
            List::Groups => &mut self.cursors.groups,
            List::Tasks => &mut self.cursors.tasks,
            List::Creators => &mut self.cursors.creators,
            List::Closeup => &mut self.cursors.closeup,
            // Without a chain there is no such list.
            List::Chain => self.chain.as_mut().map_or(&mut self.cursors.closeup, |chain| &mut chain.cursor),
            List::Findings => &mut self.cursors.findings,
            List::Scheduler => &mut self.cursors.scheduler,
        }
    }

    /// How many lines a list has.
    pub fn len(&self, list: List) -> usize {
        match list {
            List::Groups => self.tables.groups.rows.len(),
            List::Tasks => self.tables.tasks.order.len(),
            List::Creators => self.branches().len(),
            List::Closeup => self.closeup().len(),
            List::Chain => self.chain.as_ref().map_or(0, |chain| chain.lines(self.size.0.into()).len()),
            List::Findings => self.findings().map_or(0, |report| report.findings.len()),
            List::Scheduler => {
                let runtimes = &self.tables.picture.snapshot.header.runtimes;
                runtimes.iter().map(|runtime| runtime.scheduler.workers.len()).sum()
            }
        }
    }

    /// The report of the leak rules.
    pub fn findings(&self) -> Option<&Report> {
        self.picture.as_ref()?.findings.as_deref()
    }

    /// The branches of the tree of creators that are visible: indices of its nodes.
    pub fn branches(&self) -> Vec<usize> {
        let nodes = &self.tables.creators.nodes;
        let (mut visible, mut at) = (Vec::new(), 0);
        while let Some(node) = nodes.get(at) {
            visible.push(at);
            at = if self.is_open(node) { at + 1 } else { node.end.max(at + 1) };
        }
        visible
    }

    /// Whether the children of a branch are visible. By default the first two generations are open.
    pub fn is_open(&self, node: &TreeNode) -> bool {
        (node.depth < 2) != self.folded.contains(&node.key)
    }

    /// The lines about the task that is shown.
    pub fn closeup(&self) -> Vec<Row> {
        task_detail::rows(&self.tables, self.size.0.into())
    }

    /// The key of the task on a line of the list of tasks.
    pub fn task_at(&self, line: usize) -> Option<TaskKey> {
        let &index = self.tables.tasks.order.get(line)?;
        TaskKey::of(&self.tables.picture, index)
    }

    /// Where Enter leads from a shown task: to the task on the selected line, else to the holder of what it
    /// waits for.
    pub fn lead(&self) -> Option<Lead> {
        let row = self.closeup().into_iter().nth(self.cursors.closeup.at);
        task_detail::lead(self.tables.closeup.as_ref()?, row.and_then(|row| row.link))
    }

    /// The chain on the screen.
    pub fn chain_shown(&self) -> Option<&ChainView> {
        self.chain.as_ref().filter(|_| self.query.view == View::Tasks)
    }

    /// What is on the screen, as a place to go back to. None: the list of tasks.
    pub fn place(&self) -> Option<Place> {
        if self.query.view != View::Tasks {
            return Some(Place::View(self.query.view));
        }
        let chain = self.chain.clone().map(|chain| Place::Chain(Box::new(chain)));
        chain.or_else(|| self.query.task.map(Place::Task))
    }

    /// Changes what the user wants to see.
    pub fn ask(&mut self, change: impl FnOnce(&mut Query)) {
        change(Arc::make_mut(&mut self.query));
    }
}
