//! What is kept of debug information for the next reading: it says the same, and whatever is wrong with it says nothing.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::fs::{self, File};
use std::os::unix::fs::{FileExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use loiter::process;
use loiter::runtimes::{self, Pause, ReadOptions, Readable};
use loiter::snapshot::{Age, Header, Snapshot};

mod common;

use common::{TokioFixture, TokioFlavour, build_tokio};

/// A folder for the files of one test, which goes with it.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let folder =
            Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("tokio-cache-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        Folder(folder)
    }

    /// The cache folder in it.
    fn cache(&self) -> PathBuf {
        self.0.join("cache/loiter")
    }

    /// The files in the cache folder.
    fn kept(&self) -> Vec<PathBuf> {
        let Ok(entries) = fs::read_dir(self.cache()) else { return Vec::new() };
        entries.map(|entry| entry.unwrap().path()).collect()
    }

    /// The only file in the cache folder.
    fn only(&self) -> PathBuf {
        let [file] = &self.kept()[..] else { panic!("{:?}", self.kept()) };
        file.clone()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn read(fixture: &TokioFixture, cache: Option<PathBuf>) -> Snapshot {
    let target = process::open_pid(fixture.pid()).unwrap();
    let options = ReadOptions { pause: Pause::Nothing, cache, ..ReadOptions::default() };
    runtimes::snapshot(&*target, &options).unwrap()
}

/// The snapshot without what depends on when it was taken.
fn timeless(mut snapshot: Snapshot) -> Snapshot {
    let header = std::mem::take(&mut snapshot.header);
    snapshot.header = Header { warnings: header.warnings, ..Header::default() };
    snapshot.tasks.iter_mut().for_each(|task| task.age = Age::default());
    snapshot
}

/// The number of tasks with a frame that has a line.
fn located(snapshot: &Snapshot) -> usize {
    let has_line = |id: &loiter::code::LocationId| {
        snapshot.code.locations[id.index()].frames.iter().any(|frame| frame.line > 0)
    };
    snapshot.tasks.iter().filter(|task| snapshot.stack_of(task).iter().any(has_line)).count()
}

/// A copy of a program whose debug information is there, by its headers, but has only zeros: of the same length, the same time
/// and the same build id.
fn emptied(program: &Path, to: &Path) {
    use object::{Object as _, ObjectSection as _};
    fs::copy(program, to).unwrap();
    let bytes = fs::read(program).unwrap();
    let file = File::options().write(true).open(to).unwrap();
    let mut emptied = 0;
    for section in object::File::parse(&*bytes).unwrap().sections() {
        if section.name().is_ok_and(|name| name.starts_with(".debug_")) && section.address() == 0 {
            let (at, len) = section.file_range().unwrap();
            file.write_all_at(&vec![0; len as usize], at).unwrap();
            emptied += len;
        }
    }
    assert!(emptied > 1 << 20, "{emptied}");
    file.set_modified(fs::metadata(program).unwrap().modified().unwrap()).unwrap();
}

/// A copy of a program with other bytes in the note with its build id, of the same time.
fn renamed(program: &Path, to: &Path, at: u64, bytes: &[u8]) {
    use object::{Object as _, ObjectSection as _};
    fs::copy(program, to).unwrap();
    let whole = fs::read(program).unwrap();
    let note =
        object::File::parse(&*whole).unwrap().section_by_name(".note.gnu.build-id").unwrap().file_range();
    let file = File::options().write(true).open(to).unwrap();
    file.write_all_at(bytes, note.unwrap().0 + at).unwrap();
    file.set_modified(fs::metadata(program).unwrap().modified().unwrap()).unwrap();
}

/// Everything that the fixture can wait for, with roots on the stacks of threads.
#[test]
fn what_is_kept_says_the_same() {
    let folder = Folder::new("same");
    let subjects = ["waits", "chains", "locks", "roots", "many=20"];
    let fixture = TokioFixture::start("1.54.1", TokioFlavour::Dev, &subjects);
    let plain = timeless(read(&fixture, None));
    assert!(located(&plain) > 40, "{}", located(&plain));
    assert_eq!(timeless(read(&fixture, None)), plain, "nothing moves");
    let cache = || Some(folder.cache());
    assert_eq!(timeless(read(&fixture, cache())), plain, "the first time");
    let file = folder.only();
    let first = fs::read(&file).unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&folder.cache()), mode(&file)), (0o700, 0o600));
    assert_eq!(timeless(read(&fixture, cache())), plain, "the second time");
    assert_eq!(fs::read(&file).unwrap(), first, "nothing was new");
    // Again and again, and stopped.
    let target = process::open_pid(fixture.pid()).unwrap();
    let readable = Readable::find(&*target).unwrap();
    let options = ReadOptions { cache: cache(), ..ReadOptions::default() };
    let stopped = ReadOptions { pause: Pause::Everything, ..options.clone() };
    for options in [&options, &options, &stopped] {
        let found = timeless(readable.read(&*target, options).unwrap());
        assert_eq!((located(&found), found.tasks.len()), (located(&plain), plain.tasks.len()));
    }
    assert_eq!(folder.kept(), [file]);
}

/// The debug information is not even looked at: there is none any more.
#[test]
fn what_is_kept_is_enough_for_the_same_build_and_for_no_other() {
    let folder = Folder::new("enough");
    let program = build_tokio("1.54.1", TokioFlavour::Dev);
    let subjects = ["waits", "chains", "locks", "roots"];
    let all = {
        let fixture = TokioFixture::start_program(&program, &subjects);
        located(&read(&fixture, Some(folder.cache())))
    };
    assert!(all > 20, "{all}");
    let file = folder.only();
    let empty = folder.0.join("books");
    emptied(&program, &empty);
    let fixture = TokioFixture::start_program(&empty, &subjects);
    assert_eq!(located(&read(&fixture, Some(folder.cache()))), all);
    assert_eq!(located(&read(&fixture, None)), 0);
    drop(fixture);

    // Another build id; then the same, of another time; then none.
    let [other, later, nameless] = ["other", "later", "nameless"].map(|name| folder.0.join(name));
    renamed(&empty, &other, 16, &[7; 8]);
    renamed(&empty, &later, 16, &[]);
    let modified = fs::metadata(&empty).unwrap().modified().unwrap() + Duration::from_nanos(1);
    File::options().write(true).open(&later).unwrap().set_modified(modified).unwrap();
    renamed(&empty, &nameless, 12, b"not");
    for (program, added) in [(&other, 1), (&later, 2), (&nameless, 2)] {
        let fixture = TokioFixture::start_program(program, &subjects);
        assert_eq!(located(&read(&fixture, Some(folder.cache()))), 0, "{program:?}");
        assert_eq!(folder.kept().len(), 1 + added, "{program:?}");
    }
    assert!(file.exists());
}

/// Debug information in other files is read anew each time: nothing says that they are the same ones.
#[test]
fn what_is_in_other_files_is_not_kept() {
    let folder = Folder::new("split");
    let packed = build_tokio("1.54.1", TokioFlavour::Packed);
    let fixture = TokioFixture::start_program(&packed, &["many=3"]);
    for _ in 0..2 {
        assert_eq!(located(&read(&fixture, Some(folder.cache()))), 3);
        assert_eq!(folder.kept(), [""; 0].map(PathBuf::from));
    }
}

#[test]
fn damage_is_as_if_nothing_were_kept() {
    let folder = Folder::new("damage");
    let fixture = TokioFixture::start("1.54.1", TokioFlavour::Dev, &["many=3"]);
    let cache = || Some(folder.cache());
    let plain = timeless(read(&fixture, cache()));
    assert_eq!(located(&plain), 3);
    let file = folder.only();
    let right = fs::read(&file).unwrap();
    let damage = |nth: usize| -> Vec<u8> {
        match nth {
            0 => Vec::new(),
            1..4 => right[..right.len() * nth / 4].to_vec(),
            4..8 => {
                let mut wrong = right.clone();
                wrong[right.len() * (nth - 4) / 4] ^= 0x10;
                wrong
            }
            _ => [&right[..], b"more"].concat(),
        }
    };
    for nth in 0..9 {
        fs::write(&file, damage(nth)).unwrap();
        assert_eq!(timeless(read(&fixture, cache())), plain, "{nth}");
        assert!(fs::read(&file).unwrap() == right, "it is replaced: {nth}");
    }
    // What others can write is not believed.
    fs::set_permissions(&file, fs::Permissions::from_mode(0o622)).unwrap();
    assert_eq!(timeless(read(&fixture, cache())), plain);
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    fs::remove_file(&file).unwrap();
    fs::set_permissions(folder.cache(), fs::Permissions::from_mode(0o777)).unwrap();
    assert_eq!(timeless(read(&fixture, cache())), plain);
    assert_eq!(folder.kept(), [""; 0].map(PathBuf::from));
}

/// The command, with a cache folder of its own.
fn loiter(folder: &Folder, arguments: &[&str]) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_loiter"));
    command.args(arguments).env("XDG_CACHE_HOME", folder.0.join("cache")).stdin(Stdio::null());
    command.stderr(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap()
}

#[test]
fn several_commands_share_the_folder() {
    let folder = Folder::new("share");
    fs::create_dir(folder.0.join("cache")).unwrap();
    let program = build_tokio("1.54.1", TokioFlavour::Dev);
    let fixture = TokioFixture::start_program(&program, &["many=3"]);
    let pid = fixture.pid().to_string();
    let expected = timeless(read(&fixture, None));
    let saved = |nth: usize| folder.0.join(format!("{nth}.loiter"));
    let save = |nth: usize, pid: &str, more: &[&str]| {
        let path = saved(nth);
        loiter(&folder, &[&["snapshot", pid, "--no-pause", "-o", path.to_str().unwrap()], more].concat())
    };
    let end = |child: Child| {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    };
    let found = |nth: usize| {
        loiter::source::open(&saved(nth).to_str().unwrap().parse().unwrap(), &Default::default())
    };
    let found = |nth: usize| timeless(found(nth).unwrap().snapshot);
    end(save(0, &pid, &["--no-cache"]));
    assert_eq!(folder.kept(), [""; 0].map(PathBuf::from));
    for round in 0..2 {
        let children: Vec<Child> = (0..4).map(|nth| save(nth, &pid, &[])).collect();
        children.into_iter().for_each(end);
        for nth in 0..4 {
            assert_eq!(located(&found(nth)), located(&expected), "{round} {nth}");
        }
        assert!(folder.only().exists());
    }
    // A folder that cannot be used is nothing to speak of.
    let empty = folder.0.join("books");
    emptied(&program, &empty);
    let fixture = TokioFixture::start_program(&empty, &["many=3"]);
    let pid = fixture.pid().to_string();
    end(save(5, &pid, &[]));
    assert_eq!(located(&found(5)), 3);
    fs::set_permissions(folder.cache(), fs::Permissions::from_mode(0o777)).unwrap();
    end(save(6, &pid, &[]));
    assert_eq!(located(&found(6)), 0);
}
