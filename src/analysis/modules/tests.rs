use super::*;
use crate::snapshot::{FunctionKind, Location, SnapshotBuilder};

fn module(path: &str) -> Module {
    Module::new(path, Some("v1.0.0".to_owned()))
}

/// Owners of a program with this main package and these modules.
fn owners(main: &str, modules: &[&str]) -> Owners {
    let mut snapshot = Snapshot::default();
    snapshot.header.runtimes.push(RuntimeInfo {
        name: "go".to_owned(),
        module: Some(main.to_owned()).filter(|main| !main.is_empty()),
        modules: modules.iter().map(|path| module(path)).collect(),
        ..RuntimeInfo::default()
    });
    Owners::new(&snapshot)
}

/// The frame that the user looks for in a stack of "function" or "function file", innermost first.
fn picked<'a>(owners: &Owners, stack: &[&'a str]) -> &'a str {
    let code = |frame: &&'a str| {
        let (function, file) = frame.split_once(' ').unwrap_or((frame, "x.go"));
        let package = crate::formats::go_functions::package(function);
        Code { function, package, file, role: crate::words::go::role(function, package) }
    };
    owners.user_frame(stack.iter().map(code)).map_or("", |at| stack[at])
}

#[test]
fn the_longest_path_owns() {
    let modules = ["ex.com/api", "ex.com/lib", "ex.com/lib/v2", "ex.com/lib/sub"].map(module);
    let lore = lore::of("go");
    let owner = |package| module_of(Modules { list: &modules, lore }, package).map(|m| m.path.as_str());
    assert_eq!(owner("main"), Some("ex.com/api"));
    assert_eq!(owner("ex.com/api/internal/fetch"), Some("ex.com/api"));
    assert_eq!(owner("ex.com/lib"), Some("ex.com/lib"));
    assert_eq!(owner("ex.com/lib/sub/x"), Some("ex.com/lib/sub"));
    assert_eq!(owner("ex.com/library"), None);
    assert_eq!(owner("net/http"), None);
    assert_eq!(module_of(Modules { list: &[], lore }, "main"), None);
}

#[test]
fn a_handler_is_its_own_function_and_not_the_server() {
    let owners = owners("ex.com/api/cmd/api", &["ex.com/api", "github.com/gorilla/mux"]);
    let server = ["net/http.serverHandler.ServeHTTP", "net/http.(*conn).serve"];
    let wait = ["internal/sync.runtime_SemacquireMutex", "sync.(*Mutex).Lock"];
    let with = |own: &[&'static str]| -> &'static str { picked(&owners, &[&wait, own, &server].concat()) };
    assert_eq!(
        with(&["ex.com/api/store.(*Store).Get", "main.handle", "github.com/gorilla/mux.(*Router).ServeHTTP"]),
        "ex.com/api/store.(*Store).Get"
    );
    // Code of a library further in does not hide the program's.
    assert_eq!(with(&["github.com/gorilla/mux.Vars", "main.main.func1"]), "main.main.func1");
    assert_eq!(
        with(&["github.com/gorilla/mux.(*Router).ServeHTTP"]),
        "github.com/gorilla/mux.(*Router).ServeHTTP"
    );
    assert_eq!(with(&[]), "net/http.serverHandler.ServeHTTP");
    assert_eq!(with(&["main.Map[...].func1"]), "main.Map[...].func1");
}

#[test]
fn stacks_without_anything_of_the_program() {
    let owners = owners("ex.com/api", &["ex.com/api"]);
    let read = ["internal/poll.runtime_pollWait", "internal/poll.(*FD).Read", "net.(*conn).Read"];
    assert_eq!(
        picked(&owners, &[&read[..], &["net/http.(*connReader).backgroundRead"]].concat()),
        "net/http.(*connReader).backgroundRead"
    );
    assert_eq!(picked(&owners, &read), "internal/poll.(*FD).Read");
    assert_eq!(picked(&owners, &["runtime.gopark", "runtime.bgsweep", "runtime.goexit"]), "runtime.bgsweep");
    assert_eq!(picked(&owners, &["runtime.gopark", "time.Sleep", "runtime.goexit"]), "time.Sleep");
    assert_eq!(picked(&owners, &["runtime.goexit"]), "runtime.goexit");
    assert_eq!(picked(&owners, &["poll libc.so.6", "work libwork.so", "main.main"]), "main.main");
    assert_eq!(picked(&owners, &["poll libc.so.6", "work libwork.so"]), "poll libc.so.6");
    assert_eq!(picked(&owners, &[]), "");
}

#[test]
fn where_only_the_main_package_is_known() {
    let owners = owners("go.etcd.io/etcd", &[]);
    let stack = ["google.golang.org/grpc.(*Server).Serve", "go.etcd.io/etcd/embed.(*serveCtx).serve"];
    assert_eq!(picked(&owners, &stack), stack[1]);
    assert_eq!(picked(&owners, &[stack[0], "net/http.(*conn).serve"]), stack[0]);
}

#[test]
fn where_nothing_is_known_files_tell() {
    let none = owners("", &[]);
    for stack in [
        // The module cache, trimmed paths, vendored code, in a GOPATH and in Rust's registry.
        ["ex.com/lib.Do /root/go/pkg/mod/ex.com/lib@v1.2.3/x.go", "ex.com/app/x.Run /src/app/x/x.go"],
        ["ex.com/lib.Do ex.com/lib@v1.2.3/x.go", "ex.com/app/x.Run ex.com/app/x/x.go"],
        ["ex.com/lib.Do /src/app/vendor/ex.com/lib/x.go", "ex.com/app/x.Run /src/app/x/x.go"],
        ["ex.com/app/vendor/ex.com/lib.Do", "ex.com/app/x.Run"],
        ["vendor/golang.org/x/net/http2/hpack.Do", "main.main.func1"],
        ["hyper::server::run /home/me/.cargo/registry/src/x/hyper-1.0/src/lib.rs", "api::serve src/main.rs"],
        ["tokio::sync::mutex::Mutex::lock", "api::serve src/main.rs"],
    ] {
        assert_eq!(picked(&none, &stack), stack[1], "{stack:?}");
    }
}

#[test]
fn a_program_of_single_files_has_dependencies_only() {
    let owners = owners("command-line-arguments", &["ex.com/lib"]);
    assert_eq!(picked(&owners, &["ex.com/lib.Do", "main.work"]), "main.work");
    assert_eq!(picked(&owners, &["ex.com/lib.Do", "net/http.(*conn).serve"]), "ex.com/lib.Do");
}

#[test]
fn tests_and_odd_paths() {
    let owners = owners("ex.com/api/fetch.test", &["ex.com/api", "gopkg.in/yaml.v3"]);
    let run = "testing.tRunner";
    assert_eq!(
        picked(&owners, &["testing.(*T).Parallel", "ex.com/api/fetch_test.TestGet", run]),
        "ex.com/api/fetch_test.TestGet"
    );
    assert_eq!(picked(&owners, &["ex.com/api_test.TestAll", run]), "ex.com/api_test.TestAll");
    assert_eq!(picked(&owners, &["gopkg.in/yaml%2ev3.Unmarshal", "ex.com/api.Load"]), "ex.com/api.Load");
    assert_eq!(picked(&owners, &["gopkg.in/yaml%2ev3.Unmarshal", run]), "gopkg.in/yaml%2ev3.Unmarshal");
    assert_eq!(picked(&owners, &["testing.(*T).Run", run]), "testing.(*T).Run");
}

#[test]
fn a_dump_tells_by_the_file_of_main() {
    for (file, other) in [
        ("/go/src/github.com/me/app/cmd/app/main.go", "github.com/you/lib"),
        ("github.com/me/app/main.go", "github.com/you/lib"),
    ] {
        let mut builder = SnapshotBuilder::new();
        builder.header.runtimes = vec![RuntimeInfo { name: "go".to_owned(), ..RuntimeInfo::default() }];
        let function = builder.code.function("main.main", "main", FunctionKind::Normal);
        let frame = builder.code.frame(function, file, 1);
        builder.code.location(Location::in_source(vec![frame]));
        let owners = Owners::new(&builder.finish());
        let role = |package| crate::words::go::role("f", package);
        let of = |package| owners.of(Code { function: "f", package, file: "f.go", role: role(package) });
        assert_eq!(of("github.com/me/app/store"), Owner::Program);
        assert_eq!(of(other), Owner::ThirdParty);
        assert_eq!(of("net/http"), Owner::Standard);
    }
}
