//! Tasks that a program exports itself, through the crate `loiter-registry` or its own writer. The format is
//! `registry/FORMAT.md`.
//!
//! How one reading works: `notes` finds the registries, `layout` says where the fields of entries are,
//! `entries` copies entries twice and keeps what did not change, `chain` follows their await places, `places`
//! reads texts and source places once each, `convert` turns all of it into the model.

use rustc_hash::FxHashSet;

use crate::process::{Memory, Target, TargetError};
use crate::runtimes::{Attached, Attribute, FoundRuntimes, ReadOptions};
use crate::snapshot::{RuntimeInfo, Scheduler, SnapshotBuilder};
use crate::{Error, Result};

mod chain;
mod codes;
mod convert;
mod entries;
mod error;
mod layout;
mod names;
mod notes;
mod places;
mod sampling;
mod texts;

use convert::Converter;
use entries::Entries;
pub use error::RegistryError;
use layout::{Header, Text};
use notes::Noted;

/// Registries read of one process.
const MAX_REGISTRIES: usize = 64;
/// Bytes of entries read of one registry.
const MAX_BYTES: u64 = 16 << 30;
/// Tasks listed of one registry.
const MAX_TASKS: usize = 1 << 24;
/// A name is shown up to this length, bytes.
const MAX_NAME: u32 = 128;

/// A task registry in a target.
#[derive(Debug)]
pub struct Registry {
    address: u64,
    /// Path of the image whose note points to it.
    image: String,
    in_executable: bool,
    /// It lists tasks of Tokio.
    is_of_tokio: bool,
    /// The name that the program gave it; may be empty.
    name: String,
    /// The software that writes it; may be empty.
    producer: String,
}

/// The registries of a target.
#[derive(Debug, Default)]
pub struct Registries {
    /// Those that can be read.
    pub found: Vec<Registry>,
    /// Those that are invalid, or whose format is unknown.
    pub problems: Vec<Error>,
    /// Those that belong to the process that this one was forked from; one sentence each.
    pub left_out: Vec<String>,
    /// Those that were never used; one sentence each.
    pub unused: Vec<String>,
}

/// Finds the registries of a target.
pub(super) fn probe(target: &dyn Target, found: &mut FoundRuntimes) -> Result<()> {
    let noted = notes::find(target)?;
    tracing::debug!("found {} notes of task registries", noted.len());
    let mut registries = follow(target, noted)?;
    found.exports_tokio |= registries.found.iter().any(|registry| registry.is_of_tokio);
    registries.found.into_iter().for_each(|registry| found.add(registry));
    found.problems.append(&mut registries.problems);
    found.left_out.append(&mut registries.left_out);
    found.unused.append(&mut registries.unused);
    Ok(())
}

/// The registries at the given addresses, as if notes had pointed there.
///
/// # Errors
/// If the target cannot be read at all.
#[cfg(any(test, feature = "test-support"))]
pub fn attach_at(target: &dyn Target, addresses: &[u64]) -> Result<Registries> {
    let noted = |&address| Noted { address, image: String::new(), in_executable: true };
    follow(target, addresses.iter().map(noted).collect())
}

/// Follows notes to registries, and registries to further ones.
fn follow(target: &dyn Target, noted: Vec<Noted>) -> Result<Registries> {
    let mut all = Registries::default();
    let mut seen = FxHashSet::default();
    for first in noted {
        let mut next = first.address;
        while next != 0 && seen.len() < MAX_REGISTRIES && seen.insert(next) {
            let registry = Registry {
                address: next,
                image: first.image.clone(),
                in_executable: first.in_executable,
                is_of_tokio: false,
                name: String::new(),
                producer: String::new(),
            };
            next = 0;
            match Header::read(target, registry.address) {
                Ok(header) => {
                    next = header.next;
                    registry.keep(target, &header, &mut all)?;
                }
                Err(error) => match error.of(&registry.description()) {
                    Error::Target(error) => return Err(error.into()),
                    problem => all.problems.push(problem),
                },
            }
        }
    }
    Ok(all)
}

impl Registry {
    /// Adds it to the readable registries, unless it is a copy or empty.
    fn keep(mut self, target: &dyn Target, header: &Header, all: &mut Registries) -> Result<()> {
        let inside = target.pid_inside();
        if header.pid == 0 {
            let why = "was linked but never used: no task was registered";
            all.unused.push(format!("the {} {why}", self.description()));
            return Ok(());
        }
        if header.pid != inside {
            all.left_out.push(format!(
                "the {} is a copy that process {inside} got when it was forked from process {}: its tasks \
                 are not in this process, so it is left out",
                self.description(),
                header.pid
            ));
            return Ok(());
        }
        self.is_of_tokio = codes::runtime(header.runtime_kind) == Some("tokio");
        self.name = short_text(target, header.name)?;
        self.producer = short_text(target, header.producer)?;
        all.found.push(self);
        Ok(())
    }

    /// "task registry of /usr/lib/libjobs.so".
    fn description(&self) -> String {
        match self.image.as_str() {
            "" => format!("task registry at {:#x}", self.address),
            image => format!("task registry of {image}"),
        }
    }

    fn header(&self, target: &dyn Target) -> Result<Header> {
        Header::read(target, self.address).map_err(|error| error.of(&self.description()))
    }

    /// What distinguishes it from others, in a list of facts.
    fn flavour(&self, header: &Header) -> Vec<String> {
        let mut flavour: Vec<String> =
            codes::runtime(header.runtime_kind).map(str::to_owned).into_iter().collect();
        flavour.extend(Some(self.name.clone()).filter(|name| !name.is_empty()));
        if !self.in_executable {
            let (_, file) = self.image.rsplit_once('/').unwrap_or(("", &self.image));
            flavour.push(format!("in {file}"));
        }
        flavour
    }

    fn provenance(&self, header: &Header) -> Vec<String> {
        let found = match self.image.as_str() {
            "" => String::new(),
            image => format!(", by the note in {image}"),
        };
        let seen = if header.flags & 1 != 0 { ", tasks of libraries included" } else { "" };
        vec![
            format!("registry format {}.{} at {:#x}{found}", layout::MAJOR, header.minor, self.address),
            format!(
                "{} entries of {} bytes were in use, of at most {}{seen}",
                header.high_water, header.entry.size, header.entry_limit
            ),
        ]
    }

    /// Reads every task; returns the number of tasks.
    fn read_tasks(
        &self,
        header: &Header,
        converter: &mut Converter<'_>,
        target: &dyn Target,
    ) -> Result<Outcome> {
        let bytes = header.high_water.saturating_mul(header.entry.size as u64);
        if bytes > MAX_BYTES {
            let problem = format!("its entries claim to take {bytes} bytes");
            return Err(RegistryError::Malformed(problem).of(&self.description()));
        }
        let mut entries = Entries::new(target, &header.entry);
        let mut outcome = Outcome::default();
        for run in header.runs() {
            for block in Entries::blocks(&header.entry, run) {
                let batch = entries.read(block)?;
                outcome.unreadable += batch.unreadable;
                outcome.tasks += batch.entries.len() + batch.torn.len();
                if outcome.tasks > MAX_TASKS {
                    outcome.cut = true;
                    return Ok(outcome);
                }
                converter.batch(&batch)?;
            }
        }
        Ok(outcome)
    }

    /// What the user should know about the result.
    fn warnings(&self, before: &Header, after: &Header, outcome: Outcome) -> Vec<String> {
        let mut warnings = Vec::new();
        if after.dropped > 0 {
            let (dropped, limit) = (after.dropped, after.entry_limit);
            warnings.push(format!("{dropped} tasks are missing: the registry was full with {limit} entries"));
        }
        if after.strings_dropped > 0 {
            let dropped = after.strings_dropped;
            warnings.push(format!(
                "{dropped} names and locations are missing: the registry had no room for more"
            ));
        }
        if outcome.unreadable > 0 {
            warnings.push(format!("{} entries cannot be read", outcome.unreadable));
        }
        if outcome.cut {
            warnings.push(format!("the registry has more than {MAX_TASKS} tasks: the rest is left out"));
        }
        if after.epoch != before.epoch {
            warnings.push("the registry was restarted while it was read: its tasks are mixed".to_owned());
        }
        // Tasks that began or ended meanwhile may or may not have been read.
        let began = after.spawned.saturating_sub(before.spawned);
        let ended = after.finished.saturating_sub(before.finished);
        let read = (outcome.tasks as u64).saturating_add(ended).saturating_add(began);
        if !outcome.cut && outcome.unreadable == 0 && read < before.live() {
            let (tasks, live) = (outcome.tasks, before.live());
            warnings.push(format!("{tasks} tasks were found, but the registry counts {live} live ones"));
        }
        warnings
    }
}

/// The result of reading all entries.
#[derive(Debug, Clone, Copy, Default)]
struct Outcome {
    tasks: usize,
    unreadable: u64,
    cut: bool,
}

impl Attached for Registry {
    fn info(&self, target: &dyn Target) -> Result<RuntimeInfo> {
        let header = self.header(target)?;
        Ok(RuntimeInfo {
            name: "registry".to_owned(),
            version: Some(match self.producer.as_str() {
                "" => format!("registry {}.{}", layout::MAJOR, header.minor),
                producer => producer.to_owned(),
            }),
            flavour: self.flavour(&header),
            task_noun: "task".to_owned(),
            module: None,
            modules: Vec::new(),
            age_meaning: Some(
                "the time since a running task began to run, or since any other task last stopped; the \
                 clock of some programs has steps of 4 ms"
                    .to_owned(),
            ),
            provenance: self.provenance(&header),
            scheduler: Scheduler {
                tasks_created: Some(header.spawned),
                structs_made: Some(header.high_water),
                ..Scheduler::default()
            },
            heap: None,
        })
    }

    fn count_tasks(&self, target: &dyn Target) -> Result<u64> {
        Ok(self.header(target)?.live())
    }

    fn read(
        &self,
        target: &dyn Target,
        _options: &ReadOptions,
        runtime: u8,
        into: &mut SnapshotBuilder,
    ) -> Result<()> {
        let before = self.header(target)?;
        let mut converter = Converter::new(target, &before, runtime, into);
        let outcome = self.read_tasks(&before, &mut converter, target)?;
        let mut warnings = converter.warnings();
        // Entries that cannot be read may be free: the registry's own count says how many are tasks.
        let lacking = before.live().saturating_sub(outcome.tasks as u64).min(outcome.unreadable);
        into.header.reading.missing += lacking;
        let after = self.header(target)?;
        warnings.extend(self.warnings(&before, &after, outcome));
        let of = |warning| format!("{}: {warning}", self.description());
        into.header.warnings.extend(warnings.into_iter().map(of));
        Ok(())
    }

    fn attribution<'a>(
        &'a self,
        target: &'a dyn Target,
        runtime: u8,
    ) -> Result<Option<Box<dyn Attribute + 'a>>> {
        Ok(Some(Box::new(sampling::Attribution::new(self, target, runtime, self.header(target)?))))
    }
}

/// A short text; empty if it cannot be read.
fn short_text(memory: &dyn Memory, text: Text) -> Result<String, TargetError> {
    if text.address == 0 || text.len == 0 {
        return Ok(String::new());
    }
    match memory.read_vec(text.address, text.len.min(MAX_NAME) as usize) {
        Ok(bytes) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
        Err(error) if error.is_absent() => Ok(String::new()),
        Err(error) => Err(error),
    }
}
