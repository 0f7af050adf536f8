//! The Go runtime, 1.19 and later, read from outside.
//!
//! The steps of one reading: `module` finds the line table and `moduledata`, [`layout`] the offsets of struct
//! fields, `globals` the runtime's variables. `list` reads the addresses of all goroutines, `read` the parked
//! goroutines, `running` those on a thread, `unwind` their stacks, `foreign` the C part of stacks in C.
//! `convert` turns it all into the model.

use std::sync::{Mutex, OnceLock};

use crate::process::{Image, Mapping, Target};
use crate::runtimes::{Attached, Attribute, FoundRuntimes, ReadOptions};
use crate::snapshot::{RuntimeInfo, SnapshotBuilder};
use crate::symbols::native::NativeCode;
use crate::{Error, Result};

mod actors;
mod ancestors;
mod arch;
mod buffers;
mod channels;
mod chunk;
mod convert;
pub mod dwarf;
mod error;
mod foreign;
mod globals;
mod goroutine;
mod heap;
mod holders;
mod known;
mod labels;
mod last;
pub mod layout;
pub mod layout_table;
mod links;
mod list;
mod mark;
mod module;
mod names;
mod offsets;
mod piece;
mod proof;
mod read;
mod resolve;
mod running;
mod sampling;
mod scheduler;
mod search;
mod semaphores;
mod span;
mod stacks;
pub mod structs;
mod sync;
mod threads;
pub mod types;
mod unwind;
mod version;
mod waits;

pub use error::GoError;
use globals::Globals;
use layout::Layouts;
use module::Module;
use offsets::Offsets;
use types::TypeImage;
use version::Build;

/// Type descriptors are not larger than this.
const MAX_TYPES: u64 = 256 << 20;
/// Files that look like Go and are examined in one process.
const MAX_IMAGES: usize = 256;
/// Debugging information larger than this is not read.
const MAX_DEBUG_INFO: usize = 1 << 30;
/// The newest minor version that the layouts and the tests know.
const NEWEST_KNOWN: u32 = 27;

/// A Go runtime in a target.
#[derive(Debug)]
pub(super) struct Go {
    /// The runtime's own module first, then those of plugins.
    modules: Vec<Module>,
    layouts: Layouts,
    offsets: Offsets,
    globals: Globals,
    build: Build,
    types: TypeImage,
    /// Offsets in the structs behind waits.
    links: links::LinkLayout,
    /// The same in contexts, once they are asked for.
    contexts: OnceLock<Option<links::ContextLayout>>,
    /// Texts of the wait reasons, by number.
    wait_reasons: Vec<String>,
    /// What was found out about code and goroutines that hold locks, for the next reading.
    holders: Mutex<holders::Remembered>,
    /// Tells whether goroutines have run between two readings.
    judge: proof::Judge,
    /// Where the runtime counts goroutines that run.
    run_count: Option<proof::RunCount>,
    /// What the last reading kept for the next one.
    last: Mutex<Option<last::LastReading>>,
}

/// Finds the Go runtimes in a target: none, one, or several if shared libraries bring their own.
pub(super) fn probe(target: &dyn Target, found: &mut FoundRuntimes) -> Result<()> {
    let mappings = target.mappings()?;
    let mut plugins = Vec::new();
    let mut runtimes = Vec::new();
    let mut search = search::Search::new(target);
    let mut looked_at = 0;
    let images = target.images()?;
    tracing::debug!("looking for Go in {} images, among {} mappings", images.len(), mappings.len());
    for image in images.into_iter().filter(looks_like_go) {
        looked_at += 1;
        if looked_at > MAX_IMAGES {
            continue;
        }
        let path = image.path.clone();
        match module::find(&mut search, &image, &mappings) {
            Ok(None) => tracing::debug!("{path} has no Go line table"),
            Ok(Some(module)) if module.pclntab.by_name("runtime.schedinit").is_some() => {
                tracing::debug!("{path} has a Go runtime; its line table was found by {}", module.found_by);
                runtimes.push((image, module));
            }
            Ok(Some(module)) => plugins.push(module),
            Err(error) => keep(error.of("go"), found)?,
        }
    }
    if let Some(more) = looked_at.checked_sub(MAX_IMAGES).filter(|more| *more > 0) {
        found.left_out.push(format!("{more} more files that look like Go were not examined"));
    }
    let mut all = Vec::new();
    for (image, mut module) in runtimes {
        let build = version::read(target, &image, &module);
        tracing::debug!("it is {}, according to {}", build.version, build.found_in);
        if let Some(minor) = build.minor {
            module.pclntab = module.pclntab.for_go(minor);
        }
        let name = build.version.clone();
        match Go::new(target, &image, &mappings, module, build) {
            Ok(go) => all.push(go),
            Err(error) => keep(error.of(&name), found)?,
        }
    }
    // A plugin shares the runtime of the program that loaded it.
    if let Some(first) = all.first_mut() {
        first.modules.append(&mut plugins);
    }
    all.into_iter().for_each(|go| found.add(go));
    Ok(())
}

/// Keeps a problem. Absent memory is a problem of this runtime alone.
fn keep(problem: Error, found: &mut FoundRuntimes) -> Result<()> {
    match problem {
        Error::Target(error) if error.is_absent() => {
            found.problems.push(error.into());
            Ok(())
        }
        problem => found.problem(problem),
    }
}

/// Is there a Go runtime in this image? Cheap: looks at section names.
pub(super) fn looks_like_go(image: &Image) -> bool {
    module::looks_like_go(image)
}

impl Go {
    fn new(
        target: &dyn Target,
        image: &Image,
        mappings: &[Mapping],
        module: Module,
        build: Build,
    ) -> Result<Self, GoError> {
        let span = module.data.types;
        if span.len() > MAX_TYPES {
            return Err(GoError::Malformed(format!("{} bytes of type descriptors", span.len())));
        }
        // Position-independent builds relocate the descriptors: only memory has them right.
        let bytes = if image.bias == 0 {
            module::read_static(target, image, span, mappings)?
        } else {
            module::read_relocated(target, image, span, mappings)?
        };
        let types = TypeImage::new(span.start, bytes);
        let layouts = Layouts::gather(types.structs(), || dwarf_structs(image), build.minor);
        let offsets = Offsets::new(&layouts)?;
        let links = links::LinkLayout::new(&layouts);
        tracing::debug!("the layout of the runtime's structs is known");
        let globals = globals::find(target, image, &module, &layouts, &offsets)?;
        for fact in &globals.provenance {
            tracing::debug!("the runtime's variables are found: {fact}");
        }
        let wait_reasons = globals.wait_reasons.map(|at| names::wait_reasons(target, at)).unwrap_or_default();
        let judge = proof::Judge::new(&wait_reasons);
        let run_count = offsets.g_tracking_seq.and_then(|_| proof::RunCount::find(&layouts, globals.sched));
        Ok(Go {
            modules: vec![module],
            layouts,
            offsets,
            globals,
            build,
            types,
            links,
            contexts: OnceLock::new(),
            wait_reasons,
            holders: Mutex::default(),
            judge,
            run_count,
            last: Mutex::default(),
        })
    }

    /// Offsets in contexts. None for a program that has none.
    fn contexts(&self) -> Option<links::ContextLayout> {
        *self.contexts.get_or_init(|| links::ContextLayout::find(&self.types))
    }

    fn provenance(&self) -> Vec<String> {
        let mut lines = vec![format!("version {} from {}", self.build.version, self.build.found_in)];
        lines.extend(self.modules.iter().map(|module| {
            let functions = module.pclntab.len();
            format!("module at {:#x}, {functions} functions, by {}", module.data.address, module.found_by)
        }));
        for name in layout_table::WANTED.iter().map(|(name, _)| *name) {
            let start = match self.layouts.source(name) {
                Some(source) => format!("layouts from {source}: "),
                None => "layouts not found: ".to_owned(),
            };
            match lines.iter_mut().find(|line| line.starts_with(&start)) {
                Some(line) => line.extend([", ", name]),
                None => lines.push(start + name),
            }
        }
        lines.extend(self.globals.provenance.iter().cloned());
        lines
    }

    fn warnings(&self) -> Vec<String> {
        let mut warnings: Vec<String> = self.layouts.warnings().to_vec();
        match self.build.minor {
            Some(minor) if minor > NEWEST_KNOWN => warnings.push(format!(
                "{} is newer than any Go that this loiter knows (1.{NEWEST_KNOWN}): layouts come from the \
                 program's type descriptors, and where those have none, from 1.{NEWEST_KNOWN}",
                self.build.version
            )),
            None => warnings.push(
                "the Go version is unknown: layouts come from the program's type descriptors".to_owned(),
            ),
            Some(_) => {}
        }
        warnings
    }

    /// Live goroutines of the program, by one quick look at each struct.
    fn count(&self, target: &dyn Target) -> Result<u64, GoError> {
        let mut addresses = list::read(target, self.globals.allgptr, self.globals.allglen)?.addresses;
        addresses.sort_unstable();
        let resolver = resolve::Resolver::new(&self.modules);
        let mut system = rustc_hash::FxHashMap::default();
        let mut buffers = buffers::Buffers::default();
        let mut count = 0;
        for chunk in addresses.chunks(chunk::CHUNK) {
            buffers.read_structs(target, chunk, self.offsets.g_size, |i, bytes| {
                let raw = goroutine::Raw::parse(chunk[i], bytes, &self.offsets);
                let system =
                    *system.entry(raw.startpc).or_insert_with(|| resolver.is_system(raw.startpc, || false));
                count += u64::from(!raw.is_over() && !system);
            })?;
        }
        Ok(count)
    }
}

fn dwarf_structs(image: &Image) -> Option<structs::Structs> {
    let load = |name: &str| image.section_data(name, MAX_DEBUG_INFO).ok().flatten();
    let (info, abbrev) = (load(".debug_info")?, load(".debug_abbrev")?);
    let names: Vec<&str> = layout_table::WANTED.iter().map(|(name, _)| *name).collect();
    Some(dwarf::structs(dwarf::DebugSections { info: &info, abbrev: &abbrev }, &names))
}

impl Attached for Go {
    fn info(&self, target: &dyn Target) -> Result<RuntimeInfo> {
        Ok(RuntimeInfo {
            name: "go".to_owned(),
            version: Some(self.build.version.clone()),
            flavour: self.build.flavour.clone(),
            task_noun: "goroutine".to_owned(),
            module: Some(self.build.main.clone()).filter(|module| !module.is_empty()),
            modules: self.build.modules.clone(),
            age_meaning: Some(
                "a lower bound: the runtime records the start of a wait only when its garbage collector \
                 scans the goroutine, after two minutes at the latest"
                    .to_owned(),
            ),
            provenance: self.provenance(),
            scheduler: scheduler::read(target, &self.globals, &self.layouts, &self.offsets),
            heap: Some(heap::read(target, &self.globals, &self.layouts)),
        })
    }

    fn count_tasks(&self, target: &dyn Target) -> Result<u64> {
        self.count(target).map_err(|error| error.of(&self.build.version))
    }

    fn read(
        &self,
        target: &dyn Target,
        options: &ReadOptions,
        runtime: u8,
        into: &mut SnapshotBuilder,
    ) -> Result<()> {
        into.header.warnings.extend(self.warnings());
        convert::read(self, target, options, runtime, into).map_err(|error| error.of(&self.build.version))
    }

    fn attribution<'a>(
        &'a self,
        target: &'a dyn Target,
        runtime: u8,
    ) -> Result<Option<Box<dyn Attribute + 'a>>> {
        let native = NativeCode::of(target)?;
        Ok(Some(Box::new(sampling::Attribution::new(self, target, native, runtime))))
    }
}
