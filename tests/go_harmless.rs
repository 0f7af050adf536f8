//! Whatever happens to loiter, the target runs on, and stands still no longer than loiter says.

#![allow(clippy::unwrap_used)]

mod common;

use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use common::random::Random;
use common::{Fixture, Flavour, Program, QUICK_VERSIONS, Toolchain, amount, build, threads};
use loiter::process;
use loiter::runtimes::{Pause, Readable};

/// What other programs on the machine may take away from the target's clock, unless they take more from ours.
const NOISE: Duration = Duration::from_millis(100);

/// No death of loiter may cost more than this, whatever else runs on the machine. Loiter itself would hold the target
/// for an hour.
const FAR_TOO_LONG: Duration = Duration::from_secs(120);

fn start() -> Fixture {
    let toolchain = Toolchain::get(QUICK_VERSIONS[1]);
    let program = build(&toolchain, Program::Fixtures, Flavour::Stripped);
    let variables = [("COUNT", "20000"), ("MODE", "mixed"), ("RATE", "2000")];
    let mut fixture = Fixture::start_with(&program, &["parked", "churn"], &variables);
    fixture.clock_gap();
    fixture
}

fn loiter_freezes(pid: u32) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_loiter"));
    command.args(["stacks", "--freeze=1h", &pid.to_string()]);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

/// Waits until nothing holds the process any more: the kernel lets go of it when the tracer is dead.
fn wait_until_free(pid: u32) -> bool {
    let began = Instant::now();
    while began.elapsed() < FAR_TOO_LONG {
        if threads::stopped(pid).is_empty() && threads::tracers(pid).is_empty() {
            return true;
        }
        thread::sleep(Duration::from_millis(1));
    }
    false
}

#[test]
fn killed_at_random_moments() {
    let mut fixture = start();
    let pid = fixture.pid();
    // How long one takes decides where the moments lie.
    let began = Instant::now();
    let output = loiter_freezes(pid).stderr(Stdio::piped()).output().unwrap();
    let mut typical = began.elapsed();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));

    let mut random = Random::new(1);
    let (mut killed, mut in_a_pause) = (0, 0);
    let mut longest = Duration::ZERO;
    let count = amount("LOITER_KILLS", 50, 150);
    for round in 0..count {
        let (created, (_, ticks)) = (fixture.counter("created"), fixture.clock_gap());
        let mut child = loiter_freezes(pid).spawn().unwrap();
        let nap = Duration::from_nanos(random.below(typical.as_nanos() as u64 * 5 / 4));
        thread::sleep(nap);
        in_a_pause += u32::from(!threads::tracers(pid).is_empty());
        child.kill().unwrap();
        let status = child.wait().unwrap();
        killed += u32::from(!status.success());
        if status.success() {
            // It takes less now: the machine has more time for it.
            typical = typical.min(nap).max(Duration::from_millis(1));
        }
        assert!(wait_until_free(pid), "round {round}: still held: {:?}", threads::states(pid));
        // It goes on with its work: goroutines and the clock.
        let began = Instant::now();
        loop {
            let (gap, now) = fixture.clock_gap();
            longest = longest.max(gap);
            if now > ticks && fixture.counter("created") > created {
                break;
            }
            assert!(began.elapsed() < FAR_TOO_LONG, "round {round}: the target stands still");
            thread::sleep(Duration::from_millis(1));
        }
    }
    eprintln!(
        "{killed} of {count} killed before they had finished, {in_a_pause} of them in a pause; one takes \
         {typical:?}; the longest gap in the target's clock was {longest:?}"
    );
    assert!(killed * 4 > count, "only {killed} of {count} were killed at work");
    assert!(longest < FAR_TOO_LONG, "the target's clock stood still for {longest:?}");
    // And a last one that lives finds it as healthy as before.
    assert!(loiter_freezes(pid).status().unwrap().success());
    assert!(wait_until_free(pid));
}

/// A thread that does what the clock of the fixture does: it shows what the machine takes from both.
struct Clock {
    longest_ns: Arc<AtomicU64>,
    is_over: Arc<AtomicBool>,
}

impl Clock {
    fn start() -> Clock {
        let clock = Clock { longest_ns: Arc::default(), is_over: Arc::default() };
        let (longest_ns, is_over) = (Arc::clone(&clock.longest_ns), Arc::clone(&clock.is_over));
        thread::spawn(move || {
            let mut last = Instant::now();
            while !is_over.load(Ordering::Relaxed) {
                thread::sleep(Duration::from_micros(500));
                longest_ns.fetch_max(last.elapsed().as_nanos() as u64, Ordering::Relaxed);
                last = Instant::now();
            }
        });
        clock
    }

    /// The longest gap since it was last asked.
    fn gap(&self) -> Duration {
        Duration::from_nanos(self.longest_ns.swap(0, Ordering::Relaxed))
    }
}

impl Drop for Clock {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
    }
}

#[test]
fn the_pause_is_no_longer_than_loiter_says() {
    let mut fixture = start();
    let target = process::open_pid(fixture.pid()).unwrap();
    let readable = Readable::find(target.as_ref()).unwrap();
    let mut beyond = Vec::new();
    let rounds = amount("LOITER_PAUSES", 20, 40);
    let clock = Clock::start();
    for pause in [Pause::Everything, Pause::RunningThreads] {
        let options = common::reading(pause);
        for _ in 0..rounds {
            fixture.clock_gap();
            clock.gap();
            let snapshot = readable.read(target.as_ref(), &options).unwrap();
            let (gap, _) = fixture.clock_gap();
            let noise = NOISE.max(2 * clock.gap());
            let reading = snapshot.header.reading;
            if pause == Pause::Everything {
                assert!(reading.pause_ns > 0, "a frozen reading reports its pause");
            } else {
                assert_eq!(reading.pause_ns, 0, "nothing stops the whole target");
            }
            let said = Duration::from_nanos(reading.pause_ns.max(reading.longest_thread_stop_ns));
            if gap > said + noise {
                beyond.push((pause, gap, said));
            }
        }
        // Some are the machine's own doing.
        let of_pause = beyond.iter().filter(|(beyond, ..)| *beyond == pause).count();
        assert!(of_pause as u32 * 2 < rounds, "{pause:?}, of {rounds} readings: {beyond:?}");
    }
}
