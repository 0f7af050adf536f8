//! Time by function: its own, and with what it calls.

use std::cmp::Reverse;

use rustc_hash::FxHashMap;

use super::{Recorded, Sum};
use crate::analysis::Filter;
use crate::analysis::filter::Selection;
use crate::recording::Clock;
use crate::snapshot::{Frame, FunctionId, StackId};

/// Time of one function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct FunctionTime {
    /// The function.
    pub function: FunctionId,
    /// The place in it where it spends most of its own time or, if it has none, calls what spends most.
    pub frame: Frame,
    /// Its own time: it is the innermost function.
    pub flat: Sum,
    /// Its time with what it calls: it is on the stack.
    pub cumulative: Sum,
    /// The largest time that led to `frame`: own time or not, and nanoseconds.
    weight: (bool, u64),
}

/// Time of one clock by function.
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub struct Functions {
    /// The functions, the most own time first.
    pub functions: Vec<FunctionTime>,
    /// All time.
    pub total: Sum,
    /// Time with no known stack.
    pub without_stack: Sum,
    /// How many independent samples would be as sure: see [`Recorded::sureness`].
    pub sureness: f64,
}

/// Time by function of the rows of one clock that pass a filter.
pub fn functions(recorded: &Recorded, clock: Clock, filter: &Filter) -> Functions {
    let Selection { tasks, .. } = recorded.select(clock, filter);
    let mut stacks: FxHashMap<StackId, Sum> = FxHashMap::default();
    let mut result = Functions {
        total: recorded.sum(&tasks),
        sureness: recorded.sureness(clock, &tasks),
        ..Functions::default()
    };
    for &nth in &tasks {
        let (task, row) = (recorded.snapshot.tasks.get(nth as usize), recorded.rows.get(nth as usize));
        let (Some(task), Some(row)) = (task, row) else { continue };
        match task.stack {
            Some(stack) => stacks.entry(stack).or_default().add(row.sum),
            None => result.without_stack.add(row.sum),
        }
    }
    let mut stacks: Vec<_> = stacks.into_iter().collect();
    stacks.sort_unstable_by_key(|&(stack, sum)| (Reverse(sum.ns), stack));
    let mut by_function: FxHashMap<FunctionId, FunctionTime> = FxHashMap::default();
    for (stack, sum) in stacks {
        let frames = recorded.frames(stack, Recorded::all_frames(clock, filter));
        if frames.is_empty() {
            result.without_stack.add(sum);
        }
        let mut on_stack: Vec<FunctionId> = Vec::with_capacity(frames.len());
        for (nth, shown) in frames.iter().enumerate() {
            let id = shown.frame.function;
            on_stack.push(id);
            let time = by_function.entry(id).or_insert(FunctionTime::new(shown.frame));
            if nth == 0 {
                time.flat.add(sum);
            }
            if (nth == 0, sum.ns) > time.weight {
                (time.frame, time.weight) = (shown.frame, (nth == 0, sum.ns));
            }
        }
        // A recursive function is on the stack several times.
        on_stack.sort_unstable();
        on_stack.dedup();
        for id in on_stack {
            by_function.entry(id).and_modify(|time| time.cumulative.add(sum));
        }
    }
    result.functions = by_function.into_values().collect();
    let name = |time: &FunctionTime| recorded.snapshot.function_name(time.function).to_owned();
    result.functions.sort_by_cached_key(|time| {
        (Reverse(time.flat.ns), Reverse(time.cumulative.ns), name(time), time.function)
    });
    result
}

impl FunctionTime {
    fn new(frame: Frame) -> Self {
        FunctionTime {
            function: frame.function,
            frame,
            flat: Sum::default(),
            cumulative: Sum::default(),
            weight: (false, 0),
        }
    }
}
