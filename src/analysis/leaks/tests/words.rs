//! Rules hand over data; sentences about findings are made in `report`.

use std::fs;
use std::path::{Path, PathBuf};

/// Files whose texts are not about a finding: what is known of runtimes, errors about patterns.
const OTHERS: &[&str] = &["known.rs", "ignore.rs", "wait_class.rs"];
/// Texts elsewhere that are not about a finding either: an error.
const ALLOWED: &[&str] = &["use proven, stuck, likely or suspect"];

fn sources(at: &Path, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(at).unwrap().map(|entry| entry.unwrap().path()) {
        let name = entry.file_name().unwrap().to_string_lossy().into_owned();
        if entry.is_dir() && name != "tests" {
            sources(&entry, into);
        } else if name.ends_with(".rs") && name != "tests.rs" && !OTHERS.contains(&name.as_str()) {
            into.push(entry);
        }
    }
}

/// The string literals of some source, each with the code before it. Comments and unit tests are left out.
fn literals(source: &str) -> Vec<(String, String)> {
    let source = source.split("#[cfg(test)]").next().unwrap_or_default();
    let code: Vec<&str> = source.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
    let code = code.join("\n");
    let mut parts = code.split('"');
    let mut all = Vec::new();
    while let (Some(before), Some(text)) = (parts.next(), parts.next()) {
        all.push((before.to_owned(), text.to_owned()));
    }
    all
}

/// Two words of letters beside each other.
fn is_sentence(text: &str) -> bool {
    let words: Vec<&str> = text.split_whitespace().collect();
    let is_word = |word: &str| word.len() > 1 && word.chars().all(|c| c.is_ascii_alphabetic());
    words.windows(2).any(|pair| pair.iter().all(|word| is_word(word)))
}

#[test]
fn rules_make_no_sentences() {
    let mut files = Vec::new();
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src/analysis/leaks"), &mut files);
    assert!(files.len() > 20, "{files:?}");
    let mut checks = 0;
    for file in files {
        for (before, text) in literals(&fs::read_to_string(&file).unwrap()) {
            // What a rule checks is a description of the rule, not of a finding.
            if before.contains("checks") {
                checks += 1;
            } else if !before.ends_with("reason = ") {
                let allowed = ALLOWED.contains(&text.as_str()) || !is_sentence(&text);
                assert!(allowed, "{}: {text:?} belongs to src/report/evidence", file.display());
            }
        }
    }
    assert!(checks >= super::RULES.len());
    assert!(is_sentence("none ended while watched") && !is_sentence(" (pid {})"));
}
