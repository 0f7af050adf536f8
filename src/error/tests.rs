//! Every error says its cause once, and keeps the number of the operating system.

use std::path::PathBuf;
use std::time::Duration;

use std::io;

use super::*;
use crate::cause::{About, Cause, full_text};
use crate::runtimes::{GoError, PclntabError, RegistryError};
use crate::session::{AlbumError, ReplayError, Trouble};
use crate::snapshot::Invalid;
use crate::source::{AddressError, NameError, SourceError, Successor};

/// The texts of an error and of its causes.
fn links(error: &(dyn StdError + 'static)) -> Vec<String> {
    chain(error).map(ToString::to_string).collect()
}

/// Joins a chain as `anyhow`'s `{:#}` does, and checks that no text in it contains the text of its cause.
pub(crate) fn assert_said_once(error: &(dyn StdError + 'static)) {
    let links = links(error);
    for (nth, text) in links.iter().enumerate() {
        assert!(!text.is_empty(), "{links:?}");
        assert!(!links.iter().skip(nth + 1).any(|cause| text.contains(cause.as_str())), "{links:?}");
    }
    assert_eq!(full_text(error), links.join(": "));
}

/// One value of each variant. A variant that is left out does not compile.
macro_rules! each_variant {
    ($type:ty, $($pattern:pat => $value:expr,)*) => {{
        let name = |error: &$type| match error { $($pattern => stringify!($pattern),)* };
        let mut all: Vec<$type> = Vec::new();
        $(
            all.push($value);
            assert_eq!(all.last().map(name), Some(stringify!($pattern)));
        )*
        all
    }};
}

fn os(errno: i32) -> io::Error {
    io::Error::from_raw_os_error(errno)
}

fn text(text: &str) -> String {
    text.to_owned()
}

fn targets() -> Vec<TargetError> {
    use TargetError::*;
    let after = Duration::from_secs(5);
    each_variant!(TargetError,
        NoProcess { .. } => NoProcess { pid: 7 },
        Ended { .. } => Ended { pid: 7 },
        Permission { .. } =>
            Permission { what: text("process_vm_readv"), source: os(libc::EPERM).into(), remedy: vec![text("Try: sudo")] },
        KernelThread { .. } => KernelThread { pid: 2, name: text("kthreadd") },
        Zombie { .. } => Zombie { pid: 7, name: text("sh") },
        CannotStop { .. } => CannotStop { tid: 7, problem: text("it runs 32-bit code") },
        NoAnswer { .. } => NoAnswer { pid: 7, what: text("reading address 0x7f0000001000"), after, hint: "" },
        LetGo { .. } => LetGo { pid: 7, after, reading: Some(text("reading address 0x7f0000001000")) },
        GivenUp { .. } => GivenUp { pid: 7 },
        Unmapped { .. } => Unmapped { address: 8, len: 8 },
        NotInCore { .. } => NotInCore { address: 8, len: 8, why: text("it is cut") },
        Io { .. } => TargetError::io("open /proc/7/maps", os(libc::EMFILE)),
        Malformed { .. } => Malformed { path: text("/bin/x"), problem: text("is not ELF") },
    )
}

fn files() -> Vec<FileError> {
    use FileError::*;
    let damaged = [
        Damaged { source: "its table of twins makes no sense".into() },
        Damaged { source: Invalid { table: "task", row: 3, problem: "its stack does not exist" }.into() },
        Damaged { source: About::new("its header", bad_json()).into() },
    ];
    let mut all = each_variant!(FileError,
        Io { .. } => Io { what: text("cannot read /x"), source: os(libc::EACCES) },
        NotASnapshot => NotASnapshot,
        Newer { .. } => Newer { found: 9 },
        Prerelease => Prerelease,
        Truncated { .. } => Truncated { part: "header" },
        TooLarge { .. } => TooLarge { problem: text("its table of tasks would take more than 512 MiB of memory") },
        Damaged { .. } => Damaged { source: "its table of tasks makes no sense".into() },
    );
    all.extend(damaged);
    all
}

fn bad_json() -> serde_json::Error {
    serde_json::from_str::<u8>("x").expect_err("it is not a number")
}

fn profiles() -> Vec<PprofError> {
    use PprofError::*;
    each_variant!(PprofError,
        Gzip(_) => Gzip(io::Error::other("corrupt deflate stream")),
        TooLarge { .. } => TooLarge { limit: 1 << 30 },
        Damaged { .. } => Damaged { source: About::new("comment loiter-header", bad_json()).into() },
        OtherType { .. } => OtherType { types: text("cpu/nanoseconds") },
        Difference => Difference,
        TooManyTasks { .. } => TooManyTasks { limit: 33 },
        TooManySamples { .. } => TooManySamples { limit: 33 },
        Unlocks => Unlocks,
    )
}

fn dumps() -> Vec<DumpError> {
    use DumpError::*;
    each_variant!(DumpError,
        Pprof(_) => Pprof(PprofError::Difference),
        TooMany { .. } => TooMany { count: 9, most: 3 },
        OtherProfile { .. } => OtherProfile { kind: text("heap") },
        PerfData => PerfData,
        NoGoroutine { .. } => NoGoroutine { begins: text("an empty file") },
    )
}

fn runtimes() -> Vec<Cause> {
    let go = each_variant!(GoError,
        GoError::Target(_) => GoError::Target(TargetError::Unmapped { address: 8, len: 8 }),
        GoError::NotFound { .. } => GoError::NotFound { what: "allgs", tried: text("symbols, code") },
        GoError::LineTable(_) => PclntabError::Magic { magic: 7 }.into(),
        GoError::Malformed(_) => GoError::Malformed(text("9 bytes of type descriptors")),
        GoError::Starting => GoError::Starting,
    );
    let registry = each_variant!(RegistryError,
        RegistryError::Target(_) => TargetError::Unmapped { address: 8, len: 8 }.into(),
        RegistryError::Version { .. } => RegistryError::Version { major: 9, minor: 0, known: 1 },
        RegistryError::Malformed(_) => RegistryError::Malformed(text("its header is cut")),
    );
    let go = go.into_iter().map(Cause::from);
    go.chain(registry.into_iter().map(Cause::from)).collect()
}

fn recordings() -> Vec<recording::file::FileError> {
    use recording::file::FileError::{self, *};
    each_variant!(FileError,
        Io { .. } => Io { what: text("cannot open the file"), source: os(libc::EACCES) },
        NotARecording => NotARecording,
        Newer { .. } => Newer { found: 7 },
        Truncated { .. } => Truncated { part: "tables" },
        TooLarge { .. } => TooLarge { problem: text("it is longer than 1 MiB") },
        Damaged { .. } => Damaged { source: "its tables end".into() },
    )
}

fn addresses() -> Vec<AddressError> {
    use AddressError::*;
    let within = Duration::from_secs(10);
    each_variant!(AddressError,
        Invalid { .. } => Invalid { problem: text("it names no host") },
        NotBuilt => NotBuilt,
        CannotEncrypt => CannotEncrypt,
        NoConnection { .. } => NoConnection { within },
        TooSlow { .. } => TooSlow { within },
        NoHost => NoHost,
        Status { .. } => Status { status: 404, line: text("not found") },
        TooLarge { .. } => TooLarge { most: 1 << 30 },
        BadRedirect { .. } => BadRedirect { to: text("ftp://x"), why: text("it is no http address") },
        Redirects { .. } => Redirects { most: 5 },
        BrokenOff { .. } => BrokenOff { got: 7, announced: Some(9), why: Box::new(Io(os(libc::ECONNRESET))) },
        NoDump { .. } => NoDump { read: 4096 },
        Io(_) => Io(os(libc::ECONNREFUSED)),
        Protocol { .. } => Protocol { problem: text("a bad certificate") },
    )
}

fn names() -> Vec<NameError> {
    use NameError::*;
    let name = || text("api");
    each_variant!(NameError,
        Several { .. } => Several { name: name(), processes: Vec::new() },
        OnlyParents { .. } => OnlyParents { name: name(), processes: Vec::new() },
        Nobody { .. } => Nobody { name: name(), similar: Vec::new() },
    )
}

fn sources() -> Vec<SourceError> {
    use SourceError::*;
    let what = || text("core file x");
    let mut all = each_variant!(SourceError,
        Target { .. } => Target { what: what(), source: TargetError::Ended { pid: 7 }.into() },
        File { .. } => File { path: text("/y"), source: FileError::NotASnapshot },
        Dump { .. } => Dump { what: what(), source: Box::new(PprofError::Difference.into()) },
        Address { .. } => Address { address: text("http://h:1"), source: AddressError::NoHost },
        Io { .. } => Io { what: text("/y"), source: os(libc::ENOENT) },
        Name(_) => names().remove(0).into(),
        ProgramEnded { .. } => ProgramEnded { program: text("api"), how: text("exit status 1"), output: Vec::new() },
        Recording { .. } => Recording { path: text("/y"), source: recording::file::FileError::NotARecording },
        NotASnapshot { .. } => NotASnapshot { what: what() },
        NotATarget { .. } => NotATarget { what: what() },
        NotLive { .. } => NotLive { what: what() },
    );
    all.extend(targets().into_iter().map(|error| Target { what: what(), source: error.into() }));
    all.extend(files().into_iter().map(|source| File { path: text("/y"), source }));
    all.extend(recordings().into_iter().map(|source| Recording { path: text("/y"), source }));
    all.extend(addresses().into_iter().map(|source| Address { address: text("http://h:1"), source }));
    all.extend(names().into_iter().map(SourceError::from));
    all
}

fn sessions() -> Vec<Cause> {
    let path = || PathBuf::from("/ring/1.loiter");
    let records = each_variant!(AlbumError,
        AlbumError::Write { .. } => AlbumError::Write { path: path(), source: FileError::NotASnapshot },
        AlbumError::Remove { .. } => AlbumError::Remove { path: path(), source: os(libc::EACCES) },
    );
    let replays = each_variant!(ReplayError,
        ReplayError::Directory { .. } => ReplayError::Directory { directory: path(), source: os(libc::EACCES) },
        ReplayError::Empty { .. } => ReplayError::Empty { directory: path() },
        ReplayError::File { .. } => ReplayError::File { path: path(), source: FileError::NotASnapshot },
        ReplayError::NoReading => ReplayError::NoReading,
    );
    let mut troubles = each_variant!(Trouble,
        Trouble::Unreadable(_) => Trouble::Unreadable(Box::new(sources().remove(0))),
        Trouble::Restarted { .. } => Trouble::Restarted { pid: 7, new_pid: 8 },
        Trouble::Ended { .. } => Trouble::Ended { pid: 7, successor: Successor::Nobody, waits: true },
        Trouble::ProgramEnded { .. } => Trouble::ProgramEnded { how: None, last_line: Some(text("panic: x")) },
    );
    troubles.extend(sources().into_iter().map(|error| Trouble::Unreadable(Box::new(error))));
    let replays = replays.into_iter().map(Cause::from);
    records.into_iter().map(Cause::from).chain(replays).chain(troubles.into_iter().map(Cause::from)).collect()
}

/// The library's errors: one of each variant, with each error that it can hold.
fn all() -> Vec<Error> {
    use Error::*;
    let mut all = each_variant!(Error,
        Target(_) => TargetError::NoProcess { pid: 7 }.into(),
        NoRuntime { .. } => NoRuntime { name: text("cat"), pid: 7, looked_at: Vec::new() },
        Runtime { .. } => Runtime { runtime: text("go1.24"), source: GoError::Starting.into() },
        Starting { .. } => Starting { runtime: text("go1.24") },
        File(_) => FileError::NotASnapshot.into(),
        Recording(_) => recording::file::FileError::NotARecording.into(),
        Dump(_) => PprofError::Difference.into(),
    );
    all.extend(targets().into_iter().map(Error::from));
    all.extend(runtimes().into_iter().map(|source| Runtime { runtime: text("go1.24"), source }));
    all.extend(files().into_iter().map(Error::from));
    all.extend(recordings().into_iter().map(Error::from));
    all.extend(dumps().into_iter().map(Error::from));
    all.extend(profiles().into_iter().map(Error::from));
    all
}

#[test]
fn every_cause_is_said_once() {
    for error in all() {
        assert_said_once(&error);
    }
    for error in sources() {
        assert_said_once(&error);
    }
    for error in sessions() {
        assert_said_once(error.as_ref());
    }
}

/// A program that prints an error without its causes still says what failed.
#[test]
fn the_error_of_a_runtime_says_by_itself_what_failed() {
    for source in runtimes() {
        let cause = full_text(source.as_ref());
        let error = Error::Runtime { runtime: text("go1.24"), source };
        assert_eq!(error.to_string(), "go1.24 cannot be read");
        assert_eq!(full_text(&error), format!("go1.24 cannot be read: {cause}"));
    }
}

#[test]
fn the_chain_keeps_types_and_numbers() {
    let permission = targets().remove(2);
    assert_eq!(full_text(&permission), "process_vm_readv: EPERM (operation not permitted)");
    let error = Error::from(permission);
    assert_eq!((error.kind(), error.raw_os_error()), (ErrorKind::Permission, Some(libc::EPERM)));

    let cut = Error::from(files().remove(0));
    assert_eq!((cut.kind(), cut.raw_os_error()), (ErrorKind::Permission, Some(libc::EACCES)));

    let version = RegistryError::Version { major: 9, minor: 0, known: 1 };
    let error = Error::Runtime { runtime: text("loiter-registry"), source: version.into() };
    let source = error.source().and_then(|source| source.downcast_ref::<RegistryError>());
    assert!(matches!(source, Some(RegistryError::Version { major: 9, .. })));
    assert_eq!((error.kind(), error.raw_os_error()), (ErrorKind::NotReadable, None));

    let invalid = Error::from(files().remove(8));
    assert!(invalid.source().is_some_and(|source| source.is::<Invalid>()));
    assert_eq!(full_text(&invalid), "the snapshot is damaged: task 3: its stack does not exist");
}

#[test]
fn a_cause_that_is_in_the_text_already_is_not_repeated() {
    #[derive(Debug, thiserror::Error)]
    #[error("cannot connect: {source}")]
    struct Twice {
        source: io::Error,
    }
    let error = Twice { source: os(libc::ECONNREFUSED) };
    assert_eq!(full_text(&error), error.to_string());
}
