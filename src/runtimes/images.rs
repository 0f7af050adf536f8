//! Which image of a target contains an address.

use std::cell::OnceCell;

use rustc_hash::FxHashMap;

use crate::code::{CodeBuilder, Image, ImageId, LocationId};
use crate::process::{Mapping, Target};

/// The images of a target as currently mapped. An image that cannot be read is unknown; that is not an error.
pub(crate) struct Images<'a> {
    target: &'a dyn Target,
    mappings: Vec<Mapping>,
    /// Build ids by path. Read only when an image other than the executable is needed.
    build_ids: OnceCell<FxHashMap<String, String>>,
    /// What was found, by the number of the mapping.
    known: FxHashMap<usize, Option<ImageId>>,
}

impl<'a> Images<'a> {
    pub(crate) fn new(target: &'a dyn Target) -> Self {
        let mappings = target.mappings().unwrap_or_default();
        Images { target, mappings, build_ids: OnceCell::new(), known: FxHashMap::default() }
    }

    /// The image with this address in any of its mappings: code or data.
    pub(crate) fn at(&mut self, address: u64, into: &mut CodeBuilder) -> Option<ImageId> {
        let number = self.mapping(address)?;
        if let Some(&known) = self.known.get(&number) {
            return known;
        }
        let image = self.image(number, into);
        self.known.insert(number, image);
        image
    }

    /// Records the images of all locations that have a code address and no image yet.
    pub(crate) fn note(&mut self, into: &mut CodeBuilder) {
        let addresses: Vec<_> = (into.locations().iter().zip(0..))
            .filter(|(location, _)| location.image.is_none())
            .filter_map(|(location, id)| Some((LocationId(id), location.address?)))
            .collect();
        for (id, address) in addresses {
            // The return address of a call at the very end of an image is after the image.
            let image = self.at(address, into).or_else(|| self.at(address.checked_sub(1)?, into));
            if let Some(image) = image {
                into.set_image(id, image);
            }
        }
    }

    fn mapping(&self, address: u64) -> Option<usize> {
        let number = self.mappings.partition_point(|mapping| mapping.start <= address).checked_sub(1)?;
        (address < self.mappings.get(number)?.end).then_some(number)
    }

    fn image(&self, number: usize, into: &mut CodeBuilder) -> Option<ImageId> {
        let found = self.mappings.get(number)?;
        // Memory without a name may hold code that was generated at run time: it is in no image.
        if !found.path.starts_with('/') && found.path != "[vdso]" {
            return None;
        }
        // For data, the image is where the code of the same file is.
        let same = |other: &&Mapping| other.file_id == found.file_id && other.path == found.path;
        let code = (self.mappings.iter().filter(same)).find(|mapping| mapping.execute);
        let mapping = if found.execute { found } else { code.unwrap_or(found) };
        let path = plain(&mapping.path);
        let build_id = self.build_id(path).map(|id| into.string(id));
        let path = into.string(path);
        Some(into.image(Image {
            path,
            build_id,
            start: mapping.start,
            end: mapping.end,
            offset: mapping.offset,
        }))
    }

    fn build_id(&self, path: &str) -> Option<&str> {
        let info = self.target.info();
        if info.exe.as_deref() == Some(path) {
            return info.build_id.as_deref();
        }
        let read = || {
            let images = self.target.images().unwrap_or_default();
            images
                .into_iter()
                .filter_map(|image| Some((plain(&image.path).to_owned(), image.build_id()?)))
                .collect()
        };
        self.build_ids.get_or_init(read).get(path).map(String::as_str)
    }
}

/// The path without the kernel's " (deleted)" mark.
fn plain(path: &str) -> &str {
    path.strip_suffix(" (deleted)").unwrap_or(path)
}
