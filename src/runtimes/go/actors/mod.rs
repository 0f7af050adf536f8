//! Who is going to do what others wait for: send on a channel or receive from it, close it, cancel a context,
//! report to a wait group, wake a condition variable?
//!
//! None of these objects records who uses it. But who uses it has a pointer to it, and code that will do so. The code
//! of each goroutine's frames is run ahead from where the goroutine is ([`look`], [`walk`]), and pointers are
//! followed from the places from which the garbage collector follows them ([`stack_maps`], [`reach`]).
//!
//! A parked goroutine must not move while it is examined; a running one is held.

use rustc_hash::FxHashSet;

mod acts;
mod calls;
mod examine;
mod look;
mod reach;
mod roots;
mod rows;
mod spans;
mod stack_maps;
mod walk;
mod wanted;
mod ways;

use examine::Examined;
use look::Parts;
use roots::Globals;
pub(super) use rows::Found;
use rows::Rows;
use spans::Spans;
use stack_maps::StackMaps;
use walk::Ahead;
use wanted::Objects;

use super::arch::state::{Known, Value, World};
use super::holders::clock::Clock;
use super::holders::code::Text;
use super::holders::stopped::Goroutines;
use super::holders::{by_stack, candidates};
use super::running::Stops;
use super::scheduler::{processors, threads};
use super::stacks::TaskStacks;
use super::{Go, GoError};
use crate::process::Target;
use crate::process::paged::PagedMemory;
use crate::runtimes::ReadOptions;
use crate::snapshot::{ObjectId, Searched, SnapshotBuilder, StackStatus, TaskState};

/// Goroutines examined together.
const BATCH: usize = 128;
/// Actors in all.
const MAX_ALL: usize = 1 << 20;
/// Addresses that are tried to find the runtime's table of spans.
const MAX_TRIED: usize = 8;

/// The result of a search.
#[derive(Debug, Default)]
pub(super) struct Answer {
    pub(super) actors: Vec<Found>,
    pub(super) searched: Vec<Searched>,
    pub(super) unknown: Vec<String>,
}

/// Finds who acts on the objects that the runtime's tasks wait for. `stacks`: their stacks. `ends`: more objects, each with the address that leads to it, of which is asked who has
/// them.
pub(super) fn find(
    go: &Go,
    target: &dyn Target,
    options: &ReadOptions,
    stacks: TaskStacks<'_>,
    ends: &[(u64, ObjectId)],
    into: &mut SnapshotBuilder,
) -> Result<Answer, GoError> {
    let mut objects = Objects::new(stacks.first_task, into);
    objects.add(ends);
    if objects.is_empty() {
        return Ok(Answer::default());
    }
    let mut memory = PagedMemory::new(target);
    let mut goroutines: FxHashSet<u64> =
        into.tasks().iter().skip(stacks.first_task).map(|task| task.address).collect();
    // The first goroutine's struct is mostly on the heap, and so are most objects.
    let known = goroutines.iter().copied().take(MAX_TRIED);
    let spans = known
        .chain(objects.addresses().map(|(address, _)| address).take(MAX_TRIED))
        .find_map(|known| Spans::find(&go.modules, &go.layouts, &mut memory, target, known));
    // Ps have pointers that were noted for the collector, and others that are stale. Ms remember what their goroutines waited
    // for.
    goroutines.extend(go.globals.allp.map(|allp| processors(target, allp)).unwrap_or_default());
    goroutines.extend(go.globals.allm.map(|allm| threads(target, allm, &go.offsets)).unwrap_or_default());
    let text = Text::new(&go.modules, target, go.build.minor);
    let mut search = Search {
        reader: Goroutines { go, target, options },
        stacks,
        exact: objects.addresses().collect(),
        objects,
        ahead: Ahead::new(text, Clock::new(options.actors), element_size(go)),
        parts: Parts::default(),
        maps: StackMaps::new(&go.modules, target),
        spans,
        goroutines,
        memory,
        rows: Rows::default(),
        examined: 0,
        is_whole: true,
        odd_pointers: 0,
    };
    search.widen();
    search.run(into)
}

/// Where a channel has the size of its elements.
fn element_size(go: &Go) -> u64 {
    /// In every version from 1.19 to 1.27.
    const USUAL: u64 = 24;
    let field = go.layouts.get("hchan").and_then(|layout| layout.fields.get("elemsize"));
    field.map_or(USUAL, |field| field.offset)
}

struct Search<'s> {
    reader: Goroutines<'s>,
    stacks: TaskStacks<'s>,
    /// The objects' own addresses.
    exact: Vec<(u64, ObjectId)>,
    objects: Objects,
    ahead: Ahead<'s>,
    parts: Parts,
    maps: StackMaps<'s>,
    spans: Option<Spans>,
    goroutines: FxHashSet<u64>,
    memory: PagedMemory<'s>,
    rows: Rows,
    /// Goroutines that were examined.
    examined: usize,
    /// Each of them was examined to the end.
    is_whole: bool,
    /// Words that must be pointers by the maps of their frames, and are not.
    odd_pointers: u64,
}

impl Search<'_> {
    /// Pointers to what contains an object lead to the object.
    fn widen(&mut self) {
        let Some(spans) = &mut self.spans else { return };
        let wide = self.exact.iter().filter_map(|(address, _)| {
            let object = spans.object(&mut self.memory, *address)?;
            Some((*address, (object.address, object.address.saturating_add(object.size))))
        });
        let wide = wide.collect();
        self.objects.widen(&wide);
    }

    fn run(mut self, into: &mut SnapshotBuilder) -> Result<Answer, GoError> {
        // First, because they are few and bounded.
        let timers = self.timers()?;
        let globals = self.globals();
        let mut stops = Stops::default();
        let mut left_out = 0;
        for tasks in by_stack(self.stacks) {
            for numbers in tasks.chunks(BATCH) {
                if self.ahead.is_out_of_budget() {
                    left_out += numbers.len();
                } else {
                    self.batch(numbers, &mut stops, into)?;
                }
            }
        }
        stops.note(&mut into.header.reading);
        let tasks = into.tasks().get(self.stacks.first_task..).unwrap_or_default();
        let whole_stacks = tasks.iter().all(|task| task.stack_status == StackStatus::Complete);
        let all_tasks = self.is_whole
            && self.examined == tasks.len()
            && whole_stacks
            && self.spans.is_some()
            && self.odd_pointers == 0;
        Ok(self.answer(all_tasks, timers && globals.is_whole, &globals, left_out))
    }

    fn batch(&mut self, numbers: &[u32], stops: &mut Stops, into: &SnapshotBuilder) -> Result<(), GoError> {
        self.memory = PagedMemory::new(self.reader.target);
        let (running, parked): (Vec<_>, Vec<_>) = candidates(numbers, into)
            .into_iter()
            .partition(|candidate| candidate.task.state == TaskState::Running);
        let reader = self.reader;
        let mut seen =
            reader.parked(&parked, &mut |view, candidate| vec![self.examine(&view, candidate, into)])?;
        for candidate in &running {
            // Its memory may have changed since the others were read.
            self.memory = PagedMemory::new(self.reader.target);
            seen.extend(reader.running(candidate, stops, &mut |view, candidate| {
                vec![self.examine(&view, candidate, into)]
            })?);
        }
        for Examined { actors, is_whole } in reader.still(seen)? {
            self.examined += 1;
            self.is_whole &= is_whole;
            actors.into_iter().for_each(|found| self.rows.add(found));
        }
        Ok(())
    }

    fn answer(self, all_tasks: bool, other_roots: bool, globals: &Globals, left_out: usize) -> Answer {
        let mut answer = Answer::default();
        for object in self.objects.ids() {
            let is_global = globals.objects.contains(&object);
            answer.searched.push(Searched { object, all_tasks, other_roots, is_global });
            let room = MAX_ALL.saturating_sub(answer.actors.len());
            answer.actors.extend(self.rows.of(object).take(room));
        }
        let mut say = |count: usize, sentence: String| {
            if count > 0 {
                answer.unknown.push(sentence);
            }
        };
        let spent = self.ahead.clock.spent().as_millis();
        say(
            left_out,
            format!(
                "what {left_out} goroutines will do was not examined, because the search ended after {spent} ms"
            ),
        );
        let objects = self.objects.left_out;
        say(objects, format!("who acts on {objects} more objects was not looked for: there are too many"));
        let cut = self.rows.cut();
        let objects = if cut == 1 { "object" } else { "objects" };
        say(cut, format!("of {cut} {objects} only the nearest actors are listed"));
        let odd = self.odd_pointers;
        say(
            usize::from(odd > 0),
            format!(
                "{odd} words on stacks should be pointers and are not: the maps of pointers are not understood"
            ),
        );
        say(
            usize::from(self.spans.is_none()),
            "the runtime's table of heap objects was not found: pointers were followed through the first bytes only"
                .to_owned(),
        );
        answer
    }
}

/// Memory that may change at any time.
struct Plain<'p, 'a>(&'p mut PagedMemory<'a>);

impl World for Plain<'_, '_> {
    fn word(&mut self, address: u64) -> Value {
        let number = self.0.word(address)?;
        Some(Known { number, firm: false })
    }
}
