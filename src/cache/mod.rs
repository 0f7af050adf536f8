//! What was found out of a file, kept in a folder for the next loiter.
//!
//! A [`Store`] answers questions about one file: the debug information of one build. It is nothing but a memory: a question
//! that it cannot answer is looked into as if there were no store, and the answer is added. Its file is hostile input as
//! everything else: whatever is wrong with it makes it as if it were not there, and it is replaced. Nobody needs it, so nothing
//! here is an error.
//!
//! `place` says which folder it is, [`folder`] who may have written it, and keeps it small; [`answers`] is the format of a file;
//! [`values`] are the parts of questions and answers.

use std::fmt::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

pub(crate) mod answers;
mod folder;
#[cfg(feature = "cli")]
mod place;
mod values;

use answers::{Answers, Fresh};
#[cfg(feature = "cli")]
pub(crate) use place::default_folder;
pub(crate) use values::{Reader, Writer};

/// Characters of a build id.
const MAX_ID: usize = 128;
/// While a process is read again and again, a file is written anew when it has become longer by this part of it.
const WORTH: usize = 8;

/// What stands for a file about which questions are asked.
#[derive(Debug)]
pub(crate) struct Subject<'a> {
    /// Its build id, in hexadecimal.
    pub(crate) build_id: &'a str,
    /// Everything that makes it another file.
    pub(crate) identity: &'a [u8],
}

/// Answers to questions about a file.
#[derive(Debug)]
pub(crate) struct Store {
    folder: PathBuf,
    name: String,
    key: Vec<u8>,
    old: Option<Answers>,
    fresh: Fresh,
    /// Bytes of the fresh ones in a file.
    size: usize,
}

impl Store {
    /// The store for a file, with what its folder has. None: the folder cannot be trusted, or nothing can stand for the file.
    pub(crate) fn open(folder: &Path, subject: &Subject<'_>) -> Option<Store> {
        let id = subject.build_id;
        // Go's own ids are not in hexadecimal.
        let is_id = (2..=MAX_ID).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_hexdigit());
        if !is_id || !folder::is_usable(folder) {
            return None;
        }
        let mut key = Writer::default();
        own_identity(&mut key)?;
        key.text(id);
        key.bytes(subject.identity);
        let key = key.into_bytes();
        let mut name = id.to_owned();
        let _ = write!(name, "-{:016x}{}", answers::hash(&key), folder::ENDING);
        let old = folder::read(&folder.join(&name)).and_then(|bytes| Answers::parse(bytes, &key));
        Some(Store { folder: folder.to_owned(), name, key, old, fresh: Fresh::default(), size: 0 })
    }

    /// Whether its folder had it.
    pub(crate) fn is_known(&self) -> bool {
        self.old.is_some()
    }

    /// The answer to a question.
    pub(crate) fn answer(&self, question: &[u8]) -> Option<&[u8]> {
        let fresh = || answers::answer_in(self.fresh.get(&answers::hash(question))?, question);
        self.old.as_ref().and_then(|old| old.get(question)).or_else(fresh)
    }

    /// Adds an answer, unless there are too many.
    pub(crate) fn add(&mut self, question: &[u8], answer: &[u8]) {
        let entry = answers::entry(question, answer);
        let size = self.size + answers::size_of(&entry);
        let old = self.old.as_ref().map_or(answers::AROUND + self.key.len(), Answers::len);
        if size + old <= answers::MAX_FILE {
            self.size = size;
            self.fresh.insert(answers::hash(question), entry);
        }
    }

    /// Whether there is enough that is new. `repeated`: the process will be read again, so a little can wait.
    pub(crate) fn has_news(&self, repeated: bool) -> bool {
        let old = self.old.as_ref().map_or(0, Answers::len);
        !self.fresh.is_empty() && (!repeated || self.size >= old / WORTH)
    }

    /// Writes what is new into the folder.
    pub(crate) fn save(&mut self) {
        let bytes = answers::encode(&self.key, self.old.as_ref(), &self.fresh);
        if let Err(error) = folder::write(&self.folder, &self.name, &bytes) {
            tracing::debug!("{} is not written: {error}", self.folder.join(&self.name).display());
        }
        (self.fresh, self.size) = (Fresh::default(), 0);
        self.old = Answers::parse(bytes, &self.key);
    }
}

/// The answer to a question in a file with these bytes and this key.
#[cfg(feature = "test-support")]
pub fn answer_in(bytes: Vec<u8>, key: &[u8], question: &[u8]) -> Option<Vec<u8>> {
    Answers::parse(bytes, key)?.get(question).map(<[u8]>::to_vec)
}

/// The same bytes, with what a file begins with and with the checksum, so that only the rest may be wrong.
#[cfg(feature = "test-support")]
pub fn framed(content: &[u8]) -> Vec<u8> {
    answers::framed(content)
}

/// Another loiter may answer otherwise, even one of the same version.
fn own_identity(key: &mut Writer) -> Option<()> {
    let program = std::fs::metadata("/proc/self/exe").ok()?;
    key.text(env!("CARGO_PKG_VERSION"));
    for number in [program.len(), program.mtime() as u64, program.mtime_nsec() as u64] {
        key.number(number);
    }
    Some(())
}
