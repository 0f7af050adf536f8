//! The labels of a sample: the program's own, and those in which loiter or the runtime describes the task.

use super::PprofError;
use super::tables::Tables;
use crate::code::{CodeBuilder, LabelSetId, StrId};
use crate::formats::pprof::fields::{label, own, single};
use crate::formats::pprof::wire::Fields;
use crate::import::{from_go_text, go_header};
use crate::snapshot::{Age, StackStatus, TaskState, WaitClass};

/// Total labels of all distinct sets.
const MAX_LABELS: usize = 1 << 25;

/// String indices of the place where a task was started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(super) struct Place {
    pub(super) function: u64,
    pub(super) at: u64,
}

/// The description of a task by loiter or the runtime.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Said {
    pub(super) id: Option<u64>,
    pub(super) state: TaskState,
    pub(super) reason: Option<StrId>,
    pub(super) wait_class: WaitClass,
    pub(super) age: Age,
    pub(super) creator: Option<Place>,
    pub(super) parent: Option<u64>,
    pub(super) stack_status: Option<StackStatus>,
    pub(super) leaked: bool,
    pub(super) locked: bool,
    pub(super) system: bool,
    pub(super) runtime: u8,
    /// The thread's id.
    pub(super) thread: Option<u32>,
    /// Whose time it is, if it is no task's: one of the names in `own::recording`.
    pub(super) whose: Option<&'static str>,
}

/// Reads the labels of one sample after the other.
pub(super) struct Labels<'t, 'a> {
    tables: &'t Tables<'a>,
    /// loiter wrote the profile.
    own: bool,
    /// The keys that describe the task, by their index in the table of strings.
    keys: Vec<(u64, &'static str)>,
    /// The model's string for each string of the profile that a label uses.
    strings: Vec<Option<StrId>>,
    pairs: Vec<(StrId, StrId)>,
    said: Said,
    /// The number of distinct sets so far, and of their labels.
    sets: (usize, usize),
}

/// One label, verbatim.
#[derive(Default)]
struct Raw {
    key: u64,
    text: u64,
    number: u64,
    unit: u64,
}

impl<'t, 'a> Labels<'t, 'a> {
    /// For a profile that loiter (`own`) or another program wrote.
    pub(super) fn new(tables: &'t Tables<'a>, own: bool) -> Self {
        let find = |key: &&'static str| tables.find(key).map(|at| (at, *key));
        Labels {
            tables,
            own,
            keys: if own { &own::KEYS[..] } else { &single::KEYS }.iter().filter_map(find).collect(),
            strings: vec![None; tables.string_count()],
            pairs: Vec::new(),
            said: Said::default(),
            sets: (0, 0),
        }
    }

    /// Begins another sample.
    pub(super) fn clear(&mut self) {
        self.pairs.clear();
        self.said = Said::default();
    }

    /// The description of the task in the labels that were added.
    pub(super) fn said(&self) -> Said {
        self.said
    }

    /// Takes a label.
    pub(super) fn add(&mut self, message: &[u8], into: &mut CodeBuilder) -> Result<(), PprofError> {
        let mut raw = Raw::default();
        for field in Fields::of(message) {
            let (number, value) = field?;
            match number {
                label::KEY => raw.key = value.number()?,
                label::STR => raw.text = value.number()?,
                label::NUM => raw.number = value.number()?,
                label::UNIT => raw.unit = value.number()?,
                _ => {}
            }
        }
        match self.keys.iter().find(|key| key.0 == raw.key) {
            Some(&(_, key)) if self.own => self.take(key, &raw, into),
            Some(&(_, key)) => self.take_of_runtime(key, &raw, into),
            None => self.add_programs(&raw, into),
        }
    }

    fn take(&mut self, key: &str, raw: &Raw, into: &mut CodeBuilder) -> Result<(), PprofError> {
        let text = self.tables.bytes(raw.text)?;
        if key == own::WAIT_REASON {
            self.said.reason = Some(self.string(raw.text, into)?);
        }
        let said = &mut self.said;
        match key {
            own::ID => said.id = Some(raw.number),
            own::STATE => said.state = state(text),
            own::WAIT_CLASS => {
                let known = std::str::from_utf8(text).ok().and_then(WaitClass::by_name);
                said.wait_class = known.unwrap_or_default();
            }
            own::WAIT_SECONDS => said.age = Age::AtLeast(raw.number.saturating_mul(1_000_000_000)),
            own::CREATED_BY => said.creator.get_or_insert_default().function = raw.text,
            own::CREATED_AT => said.creator.get_or_insert_default().at = raw.text,
            own::PARENT => said.parent = Some(raw.number),
            own::STACK => said.stack_status = std::str::from_utf8(text).ok().and_then(StackStatus::from_name),
            own::IS => match text {
                text if text == own::LEAKED.as_bytes() => said.leaked = true,
                text if text == own::LOCKED.as_bytes() => said.locked = true,
                text if text == own::SYSTEM.as_bytes() => said.system = true,
                _ => {}
            },
            own::recording::THREAD => said.thread = u32::try_from(raw.number).ok(),
            own::recording::WHOSE => {
                let names = [own::recording::SCHEDULER, own::recording::NATIVE];
                let known = names.into_iter().find(|name| name.as_bytes() == text);
                said.whose = Some(known.unwrap_or(own::recording::UNKNOWN));
            }
            own::RUNTIME => {
                let number = u8::try_from(raw.number);
                said.runtime = number.map_err(|_| PprofError::damaged("there is no such runtime"))?;
            }
            _ => {}
        }
        Ok(())
    }

    fn take_of_runtime(&mut self, key: &str, raw: &Raw, into: &mut CodeBuilder) -> Result<(), PprofError> {
        let text = self.tables.text(raw.text)?;
        let number = if raw.text == 0 { Some(raw.number) } else { text.trim().parse().ok() };
        match key {
            single::ID => self.said.id = number,
            single::CREATED_BY => self.said.parent = number.filter(|&id| id > 0),
            single::WAIT_MINUTES => {
                let minutes = number.filter(|&minutes| minutes > 0);
                let age = minutes.map(|minutes| Age::AtLeast(minutes.saturating_mul(60_000_000_000)));
                self.said.age = age.unwrap_or(self.said.age);
            }
            // The text in brackets in a dump, with everything that can be there.
            single::STATE => {
                if let Some(goroutine) = go_header::header(&format!("goroutine 1 [{text}]:")) {
                    let (state, reason) = from_go_text::state(&goroutine, into);
                    self.said.state = if self.said.reason.is_some() { TaskState::Waiting } else { state };
                    self.said.reason = self.said.reason.or(reason);
                    (self.said.leaked, self.said.locked) = (goroutine.leaked, goroutine.locked);
                    if goroutine.wait_minutes > 0 {
                        let ns = goroutine.wait_minutes.saturating_mul(60_000_000_000);
                        self.said.age = Age::AtLeast(ns);
                    }
                }
            }
            single::WAIT_REASON if !text.is_empty() => {
                self.said.reason = Some(self.string(raw.text, into)?);
                self.said.state = TaskState::Waiting;
            }
            _ => {}
        }
        Ok(())
    }

    fn add_programs(&mut self, raw: &Raw, into: &mut CodeBuilder) -> Result<(), PprofError> {
        if self.pairs.len() >= MAX_LABELS {
            return Err(PprofError::damaged(format!("a sample has more than {MAX_LABELS} labels")));
        }
        let key = match self.tables.bytes(raw.key)?.strip_prefix(own::PROGRAM.as_bytes()) {
            Some(key) if self.own => into.string(&String::from_utf8_lossy(key)),
            _ => self.string(raw.key, into)?,
        };
        // Go programs have only text; other tools add numbers.
        let value = if raw.text != 0 || (raw.number == 0 && raw.unit == 0) {
            self.string(raw.text, into)?
        } else {
            let unit = self.tables.text(raw.unit)?;
            let number = raw.number.cast_signed();
            into.string(format!("{number} {unit}").trim_end())
        };
        self.pairs.push((key, value));
        Ok(())
    }

    /// The set of the program's labels among those added.
    pub(super) fn program(&mut self, into: &mut CodeBuilder) -> Result<Option<LabelSetId>, PprofError> {
        if self.pairs.is_empty() {
            return Ok(None);
        }
        self.pairs.sort_by(|a, b| {
            let text = |pair: &(StrId, StrId)| (into.text(pair.0), into.text(pair.1));
            text(a).cmp(&text(b))
        });
        let id = into.label_set(&self.pairs);
        if id.index() == self.sets.0 {
            self.sets = (self.sets.0 + 1, self.sets.1 + self.pairs.len());
            if self.sets.1 > MAX_LABELS {
                return Err(PprofError::damaged(format!("it has more than {MAX_LABELS} labels")));
            }
        }
        Ok(Some(id))
    }

    fn string(&mut self, index: u64, into: &mut CodeBuilder) -> Result<StrId, PprofError> {
        let known = usize::try_from(index).ok().and_then(|at| self.strings.get_mut(at));
        let known = known.ok_or_else(|| PprofError::damaged(format!("there is no string {index}")))?;
        if let Some(id) = *known {
            return Ok(id);
        }
        let id = into.string(&self.tables.text(index)?);
        *known = Some(id);
        Ok(id)
    }
}

fn state(name: &[u8]) -> TaskState {
    TaskState::ALL.into_iter().find(|state| state.name().as_bytes() == name).unwrap_or(TaskState::Unknown)
}
