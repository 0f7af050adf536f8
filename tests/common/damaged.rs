//! The memory of a core file with some words changed. The fuzz target of Tokio's tasks uses it, too.

#![allow(unreachable_pub)]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::Mutex;
use std::time::Duration;

use loiter::process::{
    CoreExtent, Frozen, HoldTime, Image, Mapping, Memory, Range, Result, Target, UnreadableImage,
    WithRegisters,
};
use loiter::runtimes::{ReadOptions, Readable};
use loiter::snapshot::{ProcessFigures, Snapshot, TargetInfo};

const WORD: u64 = 8;
const PAGE: usize = 4096;
/// Bytes that are read at a time to find pages in use.
const BLOCK: u64 = 1 << 20;
/// Longer reads are searches, which tell nothing of what is used.
const LONGEST: usize = 4096;

/// What the address of a task is a multiple of, and where its header has the address of its vtable.
const TASK: u64 = 128;
const VTABLE: u64 = 16;
/// Words of a vtable of tasks, with that of the place where one was spawned.
const VTABLE_WORDS: u64 = 11;
/// Places where no task is that can become the header of one.
const PLACES: u64 = 2048;

/// A core file, and what is different of it.
pub struct Damaged {
    core: Box<dyn Target>,
    /// The vtables of its tasks.
    vtables: Vec<u64>,
    /// Where its own memory is not zero: gdb writes pages that the program never touched, too.
    in_use: Vec<(u64, u64)>,
    changed: BTreeMap<u64, u64>,
    /// The words that were read, while they are noted.
    noted: Mutex<Option<BTreeSet<u64>>>,
}

impl Damaged {
    pub fn new(core: Box<dyn Target>) -> Damaged {
        let mut in_use: Vec<(u64, u64)> = Vec::new();
        for mapping in core.mappings().unwrap().iter().filter(|mapping| is_own(mapping)) {
            for (start, end) in core.present(mapping.start, mapping.end) {
                for at in (start..end).step_by(BLOCK as usize) {
                    let bytes = core.read_vec(at, BLOCK.min(end - at) as usize).unwrap_or_default();
                    let pages = bytes.chunks(PAGE).zip((at..).step_by(PAGE));
                    for (page, at) in pages.filter(|(page, _)| page.iter().any(|byte| *byte != 0)) {
                        match in_use.last_mut().filter(|last| last.1 == at) {
                            Some(last) => last.1 += page.len() as u64,
                            None => in_use.push((at, at + page.len() as u64)),
                        }
                    }
                }
            }
        }
        Damaged { core, vtables: Vec::new(), in_use, changed: BTreeMap::new(), noted: Mutex::new(None) }
    }

    /// The words that readings of tasks use, by reading twice: the second time knows the ways. The vtables of tasks are
    /// among them, and places that a search for headers looks at.
    pub fn used(&mut self, readable: &Readable) -> Vec<u64> {
        *self.noted.lock().unwrap() = Some(BTreeSet::new());
        let snapshots = [self.read(readable), self.read(readable)];
        let mut used = self.noted.lock().unwrap().take().unwrap_or_default();
        for task in snapshots.iter().flatten().flat_map(|snapshot| &snapshot.tasks) {
            let address = task.address & !(WORD - 1);
            used.extend((0..10).map(|nth| address + nth * WORD));
            self.vtables.extend(self.core.read_u64(address.saturating_add(VTABLE)));
        }
        self.vtables.sort_unstable();
        self.vtables.dedup();
        self.vtables.retain(|vtable| self.core.read_u64(*vtable).is_ok());
        used.extend(
            self.vtables.iter().flat_map(|vtable| (0..VTABLE_WORDS).map(move |nth| vtable + nth * WORD)),
        );
        let in_use: u64 = self.in_use.iter().map(|(start, end)| end - start).sum();
        let step = (in_use / PLACES).next_multiple_of(TASK).max(TASK) as usize;
        let places = self.in_use.iter().flat_map(|(start, end)| (*start..*end).step_by(step));
        used.extend(places.map(|place| place.next_multiple_of(TASK) + VTABLE));
        used.into_iter().filter(|address| self.core.read_u64(*address).is_ok()).collect()
    }

    /// Undoes what was changed before, and changes these words: the number of each in `used`, how, and by what.
    pub fn change(&mut self, used: &[u64], changes: impl Iterator<Item = (usize, u8, u64)>) {
        self.changed.clear();
        for (nth, how, by) in changes {
            let address = used[nth % used.len()];
            let before = self.core.read_u64(address).unwrap_or_default();
            let other = used[by as usize % used.len()];
            let after = match how % 9 {
                0 => by,
                1 => before ^ 1 << (by % 64),
                2 => before.wrapping_add(by % 256).wrapping_sub(128),
                // One byte: where the state of an async function is.
                3 => before & !(0xff << (8 * (by % 8))) | (by >> 8 & 15) << (8 * (by % 8)),
                4 => other,
                5 => self.core.read_u64(other).unwrap_or_default(),
                6 => by % 16,
                7 => self.vtables.get(by as usize % self.vtables.len().max(1)).copied().unwrap_or(by),
                _ => u64::MAX - by % 16,
            };
            self.changed.insert(address, after);
        }
    }

    /// Its tasks, as one finds them who has not seen it before.
    pub fn read_anew(&self) -> Option<Snapshot> {
        self.read(&Readable::find(self).ok()?)
    }

    /// Its tasks, if there are still any.
    pub fn read(&self, readable: &Readable) -> Option<Snapshot> {
        let options = ReadOptions { freeze_limit: Duration::from_secs(600), ..ReadOptions::default() };
        let snapshot = readable.read(self, &options).ok()?;
        assert_eq!(snapshot.validate(), Ok(()), "with {:x?}", self.changed);
        Some(snapshot)
    }

    /// What a reading says of the tasks, for comparing it with another one.
    pub fn said(&self, readable: &Readable) -> Vec<String> {
        let Some(snapshot) = self.read(readable) else { return vec!["no reading".to_owned()] };
        let each = snapshot.tasks.iter().zip(0..).map(|(task, row)| {
            let text = |id| snapshot.str(id).to_owned();
            let (reason, state, status) = (task.reason.map(text), task.state, task.stack_status);
            let mut said = format!("{:#x} {:?} {state:?} {status:?} {reason:?}", task.address, task.id);
            for frame in
                snapshot.stack_of(task).iter().flat_map(|id| &snapshot.code.locations[id.index()].frames)
            {
                let (function, file) = (snapshot.function_name(frame.function), snapshot.str(frame.file));
                write!(said, " {function} {file}:{}", frame.line).unwrap();
            }
            let waits = snapshot.waits_of(task).iter().map(|wait| wait.op).collect::<Vec<_>>();
            let (branches, holds) = (snapshot.branches_of(row).len(), snapshot.holds_of(task).len());
            write!(said, " {waits:?} {branches} branches {holds} holds").unwrap();
            said
        });
        each.collect()
    }

    fn patch(&self, address: u64, buf: &mut [u8]) {
        if let Some(noted) = self.noted.lock().unwrap().as_mut().filter(|_| buf.len() <= LONGEST) {
            let first = address & !(WORD - 1);
            noted.extend((first..address.saturating_add(buf.len() as u64)).step_by(WORD as usize));
        }
        let from = address.saturating_sub(WORD - 1);
        let end = address.saturating_add(buf.len() as u64);
        for (at, word) in self.changed.range(from..end) {
            for (byte, place) in word.to_le_bytes().into_iter().zip(*at..) {
                let nth = place.checked_sub(address).and_then(|nth| usize::try_from(nth).ok());
                if let Some(old) = nth.and_then(|nth| buf.get_mut(nth)) {
                    *old = byte;
                }
            }
        }
    }
}

/// Whether the program itself has written what is there.
fn is_own(mapping: &Mapping) -> bool {
    mapping.read && mapping.write && mapping.file_id == (0, 0)
}

impl Memory for Damaged {
    fn read(&self, address: u64, buf: &mut [u8]) -> Result<()> {
        self.core.read(address, buf)?;
        self.patch(address, buf);
        Ok(())
    }

    fn read_many(&self, ranges: &[Range], buf: &mut [u8], ok: &mut [bool]) -> Result<()> {
        self.core.read_many(ranges, buf, ok)?;
        let mut rest = buf;
        for range in ranges {
            let (part, after) = rest.split_at_mut(range.len);
            self.patch(range.address, part);
            rest = after;
        }
        Ok(())
    }
}

impl Target for Damaged {
    fn info(&self) -> &TargetInfo {
        self.core.info()
    }

    fn mappings(&self) -> Result<Vec<Mapping>> {
        self.core.mappings()
    }

    fn images(&self) -> Result<Vec<Image>> {
        self.core.images()
    }

    fn unreadable_images(&self) -> Vec<UnreadableImage> {
        self.core.unreadable_images()
    }

    fn threads(&self) -> Result<Vec<u32>> {
        self.core.threads()
    }

    fn thread_from_inside(&self, tid: u32) -> Option<u32> {
        self.core.thread_from_inside(tid)
    }

    fn with_stopped_thread(&self, tid: u32, with: &mut WithRegisters<'_>) -> Result<HoldTime> {
        self.core.with_stopped_thread(tid, with)
    }

    fn freeze(&self, limit: HoldTime) -> Result<Frozen> {
        self.core.freeze(limit)
    }

    fn is_static(&self) -> bool {
        true
    }

    fn core_extent(&self) -> Option<CoreExtent> {
        self.core.core_extent()
    }

    fn present(&self, start: u64, end: u64) -> Vec<(u64, u64)> {
        if !self
            .core
            .mappings()
            .unwrap()
            .iter()
            .any(|own| is_own(own) && own.start <= start && start < own.end)
        {
            return self.core.present(start, end);
        }
        let within = |&(from, to): &(u64, u64)| (from.max(start), to.min(end));
        self.in_use.iter().map(within).filter(|(from, to)| from < to).collect()
    }

    fn monotonic_ns(&self) -> Option<u64> {
        self.core.monotonic_ns()
    }

    fn figures(&self) -> ProcessFigures {
        self.core.figures()
    }
}
