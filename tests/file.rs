//! Snapshot files: what is written is read again, and no file can do harm.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;

use loiter::snapshot::file::{self, FileError};
use loiter::snapshot::*;
use lz4_flex::frame::{FrameDecoder, FrameEncoder};
use proptest::prelude::*;

#[path = "file/golden.rs"]
mod golden;
mod samples;

fn bytes(snapshot: &Snapshot) -> Vec<u8> {
    let mut bytes = Vec::new();
    file::write(snapshot, &mut bytes).unwrap();
    bytes
}

#[test]
fn samples_are_read_as_they_were_written() {
    let samples = [samples::server(), samples::convoy(), samples::hostile(), samples::many(60_000)];
    for snapshot in samples.into_iter().chain([Snapshot::default()]) {
        let bytes = bytes(&snapshot);
        assert_eq!(file::read(&bytes[..]).unwrap(), snapshot);
        let preview = file::preview(&bytes[..]).unwrap();
        assert_eq!((preview.header, preview.tasks), (snapshot.header.clone(), snapshot.task_count()));
    }
}

#[test]
fn a_file_is_replaced_whole_and_only_its_owner_may_read_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.loiter");
    fs::write(&path, "something else").unwrap();
    file::save(&samples::server(), &path).unwrap();
    assert_eq!(file::load(&path).unwrap(), samples::server());
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o077, 0);
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1, "no temporary file is left");
}

#[test]
fn a_link_stays_a_link_and_a_device_a_device() {
    let directory = tempfile::tempdir().unwrap();
    let (path, link) = (directory.path().join("a.loiter"), directory.path().join("link"));
    fs::write(&path, "").unwrap();
    std::os::unix::fs::symlink(&path, &link).unwrap();
    file::save(&samples::server(), &link).unwrap();
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(file::load(&path).unwrap(), samples::server());
    file::save(&samples::server(), "/dev/null".as_ref()).unwrap();
    assert!(!fs::metadata("/dev/null").unwrap().is_file());
}

#[test]
fn errors_say_what_is_wrong() {
    let error = |bytes: &[u8]| loiter::full_text(&file::read(bytes).unwrap_err());
    let good = bytes(&samples::server());
    assert_eq!(error(b""), "not a loiter snapshot");
    assert_eq!(error(b"goroutine 1 [running]:\n"), "not a loiter snapshot");
    let mut newer = good.clone();
    newer[8] = 3;
    assert_eq!(error(&newer), "written by a newer loiter (format 3; this one reads up to 1)");
    assert_eq!(error(&good[..40]), "the snapshot is cut short: it ends in its header");
    assert_eq!(error(&good[..good.len() - 1]), "the snapshot is cut short: it ends in its tables");
    let mut longer = good.clone();
    longer.push(0);
    assert_eq!(error(&longer), "the snapshot is damaged: something follows its tables");
    let error = file::load("/nonexistent".as_ref()).unwrap_err();
    assert_eq!(loiter::full_text(&error), "cannot open the file: No such file or directory (os error 2)");
}

/// A small file, with one task.
fn small() -> Vec<u8> {
    let mut maker = samples::Maker::new();
    let stack = maker.stack(&[samples::GOPARK]);
    let task = maker.waiting(1, "select", Age::Unknown, stack);
    maker.builder.task(task);
    bytes(&maker.finish())
}

#[test]
fn every_cut_is_noticed() {
    let good = small();
    for len in 0..good.len() {
        assert!(file::read(&good[..len]).is_err(), "{len} of {}", good.len());
    }
}

#[test]
fn every_flipped_bit_of_the_tables_is_noticed() {
    let good = small();
    let start = 14 + u32::from_le_bytes(good[10..14].try_into().unwrap()) as usize;
    for bit in start * 8..good.len() * 8 {
        let mut bad = good.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        assert!(file::read(&bad[..]).is_err(), "bit {bit} of {}", good.len() * 8);
    }
}

/// One LZ4 frame.
fn compress(tables: &[u8]) -> Vec<u8> {
    let mut out = FrameEncoder::new(Vec::new());
    out.write_all(tables).unwrap();
    out.finish().unwrap()
}

fn decompress(tables: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    FrameDecoder::new(tables).read_to_end(&mut out).unwrap();
    out
}

/// A file with good magic, version and header, and these tables, compressed.
fn with_tables(tables: &[u8]) -> Vec<u8> {
    let mut file = bytes(&Snapshot::default());
    let header = u32::from_le_bytes(file[10..14].try_into().unwrap()) as usize;
    file.truncate(14 + header);
    file.extend(compress(tables));
    file
}

#[test]
fn counts_beyond_what_is_there_are_refused() {
    let enormous = u64::MAX.to_le_bytes();
    let rows = [&enormous[..], &[0; 16]].concat();
    let column = [&[0; 8][..], &enormous].concat();
    for tables in [rows, column] {
        let error = file::read(&with_tables(&tables)[..]).unwrap_err();
        assert!(matches!(error, FileError::Damaged { .. }), "{error}");
    }
}

#[test]
fn a_bomb_is_refused() {
    // 128 MiB of zeros in half a MiB: one enormous column of string lengths, and no text.
    let len = 128_u64 << 20;
    let mut tables = Vec::new();
    tables.extend(len.to_le_bytes());
    tables.extend(len.to_le_bytes());
    tables.resize(16 + len as usize + 8, 0);
    let error = file::read(&with_tables(&tables)[..]).unwrap_err();
    assert!(error.to_string().contains("too large: its table of strings"), "{error}");

    // A column that claims more than so few bytes can hold.
    let tables = [1_u64.to_le_bytes(), len.to_le_bytes()].concat();
    let error = file::read(&with_tables(&tables)[..]).unwrap_err();
    assert!(loiter::full_text(&error).contains("absurdly long"), "{error}");
}

#[test]
fn indices_out_of_range_are_refused() {
    let broken: [fn(&mut Snapshot); 10] = [
        |s| s.tasks[0].stack = Some(StackId(9999)),
        |s| s.tasks[0].reason = Some(StrId(9999)),
        |s| s.tasks[0].runtime = 3,
        |s| s.tasks[0].waits = Span { start: u32::MAX, len: u32::MAX },
        |s| s.code.functions[0].name = StrId(u32::MAX),
        |s| s.code.locations[0].frames.clear(),
        |s| s.code.stacks[0].locations[0] = LocationId(u32::MAX),
        |s| s.waits[0].object = ObjectId(u32::MAX),
        |s| s.holds[0].object = ObjectId(u32::MAX),
        // Each holds what all others hold.
        |s| {
            s.holds = vec![s.holds[0]; 1 << 20];
            s.tasks.iter_mut().for_each(|task| task.holds = Span { start: 0, len: 1 << 20 });
        },
    ];
    for break_it in broken {
        let mut snapshot = samples::convoy();
        break_it(&mut snapshot);
        assert!(snapshot.validate().is_err());
        assert!(matches!(file::write(&snapshot, Vec::new()), Err(FileError::Damaged { .. })));
    }
    assert_eq!(samples::server().validate(), Ok(()));
}

proptest! {
    #[test]
    fn any_snapshot_is_read_as_it_was_written(seed: Vec<(u64, u64, u8)>, texts: Vec<String>) {
        let snapshot = samples::from_numbers(&seed, &texts);
        prop_assert_eq!(file::read(&bytes(&snapshot)[..]).unwrap(), snapshot);
    }

    #[test]
    fn a_mutated_file_is_an_error_or_a_valid_snapshot(
        seed in proptest::collection::vec(any::<(u64, u64, u8)>(), 1..20),
        edits in proptest::collection::vec(any::<(prop::sample::Index, u8)>(), 1..6),
    ) {
        let mut bytes = bytes(&samples::from_numbers(&seed, &["a".to_owned(), "b".to_owned()]));
        for (at, value) in edits {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        if let Ok(snapshot) = file::read(&bytes[..]) {
            prop_assert_eq!(snapshot.validate(), Ok(()));
        }
    }

    /// Mutations under the compression, where no checksum stops them.
    #[test]
    fn mutated_tables_are_an_error_or_a_valid_snapshot(
        seed in proptest::collection::vec(any::<(u64, u64, u8)>(), 1..20),
        edits in proptest::collection::vec(any::<(prop::sample::Index, u8)>(), 0..4),
    ) {
        let good = bytes(&samples::from_numbers(&seed, &["a".to_owned(), "b".to_owned()]));
        let header = u32::from_le_bytes([good[10], good[11], good[12], good[13]]) as usize;
        let (head, tables) = good.split_at(14 + header);
        let mut tables = decompress(tables);
        for (at, value) in edits {
            let at = at.index(tables.len());
            tables[at] = value;
        }
        let bytes = [head, &compress(&tables)].concat();
        if let Ok(snapshot) = file::read(&bytes[..]) {
            prop_assert_eq!(snapshot.validate(), Ok(()));
        }
    }

    #[test]
    fn random_tables_are_an_error(tables: Vec<u8>) {
        prop_assert!(file::read(&with_tables(&tables)[..]).is_err());
    }

    #[test]
    fn random_bytes_are_an_error(bytes: Vec<u8>) {
        prop_assert!(file::read(&bytes[..]).is_err());
    }
}
