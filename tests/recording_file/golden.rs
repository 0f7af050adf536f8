//! Files that were written once: they are read as ever, and what is written today has the tables that are documented.
//!
//! `LOITER_BLESS=1 cargo test --test recording_file` writes the text anew, and those recordings that are not there.
//! Until the first release a recording may be deleted and so written anew; after it they stay as they are.

use std::collections::BTreeSet;
use std::env;
use std::path::Path;

use serde_json::Value;

use super::*;

fn recordings() -> [(&'static str, Recording); 2] {
    [("server", made::server()), ("profile", made::profile())]
}

fn directory() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/recordings")
}

#[test]
fn files_that_were_written_once_are_read_as_ever() {
    for (name, recording) in recordings() {
        let path = directory().join(format!("v1-{name}.loiter"));
        let bless = env::var_os("LOITER_BLESS").is_some();
        if bless && !path.exists() {
            fs::write(&path, bytes(&recording)).unwrap();
        }
        let read = file::load(&path).unwrap();
        read.validate().unwrap();
        let (text, expected) = (format!("{read:#?}\n"), path.with_extension("txt"));
        if bless {
            fs::write(&expected, &text).unwrap();
        }
        let there = fs::read_to_string(&expected).unwrap();
        assert!(there == text, "{} differs: run this test with LOITER_BLESS=1", expected.display());
        // What it is read as can be written and read again.
        assert_eq!(file::read(&bytes(&read)[..]).unwrap(), read);
    }
}

/// The header of a file, and its decompressed tables.
fn parts(file: &[u8]) -> (Value, Vec<u8>) {
    let start = start_of_tables(file);
    (serde_json::from_slice(&file[14..start]).unwrap(), decompress(&file[start..]))
}

/// A file with this header and these tables.
fn assembled(header: &Value, tables: &[u8]) -> Vec<u8> {
    let json = serde_json::to_vec(header).unwrap();
    let mut file = file::MAGIC.to_vec();
    file.extend(1_u16.to_le_bytes());
    file.extend((json.len() as u32).to_le_bytes());
    file.extend(json);
    file.extend(compress(tables));
    file
}

/// The tables that a header lists, with their columns.
fn listed(header: &Value) -> Vec<(String, Vec<String>)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let columns = |table: &Value| table["columns"].as_array().unwrap().iter().map(text).collect();
    header["tables"].as_array().unwrap().iter().map(|table| (text(&table["name"]), columns(table))).collect()
}

/// The tables in a man page, with their columns.
fn documented(page: &str) -> Vec<(String, Vec<String>)> {
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("man").join(page)).unwrap();
    let (_, tables) = page.split_once(".SH TABLES\n").unwrap();
    let (tables, _) = tables.split_once("\n.SH ").unwrap();
    let mut found: Vec<(String, Vec<String>)> = Vec::new();
    let mut begins = false;
    for line in tables.lines() {
        if let Some(name) = line.strip_prefix(".SS ") {
            found.push((name.to_owned(), Vec::new()));
        } else if let (true, Some(name), Some(table)) = (begins, line.strip_prefix(".B "), found.last_mut()) {
            table.1.push(name.to_owned());
        }
        begins = line == ".TP";
    }
    found
}

/// The page describes the tables of its own and refers to loiter-snapshot(5) for those of the code.
#[test]
fn the_man_pages_list_the_tables_that_are_written() {
    let (header, _) = parts(&bytes(&made::server()));
    assert_eq!(listed(&header), file::tables());
    let mut expected: Vec<_> = documented("loiter-snapshot.5").into_iter().take(6).collect();
    assert_eq!(expected.last().unwrap().0, "label_sets");
    expected.extend(documented("loiter-recording.5"));
    assert_eq!(expected, file::tables());
}

/// Every member of the header is in the man page.
#[test]
fn the_man_page_names_every_member_of_the_header() {
    let page =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("man/loiter-recording.5")).unwrap();
    let (header, _) = parts(&bytes(&made::server()));
    let members = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    let recording = &header["recording"];
    let mut names = [members(&header), members(recording)].concat();
    names.extend(
        [&recording["clocks"][0], &recording["coverage"], &recording["cost"]].into_iter().flat_map(members),
    );
    for name in names {
        assert!(page.contains(&format!(".B {name}\n")), "{name}");
    }
}

/// Every column of the format has something in it in one of the files: what is empty in all of them could change
/// unnoticed.
#[test]
fn no_column_is_empty_in_all_golden_files() {
    let (mut empty, mut full) = (BTreeSet::new(), BTreeSet::new());
    for (name, _) in recordings() {
        let (header, tables) = parts(&fs::read(directory().join(format!("v1-{name}.loiter"))).unwrap());
        let mut at = 0;
        for (table, columns) in listed(&header) {
            at += 8;
            for column in columns {
                let len = u64::from_le_bytes(tables[at..at + 8].try_into().unwrap()) as usize;
                let content = &tables[at + 8..at + 8 + len];
                at += 8 + len;
                let name = format!("{table}.{column}");
                if content.iter().any(|&byte| byte != 0) {
                    full.insert(name)
                } else {
                    empty.insert(name)
                };
            }
        }
        assert_eq!(at, tables.len());
    }
    let never: Vec<_> = empty.difference(&full).collect();
    assert!(never.is_empty(), "{never:?}");
}

#[test]
fn tables_and_columns_of_a_newer_loiter_are_skipped_and_said() {
    let (mut header, mut tables) = parts(&bytes(&made::server()));
    let all = header["tables"].as_array_mut().unwrap();
    // The last table gets one more column, and another table follows.
    all.last_mut().unwrap()["columns"].as_array_mut().unwrap().push("mood".into());
    all.push(serde_json::json!({"name": "dreams", "columns": ["x", "y"]}));
    header["recording"]["weather"] = "fine".into();
    tables.extend(3_u64.to_le_bytes());
    tables.extend(b"abc");
    tables.extend(1_u64.to_le_bytes());
    for column in [&b"x"[..], b""] {
        tables.extend((column.len() as u64).to_le_bytes());
        tables.extend(column);
    }
    let read = file::read(&assembled(&header, &tables)[..]).unwrap();
    let warning = "a newer loiter wrote this file: the column mood of the table of samples, the table of dreams are \
                   left out, as this loiter does not know them";
    let mut expected = made::server();
    expected.header.warnings.push(warning.to_owned());
    assert_eq!(read, expected);
}

#[test]
fn headers_that_make_no_sense_are_refused() {
    let (header, tables) = parts(&bytes(&made::server()));
    let error = |change: &dyn Fn(&mut Value)| {
        let mut header = header.clone();
        change(&mut header);
        said(&assembled(&header, &tables))
    };
    let damaged = |problem: &str| format!("the recording is damaged: {problem}");
    assert_eq!(
        error(&|h| h["format"] = "loiter-snapshot".into()),
        damaged("its header is that of something else")
    );
    assert_eq!(
        error(&|h| h["samples"] = 1.into()),
        damaged("its header and its table of samples disagree about their number")
    );
    assert_eq!(error(&|h| h["tables"] = Value::Array(Vec::new())), damaged("it has no table of strings"));
    let swapped = error(&|h| h["tables"].as_array_mut().unwrap().swap(7, 8));
    assert!(swapped.starts_with("the recording is damaged"), "{swapped}");
    let unknown = error(&|h| h["recording"]["end"] = "bored".into());
    assert!(unknown.starts_with("the recording is damaged: its header: unknown variant"), "{unknown}");
}
