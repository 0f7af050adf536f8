//! The version of Go, the program and the kind of build.

use super::arch;
use super::module::Module;
use super::names;
use crate::process::{Image, Memory, Target};
use crate::snapshot;

/// Longest version that is believed ("devel go1.28-0123456789 Mon ...").
const MAX_VERSION: usize = 256;
/// Longest module information: a line for each dependency.
const MAX_MODINFO: u64 = 4 << 20;

/// What the binary says of how it was built.
#[derive(Debug, Clone, Default)]
pub(super) struct Build {
    /// "go1.24.3"; "go" if the version is unknown.
    pub(super) version: String,
    /// 24 for go1.24.3.
    pub(super) minor: Option<u32>,
    /// Path of the main package.
    pub(super) main: String,
    /// The modules it was built from, the main one first.
    pub(super) modules: Vec<snapshot::Module>,
    /// "stripped", "pie", "cgo", "trimpath".
    pub(super) flavour: Vec<String>,
    /// Where the version was found.
    pub(super) found_in: &'static str,
}

/// Reads what the binary says of its build.
pub(super) fn read(target: &dyn Target, image: &Image, module: &Module) -> Build {
    let (version, modinfo, found_in) = from_section(target, image)
        .map(|(version, modinfo)| (version, modinfo, ".go.buildinfo"))
        .or_else(|| from_code(target, module).map(|(v, m)| (v, m, "runtime.buildVersion")))
        .unwrap_or_else(|| ("go".to_owned(), String::new(), "nowhere: unknown"));
    let mut flavour = Vec::new();
    let symbols = image.symbols().is_ok_and(|symbols| symbols.iter().any(|s| s.name.starts_with("runtime.")));
    if !symbols {
        flavour.push("stripped".to_owned());
    }
    if image.bias != 0 {
        flavour.push("pie".to_owned());
    }
    if module.pclntab.by_name("crosscall2").is_some() {
        flavour.push("cgo".to_owned());
    }
    if modinfo.lines().any(|line| line == "build\t-trimpath=true") {
        flavour.push("trimpath".to_owned());
    }
    let main = modinfo.lines().find_map(|line| line.strip_prefix("path\t")).unwrap_or("").to_owned();
    let modules = modules(&modinfo);
    Build { minor: minor(&version), version, main, modules, flavour, found_in }
}

/// The modules that the module information lists: lines `mod`, `dep` and `=>` with path, version and
/// checksum between tabs (`src/runtime/debug/mod.go`, 1.19 to 1.27). A `=>` line replaces the module
/// before it: its packages keep their names, so the path stays and the version is the new one.
fn modules(modinfo: &str) -> Vec<snapshot::Module> {
    let mut modules: Vec<snapshot::Module> = Vec::new();
    for line in modinfo.lines() {
        let mut words = line.split('\t');
        let (kind, path, version) = (words.next(), words.next(), words.next());
        let (path, version) = (path.unwrap_or(""), version.filter(|version| !version.is_empty()));
        match kind {
            Some("mod" | "dep") => {
                modules.push(snapshot::Module::new(path, version.map(str::to_owned)));
            }
            Some("=>") => {
                let Some(replaced) = modules.last_mut() else { continue };
                replaced.version = Some(snapshot::Module::new(path, version.map(str::to_owned)).to_string());
            }
            _ => {}
        }
    }
    modules
}

/// The 24 of "go1.24.3" and of "devel go1.24-0123abc".
fn minor(version: &str) -> Option<u32> {
    let rest = &version[version.find("go1.")? + 4..];
    let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
    rest[..digits].parse().ok()
}

/// `.go.buildinfo`: a header of 32 bytes, then version and module information, each with its
/// length before it (`src/debug/buildinfo/buildinfo.go`, 1.18 and later).
fn from_section(memory: &dyn Memory, image: &Image) -> Option<(String, String)> {
    const MAGIC: &[u8] = b"\xff Go buildinf:";
    const INLINE_STRINGS: u8 = 2;
    let sections = image.sections().ok()?;
    let section = sections.iter().find(|s| s.name == ".go.buildinfo")?;
    let len = section.size.min(MAX_MODINFO) as usize;
    // It never changes, so that a core file need not have it.
    let bytes = image.file.read_at(section.offset, len).or_else(|_| memory.read_vec(section.address, len));
    let bytes = bytes.ok()?;
    if !bytes.starts_with(MAGIC) || bytes.get(15)? & INLINE_STRINGS == 0 {
        return None;
    }
    let (version, rest) = prefixed(bytes.get(32..)?)?;
    let modinfo = prefixed(rest).and_then(|(text, _)| unmarked(text)).unwrap_or_default();
    let version = std::str::from_utf8(version).ok().filter(|v| v.len() <= MAX_VERSION)?;
    Some((version.to_owned(), modinfo))
}

/// Module information without the marks of 16 bytes around it, which need not be text.
fn unmarked(bytes: &[u8]) -> Option<String> {
    const MARK: usize = 16;
    let text = bytes.get(MARK..bytes.len().checked_sub(MARK)?)?;
    Some(String::from_utf8_lossy(text).into_owned())
}

/// Text with its length before it as a varint, and what follows it.
fn prefixed(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut len = 0usize;
    for (i, byte) in bytes.iter().take(5).enumerate() {
        len |= usize::from(byte & 0x7f) << (7 * i);
        if byte & 0x80 == 0 {
            let text = bytes.get(i + 1..)?;
            return (len <= text.len()).then(|| text.split_at(len));
        }
    }
    None
}

/// The variables `runtime.buildVersion` and `runtime.modinfo`, which `runtime.schedinit` uses: for binaries
/// without the section.
fn from_code(target: &dyn Target, module: &Module) -> Option<(String, String)> {
    let function = module.pclntab.by_name("runtime.schedinit")?;
    let len = function.end().saturating_sub(function.entry()).min(64 << 10);
    let code = target.read_vec(function.entry(), len as usize).ok()?;
    let references = arch::data_references(&code, function.entry());
    let string = |max| references.iter().filter_map(move |at| names::string(target, *at, max));
    let version = string(MAX_VERSION as u64).find(|s| s.starts_with("go1.") || s.starts_with("devel "))?;
    let modinfo = references
        .iter()
        .filter_map(|at| {
            let (data, len) = (target.read_u64(*at).ok()?, target.read_u64(at + 8).ok()?);
            (1..MAX_MODINFO).contains(&len).then(|| target.read_vec(data, len as usize).ok())?
        })
        .filter_map(|bytes| unmarked(&bytes))
        .find(|text| text.starts_with("path\t"));
    Some((version, modinfo.unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn minor_versions() {
        assert_eq!(minor("go1.24.3"), Some(24));
        assert_eq!(minor("go1.26.5 X:nodwarf5"), Some(26));
        assert_eq!(minor("devel go1.28-0123abc Mon Jan 1"), Some(28));
        assert_eq!(minor("go"), None);
        assert_eq!(minor("go1."), None);
    }

    #[test]
    fn modules_with_replacements() {
        let info = "path\tex.com/api/cmd\nmod\tex.com/api\t(devel)\t\ndep\tgolang.org/x/net\tv0.19.0\th1:x=\n\
                    dep\tex.com/lib\tv1.0.0\n=>\t./lib\t(devel)\t\nbuild\t-compiler=gc\n";
        let found: Vec<_> = modules(info).into_iter().map(|module| module.to_string()).collect();
        assert_eq!(found, ["ex.com/api (devel)", "golang.org/x/net v0.19.0", "ex.com/lib ./lib (devel)"]);
    }

    #[test]
    fn marks_are_cut_off() {
        assert_eq!(unmarked(b"0123456789abcdefpath\tx\n0123456789abcdef").as_deref(), Some("path\tx\n"));
        assert_eq!(unmarked(b"0123456789abcdef"), None);
    }

    #[test]
    fn prefixed_text_is_bounded() {
        assert_eq!(prefixed(b"\x03abcd"), Some((&b"abc"[..], &b"d"[..])));
        assert_eq!(prefixed(b"\x05abcd"), None);
        assert_eq!(prefixed(b"\xff\xff\xff\xff\xff\xff"), None);
    }
}
