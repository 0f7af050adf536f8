//! Looks for the causes for which tasks wait, on its own thread. Only the last question is answered: an earlier one is
//! given up.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;

use super::chain::{Answer, Goal, Link, Question, Told};
use super::event::Happened;
use super::query::TaskKey;
use super::update::{ChainNews, Event};
use crate::analysis::why::{Node, NodeId, System, Why};
use crate::full_text;
use crate::report::task_facts;
use crate::report::units::{count, thousands};
use crate::report::why::{Note, Row, Words, notes};
use crate::session::why::{Inquiry, InquiryOptions, OnStep};

/// At most this many chains of one question are shown, and no more after this many rows.
const CHAINS: usize = 100;
const ROWS: usize = 5_000;

/// A question, its number, and what ends the search.
struct Job {
    turn: u32,
    question: Question,
    stop: Arc<AtomicBool>,
}

/// Asks the thread that looks.
pub(super) struct Finder {
    next: Arc<(Mutex<Option<Job>>, Condvar)>,
    /// Ends the present search.
    stop: Arc<AtomicBool>,
}

impl Finder {
    /// Starts the thread; answers go to `out`.
    pub(super) fn spawn(options: InquiryOptions, out: SyncSender<Happened>) -> Finder {
        let next = Arc::new((Mutex::new(None), Condvar::new()));
        let its = Arc::clone(&next);
        thread::spawn(move || run(&its, &options, &out));
        Finder { next, stop: Arc::default() }
    }

    /// Asks a question; gives up the one before.
    pub(super) fn ask(&mut self, turn: u32, question: Question) {
        self.give_up();
        self.stop = Arc::default();
        let job = Job { turn, question, stop: Arc::clone(&self.stop) };
        let (next, changed) = &*self.next;
        *next.lock().unwrap_or_else(PoisonError::into_inner) = Some(job);
        changed.notify_one();
    }

    /// Gives up the present search, and the reading that goes on. Its answer is dropped.
    pub(super) fn give_up(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

fn run(next: &(Mutex<Option<Job>>, Condvar), options: &InquiryOptions, out: &SyncSender<Happened>) {
    let (next, changed) = next;
    loop {
        let waiting = next.lock().unwrap_or_else(PoisonError::into_inner);
        let mut job =
            changed.wait_while(waiting, |job| job.is_none()).unwrap_or_else(PoisonError::into_inner);
        let Some(Job { turn, question, stop }) = job.take() else { continue };
        drop(job);
        // If the receiver is gone, loiter ends.
        let tell = |news| {
            stop.load(Ordering::Relaxed) || out.send(Happened::Event(Event::Chain(turn, news))).is_ok()
        };
        let mut options = options.clone();
        options.stop = Some(Arc::clone(&stop));
        let found = answer(&question, options, &mut |step| _ = tell(ChainNews::Step(step.to_string())));
        let news = match found {
            Ok(answer) => ChainNews::Found(Arc::new(answer)),
            Err(why) => ChainNews::Failed(why),
        };
        if !tell(news) {
            return;
        }
    }
}

/// Looks for the answer to a question, which may take a while.
///
/// # Errors
/// Why there is no answer, a clause.
pub fn answer(
    question: &Question,
    options: InquiryOptions,
    on_step: &mut OnStep<'_>,
) -> Result<Answer, String> {
    match question {
        Question::Tasks { picture, rows, live } => {
            let inquiry = match live {
                Some(program) => Inquiry::of_program(*program, options).map_err(|error| full_text(&error))?,
                None => Inquiry::of_saved(Arc::clone(&picture.snapshot), options),
            };
            let from = inquiry.rows_of(&picture.snapshot, rows);
            let found = inquiry.follow(Some(&from), on_step).map_err(|error| full_text(&error))?;
            let ended = rows.len().saturating_sub(found.from.len());
            if found.from.is_empty() {
                let it = if rows.len() == 1 { "it has" } else { "they have" };
                return Err(format!("{it} ended meanwhile"));
            }
            let mut answer = worded(Arc::new(found.system), (0, &found.from), picture.life);
            if ended > 0 {
                let text = format!(
                    "{} of {} have ended meanwhile",
                    thousands(ended as u64),
                    thousands(rows.len() as u64)
                );
                answer.notes.insert(0, Note::warning(text));
            }
            Ok(answer)
        }
        Question::Onward { answer, process, row } => {
            Ok(worded(Arc::clone(&answer.system), (*process, &[*row]), answer.life))
        }
    }
}

/// The chains of some tasks of a process in words.
pub(super) fn worded(system: Arc<System>, (process, rows): (u32, &[u32]), life: u32) -> Answer {
    let why = Why::new(&system);
    let mut chains = why.of_tasks(process, rows);
    let steps = chains.iter().scan(0, |sum: &mut usize, chain| {
        let before = *sum;
        *sum = sum.saturating_add(chain.steps.len());
        Some(before)
    });
    let shown = steps.take(CHAINS).take_while(|&before| before < ROWS).count();
    let more = chains.len().saturating_sub(shown);
    chains.truncate(shown);
    let words = Words::new(&why, &chains.iter().collect::<Vec<_>>(), false);
    let told = |row: Row| Told { link: row.task.and_then(|task| link(&why, task, life)), row };
    let mut notes = notes(why.graph());
    if more > 0 {
        let text = format!("{} not shown (loiter why --group shows them)", count(more as u64, "more chain"));
        notes.insert(0, Note::warning(text));
    }
    if chains.iter().any(|chain| chain.is_cut) {
        notes.insert(0, Note::warning("the chain is longer and was not followed to its end".to_owned()));
    }
    let chains = chains.iter().map(|chain| words.rows(chain).into_iter().map(told).collect()).collect();
    Answer { chains, notes, life, system: Arc::clone(&system) }
}

/// Where a row leads that names a task.
fn link(why: &Why<'_>, task: NodeId, life: u32) -> Option<Link> {
    let graph = why.graph();
    let Some(Node::Task { process, row }) = graph.node(task) else { return None };
    let (snapshot, what) = graph.task(task)?;
    let name = task_facts::name(snapshot, what);
    // The first process is the one that is watched.
    if process == 0 {
        return Some(Link { name, to: Goal::Task(TaskKey::new(life, what, row)) });
    }
    let seen = graph.process(process)?;
    let name = format!("{name} of pid {} {}", seen.pid, seen.name);
    Some(Link { name, to: Goal::Chain { process, row } })
}
