//! What is kept of debug information for the next reading: it says the same, and whatever is wrong with it says nothing.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::{FileExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use loiter::process;
use loiter::runtimes::{self, Pause, ReadOptions, Readable};
use loiter::snapshot::{Age, Links, Snapshot};

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

    /// The files in the cache folder, with what they have.
    fn kept(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let Ok(entries) = fs::read_dir(self.cache()) else { return BTreeMap::new() };
        let files = entries.map(|entry| entry.unwrap().path());
        files.map(|path| (path.clone(), fs::read(&path).unwrap())).collect()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn read(fixture: &TokioFixture, cache: Option<PathBuf>) -> Snapshot {
    let target = process::open_pid(fixture.pid()).unwrap();
    let options =
        ReadOptions { pause: Pause::Nothing, cache, links: Duration::ZERO, ..ReadOptions::default() };
    runtimes::snapshot(&*target, &options).unwrap()
}

/// The snapshot without what depends on when it was taken.
fn timeless(mut snapshot: Snapshot) -> Snapshot {
    let header = std::mem::take(&mut snapshot.header);
    snapshot.header.warnings = header.warnings;
    snapshot.tasks.iter_mut().for_each(|task| task.age = Age::default());
    // What the kernel says.
    snapshot.links = Links::default();
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
    let first = folder.kept();
    assert!(!first.is_empty());
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert!(mode(&folder.cache()) == 0o700 && first.keys().all(|file| mode(file) == 0o600));
    assert_eq!(timeless(read(&fixture, cache())), plain, "the second time");
    assert!(folder.kept() == first, "nothing was new");
    // Again and again, and stopped.
    let target = process::open_pid(fixture.pid()).unwrap();
    let readable = Readable::find(&*target).unwrap();
    let options = ReadOptions { cache: cache(), links: Duration::ZERO, ..ReadOptions::default() };
    let stopped = ReadOptions { pause: Pause::Everything, ..options.clone() };
    for options in [&options, &options, &stopped] {
        let found = timeless(readable.read(&*target, options).unwrap());
        assert_eq!((located(&found), found.tasks.len()), (located(&plain), plain.tasks.len()));
    }
    assert!(folder.kept().keys().eq(first.keys()));
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
    let kept = folder.kept();
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
    for (program, builds) in [(&other, 2), (&later, 3), (&nameless, 3)] {
        let fixture = TokioFixture::start_program(program, &subjects);
        assert_eq!(located(&read(&fixture, Some(folder.cache()))), 0, "{program:?}");
        assert_eq!(folder.kept().len(), builds * kept.len(), "{program:?}");
    }
    assert!(kept.keys().all(|file| file.exists()));
}

/// Debug information in other files is read anew each time: nothing says that they are the same ones.
#[test]
fn what_is_in_other_files_is_not_kept() {
    let folder = Folder::new("split");
    let packed = build_tokio("1.54.1", TokioFlavour::Packed);
    let alone = folder.0.join("books");
    fs::copy(&packed, &alone).unwrap();
    fs::copy(packed.with_added_extension("dwp"), alone.with_added_extension("dwp")).unwrap();
    let fixture = TokioFixture::start_program(&alone, &["many=3"]);
    for _ in 0..2 {
        assert_eq!(located(&read(&fixture, Some(folder.cache()))), 3);
    }
    fs::remove_file(alone.with_added_extension("dwp")).unwrap();
    assert_eq!(located(&read(&fixture, Some(folder.cache()))), 0);
}

/// Ways in which a file can be damaged.
fn damaged(right: &[u8]) -> Vec<Vec<u8>> {
    let cut = |quarters: usize| right[..right.len() * quarters / 4].to_vec();
    let flipped = |quarters: usize| {
        let mut wrong = right.to_vec();
        wrong[right.len() * quarters / 4] ^= 0x10;
        wrong
    };
    let longer = [right, b"more"].concat();
    (0..4).map(cut).chain((0..4).map(flipped)).chain([longer]).collect()
}

#[test]
fn damage_is_as_if_nothing_were_kept() {
    let folder = Folder::new("damage");
    let fixture = TokioFixture::start("1.54.1", TokioFlavour::Dev, &["many=3"]);
    let cache = || Some(folder.cache());
    let plain = timeless(read(&fixture, cache()));
    assert_eq!(located(&plain), 3);
    let right = folder.kept();
    let all: BTreeMap<&PathBuf, Vec<Vec<u8>>> =
        right.iter().map(|(path, bytes)| (path, damaged(bytes))).collect();
    for nth in 0..9 {
        all.iter().for_each(|(path, wrong)| fs::write(path, &wrong[nth]).unwrap());
        assert_eq!(timeless(read(&fixture, cache())), plain, "{nth}");
        assert!(folder.kept() == right, "they are replaced: {nth}");
    }
    // What others can write is not believed.
    let set_mode = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    for path in right.keys() {
        set_mode(path, 0o622);
        assert_eq!(timeless(read(&fixture, cache())), plain);
        assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600);
        fs::remove_file(path).unwrap();
    }
    set_mode(&folder.cache(), 0o777);
    assert_eq!(timeless(read(&fixture, cache())), plain);
    assert!(folder.kept().is_empty());
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
    let expected = read(&fixture, None);
    let saved = |nth: usize| folder.0.join(format!("{nth}.loiter"));
    let save = |nth: usize, pid: &str, more: &[&str]| {
        let path = saved(nth);
        loiter(&folder, &[&["snapshot", pid, "--no-pause", "-o", path.to_str().unwrap()], more].concat())
    };
    let end = |child: Child| {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{output:?}");
    };
    let found = |nth: usize| {
        loiter::source::open(&saved(nth).to_str().unwrap().parse().unwrap(), &Default::default())
    };
    let found = |nth: usize| found(nth).unwrap().snapshot;
    end(save(0, &pid, &["--no-cache"]));
    assert!(folder.kept().is_empty());
    for round in 0..2 {
        let children: Vec<Child> = (0..4).map(|nth| save(nth, &pid, &[])).collect();
        children.into_iter().for_each(end);
        for nth in 0..4 {
            assert_eq!(located(&found(nth)), located(&expected), "{round} {nth}");
        }
        assert_eq!(folder.kept().len(), 1, "{round}");
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
