//! What a person at a terminal gets: a report that fits, a pager, completion.
#![allow(clippy::unwrap_used, missing_docs, reason = "a test may panic")]

use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use loiter::snapshot::file;

#[path = "common/pty.rs"]
mod pty;
mod samples;

const LOITER: &str = env!("CARGO_BIN_EXE_loiter");

/// A directory with a snapshot, api.loiter.
fn directory() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    file::save(&samples::convoy(), &directory.path().join("api.loiter")).unwrap();
    file::save(&samples::server(), &directory.path().join("server.loiter")).unwrap();
    directory
}

/// What loiter writes to a terminal of 80 columns and 24 lines, without colours.
fn on_terminal(here: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> String {
    let mut command = Command::new(LOITER);
    command.args(["--color", "never"]).args(arguments).current_dir(here);
    command.env_remove("PAGER").env_remove("LOITER_PAGER").env_remove("LESS").envs(variables.iter().copied());
    let (mut child, mut ours, its) = pty::start(command, 80, 24);
    drop(its);
    let mut bytes = Vec::new();
    // A terminal whose other side is gone reads as an error.
    let _ = ours.read_to_end(&mut bytes);
    assert!(child.wait().unwrap().success());
    String::from_utf8(bytes).unwrap().replace("\r\n", "\n")
}

fn in_pipe(here: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> String {
    let output = Command::new(LOITER)
        .args(arguments)
        .current_dir(here)
        .envs(variables.iter().copied())
        .output()
        .unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_report_fits_the_screen_unless_all_is_asked_for() {
    let directory = directory();
    let here = directory.path();
    let fits = on_terminal(here, &["stacks", "api.loiter"], &[]);
    assert!(fits.lines().count() < 24, "{fits}");
    assert!(fits.contains("(--full shows all)"), "{fits}");
    let full = on_terminal(here, &["stacks", "api.loiter", "--full"], &[]);
    assert!(full.lines().count() > 60 && !full.contains("shows all)"), "{full}");
    let one = on_terminal(here, &["stacks", "api.loiter", "--short"], &[]);
    assert!(one.lines().count() < 24 && one.lines().all(|line| line.chars().count() <= 80), "{one}");
    // What is asked for is shown, whatever the screen is like.
    let ten = on_terminal(here, &["stacks", "api.loiter", "--limit", "10"], &[]);
    assert!(ten.contains("8 groups more"), "{ten}");
    // Of stacks that are not the program's the frames that say little are left out.
    let short = on_terminal(here, &["stacks", "server.loiter", "--limit", "0"], &[]);
    assert!(short.contains("        … 2 frames\n        net/http.(*connReader).backgroundRead"), "{short}");
    // In a pipe all is there.
    let piped = in_pipe(here, &["stacks", "api.loiter"], &[]);
    assert!(!piped.contains("shows all)") && !piped.contains("… "), "{piped}");
    assert_eq!(piped.matches("sync.(*Mutex).Lock").count(), full.matches("sync.(*Mutex).Lock").count());
}

#[test]
fn long_text_goes_through_the_pager_that_is_set() {
    let directory = directory();
    let here = directory.path();
    let upper = [("LOITER_PAGER", "tr a-z A-Z"), ("PAGER", "false")];
    let paged = on_terminal(here, &["stacks", "api.loiter"], &upper);
    assert!(paged.contains("GOROUTINES IN 18 GROUPS") && !paged.contains("SHOWS ALL)"), "{paged}");
    for (arguments, variables) in [
        (vec!["stacks", "api.loiter", "--no-pager"], &upper[..]),
        // It is short.
        (vec!["stacks", "api.loiter", "--limit", "1"], &upper[..]),
        (vec!["stacks", "api.loiter"], &[("PAGER", "cat")][..]),
        (vec!["stacks", "api.loiter", "--full"], &[("PAGER", "/no/such/pager 2>/dev/null")][..]),
    ] {
        let text = on_terminal(here, &arguments, variables);
        assert!(text.contains("goroutines in 18 groups"), "{arguments:?}: {text}");
    }
    // Who stops reading is no error.
    assert_eq!(
        on_terminal(here, &["stacks", "api.loiter", "--full"], &[("PAGER", "head -n 2")]).lines().count(),
        2
    );
    // Scripts get no pager.
    assert!(in_pipe(here, &["stacks", "api.loiter"], &upper).contains("goroutines in 18 groups"));
}

/// What bash completes at the end of a line.
fn completed(here: &Path, line: &[&str]) -> Vec<String> {
    let script = r#"
        source <(loiter completions bash)
        COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
        _loiter_sources loiter "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD-1]}" 2>/dev/null
        printf '%s\n' "${COMPREPLY[@]}"
    "#;
    let path = format!("{}:/usr/bin:/bin", Path::new(LOITER).parent().unwrap().display());
    let mut command = Command::new("bash");
    let output = command.args(["-c", script, "bash"]).args(line).current_dir(here).env("PATH", path).output();
    String::from_utf8(output.unwrap().stdout).unwrap().lines().map(|line| line.trim().to_owned()).collect()
}

#[test]
fn bash_completes_processes_files_and_values() {
    let directory = directory();
    let here = directory.path();
    // A process that can be read: the server of the tour.
    let mut server = Command::new(LOITER);
    server.args(["demo", "--serve"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut server = server.spawn().unwrap();
    let mut ready = [0; 5];
    server.stdout.take().unwrap().read_exact(&mut ready).unwrap();
    let pid = server.id().to_string();
    // A process that does not answer in time is left out, and a slow machine may need longer than that.
    let completed_with = |line: &[&str], wanted: &str| {
        let mut found = completed(here, line);
        let begin = Instant::now();
        while !found.iter().any(|text| text == wanted) && begin.elapsed() < Duration::from_secs(120) {
            found = completed(here, line);
        }
        found
    };
    let sources = completed_with(&["loiter", "stacks", ""], &pid);
    let is_there = |wanted: &str| assert!(sources.iter().any(|text| text == wanted), "{wanted}: {sources:?}");
    is_there(&pid);
    is_there("loiter");
    is_there("api.loiter");
    assert_eq!(completed_with(&["loiter", "diff", "api.loiter", &pid], &pid), [pid.as_str()]);
    drop(server.stdin.take());
    server.wait().unwrap();

    let values = |line: &[&str]| completed(here, line).join(" ");
    assert_eq!(values(&["loiter", "stacks", "--state", "runn"]), "running runnable");
    assert_eq!(values(&["loiter", "stacks", "--group-by", "wai"]), "waits-on");
    assert_eq!(values(&["loiter", "leaks", "--fail-on", "li"]), "likely");
    assert_eq!(values(&["loiter", "stacks", "--shor"]), "--short");
    assert_eq!(values(&["loiter", "flame", "--exe", "api"]), "api.loiter");
    assert_eq!(values(&["loiter", "sta"]), "stacks");
}
