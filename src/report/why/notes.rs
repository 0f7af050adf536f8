//! What has to be said below chains: when they held, what moved, and what was not asked.

use crate::analysis::why::{Graph, Proof};
use crate::report::units::{count, duration};

/// A sentence below chains.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// The sentence. Raw from the target: escape before printing.
    pub text: String,
    /// Something is missing.
    pub warns: bool,
}

impl Note {
    /// A note that matters less.
    pub fn plain(text: String) -> Self {
        Note { text, warns: false }
    }

    /// A note that something is missing.
    pub fn warning(text: String) -> Self {
        Note { text, warns: true }
    }
}

/// What has to be said of everything that was read.
pub fn notes(graph: &Graph<'_>) -> Vec<Note> {
    let mut notes = vec![Note::plain(instants(graph))];
    if graph.moved() > 0 {
        let connections = count(graph.moved(), "connection");
        notes.push(Note::plain(format!("{connections} left out: something moved between the readings")));
    }
    notes.extend(graph.system().left_out.iter().cloned().map(Note::warning));
    for seen in &graph.system().processes {
        let unknown = seen.first.links.unknown.iter();
        notes.extend(unknown.map(|text| Note::plain(format!("{}: {text}", seen.name))));
    }
    notes
}

/// "both readings 12 ms apart; all of it held together at 20:31:07.123 UTC".
fn instants(graph: &Graph<'_>) -> String {
    let processes = &graph.system().processes;
    match graph.weakest_proof() {
        Proof::Stopped => "nothing moved while it was read".to_owned(),
        Proof::Once if processes.len() > 1 => {
            "one reading: nothing is proved of several processes together".to_owned()
        }
        Proof::Once => "one reading, while the program ran: some of it may not have held together".to_owned(),
        Proof::Twice => match graph.held_together() {
            Some((at, apart)) => {
                format!("two readings {} apart; all of it held together at {}", duration(apart), time(at))
            }
            None => "two readings; all of it was the same in both".to_owned(),
        },
    }
}

/// "20:31:07.123 UTC". Nanoseconds since the Unix epoch.
fn time(ns: u64) -> String {
    let moment = i64::try_from(ns / 1_000_000).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    moment.map_or("a time that is not known".to_owned(), |at| at.strftime("%H:%M:%S%.3f UTC").to_string())
}
