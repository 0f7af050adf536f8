//! What a process is called.

use std::time::Duration;

use super::proc::{self, Stat};
use super::slow_files;

/// The kernel keeps this many bytes of a name (`TASK_COMM_LEN` less the zero at the end).
const KEPT: usize = 15;
/// The script of an interpreter is its first argument, or the one behind an option.
const ARGUMENTS: usize = 3;
/// Arguments are in the memory of the process, which may not answer.
const SLOW: Duration = Duration::from_secs(1);

/// The name by which people know a process: the file name of its executable, unless it was started by another one: a
/// link to the executable (`redis-server`, `sh`), or a script that the executable interprets. The kernel's own name for the
/// process if the executable is not known.
///
/// It waits for the memory of the process for a second at most, and only if the process may have such a name.
pub(super) fn short_name(pid: u32, stat: &Stat, exe: &str) -> String {
    let file = proc::file_name(exe);
    if file.is_empty() || is_kept_as(&stat.comm, file) {
        return if file.is_empty() { stat.comm.clone() } else { file.to_owned() };
    }
    let command = slow_files::within_limit(SLOW, move || proc::command(pid)).unwrap_or_default();
    started_as(&stat.comm, &command).unwrap_or(file).to_owned()
}

/// The name that a process was started by. The kernel takes it from the path that was executed, of a script that of the
/// script, and that is among the arguments, too. A program can change its name and its arguments: a name that is in one of
/// them only is not believed.
fn started_as<'a>(comm: &str, command: &'a [String]) -> Option<&'a str> {
    let names = command.iter().take(ARGUMENTS).flat_map(|argument| {
        // Servers write what they do behind their name.
        let word = argument.split([' ', ':']).next().unwrap_or_default();
        [proc::file_name(argument), proc::file_name(word)]
    });
    names.into_iter().find(|name| is_kept_as(comm, name))
}

/// Whether the kernel keeps this name as `comm`.
fn is_kept_as(comm: &str, name: &str) -> bool {
    let kept = name.as_bytes().get(..KEPT).unwrap_or(name.as_bytes());
    !kept.is_empty() && String::from_utf8_lossy(kept) == comm
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_programs_are_started_by() {
        let name = |comm: &str, command: &[&str]| {
            let command: Vec<String> = command.iter().map(|&argument| argument.to_owned()).collect();
            started_as(comm, &command).map(str::to_owned)
        };
        let some = |name: &str| Some(name.to_owned());
        assert_eq!(name("redis-server", &["/usr/bin/redis-server 127.0.0.1:6379"]), some("redis-server"));
        assert_eq!(name("ls", &["ls", "-l"]), some("ls"), "busybox");
        assert_eq!(name("postgres", &["postgres: 15/main: checkpointer "]), some("postgres"));
        assert_eq!(
            name("gunicorn", &["/usr/bin/python3", "-E", "/usr/bin/gunicorn", "app"]),
            some("gunicorn")
        );
        assert_eq!(name("a-rather-long-n", &["/opt/a-rather-long-name"]), some("a-rather-long-name"));
        assert_eq!(name("spamd child", &["spamd child"]), some("spamd child"), "Perl's $0");
        // The program has given itself, or its first thread, another name.
        assert_eq!(name("MainThread", &["node", "server.js"]), None);
        assert_eq!(name("python3", &["worker [app]"]), None);
        assert_eq!(name("", &["", "x"]), None);
        assert_eq!(name("x", &[]), None);
    }
}
