//! Which object of the heap an address is in, by the runtime's tables of spans.
//!
//! Source: `src/runtime/mheap.go` (`spanOf`, `arenaIndex`, `mspan`), `malloc.go` (`heapArenaBytes`,
//! `arenaBaseOffset`, `arenaL1Bits`) of Go 1.19 to 1.27, linux/amd64.

use rustc_hash::FxHashMap;

use crate::process::Memory;
use crate::process::paged::PagedMemory;
use crate::runtimes::go::arch;
use crate::runtimes::go::layout::Layouts;
use crate::runtimes::go::module::Module;

/// Bytes of an arena.
const ARENA: u64 = 64 << 20;
/// `-arenaBaseOffset`: addresses are sign-extended from 48 bits.
const ARENA_BASE: u64 = 1 << 47;
/// Arenas that can be.
const MAX_ARENAS: u64 = 1 << 22;
/// Bytes of a page of the heap.
const PAGE: u64 = 8192;
/// `mSpanInUse`.
const IN_USE: u64 = 1;
/// Spans that are remembered.
const MAX_SPANS: usize = 1 << 18;
/// A larger function is not searched for the table.
const MAX_FUNCTION: u64 = 64 << 10;

/// An object of the heap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Object {
    pub(super) address: u64,
    pub(super) size: u64,
    /// It holds no pointers.
    pub(super) is_plain: bool,
}

#[derive(Debug, Clone, Copy)]
struct Span {
    start: u64,
    end: u64,
    element: u64,
    is_plain: bool,
}

/// Offsets of the fields that are read.
#[derive(Debug, Clone, Copy)]
struct Fields {
    arena_spans: u64,
    start: u64,
    pages: u64,
    element: u64,
    state: u64,
    class: u64,
}

/// The tables of spans.
#[derive(Debug)]
pub(super) struct Spans {
    /// The table of arenas.
    arenas: u64,
    fields: Fields,
    known: FxHashMap<u64, Option<Span>>,
}

impl Spans {
    /// Finds the tables. `known`: an address on the heap; only tables that say so are believed.
    pub(super) fn find(
        modules: &[Module],
        layouts: &Layouts,
        memory: &mut PagedMemory<'_>,
        read: &dyn Memory,
        known: u64,
    ) -> Option<Self> {
        let field = |name: &str, field: &str| Some(layouts.get(name)?.fields.get(field)?.offset);
        let fields = Fields {
            arena_spans: field("heapArena", "spans")?,
            start: field("mspan", "startAddr")?,
            pages: field("mspan", "npages")?,
            element: field("mspan", "elemsize")?,
            state: field("mspan", "state")?,
            class: field("mspan", "spanclass")?,
        };
        let module = modules.first()?;
        // It looks up the object of an address, as is done here.
        let function = module.pclntab.by_name("runtime.findObject")?;
        let len = function.end().saturating_sub(function.entry()).min(MAX_FUNCTION);
        let code = read.read_vec(function.entry(), len as usize).ok()?;
        let mut places = arch::data_references(&code, function.entry());
        places.dedup();
        places.into_iter().find_map(|place| {
            let arenas = memory.word(place).filter(|arenas| *arenas != 0)?;
            let mut spans = Spans { arenas, fields, known: FxHashMap::default() };
            spans.object(memory, known).map(|_| spans)
        })
    }

    /// The object that contains an address. None outside of the heap, and in free memory.
    pub(super) fn object(&mut self, memory: &mut PagedMemory<'_>, address: u64) -> Option<Object> {
        let index = address.checked_add(ARENA_BASE)? / ARENA;
        if index >= MAX_ARENAS {
            return None;
        }
        let arena = memory.word(self.arenas.checked_add(8 * index)?).filter(|arena| *arena != 0)?;
        let page = address / PAGE % (ARENA / PAGE);
        let at = arena.checked_add(self.fields.arena_spans)?.checked_add(8 * page)?;
        let span = memory.word(at).filter(|span| *span != 0)?;
        let span = self.span(memory, span)?;
        if !(span.start..span.end).contains(&address) {
            return None;
        }
        let nth = (address - span.start) / span.element;
        let start = span.start + nth * span.element;
        let is_whole = start.checked_add(span.element)? <= span.end;
        is_whole.then_some(Object { address: start, size: span.element, is_plain: span.is_plain })
    }

    fn span(&mut self, memory: &mut PagedMemory<'_>, address: u64) -> Option<Span> {
        if let Some(known) = self.known.get(&address) {
            return *known;
        }
        let span = self.read(memory, address);
        if self.known.len() >= MAX_SPANS {
            self.known.clear();
        }
        self.known.insert(address, span);
        span
    }

    fn read(&self, memory: &mut PagedMemory<'_>, address: u64) -> Option<Span> {
        let f = self.fields;
        let mut word = |offset: u64| memory.word(address.checked_add(offset)?);
        let mut byte = |offset: u64| Some(word(offset & !7)? >> (8 * (offset & 7)) & 0xff);
        let (state, class) = (byte(f.state)?, byte(f.class)?);
        let (start, pages, element) = (word(f.start)?, word(f.pages)?, word(f.element)?);
        let end = start.checked_add(pages.checked_mul(PAGE)?)?;
        (state == IN_USE && element >= 8 && element <= end - start).then_some(Span {
            start,
            end,
            element,
            is_plain: class & 1 == 1,
        })
    }
}
