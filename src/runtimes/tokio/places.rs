//! The places where tasks were spawned: `core::panic::Location`s of a build with `tokio_unstable`.

use rustc_hash::FxHashMap;

use crate::code::{CodeBuilder, FunctionId, FunctionKind, Location, LocationId};
use crate::process::Target;
use crate::process::bytes::{u32_at, word};
use crate::runtimes::images::Images;
use crate::words::rust as words;

/// A longer path is not believed.
const MAX_PATH: u64 = 4096;
/// Places kept.
const MAX_PLACES: usize = 1 << 16;

/// Reads each place once.
pub(super) struct Places<'a> {
    target: &'a dyn Target,
    images: Images<'a>,
    known: FxHashMap<u64, Option<LocationId>>,
}

impl<'a> Places<'a> {
    pub(super) fn new(target: &'a dyn Target) -> Self {
        Places { target, images: Images::new(target), known: FxHashMap::default() }
    }

    /// The place at this address.
    pub(super) fn location(&mut self, address: u64, into: &mut CodeBuilder) -> Option<LocationId> {
        if address == 0 {
            return None;
        }
        if let Some(&known) = self.known.get(&address) {
            return known;
        }
        if self.known.len() >= MAX_PLACES {
            return None;
        }
        let found = self.read(address).map(|(file, line)| {
            let function = function("", into);
            let frame = into.frame(function, &file, line);
            let image = self.images.at(address, into);
            into.location(Location { image, ..Location::in_source(vec![frame]) })
        });
        self.known.insert(address, found);
        found
    }

    /// File and line: `{file: ptr, len; line: u32; column: u32}` (core/src/panic/location.rs).
    fn read(&self, address: u64) -> Option<(String, u32)> {
        let bytes = self.target.read_vec(address, 24).ok()?;
        let (file, len, line) = (word(&bytes, 0), word(&bytes, 8), u32_at(&bytes, 16)?);
        let len = usize::try_from(len.min(MAX_PATH + 1)).ok().filter(|&len| len as u64 <= MAX_PATH)?;
        let path = self.target.read_vec(file, len).ok()?;
        // Newer versions of Rust end it with a NUL.
        let path = std::str::from_utf8(path.strip_suffix(b"\0").unwrap_or(&path)).ok()?;
        Some((path.to_owned(), line))
    }
}

/// A function of this name.
pub(super) fn function(name: &str, into: &mut CodeBuilder) -> FunctionId {
    into.function_with(name, words::module(name), FunctionKind::Normal, words::role(name))
}
