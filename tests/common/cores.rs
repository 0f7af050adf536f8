//! Core files of running fixtures.

use std::path::Path;
use std::process::Command;

/// gdb's gcore without its script, which not every package of gdb has.
pub fn write_core(pid: u32, path: &Path) {
    let output = Command::new("gdb")
        .args(["--batch", "--nx", "-p", &pid.to_string()])
        .args(["-iex", "set debuginfod enabled off"])
        .args(["-iex", "set auto-load off"])
        .args(["-ex", &format!("gcore {}", path.display()), "-ex", "detach"])
        .output()
        .unwrap_or_else(|e| panic!("gdb: {e} (install gdb; scripts/test does)"));
    assert!(
        output.status.success() && path.exists(),
        "gdb left no core file:\n{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}
