//! Go, its standard library, and the libraries that many of its programs use.

use std::borrow::Cow;

use super::{ACCEPT_LOOP, ACCEPTS, HttpBodies, KnownTask, Lore, MAIN, Packages, each, lasting, one};
use crate::analysis::owner::{Code, Owner};
use crate::snapshot::WaitClass;
use crate::words::go::{MOMENT, is_standard};

/// What is known of Go.
pub static LORE: Lore = Lore {
    runtimes: &["go"],
    known: KNOWN,
    http_bodies: Some(HttpBodies {
        waiting: &["net/http.(*persistConn).readLoop", "*http2*lientStream).*"],
        beside: "net/http.(*persistConn).writeLoop",
    }),
    timer_element: Some(MOMENT),
    // os/signal/signal.go: Notify.
    signal_element: Some("os.Signal"),
    // runtime/mgc.go, mgcsweep.go, mgcscavenge.go.
    collectors: &["runtime.gcBgMarkWorker", "runtime.bgsweep", "runtime.bgscavenge"],
    // runtime/proc.go, panic.go, signal_unix.go; os/proc.go. The main goroutine has runtime.main on its stack.
    endings: &[
        "runtime.main",
        "os.Exit",
        "syscall.Exit",
        "runtime.exit",
        "runtime.fatalpanic*",
        "runtime.throw",
        "runtime.fatal",
        "runtime.dieFromSignal",
    ],
    tests: Some(test_of),
    packages: Packages {
        separators: &["/"],
        main: "main",
        main_of_files: "command-line-arguments",
        main_of_test: ".test",
        plain,
        owner,
        owner_by_file,
        module_of_main,
        main_by_source,
    },
};

/// The function that every goroutine ends in. Go's own dumps and profiles leave it out.
pub const OUTERMOST: &str = "runtime.goexit";
/// The function that raises panics, and what dumps call it.
pub const PANIC: [&str; 2] = ["runtime.gopanic", "panic"];

/// Whether Go's own profiles leave this function out at the inner end of a stack.
pub fn is_of_runtime(function: &str) -> bool {
    function.starts_with("runtime.") || function.starts_with("internal/runtime/")
}

/// Tests from outside of a package have a package of their own, and the linker escapes dots in the last element
/// of a path.
fn plain(package: &str) -> Cow<'_, str> {
    let package = package.strip_suffix("_test").unwrap_or(package);
    if package.contains("%2e") { package.replace("%2e", ".").into() } else { package.into() }
}

fn owner(package: &str) -> Option<Owner> {
    if package == "main" || package.starts_with("plugin/") {
        return Some(Owner::Program);
    }
    package.contains("/vendor/").then_some(Owner::ThirdParty)
}

/// What the functions that package testing calls begin with.
const TESTS: [&str; 4] = ["Test", "Benchmark", "Fuzz", "Example"];

/// The test that a function is, or is a part of: "TestClose" for "ex.com/api.TestClose.func1.2",
/// "ex.com/api_test.TestClose.gowrap1" and "ex.com/api.(*Suite).TestClose". None for every other function.
fn test_of(function: &str) -> Option<&str> {
    // Types in brackets may have dots and slashes of their own.
    let plain = function.split_once('[').map_or(function, |(before, _)| before);
    let name = plain.rsplit_once('/').map_or(plain, |(_, name)| name);
    // The second part may be the method of a suite, or a function that was inlined into the first.
    name.split('.').skip(1).take(2).find(|part| is_test(part))
}

/// Whether package testing calls a function of this name: "Test" and "TestX", but not "Testament" (isTest in
/// cmd/go/internal/load/test.go).
pub fn is_test(name: &str) -> bool {
    let rest = |prefix: &&str| name.strip_prefix(*prefix);
    TESTS.iter().find_map(rest).is_some_and(|rest| !rest.starts_with(char::is_lowercase))
}

/// The module cache, vendored code, and paths of modules with their version.
fn owner_by_file(code: &Code<'_>) -> Option<Owner> {
    let is_cached = ["/pkg/mod/", "/vendor/"].iter().any(|part| code.file.contains(part));
    let has_version = || code.file.split('/').any(|part| part.contains("@v"));
    (is_cached || has_version()).then_some(Owner::ThirdParty)
}

/// The most probable module of a main package: the path above "cmd", or else the repository.
fn module_of_main(package: &str) -> Option<&str> {
    let package = package.strip_suffix(".test").unwrap_or(package);
    let part = |n: usize| {
        let end = package.match_indices('/').nth(n - 1).map_or(package.len(), |(at, _)| at);
        package.get(..end).filter(|part| !part.is_empty())
    };
    let host = part(1)?;
    let above = package.find("/cmd/").or_else(|| package.ends_with("/cmd").then(|| package.len() - 4));
    match (host, above) {
        (_, Some(end)) => package.get(..end),
        (host, _) if is_standard(host) || host == "main" => None,
        ("github.com" | "gitlab.com" | "bitbucket.org" | "golang.org", _) => part(3),
        (host, _) if host.contains('.') => part(2),
        _ => Some(host),
    }
}

/// The path of the main package, from where its source is: in a GOPATH, or trimmed to the path itself.
fn main_by_source(file: &str) -> Option<&str> {
    let (directory, _) = file.rsplit_once('/')?;
    match directory.rfind("/src/") {
        Some(at) => directory.get(at + 5..),
        None => (!directory.starts_with('/')).then_some(directory),
    }
    .filter(|path| path.split('/').next().is_some_and(|host| host.contains('.')))
}

const CONNECTIONS: [&str; 2] = ["task of an http connection", "tasks of http connections"];
const CLIENTS: [&str; 2] = ["task of an http client", "tasks of http clients"];
const RPC: [&str; 2] = ["task of a grpc connection", "tasks of grpc connections"];
const SIGNALS: [&str; 2] = ["signal handler", "signal handlers"];
const TRACES: [&str; 2] = ["reader of a trace", "readers of traces"];
const FLUSHERS: [&str; 2] = ["log flusher", "log flushers"];
const DATABASE: [&str; 2] = ["task of a database pool", "tasks of database pools"];
const WATCHES: [&str; 2] = ["file watcher", "file watchers"];
const METRICS: [&str; 2] = ["metrics worker", "metrics workers"];
const CACHES: [&str; 2] = ["cache cleaner", "cache cleaners"];
const QUIC: [&str; 2] = ["task of a QUIC socket", "tasks of QUIC sockets"];
const STORES: [&str; 2] = ["storage worker", "storage workers"];

/// Names are as in the source; a star stands for what a version or a copy in another place changes.
const KNOWN: &[KnownTask] = &[
    // The program itself.
    lasting(
        MAIN,
        &["main.main"],
        "the program ends when its main function does, so that it waits for the end",
    ),
    ACCEPT_LOOP,
    one(
        ACCEPTS,
        &["net/http.(*Server).Serve"],
        "a server waits for the next connection for as long as it serves",
    ),
    // Signals.
    one(
        SIGNALS,
        &["os/signal.NotifyContext.func*"],
        "waits for a signal until the function that NotifyContext returned is called",
    ),
    lasting(SIGNALS, &["os/signal.*"], "signals are delivered by one goroutine, which is started once"),
    KnownTask {
        creator: "os/signal.*",
        ..lasting(SIGNALS, &[], "signals are delivered by one goroutine, which is started once")
    },
    // runtime/trace/trace.go, and subscribe.go since 1.25.
    KnownTask {
        creator: "runtime/trace.*",
        ..lasting(TRACES, &[], "a trace that was started is written until it is stopped")
    },
    // Servers of net/http.
    each(
        CONNECTIONS,
        &["net/http.(*connReader).backgroundRead"],
        "while a request is answered, its connection is watched for the client going away",
    ),
    KnownTask {
        waits: &[WaitClass::Network],
        ..each(
            CONNECTIONS,
            &["net/http.(*conn).serve", "bufio.(*Reader).Peek"],
            "a client keeps its connection open for the next request",
        )
    },
    KnownTask {
        waits: &[WaitClass::Network],
        ..each(
            CONNECTIONS,
            &["net/http.(*conn).serve", "net/http.(*conn).readRequest"],
            "a client keeps its connection open for the next request",
        )
    },
    each(
        CONNECTIONS,
        &["*http2*erverConn).serve"],
        "a connection of HTTP/2 lives as long as its client wants",
    ),
    each(
        CONNECTIONS,
        &["*http2*erverConn).readFrames"],
        "a connection of HTTP/2 is read for as long as it lives",
    ),
    // Clients of net/http.
    KnownTask {
        waits: &[WaitClass::Network],
        ..each(
            CLIENTS,
            &["net/http.(*persistConn).readLoop", "bufio.(*Reader).Peek"],
            "the transport keeps idle connections for the next request",
        )
    },
    each(
        CLIENTS,
        &["net/http.(*persistConn).writeLoop"],
        "every connection of a transport has one for as long as it lives",
    ),
    each(
        CLIENTS,
        &["*http2*lientConnReadLoop).run"],
        "a connection of HTTP/2 is read for as long as it lives",
    ),
    each(CLIENTS, &["*http2*lientConn).readLoop"], "a connection of HTTP/2 is read for as long as it lives"),
    // gRPC.
    each(RPC, &["google.golang.org/grpc/internal/transport.(*http2*).keepalive"], "looks after a connection"),
    each(RPC, &["google.golang.org/grpc/internal/transport.(*http2Client).reader"], "reads a connection"),
    each(
        RPC,
        &["google.golang.org/grpc/internal/transport.(*http2Server).HandleStreams"],
        "reads a connection",
    ),
    each(RPC, &["google.golang.org/grpc/internal/transport.(*loopyWriter).run"], "writes to a connection"),
    each(RPC, &["google.golang.org/grpc/internal/transport.(*controlBuffer).get"], "writes to a connection"),
    each(
        RPC,
        &["google.golang.org/grpc/internal/grpcsync.(*CallbackSerializer).run"],
        "a client has one for its life",
    ),
    each(RPC, &["google.golang.org/grpc.(*ccBalancerWrapper).watcher"], "a client has one for its life"),
    each(RPC, &["google.golang.org/grpc.(*ccResolverWrapper).watcher"], "a client has one for its life"),
    each(RPC, &["google.golang.org/grpc/internal/resolver/*.watcher"], "a client has one for its life"),
    // Databases.
    one(
        DATABASE,
        &["database/sql.(*DB).connectionOpener"],
        "every database handle has one until it is closed",
    ),
    one(DATABASE, &["database/sql.(*DB).connectionCleaner"], "closes connections that are too old"),
    one(
        DATABASE,
        &["database/sql.(*DB).connectionResetter"],
        "every database handle has one until it is closed",
    ),
    each(
        DATABASE,
        &["github.com/go-sql-driver/mysql.(*mysqlConn).startWatcher.func*"],
        "every connection of the pool has one",
    ),
    // Logs and metrics.
    lasting(FLUSHERS, &["*glog.(*loggingT).flushDaemon"], "flushes the log from time to time"),
    lasting(FLUSHERS, &["*glog.(*fileSink).flushDaemon"], "flushes the log from time to time"),
    lasting(FLUSHERS, &["k8s.io/klog*.(*flushDaemon).run*"], "flushes the log from time to time"),
    lasting(FLUSHERS, &["k8s.io/klog*.(*loggingT).flushDaemon"], "flushes the log from time to time"),
    one(
        FLUSHERS,
        &["go.uber.org/zap/zapcore.(*BufferedWriteSyncer).flushLoop"],
        "flushes the log from time to time",
    ),
    lasting(FLUSHERS, &["*lumberjack*.(*Logger).millRun"], "compresses old logs when there are any"),
    lasting(METRICS, &["go.opencensus.io/stats/view.(*worker).start"], "started when the library is linked"),
    lasting(METRICS, &["*go-metrics.(*meterArbiter).tick*"], "one for all meters"),
    lasting(METRICS, &["*go-metrics.*arbiter*.tick*"], "one for all meters"),
    one(
        METRICS,
        &["go.opentelemetry.io/otel/sdk/*.(*batchSpanProcessor).processQueue"],
        "sends spans in batches",
    ),
    one(
        METRICS,
        &["go.opentelemetry.io/otel/sdk/metric.(*PeriodicReader).run"],
        "sends metrics from time to time",
    ),
    // Caches and watchers.
    lasting(
        CACHES,
        &["github.com/patrickmn/go-cache.(*janitor).Run"],
        "every cache has one, which only the collector ends",
    ),
    one(CACHES, &["*ttlcache*.(*Cache*).Start"], "every cache has one"),
    one(CACHES, &["*ristretto*.(*Cache*).processItems"], "every cache has one"),
    one(WATCHES, &["*fsnotify*.readEvents"], "waits for changes of files"),
    // Storage.
    one(STORES, &["*goleveldb/leveldb.(*DB).*"], "a database has a few for its life"),
    one(STORES, &["*goleveldb/leveldb.(*session).*"], "a database has a few for its life"),
    one(STORES, &["*goleveldb/leveldb/util.(*BufferPool).drain"], "gives back buffers"),
    // QUIC.
    one(QUIC, &["*quic-go.(*Transport).listen"], "reads a socket for as long as it is open"),
    one(QUIC, &["*quic-go.(*Transport).runSendQueue"], "writes to a socket for as long as it is open"),
    one(QUIC, &["*quic-go.(*baseServer).*"], "accepts connections for as long as it listens"),
    // Tests wait for their parts.
    lasting(["test runner", "test runners"], &["testing.(*T).Run"], "a test waits for its parts"),
    lasting(["test runner", "test runners"], &["testing.(*T).Parallel"], "a test waits for its turn"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_of_tests() {
        for (function, test) in [
            ("ex.com/api.TestClose", Some("TestClose")),
            ("ex.com/api.TestClose.func1.2", Some("TestClose")),
            ("ex.com/api_test.TestClose.gowrap1", Some("TestClose")),
            ("ex.com/api.(*Suite).TestClose.func1", Some("TestClose")),
            ("ex.com/api.Suite.TestClose", Some("TestClose")),
            ("ex.com/api.TestClose.helper.TestX.func1", Some("TestClose")),
            ("main.Test", Some("Test")),
            ("main.Test_it.func1", Some("Test_it")),
            ("ex.com/api.BenchmarkX.func2", Some("BenchmarkX")),
            ("ex.com/api.FuzzX.func1", Some("FuzzX")),
            ("ex.com/api.ExampleX", Some("ExampleX")),
            ("ex.com/api.Testament", None),
            ("ex.com/api.helper.func1", None),
            ("ex.com/api.Map[ex.com/a.TestX].func1", None),
            ("testing.tRunner", None),
            ("TestX", None),
            ("", None),
        ] {
            assert_eq!(test_of(function), test, "{function}");
        }
    }

    #[test]
    fn modules_of_main_packages() {
        for (main, module) in [
            ("github.com/prometheus/prometheus/cmd/prometheus", Some("github.com/prometheus/prometheus")),
            ("github.com/caddyserver/caddy/v2/cmd/caddy", Some("github.com/caddyserver/caddy/v2")),
            ("github.com/a/b/tools/c", Some("github.com/a/b")),
            ("go.etcd.io/etcd", Some("go.etcd.io/etcd")),
            ("ex.com/team/project/server", Some("ex.com/team")),
            ("ex.com/a/cmd", Some("ex.com/a")),
            ("ex.com/a.test", Some("ex.com/a")),
            ("app/server", Some("app")),
            ("net/http", None),
            ("", None),
        ] {
            assert_eq!(module_of_main(main), module, "{main}");
        }
    }
}
