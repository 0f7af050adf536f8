//! The commands in the README are ones that this loiter has.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;
use std::process::Command;

/// Lines of code blocks that a reader may type, without their prompt.
fn commands(readme: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut block: Option<&str> = None;
    for line in readme.lines() {
        if let Some(language) = line.trim_start().strip_prefix("```") {
            block = if block.is_some() { None } else { Some(language.trim()) };
            continue;
        }
        let typed = match block {
            Some("sh" | "bash" | "shell") => Some(line),
            Some("console" | "text" | "") => line.strip_prefix("$ ").or_else(|| line.strip_prefix("# ")),
            _ => None,
        };
        // Comments, and what stands behind a pipe or a redirection, are not ours.
        let Some(typed) = typed.and_then(|line| line.split(" #").next()) else { continue };
        found.extend(typed.split(['|', ';', '>', '&', '<']).map(|part| part.trim().to_owned()));
    }
    found.retain(|command| !command.is_empty());
    found
}

fn help(arguments: &[&str]) -> Option<String> {
    let output = Command::new(env!("CARGO_BIN_EXE_loiter")).args(arguments).arg("--help").output().unwrap();
    output.status.success().then(|| String::from_utf8(output.stdout).unwrap())
}

#[test]
fn commands_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let readme = fs::read_to_string(root.join("README.md")).unwrap();
    let mut checked = 0;
    for command in commands(&readme) {
        let mut words = command.split_whitespace().skip_while(|word| *word == "sudo" || word.contains('='));
        let Some(program) = words.next() else { continue };
        let arguments: Vec<&str> = words.collect();
        if program.starts_with("scripts/") || program.starts_with("./scripts/") || program == ".ci/run" {
            assert!(root.join(program).exists(), "{command}: there is no such script");
        }
        if !(program == "loiter" || program.ends_with("/loiter")) {
            continue;
        }
        let subcommand = arguments.first().filter(|word| !word.starts_with('-'));
        let help = help(subcommand.as_slice().iter().map(|word| **word).collect::<Vec<_>>().as_slice())
            .unwrap_or_else(|| panic!("`{command}`: loiter has no such command"));
        for flag in arguments.iter().filter(|word| word.starts_with("--") && word.len() > 2) {
            let name = flag.split('=').next().unwrap();
            assert!(help.contains(name), "`{command}`: there is no {name}");
        }
        checked += 1;
    }
    assert!(checked > 0, "the README shows no command");
}
