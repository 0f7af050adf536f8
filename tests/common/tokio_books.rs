//! What the Tokio fixture knows of its own tasks.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;
use serde_json::Value;

use super::{Fixture, TokioFlavour, build_tokio};

/// A task, as the fixture has it in its books.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct BookedTask {
    pub id: u64,
    pub runtime: String,
    pub subject: String,
    pub file: String,
    pub line: u32,
    /// As `std::any::type_name` has it.
    #[serde(rename = "type")]
    pub type_name: String,
    /// "waiting", "running", "runnable" or "finished".
    pub state: String,
    /// "future", "local" or "blocking".
    pub kind: String,
    pub cancelled: bool,
}

/// A future that a thread blocks on, as the fixture has it in its books.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct BookedRoot {
    pub thread: u32,
    pub subject: String,
    /// Where the thread is started.
    pub line: u32,
}

/// What a runtime says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Metrics {
    /// The lengths of its workers' queues.
    pub queues: Vec<u32>,
    /// That of the queue that they share.
    pub global: u64,
    /// Threads of its blocking pool, with the workers.
    pub threads: u32,
    /// Those that wait for a job.
    pub idle: u32,
    /// Jobs that wait for a thread.
    pub jobs: u64,
}

/// The running fixture.
pub struct TokioFixture {
    pub fixture: Fixture,
}

impl TokioFixture {
    /// Builds and starts it with these subjects.
    pub fn start(version: &str, flavour: TokioFlavour, subjects: &[&str]) -> TokioFixture {
        TokioFixture::start_program(&build_tokio(version, flavour), subjects)
    }

    /// Starts a built one.
    pub fn start_program(program: &Path, subjects: &[&str]) -> TokioFixture {
        TokioFixture { fixture: Fixture::start(program, subjects) }
    }

    pub fn pid(&self) -> u32 {
        self.fixture.pid()
    }

    /// Its books, by task id.
    pub fn books(&mut self) -> BTreeMap<u64, BookedTask> {
        let mut answer = self.fixture.ask("books");
        let tasks: Vec<BookedTask> = serde_json::from_value(answer["tasks"].take()).expect("books");
        tasks.into_iter().map(|task| (task.id, task)).collect()
    }

    /// The futures that its threads block on.
    pub fn roots(&mut self) -> Vec<BookedRoot> {
        let mut answer = self.fixture.ask("books");
        serde_json::from_value(answer["roots"].take()).expect("books")
    }

    /// What its runtimes say of themselves, in a build with Tokio's unstable features.
    pub fn metrics(&mut self) -> Vec<Metrics> {
        let mut answer = self.fixture.ask("metrics");
        serde_json::from_value(answer["runtimes"].take()).expect("metrics")
    }

    /// The ids of the tasks that stay, and how many short ones ran.
    pub fn crowd(&mut self) -> (Vec<u64>, u64) {
        let answer = self.fixture.ask("crowd");
        let number = |value: &Value| value.as_u64().expect("a number");
        let runs = answer["stay"].as_array().expect("runs");
        let stay =
            runs.iter().flat_map(|run| (0..number(&run[1])).map(|nth| number(&run[0]) + nth)).collect();
        (stay, number(&answer["ran"]))
    }
}
