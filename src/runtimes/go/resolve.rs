//! Converts what was read into the model: addresses become functions, files and lines, each once.

use rustc_hash::FxHashMap;

use super::module::Module;
use super::sync;
use super::unwind::CodeAddress;
use crate::code::{CodeBuilder, FunctionId, FunctionKind, Location, LocationId};
use crate::formats::go_names::{is_shown, package_of};
use crate::symbols::pclntab::{Func, FuncKind};
use crate::words;

/// Turns code addresses into the model's locations.
pub(super) struct Resolver<'a> {
    modules: &'a [Module],
    locations: FxHashMap<CodeAddress, LocationId>,
    within: FxHashMap<u64, LocationId>,
    calls: FxHashMap<u64, Option<LocationId>>,
    creators: FxHashMap<u64, LocationId>,
    entries: FxHashMap<u64, FunctionId>,
    helpers: FxHashMap<u64, bool>,
    cgocalls: FxHashMap<u64, bool>,
}

impl<'a> Resolver<'a> {
    pub(super) fn new(modules: &'a [Module]) -> Self {
        Resolver {
            modules,
            locations: FxHashMap::default(),
            within: FxHashMap::default(),
            calls: FxHashMap::default(),
            creators: FxHashMap::default(),
            entries: FxHashMap::default(),
            helpers: FxHashMap::default(),
            cgocalls: FxHashMap::default(),
        }
    }

    fn find(&self, pc: u64) -> Option<Func<'a>> {
        self.modules.iter().find_map(|m| m.pclntab.find(pc)).filter(|f| f.is_top_frame() || f.covers(pc))
    }

    /// The location of a code address.
    pub(super) fn location(&mut self, address: CodeAddress, into: &mut CodeBuilder) -> LocationId {
        if let Some(&known) = self.locations.get(&address) {
            return known;
        }
        let location = match self.find(address.pc()) {
            Some(function) => in_go(&function, address, into),
            None => elsewhere(address, into),
        };
        let id = into.location(location);
        self.locations.insert(address, id);
        id
    }

    /// The location "somewhere in the function that begins here".
    pub(super) fn within(&mut self, entry: u64, into: &mut CodeBuilder) -> LocationId {
        if let Some(&known) = self.within.get(&entry) {
            return known;
        }
        let location = match self.find(entry) {
            Some(f) => {
                let function = add(into, &f.display_name(), package_of(&f.name()), f.kind());
                let frame = into.frame(function, "", 0);
                Location::in_source(vec![frame])
            }
            None => elsewhere(CodeAddress::interrupted(entry), into),
        };
        let id = into.location(location);
        self.within.insert(entry, id);
        id
    }

    /// The place of the `go` statement that started a goroutine; None for the first goroutine of
    /// the program, which no statement started.
    pub(super) fn creator(&mut self, gopc: u64, into: &mut CodeBuilder) -> Option<LocationId> {
        if let Some(&known) = self.creators.get(&gopc) {
            return Some(known);
        }
        // Only code is remembered: a program that lies could name other addresses without end.
        self.find(gopc)?;
        let creator = self.location(CodeAddress::after_call(gopc), into);
        self.creators.insert(gopc, creator);
        Some(creator)
    }

    /// The one frame before a return address, which is the innermost there; None outside of Go's code.
    pub(super) fn after_call(&mut self, pc: u64, into: &mut CodeBuilder) -> Option<LocationId> {
        if let Some(&known) = self.calls.get(&pc) {
            return known;
        }
        // The return address after a last call is in the next function.
        let call = pc.checked_sub(1)?;
        let frame = self.modules.iter().find_map(|m| m.pclntab.find(call)).filter(|f| f.covers(call));
        let frame = frame.and_then(|f| f.inline_frames(call).into_iter().next());
        let found = frame.map(|frame| {
            let function = add(into, &frame.display_name(), package_of(&frame.name), frame.kind);
            let frame = into.frame(function, &frame.file, frame.line);
            into.location(Location::in_source(vec![frame]))
        });
        self.calls.insert(pc, found);
        found
    }

    /// The function that a goroutine was started with.
    pub(super) fn entry(&mut self, startpc: u64, into: &mut CodeBuilder) -> Option<FunctionId> {
        if let Some(&known) = self.entries.get(&startpc) {
            return Some(known);
        }
        let function = self.find(startpc)?;
        let entry = add(into, &function.display_name(), package_of(&function.name()), function.kind());
        self.entries.insert(startpc, entry);
        Some(entry)
    }

    /// Is a goroutine that was started with this function the runtime's own? The decision of
    /// `isSystemGoroutine` in `src/runtime/traceback.go`. For goroutines that run finalizers and cleanups,
    /// `in_user_code` says whether they run the program's code.
    pub(super) fn is_system(&self, startpc: u64, in_user_code: impl FnOnce() -> bool) -> bool {
        let Some(function) = self.find(startpc) else { return false };
        match function.kind() {
            FuncKind::RuntimeMain | FuncKind::Corostart => false,
            FuncKind::RunFinalizers | FuncKind::RunCleanups => !in_user_code(),
            _ => function.name().starts_with("runtime."),
        }
    }

    /// Does a goroutine that was started with this function run the program's finalizers or
    /// cleanups?
    pub(super) fn is_helper(&mut self, startpc: u64) -> bool {
        if let Some(&known) = self.helpers.get(&startpc) {
            return known;
        }
        let is = self
            .find(startpc)
            .is_some_and(|f| matches!(f.kind(), FuncKind::RunFinalizers | FuncKind::RunCleanups));
        self.helpers.insert(startpc, is);
        is
    }

    /// Is a goroutine that was started with this function a coroutine, as behind `iter.Pull`?
    pub(super) fn is_coroutine(&self, startpc: u64) -> bool {
        self.find(startpc).is_some_and(|function| function.kind() == FuncKind::Corostart)
    }

    /// Is this where the runtime waits for a C function to return?
    pub(super) fn is_cgocall(&mut self, pc: u64) -> bool {
        let modules = self.modules;
        *self.cgocalls.entry(pc).or_insert_with(|| {
            let function = modules.iter().find_map(|m| m.pclntab.find(pc));
            function.is_some_and(|f| f.name() == "runtime.cgocall")
        })
    }

    /// Which lock a goroutine with this stack and wait reason waits for.
    pub(super) fn lock(&self, stack: &[CodeAddress], reason: &str) -> sync::Lock {
        /// The functions of the lock are the innermost ones.
        const DEPTH: usize = 12;
        let names: Vec<String> = stack
            .iter()
            .take(DEPTH)
            .filter_map(|pc| Some((self.find(pc.pc())?, pc)))
            .flat_map(|(f, pc)| f.inline_frames(pc.lookup(f.entry())))
            .map(|frame| frame.name.into_owned())
            .collect();
        sync::lock(names.iter().map(String::as_str), reason)
    }

    /// Is this address in a function of the program, not the runtime's?
    pub(super) fn is_user_code(&self, address: CodeAddress) -> bool {
        self.find(address.pc()).is_some_and(|f| {
            let name = f.name();
            !name.starts_with("runtime.") && !name.starts_with("runtime/") && name.contains('.')
        })
    }
}

fn in_go(function: &Func<'_>, address: CodeAddress, into: &mut CodeBuilder) -> Location {
    let frames = function
        .inline_frames(address.lookup(function.entry()))
        .into_iter()
        .map(|frame| {
            let name = frame.display_name();
            let function = add(into, &name, package_of(&frame.name), frame.kind);
            into.frame(function, &frame.file, frame.line)
        })
        .collect();
    let offset = address.pc().checked_sub(function.entry()).and_then(|offset| u32::try_from(offset).ok());
    Location::at(address.pc(), offset, frames)
}

fn elsewhere(address: CodeAddress, into: &mut CodeBuilder) -> Location {
    let name = format!("{:#x}", address.pc());
    let function = into.function_with(&name, "", FunctionKind::Foreign, words::rust::role(&name));
    let frames = vec![into.frame(function, "", 0)];
    Location::at(address.pc(), None, frames)
}

fn add(into: &mut CodeBuilder, name: &str, package: &str, of: FuncKind) -> FunctionId {
    into.function_with(name, package, kind(name, of), words::go::role(name, package))
}

/// What a traceback at the usual level does with a function.
fn kind(name: &str, kind: FuncKind) -> FunctionKind {
    if kind.is_wrapper() {
        return FunctionKind::Wrapper;
    }
    match kind {
        FuncKind::Gopanic => FunctionKind::Panic,
        FuncKind::Sigpanic | FuncKind::Panicwrap => FunctionKind::Fault,
        _ if is_shown(name) => FunctionKind::Normal,
        _ => FunctionKind::Internal,
    }
}
