//! What is kept of a file for the next loiter.

use std::path::Path;

use crate::cache::{Store, Subject, Writer};
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
