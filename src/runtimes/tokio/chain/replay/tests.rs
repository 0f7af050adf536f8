use std::sync::{Arc, Mutex};

use super::super::super::find::Vtable;
use super::super::super::scan::Header;
use super::super::way::Way;
use super::super::window::Windows;
use super::super::{Chain, FutureKind, HandleWords, Leaf, Template, Wanted};
use super::*;
use crate::process::{Result, TargetError};
use crate::snapshot::{ObjectId, ObjectKind, WaitOp};

const VTABLE: Vtable = Vtable {
    address: 0x50_0000,
    poll: 1,
    schedule: 2,
    trailer: 256,
    scheduler: 32,
    id: 40,
    spawned_at: None,
};

/// Tasks of 0x100 bytes each from 0x1000 on, and what they point to.
struct Words(Mutex<Vec<u64>>);

impl Words {
    fn set(&self, address: u64, value: u64) {
        self.0.lock().unwrap()[address as usize / 8] = value;
    }

    /// A task: in its state, pointing to something with a number that matters, one that does not, and a count.
    fn task(&self, address: u64, (state, matters, kept): (u64, u64, u64)) {
        let to = address * 2;
        let words = [(0, 1 << 6), (16, VTABLE.address), (40, address), (48, state), (56, to)];
        words.iter().for_each(|(offset, value)| self.set(address + offset, *value));
        self.set(to + 8, matters);
        self.set(to + 512, matters + kept);
        self.set(to + 1024, kept);
    }
}

impl Memory for Words {
    fn read(&self, address: u64, buf: &mut [u8]) -> Result<()> {
        let words = self.0.lock().unwrap();
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        let unmapped = TargetError::Unmapped { address, len: buf.len() };
        let from = bytes.get(address as usize..).and_then(|rest| rest.get(..buf.len()));
        buf.copy_from_slice(from.ok_or(unmapped)?);
        Ok(())
    }

    fn read_many(&self, ranges: &[Range], buf: &mut [u8], ok: &mut [bool]) -> Result<()> {
        let mut at = 0;
        for (range, ok) in ranges.iter().zip(ok) {
            *ok = self.read(range.address, &mut buf[at..at + range.len]).is_ok();
            at += range.len;
        }
        Ok(())
    }
}

fn kind() -> FutureKind {
    FutureKind { name: String::new(), stage: None, scheduler: None }
}

fn header(address: u64) -> Header {
    Header { address, state: 1 << 6, owner: 1, id: address, scheduler: 0, spawned_at: 0, vtable: 0 }
}

/// A walk as the types would lead it: a state, and in state 3 a pointer to two numbers.
fn walk(memory: &Words, address: u64) -> (Template, Vec<u64>, Way) {
    let mut windows = Windows::default();
    windows.begin(std::iter::once((address, 256)));
    windows.fetch(memory, &[0]);
    let mut window = windows.window(0, Some(memory)).unwrap();
    let at = window.task();
    let mut leaf = Leaf { reason: "other".to_owned(), ..Leaf::default() };
    if window.number(at.wrapping_add(48), 8) == Some(3) {
        let to = window.pointer(at.wrapping_add(56)).unwrap();
        leaf.reason = format!("for {}", window.number(to.wrapping_add(8), 8).unwrap());
        let address = window.keep(to.wrapping_add(1024), 8).unwrap().wrapping_add(16);
        let (op, kind) = (WaitOp::Wait, ObjectKind::Cond);
        let senders = window.count(to.wrapping_add(512), 8).unwrap();
        let handles = Some(HandleWords { senders, queued: None });
        leaf.objects.push(Wanted { op, kind, address, channel: None, handles, deadline: None });
        let (op, kind, address) = (WaitOp::Lock, ObjectKind::Mutex, to.wrapping_add(24));
        leaf.objects.push(Wanted { op, kind, address, channel: None, handles: None, deadline: None });
    }
    let way = windows.take_way(0).unwrap();
    let (template, kept) = Template::of(Chain { leaf: Some(leaf), ..Chain::default() }, &way);
    (template, kept, way)
}

/// The reason, the addresses and the counts of a chain.
fn said(template: &Template, kept: &[u64]) -> (String, Vec<u64>) {
    let leaf = template.chain.leaf.as_ref().unwrap();
    let senders = |handles: HandleWords| handles.of(ObjectId(0), kept).senders;
    let words = |wanted: &Wanted| [Some(wanted.address.of(kept)), wanted.handles.map(senders)];
    (leaf.reason.clone(), leaf.objects.iter().flat_map(words).flatten().collect())
}

fn learn(routes: &mut Routes, memory: &Words, address: u64) -> bool {
    let (template, _, way) = walk(memory, address);
    let always = [Part { begin: 0, end: 24 }, Part { begin: 40, end: 48 }];
    routes.learn(VTABLE.address, &always, &way, &Arc::new(template))
}

fn replayed(routes: &Routes, memory: &Words, addresses: &[u64]) -> Replayed {
    let (kind, headers) = (kind(), addresses.iter().map(|address| header(*address)).collect::<Vec<_>>());
    let asked: Vec<_> = headers.iter().map(|header| Asked { kind: &kind, header, vtable: &VTABLE }).collect();
    let mut found = Replayed::default();
    Replay::new(routes, memory, false).run(&asked.iter().collect::<Vec<_>>(), &mut found);
    found
}

#[test]
fn a_way_that_is_known_leads_to_what_a_walk_finds() {
    let memory = Words(Mutex::new(vec![0; 0x1000]));
    let mut routes = Routes::default();
    memory.task(0x1000, (3, 7, 0x70));
    memory.task(0x1100, (3, 7, 0x80));
    memory.task(0x1200, (3, 8, 0x90));
    memory.task(0x1300, (4, 0, 0));
    let all = [0x1000, 0x1100, 0x1200, 0x1300];
    assert_eq!(replayed(&routes, &memory, &all).outcomes, [Outcome::Unknown(None); 4]);
    assert!(learn(&mut routes, &memory, 0x1000));
    let found = replayed(&routes, &memory, &all).outcomes;
    assert!(matches!(found[..2], [Outcome::End(0, _), Outcome::End(0, _)]), "{found:?}");
    assert!(
        matches!(found[2..], [Outcome::Unknown(Some((2, 8))), Outcome::Unknown(Some((0, 4)))]),
        "{found:?}"
    );
    assert!(learn(&mut routes, &memory, 0x1200) && learn(&mut routes, &memory, 0x1300));
    assert!(learn(&mut routes, &memory, 0x1100), "it is known already");
    let found = replayed(&routes, &memory, &all);
    for (address, outcome) in all.into_iter().zip(&found.outcomes) {
        let Outcome::End(end, begin) = outcome else { panic!("{outcome:?}") };
        let (template, kept, _) = walk(&memory, address);
        let replayed = said(routes.end(*end).unwrap(), &found.kept[*begin..]);
        assert_eq!(replayed, said(&template, &kept), "{address:#x}");
    }
}

#[test]
fn a_task_that_moves_or_cannot_be_read_is_not_said_to_be_there() {
    let memory = Words(Mutex::new(vec![0; 0x1000]));
    let mut routes = Routes::default();
    memory.task(0x1000, (3, 7, 0x70));
    assert!(learn(&mut routes, &memory, 0x1000));
    for (offset, value) in [(0, 1 << 6 | state::RUNNING), (16, 0), (40, 0x1001), (56, 1 << 40)] {
        memory.task(0x1000, (3, 7, 0x70));
        memory.set(0x1000 + offset, value);
        assert_eq!(replayed(&routes, &memory, &[0x1000]).outcomes, [Outcome::Other], "{offset}");
    }
}

/// Memory that changes between two readings.
struct Moving(Words, u64);

impl Memory for Moving {
    fn read(&self, address: u64, buf: &mut [u8]) -> Result<()> {
        self.0.read(address, buf)
    }

    fn read_many(&self, ranges: &[Range], buf: &mut [u8], ok: &mut [bool]) -> Result<()> {
        self.0.read_many(ranges, buf, ok)?;
        let value = self.0.0.lock().unwrap()[self.1 as usize / 8];
        self.0.set(self.1, value + 1);
        Ok(())
    }
}

#[test]
fn only_what_a_way_used_must_be_the_same() {
    let others = [(0x1000 + 8, true), (0x2000 + 512, true)];
    for (changes, is_known) in [(0x2000 + 1024, false), (0x1000 + 48, false)].into_iter().chain(others) {
        let memory = Words(Mutex::new(vec![0; 0x1000]));
        let mut routes = Routes::default();
        memory.task(0x1000, (3, 7, 0x70));
        assert!(learn(&mut routes, &memory, 0x1000));
        let memory = Moving(memory, changes);
        let (kind, header) = (kind(), header(0x1000));
        let asked = Asked { kind: &kind, header: &header, vtable: &VTABLE };
        let mut found = Replayed::default();
        Replay::new(&routes, &memory, false).run(&[&asked], &mut found);
        assert_eq!(matches!(found.outcomes[..], [Outcome::End(..)]), is_known, "{changes:#x}: {found:?}");
    }
}

#[test]
fn ways_are_bounded_and_those_that_cannot_be_found_again_are_not_kept() {
    let memory = Words(Mutex::new(vec![0; 0x1000]));
    let mut routes = Routes::default();
    let mut learned = 0;
    for matters in 0..300 {
        memory.task(0x1000, (3, matters, 0));
        learned += usize::from(learn(&mut routes, &memory, 0x1000));
    }
    assert!((2..300).contains(&learned), "{learned}");
    let (template, _, mut way) = walk(&memory, 0x1000);
    way.is_lost = true;
    assert!(!routes.learn(1, &[], &way, &Arc::new(template)));
}
