//! Servers of the distribution at the other end: they are named with their pid, and so is what they do. Only the full
//! matrix has them installed.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::ends::{reader, until_in, why};
use crate::reports::Other;

/// Longer than anything takes on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(180);

/// A program of the distribution.
fn installed(program: &str, folders: &[PathBuf], package: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let all = folders.iter().cloned().chain(std::env::split_paths(&path));
    let found = all.map(|folder| folder.join(program)).find(|path| path.exists());
    found.unwrap_or_else(|| panic!("{program} is missing: apt-get install --no-install-recommends {package}"))
}

/// Waits until something is there.
fn until<T>(what: &str, look: impl Fn() -> Option<T>) -> T {
    let begin = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(begin.elapsed() < PATIENCE, "{what} does not come");
        thread::sleep(Duration::from_millis(5));
    }
}

/// A server that ends its own processes, and removes what it shares, when it is told to.
struct Server {
    process: Other,
    /// What tells it to end at once.
    end: Signal,
}

impl Server {
    fn start(command: &mut Command, end: Signal) -> Server {
        let command = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Server { process: Other::of(command.spawn().expect("it is installed")), end }
    }

    fn pid(&self) -> u32 {
        self.process.pid()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let pid = self.pid();
        let _ = kill(Pid::from_raw(pid.cast_signed()), self.end);
        let has_ended =
            || fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| stat.contains(") Z "));
        let begin = Instant::now();
        while !has_ended() && begin.elapsed() < PATIENCE {
            thread::sleep(Duration::from_millis(5));
        }
    }
}

/// A client that has sent this, and waits for the answer.
fn client(socket: &Path, sends: &[u8]) -> Other {
    let mut stream = until("the server", || UnixStream::connect(socket).ok());
    stream.write_all(sends).expect("it is connected");
    reader(&stream)
}

/// The child of a process whose title contains this.
fn child_titled(parent: u32, title: &str) -> Option<u32> {
    let children = fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).ok()?;
    let line = |pid: &u32| fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let is = |pid: &u32| String::from_utf8_lossy(&line(pid)).contains(title);
    children.split_whitespace().filter_map(|pid| pid.parse().ok()).find(is)
}

/// Its executable is a link to that of another program.
#[test]
#[ignore = "needs LOITER_MATRIX=full"]
fn redis() {
    let program = installed("redis-server", &[], "redis-server");
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("redis.sock");
    let mut command = Command::new(program);
    command.args(["--port", "0", "--save", "", "--dir"]).arg(folder.path()).arg("--unixsocket").arg(&socket);
    let server = Server::start(&mut command, Signal::SIGTERM);
    let client = client(&socket, b"BLPOP nothing 0\r\n");
    let text = why(client.pid());
    let named = format!("pid {} redis-server \"unixsocket:{}\"", server.pid(), socket.display());
    assert!(text.contains(&named), "{text}");
}

/// A proxy in between: it waits for a server that does not answer.
#[test]
#[ignore = "needs LOITER_MATRIX=full"]
fn nginx() {
    let program = installed("nginx", &["/usr/sbin".into()], "nginx-light");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().display();
    let upstream = UnixListener::bind(folder.path().join("upstream.sock")).unwrap();
    let user = if nix::unistd::geteuid().is_root() { "user root;" } else { "" };
    let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
    let temporary: String = temporary.iter().map(|name| format!("{name}_temp_path {path}/{name};")).collect();
    let configuration = format!(
        "{user} daemon off; worker_processes 1; pid {path}/pid; error_log {path}/log;
         events {{}}
         http {{
             access_log off; {temporary}
             server {{
                 listen unix:{path}/nginx.sock;
                 location / {{ proxy_pass http://unix:{path}/upstream.sock; }}
             }}
         }}"
    );
    let file = folder.path().join("nginx.conf");
    fs::write(&file, configuration).unwrap();
    let mut command = Command::new(program);
    command.arg("-p").arg(folder.path()).arg("-c").arg(&file);
    let server = Server::start(&mut command, Signal::SIGTERM);
    let client = client(&folder.path().join("nginx.sock"), b"GET / HTTP/1.0\r\n\r\n");
    let (asked, _) = upstream.accept().unwrap();
    let mut line = String::new();
    BufReader::new(&asked).read_line(&mut line).unwrap();
    let worker = until("the worker", || child_titled(server.pid(), "worker process"));
    until_in(libc::SYS_epoll_wait, worker);
    let text = why(client.pid());
    assert!(text.contains(&format!("pid {worker} nginx \"worker process\"")), "{text}");
    // It waits for this process, in its turn.
    let own = format!("pid {} ", std::process::id());
    let behind = text.split_once("worker process").map_or("", |(_, behind)| behind);
    assert!(behind.contains(&own), "{text}");
}

/// A server of PostgreSQL in a folder of its own. It does not run as root.
struct Postgres {
    server: Server,
    folder: tempfile::TempDir,
    psql: PathBuf,
}

/// "nobody".
const NOBODY: u32 = 65534;

/// Not as root.
fn without_rights(program: &Path) -> Command {
    let mut command = Command::new(program);
    if nix::unistd::geteuid().is_root() {
        command.uid(NOBODY).gid(NOBODY);
    }
    command
}

impl Postgres {
    fn start() -> Postgres {
        let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
        let folders: Vec<PathBuf> = versions.map(|version| version.path().join("bin")).collect();
        let find = |program| installed(program, &folders, "postgresql");
        let (initdb, postgres, psql) = (find("initdb"), find("postgres"), find("psql"));
        let folder = tempfile::tempdir().unwrap();
        if nix::unistd::geteuid().is_root() {
            std::os::unix::fs::chown(folder.path(), Some(NOBODY), Some(NOBODY)).unwrap();
        }
        let data = folder.path().join("data");
        let mut command = without_rights(&initdb);
        command.args(["--no-sync", "--auth=trust", "--username=shop", "--no-locale", "-D"]).arg(&data);
        let output = command.current_dir(folder.path()).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        let mut command = without_rights(&postgres);
        command.arg("-D").arg(&data).arg("-k").arg(folder.path());
        command.args(["-c", "listen_addresses=", "-c", "fsync=off"]).current_dir(folder.path());
        let server = Server::start(&mut command, Signal::SIGQUIT);
        until("the socket", || folder.path().join(".s.PGSQL.5432").exists().then_some(()));
        Postgres { server, folder, psql }
    }

    /// A client whose statements come from the pipe.
    fn client(&self) -> (Other, ChildStdin) {
        let mut command = Command::new(&self.psql);
        command.args(["-X", "-q", "-U", "shop", "-d", "postgres", "-h"]).arg(self.folder.path());
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = command.spawn().expect("it is installed");
        let statements = child.stdin.take().expect("it is a pipe");
        (Other::of(child), statements)
    }
}

/// Two clients want the same table: the second one leads to its backend, which says what it does.
#[test]
#[ignore = "needs LOITER_MATRIX=full"]
fn postgresql() {
    let postgres = Postgres::start();
    let backend = |title: &str| until(title, || child_titled(postgres.server.pid(), title));
    // It may still be starting up.
    until("a server that is ready", || {
        let mut command = Command::new(&postgres.psql);
        command.args(["-X", "-U", "shop", "-d", "postgres", "-c", "CREATE TABLE stock ()", "-h"]);
        let output = command.arg(postgres.folder.path()).output().unwrap();
        output.status.success().then_some(())
    });
    let (_owner, mut statements) = postgres.client();
    writeln!(statements, "BEGIN; LOCK TABLE stock;").unwrap();
    backend("idle in transaction");
    let (waiter, mut others) = postgres.client();
    writeln!(others, "SELECT * FROM stock;").unwrap();
    let waiting = backend("SELECT waiting");
    until_in(libc::SYS_poll, waiter.pid());
    let text = why(waiter.pid());
    let named = format!("pid {waiting} postgres \"shop postgres [local] SELECT waiting\"");
    assert!(text.contains(&named), "{text}");
}
