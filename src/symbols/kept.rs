//! What is kept of a file for the next loiter, and how simple answers are written.

use std::path::Path;
use std::sync::Arc;

use crate::cache::{Reader, Store, Subject, Writer};
use crate::process::Image;

/// The store for what is asked `about` a file. None if nothing can stand for the file.
pub(super) fn store(folder: &Path, image: &Image, about: &str) -> Option<Store> {
    let build_id = image.build_id()?;
    let mut identity = Writer::default();
    identity.text(about);
    identity.number(image.file.len());
    // Whoever sets build ids by hand may give two builds the same one.
    let (seconds, nanoseconds) = image.file.modified()?;
    identity.number(seconds as u64);
    identity.number(nanoseconds as u64);
    // The debug information of a build may be in several files, which tools have changed.
    identity.list(&image.sections().ok()?, |identity, section| {
        identity.text(&section.name);
        // Not the address: that is where this process has it.
        let numbers = [section.offset, section.size, section.flags];
        numbers.into_iter().for_each(|number| identity.number(number));
    });
    Store::open(folder, &Subject { build_id: &build_id, identity: &identity.into_bytes() })
}

/// The bytes of an answer.
pub(super) fn written(answer: &impl Answer) -> Vec<u8> {
    let mut bytes = Writer::default();
    answer.write(&mut bytes);
    bytes.into_bytes()
}

/// The answer that these bytes are.
pub(super) fn whole<A: Answer>(bytes: &[u8]) -> Option<A> {
    let mut bytes = Reader::new(bytes);
    let answer = A::read(&mut bytes)?;
    bytes.is_at_end().then_some(answer)
}

/// What can be kept.
pub(crate) trait Answer: Sized {
    fn write(&self, into: &mut Writer);
    /// None: it is damaged.
    fn read(from: &mut Reader<'_>) -> Option<Self>;
}

impl<T: Answer> Answer for Option<T> {
    fn write(&self, into: &mut Writer) {
        into.option(self.as_ref(), |into, value| value.write(into));
    }

    fn read(from: &mut Reader<'_>) -> Option<Self> {
        from.option(T::read)
    }
}

impl<T: Answer> Answer for Vec<T> {
    fn write(&self, into: &mut Writer) {
        into.list(self, |into, value| value.write(into));
    }

    fn read(from: &mut Reader<'_>) -> Option<Self> {
        from.list(T::read)
    }
}

impl Answer for u64 {
    fn write(&self, into: &mut Writer) {
        into.number(*self);
    }

    fn read(from: &mut Reader<'_>) -> Option<Self> {
        from.number()
    }
}

impl Answer for Arc<str> {
    fn write(&self, into: &mut Writer) {
        into.text(self);
    }

    fn read(from: &mut Reader<'_>) -> Option<Self> {
        from.text().map(Arc::from)
    }
}
