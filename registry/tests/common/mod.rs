//! A reader of the format, by its offset tables, as another process would read it.
#![allow(dead_code, reason = "each test uses a part")]
#![allow(clippy::unwrap_used, reason = "a test helper")]

use std::fs::File;
use std::os::unix::fs::FileExt;

/// A process's memory.
pub(crate) struct Memory(File);

impl Memory {
    pub(crate) fn own() -> Memory {
        Memory(File::open("/proc/self/mem").unwrap())
    }

    pub(crate) fn of(pid: u32) -> Memory {
        Memory(File::open(format!("/proc/{pid}/mem")).unwrap())
    }

    pub(crate) fn bytes(&self, at: u64, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        self.0.read_exact_at(&mut bytes, at).unwrap();
        bytes
    }

    pub(crate) fn u32(&self, at: u64) -> u32 {
        u32_at(&self.bytes(at, 4), 0)
    }

    pub(crate) fn u64(&self, at: u64) -> u64 {
        u64_at(&self.bytes(at, 8), 0)
    }

    pub(crate) fn string(&self, at: u64, len: u32) -> String {
        if at == 0 || len == 0 {
            return String::new();
        }
        String::from_utf8(self.bytes(at, len as usize)).unwrap()
    }
}

pub(crate) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap())
}

pub(crate) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap())
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Place {
    pub(crate) file: String,
    pub(crate) line: u32,
    pub(crate) name: String,
    pub(crate) flags: u64,
}

#[derive(Debug, Clone, Default)]
pub(crate) struct TaskRead {
    pub(crate) id: u64,
    pub(crate) generation: u32,
    pub(crate) parent: u64,
    pub(crate) spawned_ns: u64,
    pub(crate) place: Place,
    pub(crate) type_name: String,
    pub(crate) name: String,
    pub(crate) state: u32,
    pub(crate) polls: u64,
    pub(crate) start: u64,
    pub(crate) end: u64,
    pub(crate) wait_reason: u32,
    pub(crate) wait_address: u64,
    pub(crate) wait_text: String,
    pub(crate) kind: u32,
    pub(crate) thread: u32,
    pub(crate) lost: u16,
    pub(crate) last: u8,
    /// (slot, around, place)
    pub(crate) slots: Vec<(u8, u8, Place)>,
}

impl TaskRead {
    /// The stack as the format says to make it, outermost first.
    pub(crate) fn stack(&self) -> Vec<String> {
        self.stack_places().into_iter().map(|place| place.name).collect()
    }

    /// The same, as places.
    pub(crate) fn stack_places(&self) -> Vec<Place> {
        let used = |slot: u8| self.slots.iter().find(|s| s.0 == slot);
        let leaf = |slot: u8| !self.slots.iter().any(|s| s.1 == slot);
        let mut at = used(self.last).map(|s| s.0);
        if at.is_none() {
            at = self.slots.iter().map(|s| s.0).find(|slot| leaf(*slot));
        }
        // Not in the middle of a poll: the innermost place under the one that was polled last.
        while self.state != 2
            && let Some(slot) = at
            && let Some(under) = self.slots.iter().find(|s| s.1 == slot)
        {
            at = Some(under.0);
        }
        let mut stack = vec![];
        while let Some((_, around, place)) = at.and_then(used) {
            stack.insert(0, place.clone());
            assert!(stack.len() <= 64, "a loop");
            at = Some(*around);
        }
        stack
    }

    /// The names of all places, sorted.
    pub(crate) fn places(&self) -> Vec<String> {
        let mut names: Vec<_> = self.slots.iter().map(|s| s.2.name.clone()).collect();
        names.sort();
        names
    }
}

pub(crate) struct Reader {
    pub(crate) memory: Memory,
    pub(crate) registry: u64,
    off: Vec<usize>,
    location_off: Vec<usize>,
    entry_size: usize,
    chain_slots: usize,
}

impl Reader {
    pub(crate) fn main() -> Reader {
        Reader::new(Memory::own(), loiter_registry::Registry::main().address() as u64)
    }

    pub(crate) fn new(memory: Memory, registry: u64) -> Reader {
        let header = memory.bytes(registry, 768);
        assert_eq!(&header[..8], b"LOITERRG");
        let table =
            |at: usize, n: u32| (0..n as usize).map(|i| u32_at(&header, at + 4 * i) as usize).collect();
        Reader {
            off: table(32, u32_at(&header, 24)),
            location_off: table(160, u32_at(&header, 28)),
            entry_size: u32_at(&header, 16) as usize,
            chain_slots: u32_at(&header, 200) as usize,
            memory,
            registry,
        }
    }

    pub(crate) fn header_u64(&self, at: u64) -> u64 {
        self.memory.u64(self.registry + at)
    }

    pub(crate) fn header_u32(&self, at: u64) -> u32 {
        self.memory.u32(self.registry + at)
    }

    pub(crate) fn place(&self, at: u64) -> Place {
        if at == 0 {
            return Place::default();
        }
        let bytes = self.memory.bytes(at, self.header_u32(20) as usize);
        let off = &self.location_off;
        Place {
            file: self.memory.string(u64_at(&bytes, off[0]), u32_at(&bytes, off[2])),
            name: self.memory.string(u64_at(&bytes, off[1]), u32_at(&bytes, off[3])),
            line: u32_at(&bytes, off[4]),
            flags: u64_at(&bytes, off[6]),
        }
    }

    /// Copies of all entries below high_water.
    pub(crate) fn copy(&self) -> Vec<Vec<u8>> {
        let mut left = self.header_u32(656) as usize;
        let first = self.header_u32(192) as usize;
        let mut entries = vec![];
        for chunk in 0..24 {
            let count = left.min(first << chunk);
            if count == 0 {
                break;
            }
            left -= count;
            let start = self.header_u64(264 + 8 * chunk as u64);
            let bytes = self.memory.bytes(start, count * self.entry_size);
            entries.extend(bytes.chunks(self.entry_size).map(<[u8]>::to_vec));
        }
        entries
    }

    pub(crate) fn field_u32(&self, entry: &[u8], index: usize) -> u32 {
        u32_at(entry, self.off[index])
    }

    pub(crate) fn field_u64(&self, entry: &[u8], index: usize) -> u64 {
        u64_at(entry, self.off[index])
    }

    pub(crate) fn entry(&self, e: &[u8]) -> Option<TaskRead> {
        let (w, d) = (|i| self.field_u32(e, i), |i| self.field_u64(e, i));
        if w(0) % 2 != 0 || d(2) == 0 || w(11) == 0 {
            return None;
        }
        let slots = (0..self.chain_slots)
            .filter_map(|slot| {
                let value = u64_at(e, self.off[26] + 8 * slot);
                (value != 0).then(|| (slot as u8, (value >> 8) as u8, self.place(value >> 16)))
            })
            .collect();
        Some(TaskRead {
            generation: w(1),
            id: d(2),
            parent: d(3),
            spawned_ns: d(4),
            place: self.place(d(5)),
            type_name: self.memory.string(d(6), w(8)),
            name: self.memory.string(d(7), w(9)),
            state: w(11),
            polls: d(12),
            start: d(13),
            end: d(14),
            wait_address: d(15),
            wait_text: self.place(d(16)).name,
            wait_reason: w(17),
            thread: w(18),
            kind: w(21),
            lost: w(24) as u16,
            last: e[self.off[25]],
            slots,
        })
    }

    /// All tasks that are in use, by id. For a moment when nothing moves.
    pub(crate) fn tasks(&self) -> Vec<TaskRead> {
        let mut tasks: Vec<_> = self.copy().iter().filter_map(|entry| self.entry(entry)).collect();
        tasks.sort_by_key(|task| task.id);
        tasks
    }

    pub(crate) fn task(&self, id: u64) -> TaskRead {
        self.tasks().into_iter().find(|task| task.id == id).unwrap_or_default()
    }

    pub(crate) fn named(&self, name: &str) -> TaskRead {
        self.tasks().into_iter().find(|task| task.name == name).unwrap_or_default()
    }
}

/// The registries to which the notes of a process's executable lead, by its program headers in
/// memory, as the format says to find them.
pub(crate) fn registries(pid: u32) -> Vec<u64> {
    let memory = Memory::of(pid);
    let exe = std::fs::read_link(format!("/proc/{pid}/exe")).unwrap();
    let maps = std::fs::read_to_string(format!("/proc/{pid}/maps")).unwrap();
    let first = maps.lines().find(|line| line.ends_with(exe.to_str().unwrap())).unwrap();
    let start = u64::from_str_radix(first.split('-').next().unwrap(), 16).unwrap();
    let elf = memory.bytes(start, 64);
    let count = u64::from(u16::from_le_bytes(elf[56..58].try_into().unwrap()));
    let headers: Vec<_> = (0..count).map(|n| memory.bytes(start + u64_at(&elf, 32) + n * 56, 56)).collect();
    let load = headers.iter().find(|header| u32_at(header, 0) == 1).unwrap();
    let base = start - u64_at(load, 16);
    let mut found = vec![];
    for header in headers.iter().filter(|header| u32_at(header, 0) == 4) {
        let (at, size) = (base + u64_at(header, 16), u64_at(header, 40) as usize);
        let notes = memory.bytes(at, size);
        let mut offset = 0;
        while offset + 12 <= notes.len() {
            let [name, descriptor, kind] = [0, 4, 8].map(|i| u32_at(&notes, offset + i) as usize);
            let content = offset + 12 + name.next_multiple_of(4);
            if kind == 1 && notes[offset + 12..].starts_with(b"loiter\0") && descriptor == 8 {
                found.push((at + content as u64).wrapping_add(u64_at(&notes, content)));
            }
            offset = content + descriptor.next_multiple_of(4);
        }
    }
    found
}

/// A program that said that it is ready. Ended when it goes.
pub(crate) struct Program {
    child: std::process::Child,
    output: std::io::Lines<std::io::BufReader<std::process::ChildStdout>>,
}

impl Program {
    pub(crate) fn start(command: &mut std::process::Command) -> Program {
        use std::{io::BufRead, process::Stdio};
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let output = std::io::BufReader::new(child.stdout.take().unwrap()).lines();
        Program { child, output }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn line(&mut self) -> String {
        self.output.next().unwrap().unwrap()
    }

    pub(crate) fn say(&mut self, text: &str) {
        use std::io::Write;
        self.child.stdin.as_mut().unwrap().write_all(text.as_bytes()).unwrap();
    }

    pub(crate) fn reader(&self) -> Reader {
        let found = registries(self.pid());
        assert_eq!(found.len(), 1, "registries of the executable");
        Reader::new(Memory::of(self.pid()), found[0])
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        drop(self.child.stdin.take()); // the end of its input ends it
        self.child.wait().unwrap();
    }
}
