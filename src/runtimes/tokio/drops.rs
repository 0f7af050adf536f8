//! Names of futures by the functions that drop them.
//!
//! In symbols of the older kind, a function that is generic over a future does not name it. Those that drop something do:
//! `drop_in_place<tokio::runtime::task::core::Cell<F, S>>` drops a whole task, `..::Stage<F>` its future. But a compiler makes
//! one function of several with equal code, which then has the name of one of them. What drops a task is called by the
//! functions of its vtable. So a name counts only where a function that drops the whole task is called for one vtable, all
//! others that its functions call agree, and no task with the same scheduler has the same name.

use std::collections::{BTreeMap, BTreeSet};

use iced_x86::{Decoder, DecoderOptions, FlowControl, Instruction, OpKind};

use rustc_hash::FxHashMap;

use super::find::Vtable;
use super::names::{Name, arguments};
use crate::process::Target;
use crate::process::bytes::u64_at;
use crate::symbols::native::NativeCode;

/// In programs with more types of tasks, none is named.
const MAX_VTABLES: usize = 1 << 12;
/// Functions of a vtable.
const FUNCTIONS: usize = 7;
/// Functions that are looked at for one vtable.
const MAX_WALKED: usize = 64;
/// Bytes of one function.
const MAX_CODE: u64 = 64 << 10;
/// A function without an unwind entry is a jump to another one.
const JUMP: u64 = 16;
/// What drops a task or a part of it that has the future, and whether it is all of it.
const DROP: &str = "core::ptr::drop_in_place<";
const HOLDERS: [(&str, bool); 3] = [("Stage<", false), ("CoreStage<", false), ("Cell<", true)];
const TASK: &str = "tokio::runtime::task::";
/// Where the holders are defined.
const CORE: &str = "tokio::runtime::task::core::";

/// What the functions of a vtable call to drop their task or its future: where it is, and what its name says.
type Drops = BTreeMap<u64, Dropped>;

/// What a function drops, by its name.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Dropped {
    future: String,
    /// The whole task with that future, not only a part of it.
    is_whole: bool,
}

/// The names of the futures of vtables, as far as symbols say them surely.
pub(super) fn names(target: &dyn Target, code: &mut NativeCode, vtables: &[Vtable]) -> Vec<Option<Name>> {
    if vtables.len() > MAX_VTABLES {
        return vec![None; vtables.len()];
    }
    let mut finder = Finder { target, code, known: FxHashMap::default() };
    let all: Vec<Drops> = vtables.iter().map(|vtable| finder.drops(vtable).unwrap_or_default()).collect();
    let mut callers: BTreeMap<u64, usize> = BTreeMap::new();
    all.iter().flat_map(Drops::keys).for_each(|function| *callers.entry(*function).or_default() += 1);
    let futures: Vec<Option<&str>> = all.iter().map(|drops| future(drops, &callers)).collect();
    let mut counts: BTreeMap<(u64, &str), usize> = BTreeMap::new();
    let named = || vtables.iter().zip(&futures).map(|(vtable, future)| Some((vtable.schedule, (*future)?)));
    named().flatten().for_each(|key| *counts.entry(key).or_default() += 1);
    let is_one = |key: &(u64, &str)| counts.get(key) == Some(&1);
    named().map(|key| key.filter(is_one).map(|(_, future)| Name::of_type(future))).collect()
}

/// The future that all of these functions name, if one that drops the whole task is called for one vtable only.
fn future<'d>(drops: &'d Drops, callers: &BTreeMap<u64, usize>) -> Option<&'d str> {
    let is_own =
        |(function, dropped): &(&u64, &Dropped)| dropped.is_whole && callers.get(function) == Some(&1);
    let future = drops.iter().find(is_own)?.1.future.as_str();
    drops.values().all(|dropped| dropped.future == future).then_some(future)
}

/// What a function is for the search.
#[derive(Debug, Clone)]
enum Role {
    /// It drops a task or a part of it.
    Drops(Dropped),
    /// It works on a task: it may call one that drops it.
    OfTask,
    /// Its name may be another one's.
    Shared,
    Other,
}

struct Finder<'a> {
    target: &'a dyn Target,
    code: &'a mut NativeCode,
    /// Functions that were met: most are called by many.
    known: FxHashMap<u64, Role>,
}

impl Finder<'_> {
    /// What the functions of a vtable call to drop their task. None if not all of it can be found out.
    fn drops(&mut self, vtable: &Vtable) -> Option<Drops> {
        // Without symbols there is nothing to find.
        self.code.function(vtable.poll)?;
        let words = self.target.read_vec(vtable.address, FUNCTIONS * 8).ok()?;
        let mut open: Vec<u64> = (0..FUNCTIONS).filter_map(|nth| u64_at(&words, nth * 8)).collect();
        let mut seen: BTreeSet<u64> = open.iter().copied().collect();
        let mut found = Drops::new();
        while let Some(function) = open.pop() {
            for to in leads_to(self.target, self.code, function)? {
                match self.role(to) {
                    Role::Drops(dropped) => _ = found.insert(to, dropped),
                    Role::OfTask if seen.insert(to) => open.push(to),
                    Role::Shared => return None,
                    Role::OfTask | Role::Other => {}
                }
            }
            if seen.len() > MAX_WALKED {
                return None;
            }
        }
        Some(found)
    }

    fn role(&mut self, function: u64) -> Role {
        if let Some(known) = self.known.get(&function) {
            return known.clone();
        }
        let name = self.code.function(function).filter(|it| it.start == function).map(|it| it.name);
        let role = match name.as_deref().map(|name| (dropped(name), name)) {
            Some((Some(_), _)) if self.code.is_shared(function) => Role::Shared,
            Some((Some(dropped), _)) => Role::Drops(dropped),
            Some((None, name)) if is_of_task(name) => Role::OfTask,
            _ => Role::Other,
        };
        self.known.insert(function, role.clone());
        role
    }
}

/// Whether a function works on a task: it may drop its future.
fn is_of_task(name: &str) -> bool {
    // Functions that unwinding is stopped by take what they run as an argument.
    [
        TASK,
        "<tokio::runtime::task::",
        "std::panicking::",
        "core::ptr::drop_in_place<alloc::boxed::Box<tokio::",
    ]
    .iter()
    .any(|path| name.starts_with(path))
}

/// What a function drops, by its name, if that has the future of a task.
fn dropped(name: &str) -> Option<Dropped> {
    let what = name.strip_prefix(DROP)?;
    let what = what.strip_prefix("alloc::boxed::Box<").unwrap_or(what).strip_prefix(CORE)?;
    let (inside, is_whole) =
        HOLDERS.iter().find_map(|(holder, is_whole)| Some((what.strip_prefix(holder)?, *is_whole)))?;
    let future = arguments(inside).into_iter().next().filter(|future| !future.is_empty())?.to_owned();
    Some(Dropped { future, is_whole })
}

/// The functions that a function calls or goes on as, by its own code. None if it cannot be read.
fn leads_to(target: &dyn Target, code: &mut NativeCode, function: u64) -> Option<BTreeSet<u64>> {
    let (start, len) = code.extent(function).unwrap_or((function, JUMP));
    let end = start.checked_add(len)?;
    let len = usize::try_from(len).ok().filter(|_| len <= MAX_CODE && start == function)?;
    let bytes = target.read_vec(start, len).ok()?;
    let mut decoder = Decoder::with_ip(64, &bytes, start, DecoderOptions::NONE);
    let mut found = BTreeSet::new();
    let mut instruction = Instruction::default();
    while decoder.can_decode() {
        decoder.decode_out(&mut instruction);
        let is_near = instruction.op_count() == 1 && instruction.op0_kind() == OpKind::NearBranch64;
        let to = instruction.near_branch_target();
        match instruction.flow_control() {
            FlowControl::Call if is_near => _ = found.insert(to),
            FlowControl::UnconditionalBranch if is_near && !(start..end).contains(&to) => {
                found.insert(to);
            }
            _ => {}
        }
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(future: &str, is_whole: bool) -> Dropped {
        Dropped { future: future.to_owned(), is_whole }
    }

    #[test]
    fn what_is_dropped() {
        const CLOSURE: &str = "api::serve::{{closure}}";
        for (what, found) in [
            ("tokio::runtime::task::core::Stage<F>", Some(false)),
            ("tokio::runtime::task::core::CoreStage<F>", Some(false)),
            ("tokio::runtime::task::core::Cell<F,alloc::sync::Arc<tokio::A>>", Some(true)),
            ("alloc::boxed::Box<tokio::runtime::task::core::Cell<F,alloc::sync::Arc<tokio::A>>>", Some(true)),
            ("F", None),
            ("core::option::Option<tokio::runtime::task::core::Stage<F>>", None),
            ("tokio::runtime::task::core::Stage<>", None),
        ] {
            let name = format!("core::ptr::drop_in_place<{}>", what.replace('F', CLOSURE));
            assert_eq!(dropped(&name), found.map(|is_whole| of(CLOSURE, is_whole)), "{name}");
        }
        assert_eq!(dropped("core::ptr::drop_in_place<tokio::runtime::task::core::Stage<"), None);
    }

    #[test]
    fn a_name_is_sure_where_one_vtable_drops_the_whole_task() {
        let callers = BTreeMap::from([(1, 1), (2, 2), (3, 2)]);
        let (whole, part) = (of("a", true), of("a", false));
        let future = |drops: &[(u64, &Dropped)]| {
            let drops = drops.iter().map(|(at, dropped)| (*at, (*dropped).clone())).collect();
            super::future(&drops, &callers).map(str::to_owned)
        };
        assert_eq!(future(&[(1, &whole), (3, &part)]).as_deref(), Some("a"));
        assert_eq!(future(&[(2, &whole), (3, &part)]), None, "others drop their task with it");
        assert_eq!(future(&[(3, &part)]), None);
        assert_eq!(future(&[(1, &whole), (3, &of("b", false))]), None, "they do not agree");
        assert_eq!(future(&[]), None);
    }
}
