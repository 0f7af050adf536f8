//! Reads the chains of tasks, some of them ahead: while they are turned into tasks of the model, the next are read.

use std::num::NonZeroUsize;
use std::sync::{Arc, mpsc};

use rustc_hash::FxHashMap;

use super::super::chain::{Asked, Chains, Found, FoundChains, Template};
use super::super::kinds::FutureType;
use super::super::scan::{Header, Known};
use super::state_of;
use crate::process::Target;
use crate::snapshot::TaskState;

/// Tasks whose chains are read at a time: they are in memory until they are converted.
const AT_A_TIME: usize = 64 << 10;
/// Parts that are read and not converted yet, besides the one that is being read.
const AHEAD: usize = 1;

/// Reads where tasks await, and what for.
pub(in super::super) struct ChainReader<'a> {
    pub(in super::super) target: &'a dyn Target,
    pub(in super::super) known: &'a Known,
    pub(in super::super) types: &'a FxHashMap<u32, FutureType>,
    /// What is known of the types of each image.
    pub(in super::super) images: &'a mut [Chains],
    /// Nothing moves.
    pub(in super::super) still: bool,
    /// Threads that read.
    pub(in super::super) threads: NonZeroUsize,
}

/// The chains of some tasks.
pub(in super::super) struct Part {
    /// For each image.
    chains: Vec<FoundChains>,
    /// Which chain of which image is that of each task.
    which: Vec<Option<(usize, usize)>>,
    /// Those that tasks share, by the image and the number there.
    templates: FxHashMap<(usize, u32), Arc<Template>>,
}

/// The chain of one task.
pub(super) struct OfTask<'p> {
    pub(super) image: usize,
    pub(super) found: &'p Found,
    /// The values of all chains that are known.
    pub(super) kept: &'p [u64],
    part: &'p Part,
}

impl OfTask<'_> {
    /// The shared chain with this number.
    pub(super) fn template(&self, number: u32) -> Option<&Arc<Template>> {
        self.part.templates.get(&(self.image, number))
    }
}

impl Part {
    /// The chain of the task with this number among those that were asked about. None if nothing is known of it.
    pub(super) fn of(&self, nth: usize) -> Option<OfTask<'_>> {
        let (image, nth) = (*self.which.get(nth)?)?;
        let chains = self.chains.get(image)?;
        Some(OfTask { image, found: chains.each.get(nth)?, kept: &chains.kept, part: self })
    }
}

impl ChainReader<'_> {
    /// Reads the chains of tasks.
    pub(in super::super) fn read(&mut self, headers: &[Header]) -> Part {
        let mut asked: Vec<Vec<Asked<'_>>> = self.images.iter().map(|_| Vec::new()).collect();
        let mut which = vec![None; headers.len()];
        for (header, which) in headers.iter().zip(&mut which) {
            let kind = self.types.get(&header.vtable).and_then(|known| known.kind.as_ref());
            let (Some((image, kind)), Some(vtable)) = (kind, self.known.of(header)) else { continue };
            let is_wanted = matches!(state_of(header), TaskState::Waiting | TaskState::Runnable);
            if let Some(asked) = asked.get_mut(*image).filter(|_| is_wanted) {
                *which = Some((*image, asked.len()));
                asked.push(Asked { kind, header, vtable });
            }
        }
        let (mut chains, mut templates) = (Vec::with_capacity(asked.len()), FxHashMap::default());
        for ((image, asked), number) in self.images.iter_mut().zip(&asked).zip(0..) {
            let found = image.chains(asked, self.target, self.still, self.threads);
            let mut last = None;
            for found in &found.each {
                let Found::Known(shared, _) = *found else { continue };
                if last.replace(shared) != Some(shared)
                    && let Some(template) = image.template(shared)
                {
                    templates.entry((number, shared)).or_insert_with(|| Arc::clone(template));
                }
            }
            chains.push(found);
        }
        Part { chains, which, templates }
    }

    /// Reads the chains of tasks part by part, and hands over each with its tasks, in order.
    pub(super) fn each_part<'h>(mut self, headers: &'h [Header], mut with: impl FnMut(&'h [Header], Part)) {
        let parts = headers.chunks(AT_A_TIME);
        if parts.len() < 2 || self.threads == NonZeroUsize::MIN || self.images.is_empty() {
            return parts.for_each(|part| with(part, self.read(part)));
        }
        let (give, take) = mpsc::sync_channel(AHEAD);
        // Both ends are inside: if one side panics, the other one notices.
        std::thread::scope(move |scope| {
            scope.spawn(move || {
                for part in parts {
                    if give.send((part, self.read(part))).is_err() {
                        return;
                    }
                }
            });
            for (headers, part) in take {
                with(headers, part);
            }
        });
    }
}
