//! Contexts in made-up memory. Real ones are in `tests/go_links.rs`.

use proptest::prelude::*;

use super::*;
use crate::process::{Range, Result, TargetError};
use crate::runtimes::go::types::tests::{BASE, Maker};

/// Where the memory begins; each word is 8 bytes.
const HEAP: u64 = 0x10_0000;
const WORDS: usize = 1 << 14;
const CHANNEL: u64 = 0xc000_1000;

/// Words of memory from [`HEAP`] on.
struct Words(Vec<u64>);

impl Memory for Words {
    fn read(&self, address: u64, buf: &mut [u8]) -> Result<()> {
        let (words, _) = buf.as_chunks_mut();
        for (word, at) in words.iter_mut().zip((address..).step_by(8)) {
            let index = at.checked_sub(HEAP).map_or(usize::MAX, |offset| offset as usize / 8);
            let known = self.0.get(index).ok_or(TargetError::Unmapped { address, len: 8 })?;
            *word = known.to_le_bytes();
        }
        Ok(())
    }

    fn read_many(&self, _: &[Range], _: &mut [u8], _: &mut [bool]) -> Result<()> {
        unreachable!("nobody reads many here")
    }
}

/// The types of a program with contexts, and the addresses of those that memory refers to.
struct Types {
    image: TypeImage,
    interface: u64,
    channel: u64,
    cancel: u64,
    value: u64,
    root: u64,
}

fn types() -> Types {
    let mut maker = Maker { bytes: vec![0; 8] };
    let of = |maker: &mut Maker, kind, size, name: &str, more: &[u64]| {
        let name = maker.name(0, name);
        maker.words(&[&Maker::header(kind, 0, size, name)[..], more].concat())
    };
    let word = of(&mut maker, 11, 8, "uint64", &[]);
    let interface = of(&mut maker, 20, 16, "context.Context", &[0; 4]);
    let channel = of(&mut maker, 18, 8, "chan struct {}", &[word, 3]);
    let fields = [
        ("Context", 8, interface, 0),
        ("mu", 0, word, 16),
        ("done", 0, interface, 24),
        ("err", 0, interface, 48),
    ];
    let cancel = maker.structure_of("context", "*context.cancelCtx", 80, &fields);
    let value = maker.structure_of("context", "*context.valueCtx", 48, &[("Context", 8, interface, 0)]);
    let root = maker.structure_of("context", "*context.backgroundCtx", 0, &[]);
    let pointer = |maker: &mut Maker, name: &str, to| of(maker, 22, 8, name, &[to]);
    let cancel = pointer(&mut maker, "*context.cancelCtx", cancel);
    let value = pointer(&mut maker, "*context.valueCtx", value);
    Types { image: TypeImage::new(BASE, maker.bytes), interface, channel, cancel, value, root }
}

/// Memory with contexts in it.
struct Made {
    types: Types,
    words: Vec<u64>,
}

impl Made {
    fn new() -> Self {
        Made { types: types(), words: vec![0; WORDS] }
    }

    fn set(&mut self, address: u64, words: &[u64]) {
        let at = (address - HEAP) as usize / 8;
        self.words[at..at + words.len()].copy_from_slice(words);
    }

    /// An interface table at an address.
    fn itab(&mut self, at: u64, ty: u64) {
        let interface = self.types.interface;
        self.set(at, &[interface, ty]);
    }

    /// A context at an address that closes a channel.
    fn cancel(&mut self, at: u64, parent: [u64; 2], channel: u64) {
        let ty = self.types.channel;
        self.set(at, &[parent[0], parent[1], 0, ty, channel, 0, 0, 0, 0]);
    }

    /// The contexts of a channel, from a stack with these words.
    fn search(&self, stack: &[u64]) -> (Option<u32>, Vec<RawContext>) {
        let memory = Words(self.words.clone());
        let program = Program { types: &self.types.image, modules: &[], timer: None };
        let layout = ContextLayout::find(&self.types.image).unwrap();
        let mut contexts = Contexts::new(program, layout, &memory);
        let found = contexts.of_channel(CHANNEL, stack.to_vec());
        (found, contexts.all)
    }
}

const CANCEL_ITAB: u64 = HEAP + 0x100;
const VALUE_ITAB: u64 = HEAP + 0x120;
const ROOT_ITAB: u64 = HEAP + 0x140;
const A: u64 = HEAP + 0x1000;
const B: u64 = HEAP + 0x1100;

fn with_itabs() -> Made {
    let mut made = Made::new();
    let Types { cancel, value, root, .. } = made.types;
    for (at, ty) in [(CANCEL_ITAB, cancel), (VALUE_ITAB, value), (ROOT_ITAB, root)] {
        made.itab(at, ty);
    }
    made
}

#[test]
fn a_context_is_found_with_its_parents() {
    let mut made = with_itabs();
    made.cancel(A, [VALUE_ITAB, B], CHANNEL);
    made.set(B, &[ROOT_ITAB, HEAP]);
    // In an object two pointers away.
    let (near, far) = (HEAP + 0x2000, HEAP + 0x2200);
    made.set(near, &[far]);
    made.set(far + 64, &[CANCEL_ITAB, A]);
    let (found, all) = made.search(&[1, near, 2]);
    assert_eq!(found, Some(0));
    let names: Vec<_> =
        all.iter().map(|context| (context.type_name.as_deref().unwrap(), context.parent)).collect();
    assert_eq!(
        names,
        [("context.cancelCtx", Some(1)), ("context.valueCtx", Some(2)), ("context.backgroundCtx", None)]
    );
    assert_eq!((all[0].cancelled, all[1].cancelled, all[2].is_root), (Some(false), None, true));
}

#[test]
fn what_only_looks_like_a_context_is_none() {
    let found = |change: &dyn Fn(&mut Made)| {
        let mut made = with_itabs();
        made.cancel(A, [ROOT_ITAB, HEAP], CHANNEL);
        change(&mut made);
        made.search(&[CANCEL_ITAB, A]).0
    };
    assert_eq!(found(&|_| ()), Some(0));
    assert_eq!(found(&|made| made.set(A + 32, &[CHANNEL + 8])), None, "another channel");
    assert_eq!(found(&|made| made.set(A + 24, &[made.types.cancel])), None, "not the type of a channel");
    assert_eq!(found(&|made| made.set(A, &[HEAP])), None, "no parent");
    assert_eq!(found(&|made| made.set(A, &[0])), None, "no parent");
}

#[test]
fn cycles_end() {
    let mut made = with_itabs();
    made.cancel(A, [CANCEL_ITAB, B], CHANNEL);
    made.cancel(B, [CANCEL_ITAB, A], CHANNEL + 64);
    let (found, all) = made.search(&[A]);
    assert_eq!((found, all.len()), (Some(0), 2));
    assert_eq!((all[0].parent, all[1].parent), (Some(1), None));
    made.cancel(A, [CANCEL_ITAB, A], CHANNEL);
    assert_eq!(made.search(&[A]).1[0].parent, None);
}

#[test]
fn not_all_of_a_long_chain_is_followed() {
    let mut made = with_itabs();
    let at = |nth: u64| A + 80 * nth;
    for nth in 0..1000 {
        made.cancel(at(nth), [CANCEL_ITAB, at(nth + 1)], CHANNEL + 64 * nth);
    }
    let (found, all) = made.search(&[A]);
    assert_eq!((found, all.len()), (Some(0), MAX_PARENTS));
}

#[test]
fn pointers_without_end_are_not_all_followed() {
    let mut made = with_itabs();
    for nth in 0..WORDS {
        made.words[nth] = HEAP + 8 * (nth as u64 * 7919 % WORDS as u64);
    }
    assert_eq!(made.search(&made.words).0, None);
}

proptest! {
    #[test]
    fn damaged_memory_does_no_harm(
        changes in prop::collection::vec((0..0x300_usize, any::<prop::sample::Index>()), 1..60),
        wild in any::<u64>(),
    ) {
        let mut made = with_itabs();
        made.cancel(A, [VALUE_ITAB, B], CHANNEL);
        made.set(B, &[CANCEL_ITAB, A]);
        let Types { cancel, value, channel, .. } = made.types;
        let values = [A, B, A + 8, CANCEL_ITAB, ROOT_ITAB, cancel, value, channel, CHANNEL, 0, wild, u64::MAX];
        for (at, value) in changes {
            made.words[at] = *value.get(&values);
        }
        let (_, all) = made.search(&[A, CANCEL_ITAB, A, B, wild]);
        prop_assert!(all.len() <= MAX_PARENTS);
        // Whoever follows the parents arrives.
        for first in 0..all.len() {
            let parents = std::iter::successors(Some(first), |&at| all[at].parent.map(|parent| parent as usize));
            prop_assert!(parents.take(all.len() + 1).count() <= all.len());
        }
    }
}
