//! Recordings in files: what is written is read again, and no file can do harm.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;

use loiter::code::*;
use loiter::recording::file::{self, FileError};
use loiter::recording::*;
use lz4_flex::frame::{FrameDecoder, FrameEncoder};
use proptest::prelude::*;

#[path = "recording_file/golden.rs"]
mod golden;
#[path = "recording_file/made.rs"]
mod made;
mod samples;

fn bytes(recording: &Recording) -> Vec<u8> {
    let mut bytes = Vec::new();
    file::write(recording, &mut bytes).unwrap();
    bytes
}

fn said(bytes: &[u8]) -> String {
    loiter::full_text(&file::read(bytes).unwrap_err())
}

#[test]
fn recordings_are_read_as_they_were_written() {
    for recording in [made::server(), made::profile(), Recording::default()] {
        assert_eq!(file::read(&bytes(&recording)[..]).unwrap(), recording);
    }
}

/// An hour at 99 Hz on two busy CPUs.
#[test]
fn an_hour_of_samples_is_small() {
    let rows = 712_800;
    let recording = made::long(rows);
    let bytes = bytes(&recording);
    let per_sample = bytes.len() as f64 / rows as f64;
    eprintln!("{rows} samples: {} bytes, {per_sample:.1} per sample", bytes.len());
    assert!(per_sample < 16.0, "{per_sample}");
    assert_eq!(file::read(&bytes[..]).unwrap(), recording);
}

#[test]
fn a_file_is_replaced_whole_and_only_its_owner_may_read_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.loiter");
    fs::write(&path, "something else").unwrap();
    file::save(&made::server(), &path).unwrap();
    assert_eq!(file::load(&path).unwrap(), made::server());
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o077, 0);
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1, "no temporary file is left");
}

#[test]
fn errors_say_what_is_wrong() {
    let good = bytes(&made::server());
    assert_eq!(said(b""), "not a loiter recording");
    assert_eq!(said(b"\x8bloiter\n\x01\0"), "not a loiter recording");
    let mut newer = good.clone();
    newer[8] = 3;
    assert_eq!(said(&newer), "written by a newer loiter (format 3; this one reads up to 1)");
    newer[8] = 0;
    assert_eq!(said(&newer), "the recording is damaged: format 0 does not exist");
    assert_eq!(said(&good[..40]), "the recording is cut short: it ends in its header");
    assert_eq!(said(&good[..good.len() - 1]), "the recording is cut short: it ends in its tables");
    let mut longer = good.clone();
    longer.push(0);
    assert_eq!(said(&longer), "the recording is damaged: something follows its tables");
    let error = file::load("/nonexistent".as_ref()).unwrap_err();
    assert_eq!(loiter::full_text(&error), "cannot open the file: No such file or directory (os error 2)");
}

#[test]
fn every_cut_is_noticed() {
    let good = bytes(&made::profile());
    for len in 0..good.len() {
        assert!(file::read(&good[..len]).is_err(), "{len} of {}", good.len());
    }
}

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

/// Where the tables of a file begin.
fn start_of_tables(file: &[u8]) -> usize {
    14 + u32::from_le_bytes(file[10..14].try_into().unwrap()) as usize
}

/// A file with good magic, version and header, and these tables, compressed.
fn with_tables(tables: &[u8]) -> Vec<u8> {
    let mut file = bytes(&Recording::default());
    file.truncate(start_of_tables(&file));
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
    let error = said(&with_tables(&tables));
    assert!(error.contains("the recording is too large: its table of strings"), "{error}");
}

#[test]
fn indices_out_of_range_are_refused() {
    let broken: [fn(&mut Recording); 13] = [
        |r| r.samples[0].stack = Some(StackId(9999)),
        |r| r.samples[0].whose = Whose::Task(TaskRow(9999)),
        |r| r.samples[0].thread = Some(ThreadRow(9999)),
        |r| r.samples[0].labels = Some(LabelSetId(9999)),
        |r| r.samples[0].reason = Some(StrId(9999)),
        |r| r.samples.reverse(),
        |r| r.tasks[0].runtime = 3,
        |r| r.tasks[0].creator = Some(LocationId(9999)),
        |r| r.tasks[0].entry = Some(FunctionId(9999)),
        |r| r.threads[0].name = Some(StrId(9999)),
        |r| r.code.functions[0].name = StrId(u32::MAX),
        |r| r.code.locations[0].frames.clear(),
        |r| r.code.stacks[0].locations[0] = LocationId(u32::MAX),
    ];
    for break_it in broken {
        let mut recording = made::server();
        break_it(&mut recording);
        assert!(recording.validate().is_err());
        assert!(matches!(file::write(&recording, Vec::new()), Err(FileError::Damaged { .. })));
    }
    assert_eq!(made::server().validate(), Ok(()));
}

/// A few bytes can hold many samples that share one stack of long names: each use counts.
#[test]
fn shared_text_is_charged_for_each_use() {
    let error = said(&bytes(&made::shared_text()));
    assert!(error.contains("the recording is too large: stacks and labels"), "{error}");
}

proptest! {
    #[test]
    fn any_recording_is_read_as_it_was_written(seed: Vec<(u64, u64, u8)>, texts: Vec<String>) {
        let recording = made::from_numbers(&seed, &texts);
        prop_assert_eq!(file::read(&bytes(&recording)[..]).unwrap(), recording);
    }

    #[test]
    fn a_mutated_file_is_an_error_or_a_valid_recording(
        seed in proptest::collection::vec(any::<(u64, u64, u8)>(), 1..20),
        edits in proptest::collection::vec(any::<(prop::sample::Index, u8)>(), 1..6),
    ) {
        let mut bytes = bytes(&made::from_numbers(&seed, &["a".to_owned(), "b".to_owned()]));
        for (at, value) in edits {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        if let Ok(recording) = file::read(&bytes[..]) {
            prop_assert_eq!(recording.validate(), Ok(()));
        }
    }

    /// Mutations under the compression, where no checksum stops them.
    #[test]
    fn mutated_tables_are_an_error_or_a_valid_recording(
        seed in proptest::collection::vec(any::<(u64, u64, u8)>(), 1..20),
        edits in proptest::collection::vec(any::<(prop::sample::Index, u8)>(), 0..4),
    ) {
        let good = bytes(&made::from_numbers(&seed, &["a".to_owned(), "b".to_owned()]));
        let (head, tables) = good.split_at(start_of_tables(&good));
        let mut tables = decompress(tables);
        for (at, value) in edits {
            let at = at.index(tables.len());
            tables[at] = value;
        }
        let bytes = [head, &compress(&tables)].concat();
        if let Ok(recording) = file::read(&bytes[..]) {
            prop_assert_eq!(recording.validate(), Ok(()));
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
