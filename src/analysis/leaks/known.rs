//! Well-known tasks that are parked for a good reason.

use std::cell::RefCell;
use std::sync::Arc;

use rustc_hash::FxHashMap;

use crate::analysis::Pattern;
use crate::analysis::signature::Signature;

use super::wait_class::WaitClass;

/// A kind of task that is parked for a good reason.
#[derive(Debug, Clone, Copy)]
pub struct KnownTask {
    /// What it is: "accept loop", "accept loops".
    pub names: [&'static str; 2],
    /// Why it is parked.
    pub why: &'static str,
    /// Functions on its stack, which must all be there.
    frames: &'static [&'static str],
    /// The function that started it. Empty: any, or none.
    creator: &'static str,
    /// What it waits for. Empty: anything.
    waits: &'static [WaitClass],
    /// There is one for each of something that comes from outside, so that their growth says something.
    pub grows: bool,
}

/// There are a few for the life of the program.
const fn one(names: [&'static str; 2], frames: &'static [&'static str], why: &'static str) -> KnownTask {
    KnownTask { names, why, frames, creator: "", waits: &[], grows: false }
}

/// There is one for each connection or the like.
const fn each(names: [&'static str; 2], frames: &'static [&'static str], why: &'static str) -> KnownTask {
    KnownTask { names, why, frames, creator: "", waits: &[], grows: true }
}

const CONNECTIONS: [&str; 2] = ["task of an http connection", "tasks of http connections"];
const CLIENTS: [&str; 2] = ["task of an http client", "tasks of http clients"];
const RPC: [&str; 2] = ["task of a grpc connection", "tasks of grpc connections"];
const SIGNALS: [&str; 2] = ["signal handler", "signal handlers"];
const FLUSHERS: [&str; 2] = ["log flusher", "log flushers"];
const ACCEPTS: [&str; 2] = ["accept loop", "accept loops"];
const DATABASE: [&str; 2] = ["task of a database pool", "tasks of database pools"];
const WATCHES: [&str; 2] = ["file watcher", "file watchers"];
const METRICS: [&str; 2] = ["metrics worker", "metrics workers"];
const CACHES: [&str; 2] = ["cache cleaner", "cache cleaners"];
const MAIN: [&str; 2] = ["main function", "main functions"];
const QUIC: [&str; 2] = ["task of a QUIC socket", "tasks of QUIC sockets"];
const STORES: [&str; 2] = ["storage worker", "storage workers"];

/// All of them; the first that fits counts. Names are those of the source: what a version or a copy in
/// another place changes is a star.
pub const KNOWN: &[KnownTask] = &[
    // The program itself.
    one(MAIN, &["main.main"], "the program ends when its main function does, so that it waits for the end"),
    KnownTask {
        waits: &[WaitClass::Accept],
        ..one(ACCEPTS, &["*ccept*"], "a server waits for the next connection for as long as it serves")
    },
    one(
        ACCEPTS,
        &["net/http.(*Server).Serve"],
        "a server waits for the next connection for as long as it serves",
    ),
    // Signals.
    one(SIGNALS, &["os/signal.*"], "signals are delivered by one goroutine, which is started once"),
    KnownTask {
        creator: "os/signal.*",
        ..one(SIGNALS, &[], "signals are delivered by one goroutine, which is started once")
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
    one(FLUSHERS, &["*glog.(*loggingT).flushDaemon"], "flushes the log from time to time"),
    one(FLUSHERS, &["*glog.(*fileSink).flushDaemon"], "flushes the log from time to time"),
    one(FLUSHERS, &["k8s.io/klog*.(*flushDaemon).run*"], "flushes the log from time to time"),
    one(FLUSHERS, &["k8s.io/klog*.(*loggingT).flushDaemon"], "flushes the log from time to time"),
    one(
        FLUSHERS,
        &["go.uber.org/zap/zapcore.(*BufferedWriteSyncer).flushLoop"],
        "flushes the log from time to time",
    ),
    one(FLUSHERS, &["*lumberjack*.(*Logger).millRun"], "compresses old logs when there are any"),
    one(METRICS, &["go.opencensus.io/stats/view.(*worker).start"], "started when the library is linked"),
    one(METRICS, &["*go-metrics.(*meterArbiter).tick*"], "one for all meters"),
    one(METRICS, &["*go-metrics.*arbiter*.tick*"], "one for all meters"),
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
    one(CACHES, &["github.com/patrickmn/go-cache.(*janitor).Run"], "every cache has one"),
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
    one(["test runner", "test runners"], &["testing.(*T).Run"], "a test waits for its parts"),
    one(["test runner", "test runners"], &["testing.(*T).Parallel"], "a test waits for its turn"),
    // Tokio programs.
    each(
        ["idle pool", "idle pools"],
        &["*hyper_util*::IdleTask*"],
        "closes connections that are idle for too long",
    ),
];

/// The list, ready to be asked. Names are matched once each, because there may be very many stacks.
#[derive(Debug)]
pub(super) struct KnownTasks {
    /// Every pattern of the list.
    patterns: Vec<Pattern>,
    /// For each entry of the list the bits of its patterns: for the stack, for the creator.
    needs: Vec<(u128, u128)>,
    /// Which patterns a name fits, a bit each; by the address of the name, which is kept only once.
    names: RefCell<FxHashMap<usize, u128>>,
}

impl Default for KnownTasks {
    fn default() -> Self {
        let mut patterns = Vec::new();
        let mut bit = |text: &str| {
            patterns.push(Pattern::whole(text));
            1_u128.checked_shl(patterns.len() as u32 - 1).unwrap_or(0)
        };
        let mut needs = Vec::new();
        for known in KNOWN {
            let frames = known.frames.iter().fold(0, |bits, text| bits | bit(text));
            needs.push((frames, if known.creator.is_empty() { 0 } else { bit(known.creator) }));
        }
        KnownTasks { patterns, needs, names: RefCell::default() }
    }
}

impl KnownTasks {
    /// The first that fits tasks with this signature that wait for this.
    pub(super) fn find(&self, signature: &Signature, waits: WaitClass) -> Option<&'static KnownTask> {
        let stack = signature.frames.iter().fold(0, |bits, place| bits | self.fits(&place.function));
        let creator = signature.creator.as_ref().map_or(0, |place| self.fits(&place.function));
        let fits = |(known, (on_stack, started)): &(&KnownTask, &(u128, u128))| {
            (known.waits.is_empty() || known.waits.contains(&waits))
                && stack & on_stack == *on_stack
                && creator & started == *started
        };
        KNOWN.iter().zip(&self.needs).find(fits).map(|(known, _)| known)
    }

    fn fits(&self, name: &Arc<str>) -> u128 {
        let address = Arc::as_ptr(name).cast::<u8>() as usize;
        *self.names.borrow_mut().entry(address).or_insert_with(|| {
            let bits = self.patterns.iter().enumerate();
            bits.fold(0, |bits, (nth, pattern)| bits | (u128::from(pattern.matches(name)) << nth))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::signature::SignatureFrame;

    fn find(frames: &[&str], creator: &str, waits: WaitClass) -> Option<&'static str> {
        let place = |name: &str| SignatureFrame { function: name.into(), ..SignatureFrame::default() };
        let signature = Signature {
            runtime: "go".into(),
            doing: "".into(),
            frames: frames.iter().map(|name| place(name)).collect(),
            creator: (!creator.is_empty()).then(|| place(creator)),
        };
        KnownTasks::default().find(&signature, waits).map(|known| known.names[0])
    }

    #[test]
    fn every_entry_says_why_and_matches_something() {
        for known in KNOWN {
            assert!(!known.why.is_empty() && !known.names[0].is_empty(), "{known:?}");
            assert!(!known.frames.is_empty() || !known.creator.is_empty(), "{known:?}");
        }
    }

    #[test]
    fn every_pattern_has_a_bit() {
        let all = KnownTasks::default();
        assert!(all.patterns.len() <= 128, "{}", all.patterns.len());
        assert!(all.needs.iter().all(|(stack, creator)| stack | creator != 0));
    }

    #[test]
    fn an_idle_connection_is_known_and_a_busy_one_is_not() {
        let idle = ["internal/poll.(*FD).Read", "bufio.(*Reader).Peek", "net/http.(*conn).serve"];
        assert_eq!(find(&idle, "net/http.(*Server).Serve", WaitClass::Network), Some(CONNECTIONS[0]));
        let busy = ["main.handle", "net/http.HandlerFunc.ServeHTTP", "net/http.(*conn).serve"];
        assert_eq!(find(&busy, "net/http.(*Server).Serve", WaitClass::Receive), None);
        let idle = ["bufio.(*Reader).Peek", "net/http.(*persistConn).readLoop"];
        assert_eq!(find(&idle, "net/http.(*Transport).dialConn", WaitClass::Network), Some(CLIENTS[0]));
        // It waits for the end of a body that nobody reads.
        assert_eq!(find(&["net/http.(*persistConn).readLoop"], "", WaitClass::Select), None);
    }
}
