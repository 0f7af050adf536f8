//! Functions, files and lines of native code, from samples of small programs that are built here.

#![allow(clippy::unwrap_used, missing_docs, reason = "a test may panic")]

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use loiter::__test::symbols::lines::Lines;
use loiter::__test::symbols::types::{Machine, Types};
use loiter::code::CodeBuilder;
use loiter::process::{self, Image};
use loiter::runtimes::NativeStacks;
use loiter::sampler::usage::CpuTime;
use loiter::sampler::{Record, Sampler, SamplerOptions};

const C: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/native_lines/program.c");
const RUST: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/native_lines/program.rs");
/// Samples of one program.
const SAMPLES: usize = 200;

/// A folder for the files of one test, empty.
fn folder(name: &str) -> PathBuf {
    let folder =
        Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("native-lines-{}-{name}", std::process::id()));
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

fn run(command: &mut Command) {
    assert!(command.status().unwrap().success(), "{command:?}");
}

fn compile_c(options: &[&str], out: &Path) {
    run(Command::new("cc").args(["-O1", "-o"]).arg(out).args(options).arg(C));
}

fn compile_rust(options: &[&str], out: &Path) {
    let compiler = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    run(Command::new(compiler)
        .args(["-g", "-Copt-level=1", "--edition=2024", "-o"])
        .arg(out)
        .args(options)
        .arg(RUST));
}

fn strip(program: &Path) {
    run(Command::new("strip").arg(program));
}

/// Moves the debug information of a program to another file, and links to it by the file's name.
fn separate(program: &Path, to: &Path) {
    run(Command::new("objcopy").arg("--only-keep-debug").arg(program).arg(to));
    strip(program);
    let mut link = std::ffi::OsString::from("--add-gnu-debuglink=");
    link.push(to);
    run(Command::new("objcopy").arg(link).arg(program));
}

/// The program, running. It is killed in the end.
struct Program(Child);

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Name, file, line.
type Frame = (String, String, u32);

/// For each sample of a program in its own code, the frames of the stack, innermost first, those of one location in
/// one list.
fn samples(program: &Path, argument: &str) -> Vec<Vec<Vec<Frame>>> {
    let mut child = Command::new(program).arg(argument).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let program = Program(child);
    assert_eq!(line, "ready\n");
    // It may get no CPU just when it has said so; after some milliseconds of its own it is in its loop.
    let used = || CpuTime::of(program.0.id()).unwrap().total_ns;
    let begun = used();
    while used() < begun + 20_000_000 {
        std::thread::sleep(Duration::from_millis(1));
    }
    let target = process::open_pid(program.0.id()).unwrap();
    let mut native = NativeStacks::new(target.as_ref()).unwrap();
    let mut code = CodeBuilder::new();
    let options = SamplerOptions { rate_hz: 999, kernel: false, ..SamplerOptions::default() };
    let mut sampler = Sampler::attach(program.0.id(), &options).unwrap();
    let mut found = Vec::new();
    while found.len() < SAMPLES {
        sampler.wait(Duration::from_millis(10));
        sampler.drain(&mut |record| {
            let Record::Sample { moment, .. } = record else { return };
            if !moment.in_kernel {
                found.push(native.stack(&moment, &mut code).0);
            }
        });
    }
    native.finish(&mut code);
    assert_eq!(code.warnings(), [""; 0]);
    let code = code.finish();
    let frames = |id: &loiter::code::LocationId| {
        let frame = |frame: &loiter::code::Frame| {
            (code.function_name(frame.function).to_owned(), code.str(frame.file).to_owned(), frame.line)
        };
        code.locations[id.index()].frames.iter().map(frame).collect()
    };
    found.into_iter().map(|stack| stack.iter().map(frames).collect()).collect()
}

/// The line of a source file that ends with a mark.
fn marked(source: &str, mark: &str) -> u32 {
    let text = std::fs::read_to_string(source).unwrap();
    let at = text.lines().position(|line| line.ends_with(&format!("// {mark}"))).unwrap();
    at as u32 + 1
}

/// All innermost frames are in `burn` or in what was inlined into it, at their lines.
fn check_lines(all: &[Vec<Vec<Frame>>], source: &str, function: &str, inlined: &str) {
    let (in_step, call) = (marked(source, "inlined"), marked(source, "call"));
    let mut inlined_samples = 0;
    for stack in all {
        let location = &stack[0];
        let (name, file, line) = location.last().unwrap();
        assert_eq!((name.as_str(), file.as_str()), (function, source), "{location:?}");
        // The loop is the line before the call.
        assert!(*line == call || *line + 1 == call, "{location:?}");
        if let Some((name, file, line)) = location.iter().rev().nth(1) {
            assert_eq!((name.as_str(), file.as_str(), *line), (inlined, source, in_step), "{location:?}");
            inlined_samples += 1;
        }
    }
    // Half of the loop's instructions are inlined. The processor decides at which it is interrupted: at these in a tenth of the
    // samples on some machines.
    assert!(inlined_samples * 32 > all.len(), "{inlined_samples} of {}", all.len());
}

#[test]
fn lines_of_c() {
    let folder = folder("c");
    let program = folder.join("program");
    let split = ["-gsplit-dwarf", "-gdwarf-5"];
    for options in [["-g", "-gdwarf-5"], ["-g", "-gdwarf-4"], ["-g", "-gz=zlib"], split] {
        compile_c(&options, &program);
        check_lines(&samples(&program, "burn"), C, "burn", "step");
    }
    assert!(
        std::fs::read_dir(&folder)
            .unwrap()
            .any(|file| file.unwrap().path().extension() == Some("dwo".as_ref()))
    );
}

#[test]
fn lines_of_rust() {
    check_rust(&[]);
}

/// The entries of units in one package, and in one object each.
#[test]
fn lines_of_rust_in_other_files() {
    check_rust(&["-Csplit-debuginfo=packed"]);
    check_rust(&["-Csplit-debuginfo=unpacked"]);
    check_rust(&["-Csplit-debuginfo=packed", "-Cdwarf-version=5"]);
    check_rust(&["-Csplit-debuginfo=unpacked", "-Cdwarf-version=5"]);
}

fn check_rust(more: &[&str]) {
    let program = folder(&format!("rust{}", more.concat())).join("program");
    compile_rust(more, &program);
    let all = samples(&program, "burn");
    let (in_step, call) = (marked(RUST, "inlined"), marked(RUST, "call"));
    let (mut inlined, mut without) = (0, 0);
    for stack in &all {
        let outwards: Vec<_> = stack[0].iter().rev().collect();
        let (name, file, line) = outwards[0];
        assert_eq!((name.as_str(), file.as_str()), ("program::burn", RUST));
        // The compiler says of a few instructions that they belong to no line.
        if *line == 0 {
            without += 1;
            continue;
        }
        assert!(*line == call || *line + 1 == call, "{outwards:?}");
        // Inner ones are of the standard library.
        if let Some((name, file, line)) = outwards.get(1) {
            assert_eq!((name.as_str(), file.as_str(), *line), ("program::step", RUST, in_step));
            inlined += 1;
        }
        assert!(stack[1..].iter().flatten().any(|(name, ..)| name == "program::main"), "{stack:?}");
    }
    assert!(without * 4 < all.len(), "{without} of {} without a line", all.len());
    assert!(inlined * 32 > all.len(), "{inlined} of {}", all.len());
}

#[test]
fn lines_from_a_separate_file() {
    let folder = folder("separate");
    let program = folder.join("program");
    let other = folder.join(".debug");
    std::fs::create_dir(&other).unwrap();
    for (build_id, place) in [
        ("-Wl,--build-id=sha1", folder.join("program.debug")),
        ("-Wl,--build-id=none", other.join("program.debug")),
    ] {
        compile_c(&["-g", build_id], &program);
        separate(&program, &place);
        check_lines(&samples(&program, "burn"), C, "burn", "step");
        std::fs::remove_file(place).unwrap();
    }
}

#[test]
fn a_file_of_another_program_is_not_believed() {
    let folder = folder("other");
    let (program, debug) = (folder.join("program"), folder.join("program.debug"));
    for build_id in ["-Wl,--build-id=sha1", "-Wl,--build-id=none"] {
        compile_c(&["-g", build_id], &program);
        separate(&program, &debug);
        let other = folder.join("other");
        compile_c(&["-g", "-DOTHER", "-O2", build_id], &other);
        run(Command::new("objcopy").arg("--only-keep-debug").arg(&other).arg(&debug));
        without_names(&samples(&program, "burn"), &program);
    }
}

#[test]
fn a_function_without_a_symbol_is_one_function() {
    let program = folder("stripped").join("program");
    compile_c(&[], &program);
    let image = Image::from_file(&program).unwrap();
    let symbols = image.symbols().unwrap();
    let start = symbols.find("burn").unwrap().address;
    let all = samples(&program, "burn");
    assert!(all.iter().all(|stack| stack[0][0].0 == "burn" && stack[0][0].2 == 0), "{:?}", all[0]);
    strip(&program);
    let all = samples(&program, "burn");
    without_names(&all, &program);
    assert_eq!(all[0][0][0].0, format!("program+{start:#x}"));
}

/// All samples are in one function, named by its place in the program, without lines.
fn without_names(all: &[Vec<Vec<Frame>>], program: &Path) {
    let first = &all[0][0];
    let [(name, file, line)] = &first[..] else { panic!("{first:?}") };
    assert!(name.starts_with("program+0x"), "{name}");
    assert_eq!((Path::new(file), *line), (program, 0));
    for stack in all {
        assert_eq!(stack[0], *first);
    }
}

#[test]
fn the_vdso_has_names() {
    let program = folder("clocks").join("program");
    compile_c(&["-g"], &program);
    let all = samples(&program, "clocks");
    let innermost = || all.iter().map(|stack| &stack[0][0]);
    let named = innermost().filter(|(name, file, _)| name == "__vdso_clock_gettime" && file == "[vdso]");
    assert!(named.count() > 0, "{:?}", innermost().collect::<std::collections::BTreeSet<_>>());
    assert!(innermost().all(|(name, ..)| !name.starts_with('+')));
    for stack in all.iter().filter(|stack| stack[0][0].1 == "[vdso]") {
        assert!(stack.iter().flatten().any(|(name, ..)| name == "main"), "{stack:?}");
    }
}

#[test]
fn code_made_at_run_time_is_one_function() {
    let program = folder("generated").join("program");
    compile_c(&["-g"], &program);
    for stack in samples(&program, "generated") {
        let anonymous = ("[anonymous]".to_owned(), "[anonymous]".to_owned(), 0);
        assert_eq!(stack[0], [anonymous]);
        assert!(stack.iter().flatten().any(|(name, ..)| name == "main"), "{stack:?}");
    }
}

const SECTIONS: [&str; 9] = [
    ".debug_info",
    ".debug_abbrev",
    ".debug_line",
    ".debug_line_str",
    ".debug_str",
    ".debug_str_offsets",
    ".debug_addr",
    ".debug_ranges",
    ".debug_rnglists",
];

/// A call of which everything is known.
struct SomeCall;

impl Machine for SomeCall {
    fn register(&self, number: u16) -> Option<u64> {
        Some(0x7000 + u64::from(number))
    }

    fn word(&self, address: u64) -> Option<u64> {
        Some(!address)
    }
}

#[test]
fn damaged_debug_information_ends_in_time() {
    let program = folder("damaged").join("program");
    let random = std::cell::Cell::new(0x9e37_79b9_7f4a_7c15_u64);
    let next = || {
        random.set(random.get().wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1));
        random.get() as usize >> 16
    };
    for version in ["-gdwarf-4", "-gdwarf-5"] {
        compile_c(&["-g", version], &program);
        let image = Image::from_file(&program).unwrap();
        let burn = image.symbols().unwrap().find("burn").map(|burn| (burn.address, burn.size)).unwrap();
        let read = |name| Some((name, image.section_data(name, 1 << 20).unwrap()?));
        let sections: Vec<_> = SECTIONS.into_iter().filter_map(read).collect();
        let (mut known, mut variables) = (0, 0);
        for round in 0..2000 {
            let mut damaged = sections.clone();
            for _ in 0..round % 16 {
                let at = next() % damaged.len();
                let (_, bytes) = &mut damaged[at];
                let at = next() % bytes.len();
                bytes[at] = next() as u8;
            }
            let mut types = Types::of_sections(damaged.clone(), Duration::from_secs(1));
            if let Some(frame) = types.frame(burn.0 + burn.1 / 2, |_| true) {
                for variable in frame.functions.iter().flat_map(|function| &function.variables) {
                    // GCC's places are relative to what unwind tables say, which nothing asks for: Rust's are not.
                    let _ = frame.spot(variable, &SomeCall);
                    variables += 1;
                }
            }
            let mut lines = Lines::of_sections(damaged);
            for address in burn.0..burn.0 + burn.1 {
                known += usize::from(!lines.within(address, Duration::from_secs(1)).is_empty());
            }
        }
        assert!(known > 0 && variables > 0, "{known} lines, {variables} variables");
    }
}

/// A package that somebody else may have written: whatever is in it, there is an answer.
#[test]
fn a_damaged_package_ends_in_time() {
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (random >> 33) as usize
    };
    for version in ["-Cdwarf-version=4", "-Cdwarf-version=5"] {
        let program = folder(&format!("damaged{version}")).join("program");
        compile_rust(&["-Csplit-debuginfo=packed", version], &program);
        let image = Image::from_file(&program).unwrap();
        let symbols = image.symbols().unwrap();
        let burn = symbols.iter().find(|symbol| symbol.size > 0 && symbol.name.contains("burn")).unwrap();
        let package = program.with_extension("dwp");
        let whole = std::fs::read(&package).unwrap();
        let mut known = 0;
        for round in 0..200 {
            let mut damaged = whole.clone();
            for _ in 0..round % 16 {
                // Behind the header of the file.
                let at = 64 + next() % (damaged.len() - 64);
                damaged[at] = next() as u8;
            }
            damaged.truncate(if round % 50 == 49 { next() % whole.len() } else { whole.len() });
            std::fs::write(&package, &damaged).unwrap();
            let mut lines = Lines::of_image(&image);
            let address = burn.address + burn.size / 2;
            let frames = lines.within(address, Duration::from_secs(1));
            known += usize::from(frames.iter().any(|frame| frame.function.is_some()));
        }
        assert!(known > 10, "{known} of 200");
    }
}
