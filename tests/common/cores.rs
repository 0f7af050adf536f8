//! Core files of running fixtures.

use std::path::Path;
use std::process::{Command, Output};

/// gdb's gcore without its script, which not every package of gdb has.
pub fn write_core(pid: u32, path: &Path) {
    write(pid, path, &[]);
}

/// The same, when a thread is about to run the instruction at an address.
pub fn write_core_at(pid: u32, address: u64, path: &Path) {
    // Go sends its own threads signals.
    write(pid, path, &["handle all nostop noprint pass", &format!("tbreak *{address:#x}"), "continue"]);
}

fn write(pid: u32, path: &Path, before: &[&str]) {
    let mut gdb = gdb();
    gdb.args(["-p", &pid.to_string()]);
    let core = format!("gcore {}", path.display());
    for command in before.iter().copied().chain([core.as_str(), "detach"]) {
        gdb.args(["-ex", command]);
    }
    let output = run(gdb);
    assert!(output.status.success() && path.exists(), "gdb left no core file:\n{}", said(&output));
}

/// The instructions of a function as gdb shows them, each with its address.
pub fn disassemble(program: &Path, function: &str) -> Vec<(u64, String)> {
    let mut gdb = gdb();
    gdb.args(["-ex", &format!("disassemble '{function}'")]).arg(program);
    let output = run(gdb);
    let instruction = |line: &str| {
        let (address, text) = line.trim().strip_prefix("0x")?.split_once(' ')?;
        let (_, text) = text.split_once(":\t")?;
        Some((u64::from_str_radix(address, 16).ok()?, text.to_owned()))
    };
    let all: Vec<_> = String::from_utf8_lossy(&output.stdout).lines().filter_map(instruction).collect();
    assert!(!all.is_empty(), "gdb does not show {function}:\n{}", said(&output));
    all
}

fn gdb() -> Command {
    let mut gdb = Command::new("gdb");
    gdb.args(["--batch", "--nx", "-iex", "set debuginfod enabled off", "-iex", "set auto-load off"]);
    gdb
}

fn run(mut gdb: Command) -> Output {
    gdb.output().unwrap_or_else(|e| panic!("gdb: {e} (install gdb; scripts/test does)"))
}

fn said(output: &Output) -> String {
    [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text)).join("\n")
}
