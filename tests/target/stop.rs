//! Stopping threads, and letting them go whatever happens.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use loiter::target::{Target, TargetError};

use crate::roles::play;
use crate::support::{LONG, counter, eventually, global, is_running, is_still, program, start};

fn states(target: &dyn Target) -> Vec<char> {
    let pid = target.info().pid;
    target.threads().expect("threads").into_iter().map(|tid| crate::support::state(pid, tid)).collect()
}

#[test]
fn one_thread_at_a_time() {
    let process = start(program(), &["spin", "spin"]);
    let target = process.open();
    for _ in 0..100 {
        for tid in target.threads().expect("threads") {
            let mut seen = 0;
            let with = &mut |registers: &loiter::target::Registers| {
                seen += 1;
                assert_eq!(process.state(tid), 't');
                assert!(target.read_u64(registers.sp).is_ok(), "{registers:x?}");
                assert_ne!(registers.tls, 0);
            };
            let held = target.with_stopped_thread(tid, with).expect("it stops");
            assert!(held > Duration::ZERO && held < Duration::from_secs(5), "{held:?}");
            assert_eq!(seen, 1);
            assert_ne!(process.state(tid), 't');
        }
    }
    assert!(is_running(target.as_ref()));
    // A thread of somebody else is not touched, even if the target's memory names it.
    let own = std::process::id();
    assert!(matches!(target.with_stopped_thread(own, &mut |_| ()), Err(TargetError::CannotStop { .. })));
}

#[test]
fn a_panic_lets_the_thread_go() {
    let process = start(program(), &["spin"]);
    let target = process.open();
    let tid = target.threads().expect("threads")[1];
    let panicked =
        catch_unwind(AssertUnwindSafe(|| target.with_stopped_thread(tid, &mut |_| panic!("on purpose"))));
    assert!(panicked.is_err());
    assert!(is_running(target.as_ref()));
    target.with_stopped_thread(tid, &mut |_| ()).expect("it can be stopped again");
}

#[test]
fn everything_stands_while_it_is_frozen() {
    let process = start(program(), &["spin", "make"]);
    let target = process.open();
    for _ in 0..30 {
        let frozen = target.freeze(LONG).expect("it freezes");
        let threads = target.threads().expect("threads");
        assert!(states(target.as_ref()).iter().all(|&state| state == 't'), "{:?}", states(target.as_ref()));
        let made = counter(target.as_ref(), "made");
        std::thread::sleep(Duration::from_millis(5));
        assert!(is_still(target.as_ref()));
        assert_eq!(made, counter(target.as_ref(), "made"));
        assert_eq!(threads, target.threads().expect("threads"));
        for tid in threads {
            let held = target.with_stopped_thread(tid, &mut |registers| assert_ne!(registers.pc, 0));
            assert_eq!(held.expect("its registers are known"), Duration::ZERO);
        }
        assert!(target.freeze(LONG).is_err(), "once is enough");
        let pause = frozen.release().expect("it was held until now");
        assert!(pause > Duration::from_millis(55) && pause < Duration::from_secs(20), "{pause:?}");
        let made = counter(target.as_ref(), "made");
        eventually("it makes threads again", || counter(target.as_ref(), "made") > made);
    }
    assert!(is_running(target.as_ref()));
    assert!(!states(target.as_ref()).contains(&'t'));
}

#[test]
fn killed_while_it_holds_the_target() {
    let process = start(program(), &["spin", "make"]);
    let target = process.open();
    for role in ["freeze", "hold"] {
        for _ in 0..5 {
            let (mut holder, mut said) = play(role, process.pid());
            assert!(said.any(|line| line == "frozen" || line == "held"));
            assert_eq!(is_still(target.as_ref()), role == "freeze");
            assert!(states(target.as_ref()).contains(&'t'));
            holder.kill();
            assert!(is_running(target.as_ref()));
            eventually("nothing is stopped", || !states(target.as_ref()).contains(&'t'));
        }
    }
}

#[test]
fn somebody_else_traces_it() {
    let process = start(program(), &["spin"]);
    let target = process.open();
    let (mut holder, mut said) = play("freeze", process.pid());
    assert!(said.any(|line| line == "frozen"));
    for error in [
        target.freeze(LONG).expect_err("it is taken"),
        target.with_stopped_thread(process.pid(), &mut |_| ()).expect_err("it is taken"),
    ] {
        let text = error.to_string();
        assert!(text.contains("already traced by pid"), "{text}");
    }
    assert!(global(target.as_ref(), "text") > 0, "reading works all the same");
    holder.kill();
    assert!(is_running(target.as_ref()));
}

#[test]
fn no_signal_is_lost() {
    const SIGNALS: u64 = 3000;
    let process = start(program(), &["spin", "signals"]);
    let target = process.open();
    std::thread::scope(|scope| {
        let sender = scope.spawn(|| {
            for i in 0..SIGNALS {
                process.signal(libc::SIGRTMIN() + 1);
                if i % 10 == 0 {
                    std::thread::sleep(Duration::from_micros(50));
                }
            }
        });
        while !sender.is_finished() {
            drop(target.freeze(LONG).expect("it freezes"));
            for tid in target.threads().expect("threads") {
                target.with_stopped_thread(tid, &mut |_| ()).expect("it stops");
            }
        }
    });
    eventually("all are handled", || counter(target.as_ref(), "handled") == SIGNALS);
    assert!(is_running(target.as_ref()));
}

#[test]
fn a_stopped_process_stays_stopped() {
    let process = start(program(), &["spin"]);
    let target = process.open();
    let threads = target.threads().expect("threads");
    let all_stopped = || threads.iter().all(|&tid| process.state(tid) == 'T');
    for _ in 0..20 {
        process.signal(libc::SIGSTOP);
        eventually("it has stopped", all_stopped);
        for &tid in &threads {
            target
                .with_stopped_thread(tid, &mut |registers| assert_ne!(registers.pc, 0))
                .expect("it is looked at");
        }
        drop(target.freeze(LONG).expect("it freezes"));
        eventually("it is stopped as before", all_stopped);
        assert!(is_still(target.as_ref()));
        assert!(all_stopped());
        process.signal(libc::SIGCONT);
        assert!(is_running(target.as_ref()));
    }
}

#[test]
fn stopped_by_a_signal_while_frozen() {
    let process = start(program(), &["spin"]);
    let target = process.open();
    let frozen = target.freeze(LONG).expect("it freezes");
    process.signal(libc::SIGSTOP);
    frozen.release().expect("it was held until now");
    let threads = target.threads().expect("threads");
    eventually("it stops when it is let go", || threads.iter().all(|&tid| process.state(tid) == 'T'));
    process.signal(libc::SIGCONT);
    assert!(is_running(target.as_ref()));
}

#[test]
fn a_thread_that_cannot_be_stopped() {
    let process = start(program(), &["vfork", "spin"]);
    let target = process.open();
    let sleeps = |tid: &u32| process.state(*tid) == 'D';
    let mut stuck = None;
    eventually("a thread sleeps in the kernel", || {
        stuck = target.threads().expect("threads").into_iter().find(sleeps);
        stuck.is_some()
    });
    let begun = Instant::now();
    let error = target.with_stopped_thread(stuck.expect("found"), &mut |_| ()).expect_err("it does not stop");
    assert!(begun.elapsed() < Duration::from_millis(2200), "{:?}", begun.elapsed());
    assert!(error.to_string().contains("did not stop within 1000 ms"), "{error}");
    // It must not stop later either, when it comes back from the kernel and nobody looks.
    eventually("it goes on", || counter(target.as_ref(), "released") > 10);
    assert!(is_running(target.as_ref()));
}

#[test]
fn frozen_with_a_thread_that_cannot_be_stopped() {
    let process = start(program(), &["vfork", "spin"]);
    let target = process.open();
    let sleeping = || target.threads().expect("threads").into_iter().find(|&tid| process.state(tid) == 'D');
    eventually("a thread sleeps in the kernel", || sleeping().is_some());
    let stuck = sleeping().expect("found");
    let frozen = target.freeze(LONG).expect("it freezes all the same");
    assert!(is_still(target.as_ref()));
    assert!(target.with_stopped_thread(stuck, &mut |_| ()).is_err(), "its registers are not known");
    eventually("it comes back, and stops before it does anything", || process.state(stuck) == 't');
    assert_eq!(counter(target.as_ref(), "released"), 0);
    frozen.release().expect("it was held until now");
    eventually("it goes on", || counter(target.as_ref(), "released") > 10);
    assert!(is_running(target.as_ref()));
}

#[test]
fn killed_while_it_is_frozen() {
    let mut process = start(program(), &["spin", "make"]);
    let target = process.open();
    let frozen = target.freeze(LONG).expect("it freezes");
    // Its parent cannot notice the end before the tracer has: here they are the same process.
    process.signal(libc::SIGKILL);
    frozen.release().expect("it was held until now");
    process.kill();
    assert!(matches!(target.freeze(LONG), Err(TargetError::Ended { .. })));
}
