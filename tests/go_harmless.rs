//! Whatever happens to loiter, the target runs on, and stands still no longer than loiter says.

#![allow(clippy::unwrap_used)]

mod common;

use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use common::random::Random;
use common::{Fixture, Flavour, Program, QUICK_VERSIONS, Toolchain, amount, build, threads};
use loiter::process;
use loiter::runtimes::{Pause, Readable};

/// What other programs on the machine may take away from the target's clock.
const NOISE: Duration = Duration::from_millis(100);

/// No death of loiter may cost more than this, whatever else runs on the machine.
const FAR_TOO_LONG: Duration = Duration::from_secs(3);

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
    command.args(["stacks", "--freeze", &pid.to_string()]);
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
    let typical = began.elapsed();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));

    let mut random = Random::new(1);
    let (mut killed, mut in_a_pause) = (0, 0);
    let mut longest = Duration::ZERO;
    let count = amount("LOITER_KILLS", 50, 150);
    for round in 0..count {
        let (created, (_, ticks)) = (fixture.counter("created"), fixture.clock_gap());
        let mut child = loiter_freezes(pid).spawn().unwrap();
        thread::sleep(Duration::from_nanos(random.below(typical.as_nanos() as u64 * 5 / 4)));
        in_a_pause += u32::from(!threads::tracers(pid).is_empty());
        child.kill().unwrap();
        let status = child.wait().unwrap();
        killed += u32::from(!status.success());
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

#[test]
fn the_pause_is_no_longer_than_loiter_says() {
    let mut fixture = start();
    let target = process::open_pid(fixture.pid()).unwrap();
    let readable = Readable::find(target.as_ref()).unwrap();
    let mut beyond = Vec::new();
    let rounds = amount("LOITER_PAUSES", 20, 40);
    for pause in [Pause::Everything, Pause::RunningThreads] {
        let options = common::reading(pause);
        for _ in 0..rounds {
            fixture.clock_gap();
            let snapshot = readable.read(target.as_ref(), &options).unwrap();
            let (gap, _) = fixture.clock_gap();
            let reading = snapshot.header.reading;
            if pause == Pause::Everything {
                assert!(reading.pause_ns > 0, "a frozen reading reports its pause");
            } else {
                assert_eq!(reading.pause_ns, 0, "nothing stops the whole target");
            }
            let said = Duration::from_nanos(reading.pause_ns.max(reading.longest_thread_stop_ns));
            if gap > said + NOISE {
                beyond.push((pause, gap, said));
            }
        }
    }
    // One or the other is the machine's own doing.
    assert!(beyond.len() as u32 * 10 < rounds * 2, "of {} readings: {beyond:?}", rounds * 2);
}
