//! The server of the tour. Like real ones it has a leak, a lock that is held for too long, and a busy, healthy
//! part.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::ptr;
use std::sync::Arc;
use std::time::Duration;

use loiter_registry::{AwaitExt, WaitReason, tokio as tasks};
use tokio::sync::{Mutex, mpsc};
use tokio::time::sleep;

/// The time between two requests. Each request leaks a task.
const REQUESTS: Duration = Duration::from_millis(50);
/// Workers that write to the ledger, one at a time.
const WRITERS: u32 = 12;
/// How long one write takes.
const WRITE: Duration = Duration::from_millis(200);
/// Workers of the healthy part.
const POLLERS: u32 = 8;

/// Serves until standard input ends.
pub(super) fn run() -> io::Result<()> {
    // The tour reads this process like any other, and Yama could forbid that.
    crate::process::allow_readers();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_time().build()?;
    runtime.block_on(async {
        tasks::spawn_named("listener", listen());
        let ledger = Arc::new(Mutex::new(0));
        for _ in 0..WRITERS {
            tasks::spawn_named("ledger writer", write_ledger(Arc::clone(&ledger)));
        }
        for _ in 0..POLLERS {
            tasks::spawn_named("poller", poll_sensors());
        }
        sleep(Duration::from_millis(500)).await;
    });
    writeln!(io::stdout(), "{}", super::READY)?;
    io::stdin().read_to_end(&mut Vec::new())?;
    runtime.shutdown_background();
    Ok(())
}

/// Answers requests.
async fn listen() {
    let mut sessions = VecDeque::new();
    loop {
        sleep(REQUESTS).waiting_for(WaitReason::Read, ptr::null::<()>()).at("accept").await;
        sessions.push_back(answer().at("answer").await);
    }
}

/// Asks two backends and takes the first answer. The other one finds no room in the channel: its receiver stays
/// with the session and is never read again.
async fn answer() -> mpsc::Receiver<u64> {
    let (sender, mut answers) = mpsc::channel(1);
    for backend in 0..2 {
        tasks::spawn_named("backend", ask_backend(backend, sender.clone()));
    }
    let _first = answers.recv().waiting_for(WaitReason::ChannelReceive, &sender).at("first answer").await;
    sleep(Duration::from_millis(2)).await;
    let _ = sender.try_send(0);
    answers
}

async fn ask_backend(backend: u64, sender: mpsc::Sender<u64>) {
    sleep(Duration::from_millis(1 + 4 * backend)).at("backend").await;
    let _ = sender.send(backend).waiting_for(WaitReason::ChannelSend, &sender).at("send answer").await;
}

/// Holds the lock while it writes, so that all others queue for it.
async fn write_ledger(ledger: Arc<Mutex<u64>>) {
    loop {
        let mut entries = ledger.lock().waiting_for(WaitReason::Lock, &*ledger).at("ledger lock").await;
        sleep(WRITE).waiting_for(WaitReason::Write, ptr::null::<()>()).at("write ledger").await;
        *entries += 1;
    }
}

/// Works a little, waits a little.
async fn poll_sensors() {
    loop {
        sleep(Duration::from_millis(5))
            .waiting_for(WaitReason::Sleep, ptr::null::<()>())
            .at("next poll")
            .await;
        std::hint::black_box((0..20_000_u64).sum::<u64>());
    }
}
