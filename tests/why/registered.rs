//! A program of a plan that exports its tasks: this test program in a role.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Barrier, Mutex};
use std::time::Duration;
use std::{env, fs, thread};

use loiter_registry::Registration;

const ROLE: &str = "LOITER_TEST_WHY_PLAN";

/// This program, to be given a plan.
pub(crate) fn command() -> Command {
    let mut command = Command::new(env::current_exe().expect("we are a file"));
    command.args(["registered::plays_a_role", "--exact", "--ignored", "--nocapture", "--skip"]);
    command
}

/// Tells it where its plan is; it skips the last argument.
pub(crate) fn name_plan(command: &mut Command, number: usize, directory: &Path) {
    command.env(ROLE, directory.join(format!("p{number}.plan")));
}

/// One end of a joint.
trait End: Read + Write + Send {}

impl<T: Read + Write + Send> End for T {}

#[test]
#[ignore = "other tests start it"]
fn plays_a_role() {
    let plan = env::var_os(ROLE).map(PathBuf::from).unwrap_or_else(|| panic!("{ROLE} says which plan"));
    // SAFETY: prctl with these arguments only sets what signal this process gets when its parent ends.
    assert_eq!(unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) }, 0);
    let directory = plan.parent().expect("it is in a directory").to_owned();
    let text = fs::read_to_string(&plan).expect("there is a plan");
    let lines: Vec<Vec<String>> =
        text.lines().map(|line| line.split(' ').map(str::to_owned).collect()).collect();
    let joints: Vec<_> = lines.iter().filter(|words| words[0] == "joint").cloned().collect();
    let ends: Vec<(String, Box<dyn End>)> = thread::scope(|scope| {
        let join = |words: Vec<String>| {
            let directory = directory.clone();
            scope.spawn(move || (words[1].clone(), join(&directory, &words)))
        };
        let joining: Vec<_> = joints.into_iter().map(join).collect();
        joining.into_iter().map(|thread| thread.join().expect("a joint")).collect()
    });
    let mut ends = ends;
    let tasks: Vec<_> = lines.iter().filter(|words| words[0] == "task").cloned().collect();
    let begun = Arc::new(Barrier::new(tasks.len() + 1));
    let said = Arc::new(Mutex::new(String::new()));
    for words in tasks {
        let mut mine = Vec::new();
        for pair in words[2..].chunks(2).take_while(|pair| pair[0] != "wait") {
            let at = ends.iter().position(|end| end.0 == pair[1]).expect("there is such a joint");
            mine.push(ends.swap_remove(at).1);
        }
        let (begun, said) = (Arc::clone(&begun), Arc::clone(&said));
        thread::spawn(move || {
            let mut task = Registration::new().name(words[1].clone()).register();
            let id = task.id().expect("there is room");
            said.lock().expect("nobody panics").push_str(&format!("{} {id}\n", words[1]));
            task.waiting();
            begun.wait();
            thread::sleep(Duration::from_secs(3600));
            mine.iter_mut().try_for_each(|end| end.write_all(&[0; 100])).expect("the other end reads");
        });
    }
    begun.wait();
    let name = &lines[0][1];
    say(&directory.join(format!("{name}.ready")), &said.lock().expect("nobody panics"));
    thread::sleep(Duration::from_secs(3600));
}

fn join(directory: &Path, words: &[String]) -> Box<dyn End> {
    let (joint, kind, role) = (&words[1], words[2].as_str(), words[3].as_str());
    let address = directory.join(format!("{joint}.address"));
    if role == "dial" {
        let text = loop {
            match fs::read_to_string(&address) {
                Ok(text) => break text,
                Err(_) => thread::sleep(Duration::from_millis(2)),
            }
        };
        return match kind {
            "tcp" => Box::new(TcpStream::connect(text).expect("the other end listens")),
            _ => Box::new(UnixStream::connect(text).expect("the other end listens")),
        };
    }
    if kind == "tcp" {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        say(&address, &listener.local_addr().expect("it has an address").to_string());
        return Box::new(listener.accept().expect("the other end connects").0);
    }
    let path = directory.join(format!("{joint}.socket"));
    let listener = UnixListener::bind(&path).expect("a path");
    say(&address, path.to_str().expect("a path of text"));
    Box::new(listener.accept().expect("the other end connects").0)
}

/// Writes a file at once.
fn say(path: &Path, text: &str) {
    let unfinished = path.with_extension("new");
    fs::write(&unfinished, text).expect("a file can be written");
    fs::rename(unfinished, path).expect("a file can be renamed");
}
