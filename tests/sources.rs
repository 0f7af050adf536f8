//! Every kind of source, as it is and compressed, from files and from standard input, through the real
//! binary; and servers that mean ill.
#![allow(clippy::unwrap_used, missing_docs, reason = "a test may panic")]

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread;

use flate2::Compression;
use flate2::write::GzEncoder;
use loiter::snapshot::file;

mod samples;

fn loiter(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_loiter"));
    command.args(arguments).env("NO_PROXY", "127.0.0.1");
    command
}

fn stacks(source: &str) -> Output {
    loiter(&["stacks", source]).output().unwrap()
}

fn stdout(output: &Output) -> String {
    assert!(output.status.success(), "{}", stderr(output));
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn from_stdin(bytes: &[u8]) -> Output {
    let mut child = loiter(&["stacks", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // It may find out that this is nothing for it before it has read all.
    let _ = child.stdin.take().unwrap().write_all(bytes);
    child.wait_with_output().unwrap()
}

fn gz(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zst(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 3).unwrap()
}

fn fixture(name: &str) -> Vec<u8> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fixtures/dumps").join(name);
    fs::read(path).unwrap()
}

fn write(directory: &Path, name: &str, bytes: &[u8]) -> String {
    let path = directory.join(name);
    fs::write(&path, bytes).unwrap();
    path.to_str().unwrap().to_owned()
}

/// A report without its first lines, which name the source.
fn body(text: &str) -> &str {
    text.split_once("\n\n").unwrap().1
}

#[test]
fn compressed_by_content_not_by_name() {
    let directory = tempfile::tempdir().unwrap();
    let mut snapshot = Vec::new();
    file::write(&samples::server(), &mut snapshot).unwrap();
    let kinds = [
        ("snapshot", snapshot),
        ("debug1", fixture("go1.22-debug1.txt")),
        ("debug2", fixture("go1.22-debug2.txt")),
        ("log", fixture("docker-json.log")),
    ];
    for (kind, bytes) in kinds {
        let plain = stdout(&stacks(&write(directory.path(), "plain.gz", &bytes)));
        for (packed, name) in [(gz(&bytes), "a"), (zst(&bytes), "b.txt"), (zst(&gz(&bytes)), "c.log")] {
            let read = stdout(&stacks(&write(directory.path(), name, &packed)));
            assert_eq!(body(&read), body(&plain), "{kind}");
            assert_eq!(body(&stdout(&from_stdin(&packed))), body(&plain), "{kind}");
        }
        assert_eq!(body(&stdout(&from_stdin(&bytes))), body(&plain), "{kind}");
    }
}

#[test]
fn a_dump_is_kept_as_a_snapshot() {
    let directory = tempfile::tempdir().unwrap();
    let path = write(directory.path(), "crash.log", &fixture("cri.log"));
    let output = loiter(&["snapshot", &path]).current_dir(&directory).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    let told = stderr(&output);
    assert!(told.contains("crash.log (dump, go): 8 goroutines, printed by the program itself -> crash.log-"));
    assert!(told.contains("warning: the program printed: panic: "), "{told}");
    let kept = directory.path().join("crash.log-20261121T100000Z.loiter");
    let (read, again) = (stdout(&stacks(&path)), stdout(&stacks(kept.to_str().unwrap())));
    assert_eq!(read, again);
    assert!(read.contains("taken 2026-11-21 10:00:00 UTC"), "{read}");
}

/// The first words of the file's header are enough: of the rest nothing is believed.
#[test]
fn a_file_of_perf_is_refused_with_what_helps() {
    let directory = tempfile::tempdir().unwrap();
    let header = |magic: &[u8]| [magic, &104_u64.to_le_bytes(), &[0xff; 200]].concat();
    let refused = ": a perf.data file, which loiter does not read: `loiter record` samples a process itself, and \
                   perf_to_profile (github.com/google/perf_data_converter) makes a pprof profile of the file, \
                   which loiter reads\n";
    for bytes in [header(b"PERFILE2"), header(b"2ELIFREP"), b"PERFILE2".to_vec(), gz(&header(b"PERFILE2"))] {
        let path = write(directory.path(), "perf.data", &bytes);
        let commands: [&[&str]; 5] = [
            &["stacks", &path],
            &["flame", &path, "-o", "x.svg"],
            &["convert", &path, "x.pb.gz"],
            &["leaks", &path],
            &["diff", &path, &path],
        ];
        for command in commands {
            let output = loiter(command).current_dir(&directory).output().unwrap();
            assert_eq!(output.status.code(), Some(2), "{command:?}");
            assert_eq!(stderr(&output), format!("loiter: {path}{refused}"), "{command:?}");
        }
    }
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1, "nothing is written");
}

#[test]
fn what_is_no_source() {
    let directory = tempfile::tempdir().unwrap();
    for (bytes, problem) in [
        (&b"hello\n"[..], "no goroutine was found: its first line is \"hello\""),
        (b"", "no goroutine was found: it is empty"),
        (b"\x00\x01\x02\x03", "no goroutine was found: it is not text"),
        (b"<!DOCTYPE html>\n<p>", "no goroutine was found: it is a page of HTML"),
        (b"\x1b[2Jevil", "its first line is \"\\x1b[2Jevil\""),
        (&gz(b"hello\n"), "its first line is \"hello\""),
        (&gz(&[b'a'; 100_000])[..60], "corrupt"),
        (&zst(&vec![b'\n'; 80 << 20]), "times as large when it is decompressed"),
        (
            b"goroutine profile: total 99999999999\n99999999999 @ 0x1\n",
            "counts 99999999999 goroutines, more than",
        ),
        (b"--- mutex:\ncycles/second=1\n", "a profile of mutex, not of goroutines"),
    ] {
        let output = stacks(&write(directory.path(), "file", bytes));
        assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
        let lower = stderr(&output).to_lowercase();
        let found =
            lower.contains(&problem.to_lowercase()) || problem == "corrupt" && lower.contains("file: ");
        assert!(found, "{problem}: {}", stderr(&output));
        assert!(!stderr(&output).contains('\x1b'));
        assert_eq!(output.stdout, b"");
    }
    // A number is a pid, but not with a path.
    write(directory.path(), "4194305", &fixture("go1.22-debug2.txt"));
    let output = loiter(&["stacks", "4194305"]).current_dir(&directory).output().unwrap();
    assert_eq!(output.status.code(), Some(4));
    let output = loiter(&["stacks", "./4194305"]).current_dir(&directory).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
}

/// Answers every request with these bytes.
fn serve(answer: &'static [u8]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        let one = |mut stream: TcpStream| {
            let mut request = [0; 4096];
            let _ = stream.read(&mut request);
            let _ = stream.write_all(answer);
        };
        listener.incoming().map_while(Result::ok).for_each(one);
    });
    format!("http://{address}")
}

#[test]
fn servers_that_mean_ill() {
    for (answer, problem) in [
        (&b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\nx"[..], "larger than 1024 MiB"),
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\ngoroutine 1 [running]:\n",
            "broke off after 23 of 100",
        ),
        (b"HTTP/1.1 302 Found\r\nConnection: close\r\nLocation: /\r\nContent-Length: 0\r\n\r\n", "redirected more than 5 times"),
        (b"HTTP/1.1 302 Found\r\nConnection: close\r\nLocation: ftp://127.0.0.1/x\r\nContent-Length: 0\r\n\r\n", "ftp"),
        (
            b"HTTP/1.1 302 Found\r\nConnection: close\r\nLocation: file:///etc/passwd\r\nContent-Length: 0\r\n\r\n",
            "redirected to file:///etc/passwd",
        ),
        (b"HTTP/1.1 500 Oops\r\nContent-Length: 5\r\n\r\n\x1b[2Jx", "the server says 500: \\x1b[2Jx"),
        (b"HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n", "user and password go into the address"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", "no goroutine was found"),
        (b"\x16\x03\x01", "http parse"),
        (b"", "disconnected"),
    ] {
        let output = stacks(&serve(answer));
        assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0), "{}", stderr(&output));
        assert!(stderr(&output).contains(problem), "{problem}: {}", stderr(&output));
        assert!(!stderr(&output).contains("root:") && !stderr(&output).contains('\x1b'));
    }
    // A password does not come back, whatever goes wrong.
    let address =
        serve(b"HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n").replace("http://", "http://me:secret@");
    let output = stacks(&address);
    assert!(!stderr(&output).contains("secret"), "{}", stderr(&output));
    // https where there is none.
    let output = stacks(&serve(b"HTTP/1.1 400 Bad Request\r\n\r\n").replace("http://", "https://"));
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
}

#[test]
fn bodies_may_be_compressed() {
    const BODY: &[u8] = b"goroutine profile: total 2\n2 @ 0x11\n#\t0x10\tmain.f+0x1\t/src/x.go:3\n";
    let packed = gz(BODY);
    let head =
        format!("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {}\r\n\r\n", packed.len());
    let answer: &'static [u8] = [head.into_bytes(), packed].concat().leak();
    let text = stdout(&stacks(&format!("{}/saved/profile.gz", serve(answer))));
    assert!(text.contains("2 goroutines") && text.contains("main.f"), "{text}");
}
