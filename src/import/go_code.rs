//! Code locations as dumps name them, each stored once, and what all dumps of Go have in common.

use rustc_hash::FxHashMap;

use crate::formats::go_functions::{add_foreign, add_function, nameless};
use crate::snapshot::{
    Frame, FunctionId, Header, Location, LocationId, RuntimeInfo, SnapshotBuilder, SourceKind,
};

/// A frame as a dump names it.
pub(super) struct NamedFrame<'a> {
    /// Function. Empty if unknown.
    pub(super) function: &'a str,
    /// Source file. Empty if unknown.
    pub(super) file: &'a str,
    /// Line. 0 if unknown.
    pub(super) line: u32,
    /// It is foreign code (C).
    pub(super) foreign: bool,
}

/// What a location is known by: its address, the offset in its function, its frames.
type Place = (Option<u64>, Option<u32>, Vec<Frame>);

/// The locations of a snapshot, each stored once.
#[derive(Default)]
pub(super) struct CodeTable {
    locations: FxHashMap<Place, LocationId>,
    version: Option<String>,
}

impl CodeTable {
    /// The location of frames that share a code address, inlined frames first; at least one frame. `offset`
    /// is the address less the start of the last frame's function.
    pub(super) fn location<'a>(
        &mut self,
        address: Option<u64>,
        offset: Option<u64>,
        frames: impl IntoIterator<Item = NamedFrame<'a>>,
        into: &mut SnapshotBuilder,
    ) -> LocationId {
        let frames: Vec<_> = frames.into_iter().map(|frame| self.frame(&frame, address, into)).collect();
        let offset = offset.and_then(|offset| u32::try_from(offset).ok());
        let key = (address, offset, frames);
        if let Some(&known) = self.locations.get(&key) {
            return known;
        }
        let id = into.code.location(Location { address, image: None, offset, frames: key.2.clone() });
        self.locations.insert(key, id);
        id
    }

    fn frame(&mut self, named: &NamedFrame<'_>, address: Option<u64>, into: &mut SnapshotBuilder) -> Frame {
        if self.version.is_none() {
            self.version = version_in(named.file);
        }
        let function = function(named, address, into);
        into.code.frame(function, named.file, named.line)
    }

    /// The version of Go, if the paths of the standard library's sources contain it: "go1.24.3".
    pub(super) fn into_version(self) -> Option<String> {
        self.version
    }
}

fn function(named: &NamedFrame<'_>, address: Option<u64>, into: &mut SnapshotBuilder) -> FunctionId {
    match named.function {
        "" => add_foreign(&mut into.code, &nameless(address)),
        // Dumps use another name than the function's own.
        "panic" => add_function(&mut into.code, "runtime.gopanic", named.file),
        name if named.foreign => add_foreign(&mut into.code, name),
        name => add_function(&mut into.code, name, named.file),
    }
}

/// `/usr/local/go1.24.3/src/runtime/proc.go`, `/usr/lib/go-1.19/src/net/fd.go`,
/// `.../toolchain@v0.0.1-go1.24.3.linux-amd64/src/time/sleep.go`
pub(super) fn version_in(file: &str) -> Option<String> {
    let (root, _) = file.split_once("/src/runtime/").or_else(|| file.split_once("/src/net/"))?;
    let root = root.rsplit_once("-go1.").map_or(root, |(_, rest)| rest);
    let at = ["/go1.", "/go-1.", "/go/1."].iter().find_map(|mark| Some(root.rfind(mark)? + mark.len()));
    let number = root.get(at.unwrap_or(if root.contains('/') { root.len() } else { 0 })..)?;
    let end = number.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(number.len());
    let number = number.get(..end)?.trim_end_matches('.');
    (number.starts_with(|c: char| c.is_ascii_digit()) && number.len() < 12).then(|| format!("go1.{number}"))
}

/// The header of a dump of a Go program, without what only its reader knows.
pub(super) fn header(source: SourceKind, version: Option<String>) -> Header {
    let mut header = Header { loiter: env!("CARGO_PKG_VERSION").to_owned(), ..Header::default() };
    header.target.source = source;
    let age_meaning = match source {
        SourceKind::Dump => {
            Some("the full minutes that Go printed as the wait time; Go prints none below one minute")
        }
        _ => None,
    };
    header.runtimes.push(RuntimeInfo {
        name: "go".to_owned(),
        version,
        task_noun: "goroutine".to_owned(),
        age_meaning: age_meaning.map(str::to_owned),
        ..RuntimeInfo::default()
    });
    header
}

#[cfg(test)]
mod tests {
    use super::version_in;

    #[test]
    fn versions_in_paths() {
        for (path, version) in [
            ("/usr/local/go1.24.3/src/runtime/proc.go", Some("go1.24.3")),
            ("/usr/lib/go-1.19/src/net/http/server.go", Some("go1.19")),
            ("/opt/hostedtoolcache/go/1.22.10/x64/src/runtime/proc.go", Some("go1.22.10")),
            (
                "/root/go/pkg/mod/golang.org/toolchain@v0.0.1-go1.25.5.linux-amd64/src/runtime/proc.go",
                Some("go1.25.5"),
            ),
            ("/usr/local/go/src/runtime/proc.go", None),
            ("/home/go1.24/app/src/main.go", None),
            ("runtime/proc.go", None),
            ("", None),
        ] {
            assert_eq!(version_in(path).as_deref(), version, "{path}");
        }
    }
}
