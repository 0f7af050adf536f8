//! Stopping threads, and letting them go whatever happens.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use loiter::process::{self, Target, TargetError, supervised};

use crate::roles::play;
use crate::support::{
    LONG, Process, counter, eventually, frozen_for, global, is_running, is_still, program, start, stopped,
};

fn states(target: &dyn Target) -> Vec<char> {
    let pid = target.info().pid.expect("a process has one");
    target.threads().expect("threads").into_iter().map(|tid| crate::support::state(pid, tid)).collect()
}

#[test]
fn one_thread_at_a_time() {
    let process = start(program(), &["spin", "spin"]);
    let target = process.open();
    for _ in 0..100 {
        for tid in target.threads().expect("threads") {
            let mut seen = Vec::new();
            let with = &mut |registers: &loiter::process::Registers| {
                seen.push((process.state(tid), target.read_u64(registers.sp).is_ok(), registers.tls != 0));
            };
            let held = stopped(target.as_ref(), tid, with);
            assert!(held > Duration::ZERO && held < Duration::from_secs(5), "{held:?}");
            // Only the last time counts: a stop that comes too late on a busy machine is tried again.
            assert_eq!(seen.pop(), Some(('t', true, true)));
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
        let begun = Instant::now();
        let frozen = target.freeze(LONG).expect("it freezes");
        // One that was about to end may still be in the list.
        let all_stopped = || states(target.as_ref()).iter().all(|&state| state == 't');
        eventually("all threads are stopped", all_stopped);
        let threads = target.threads().expect("threads");
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
        assert!(pause > Duration::from_millis(55) && pause <= begun.elapsed(), "{pause:?}");
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
        let mut late = 0;
        for _ in 0..5 {
            let (mut holder, _said) = loop {
                let (holder, mut said) = play(role, process.pid());
                assert!(said.any(|line| line == "frozen" || line == "held"));
                if states(target.as_ref()).contains(&'t') {
                    break (holder, said);
                }
                // A single thread is held for a short time only: a busy machine may look too late.
                late += 1;
                assert!(role == "hold" && late < 20, "nothing is stopped");
            };
            if role == "freeze" {
                assert!(is_still(target.as_ref()));
            } else {
                assert!(is_running(target.as_ref()));
            }
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
                stopped(target.as_ref(), tid, &mut |_| ());
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
            stopped(target.as_ref(), tid, &mut |registers| assert_ne!(registers.pc, 0));
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

/// The child that a thread waits for in the kernel.
fn child_of(pid: u32, tid: u32) -> Option<u32> {
    let children = std::fs::read_to_string(format!("/proc/{pid}/task/{tid}/children")).ok()?;
    children.split_whitespace().next()?.parse().ok()
}

/// The thread that sleeps in the kernel until its child ends, and that child.
fn stuck_thread(process: &Process, target: &dyn Target) -> (u32, u32) {
    let mut found = None;
    eventually("a thread sleeps in the kernel", || {
        let threads = target.threads().expect("threads").into_iter();
        let mut sleeping = threads.filter(|&tid| process.state(tid) == 'D');
        found = sleeping.find_map(|tid| Some((tid, child_of(process.pid(), tid)?)));
        found.is_some()
    });
    found.expect("found")
}

#[test]
fn a_thread_that_cannot_be_stopped() {
    let process = start(program(), &["vfork", "spin"]);
    let target = process.open();
    let (stuck, child) = stuck_thread(&process, target.as_ref());
    let begun = Instant::now();
    let error = loop {
        let error = target.with_stopped_thread(stuck, &mut |_| ()).expect_err("it does not stop");
        // A busy machine may need all of the time that there is for a stop.
        if !matches!(error, TargetError::LetGo { .. }) {
            break error;
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "{error}");
    };
    assert!(error.to_string().contains("did not stop within 1000 ms"), "{error}");
    signal(child, libc::SIGKILL);
    // It must not stop later either, when it comes back from the kernel and nobody looks.
    eventually("it goes on", || counter(target.as_ref(), "released") > 10);
    assert!(is_running(target.as_ref()));
}

#[test]
fn frozen_with_a_thread_that_cannot_be_stopped() {
    let process = start(program(), &["vfork", "spin"]);
    let target = process.open();
    let (stuck, child) = stuck_thread(&process, target.as_ref());
    let frozen = target.freeze(LONG).expect("it freezes all the same");
    assert!(is_still(target.as_ref()));
    assert!(target.with_stopped_thread(stuck, &mut |_| ()).is_err(), "its registers are not known");
    signal(child, libc::SIGKILL);
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

/// The tracer of a process: a process of loiter's own.
fn tracer(pid: u32) -> Option<u32> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("TracerPid:"))?;
    line.trim().parse().ok().filter(|&pid| pid != 0)
}

fn signal(pid: u32, signal: i32) {
    let pid = i32::try_from(pid).expect("pids are small");
    // SAFETY: kill takes two integers; the pid is that of a process that the test has seen alive and
    // whose parent has not waited for it.
    assert_eq!(unsafe { libc::kill(pid, signal) }, 0);
}

/// Long enough to be seen, and short enough to wait for.
const SHORT: Duration = Duration::from_millis(300);

#[test]
fn a_freeze_ends_in_time() {
    let process = start(program(), &["spin", "make"]);
    let target = process.open();
    for _ in 0..3 {
        let frozen = frozen_for(target.as_ref(), SHORT);
        let tid = target.threads().expect("threads")[0];
        eventually("it is let go while the guard is still there", || tracer(process.pid()).is_none());
        assert!(is_running(target.as_ref()));
        let late = target.with_stopped_thread(tid, &mut |_| ());
        assert!(matches!(late, Err(TargetError::LetGo { .. })), "{late:?}");
        let error = frozen.release().expect_err("not all of it was of one moment");
        assert!(matches!(error, TargetError::LetGo { after: SHORT, .. }), "{error:?}");
        assert_eq!(
            error.to_string(),
            format!("process {} was let go after 0.3 s, before all of it had been read", process.pid())
        );
        drop(target.freeze(LONG).expect("it can be frozen again"));
    }
}

#[test]
fn a_thread_is_let_go_in_time() {
    let process = start(program(), &["spin"]);
    let target = process.open();
    let tid = target.threads().expect("threads")[1];
    let mut late = 0;
    let error = loop {
        let mut was_held = false;
        let error = target
            .with_stopped_thread(tid, &mut |_| {
                was_held = process.state(tid) == 't';
                eventually("it is let go while it is looked at", || process.state(tid) != 't');
            })
            .expect_err("what was found is worthless");
        if was_held {
            break error;
        }
        // A busy machine may look when the time is over already.
        late += 1;
        assert!(late < 20, "{error:?}");
    };
    assert!(matches!(error, TargetError::LetGo { .. }), "{error:?}");
    assert!(is_running(target.as_ref()));
    target.with_stopped_thread(tid, &mut |_| ()).expect("it can be stopped again");
}

#[test]
fn loiter_is_stopped_while_it_holds_the_target() {
    let process = start(program(), &["spin", "make"]);
    let target = process.open();
    for role in ["freeze-shortly", "hold"] {
        let (holder, mut said) = play(role, process.pid());
        assert!(said.any(|line| line == "frozen" || line == "held"));
        holder.signal(libc::SIGSTOP);
        eventually("it is let go", || !states(target.as_ref()).contains(&'t'));
        assert!(is_running(target.as_ref()));
        holder.signal(libc::SIGCONT);
        assert!(said.any(|line| line.contains("was let go after")), "and loiter knows");
    }
}

#[test]
fn job_control_waits_until_the_target_is_let_go() {
    let process = start(program(), &["spin"]);
    let target = process.open();
    for stop in [libc::SIGTSTP, libc::SIGTTIN, libc::SIGTTOU] {
        let mut late = 0;
        let (holder, mut said) = loop {
            let (holder, mut said) = play("freeze-and-release", process.pid());
            assert!(said.any(|line| line == "frozen"));
            holder.signal(stop);
            // It goes on to the end of the freeze, which it was told to wait for, and stops then.
            let state = || holder.state(holder.pid());
            eventually("it stops when nothing is held", || matches!(state(), 'T' | 'Z'));
            if state() == 'T' {
                break (holder, said);
            }
            // A busy machine may send the signal when the holder has ended already.
            late += 1;
            assert!(late < 20, "it does not stop");
        };
        assert_eq!(tracer(process.pid()), None);
        assert!(is_running(target.as_ref()));
        holder.signal(libc::SIGCONT);
        assert!(said.any(|line| line == "released"), "it was held until then");
    }
}

#[test]
fn somebody_ends_the_tracer() {
    let process = start(program(), &["spin"]);
    let target = process.open();
    let frozen = target.freeze(LONG).expect("it freezes");
    signal(tracer(process.pid()).expect("it is traced"), libc::SIGKILL);
    assert!(is_running(target.as_ref()));
    let error = frozen.release().expect_err("not all of it was of one moment").to_string();
    assert!(error.contains("the tracer process of loiter was ended by somebody else"), "{error}");
    drop(target.freeze(LONG).expect("there is another one"));
    assert!(is_running(target.as_ref()));
}

#[test]
fn somebody_stops_the_tracer() {
    let process = start(program(), &["spin"]);
    let target = process.open();
    let mut late = 0;
    let (frozen, its_tracer) = loop {
        let frozen = frozen_for(target.as_ref(), Duration::from_secs(2));
        if let Some(tracer) = tracer(process.pid()) {
            break (frozen, tracer);
        }
        // A busy machine may look when it has been let go already.
        late += 1;
        assert!(late < 20, "it is not traced");
    };
    signal(its_tracer, libc::SIGSTOP);
    eventually("the kernel ends it", || tracer(process.pid()).is_none());
    assert!(is_running(target.as_ref()));
    assert!(matches!(frozen.release(), Err(TargetError::LetGo { .. })));
}

#[test]
fn the_tracer_ends_with_the_target() {
    let process = start(program(), &["spin"]);
    let target = process.open();
    let frozen = target.freeze(LONG).expect("it freezes");
    let tracer = tracer(process.pid()).expect("it is traced");
    let name = || std::fs::read_to_string(format!("/proc/{tracer}/comm")).unwrap_or_default();
    assert_eq!(name(), "loiter-tracer\n");
    // The same one serves again, and is in no session of ours.
    frozen.release().expect("it was held until now");
    let frozen = target.freeze(LONG).expect("it freezes");
    assert_eq!(self::tracer(process.pid()), Some(tracer));
    // SAFETY: getsid takes a number.
    assert_eq!(u32::try_from(unsafe { libc::getsid(tracer.cast_signed()) }), Ok(tracer));
    drop(frozen);
    drop(target);
    assert_eq!(name(), "", "it has ended, and was waited for");
}

#[test]
fn a_process_does_not_stop_itself() {
    let own = std::process::id();
    let target = loiter::process::open_pid(own).expect("it can be read");
    assert!(matches!(target.freeze(LONG), Err(TargetError::CannotStop { .. })));
}

/// Threads of this program that read a target for somebody who may have given up.
fn readers(target: &dyn Target) -> usize {
    let pid = target.info().pid.expect("a process has one");
    let tasks = std::fs::read_dir("/proc/self/task").expect("ours").filter_map(Result::ok);
    let is_reader = |name: String| name.trim_end() == "reader";
    let stuck = |task: &std::fs::DirEntry| {
        std::fs::read_to_string(task.path().join("comm")).is_ok_and(is_reader)
            && std::fs::read_to_string(task.path().join("syscall"))
                .is_ok_and(|call| call.starts_with(&format!("{} {pid:#x} ", libc::SYS_process_vm_readv)))
    };
    tasks.filter(stuck).count()
}

fn start_lazy() -> crate::support::Process {
    let mut command = std::process::Command::new(program());
    let mut process = crate::support::Process(command.args(["lazy", "spin"]).spawn().expect("it starts"));
    std::thread::sleep(Duration::from_millis(100));
    let ended = process.0.try_wait().expect("ours");
    assert!(
        ended.is_none(),
        "userfaultfd cannot be used here: run the tests as root, or set vm.unprivileged_userfaultfd to 1 \
         (sysctl vm.unprivileged_userfaultfd=1)"
    );
    crate::support::wait_ready(process.pid());
    process
}

#[test]
fn a_page_that_does_not_come() {
    let process = start_lazy();
    let target = process.open();
    let page = counter(target.as_ref(), "lazy");
    let read = move |target: &dyn Target| target.read_u64(page);
    let begun = Instant::now();
    let error = supervised(target.as_ref(), None, read).expect_err("the page does not come");
    assert_eq!(
        error.to_string(),
        format!(
            "reading address {page:#x} of pid {} did not return within 5 s (a page that is served by \
             userfaultfd, FUSE or NFS?)",
            process.pid()
        )
    );
    // No more threads hang in it, however often it is tried, and through whatever target.
    for _ in 0..5 {
        let again = supervised(target.as_ref(), None, read);
        assert!(matches!(again, Err(TargetError::NoAnswer { .. })), "{again:?}");
        let opened = loiter::process::open_pid(process.pid());
        assert!(matches!(opened, Err(TargetError::NoAnswer { .. })));
    }
    assert_eq!(readers(target.as_ref()), 1);
    assert!(begun.elapsed() < Duration::from_secs(120), "{:?}", begun.elapsed());
    // It comes after all.
    process.signal(libc::SIGUSR2);
    eventually("it answers again", || supervised(target.as_ref(), None, read).is_ok_and(|word| word == 0));
    assert_eq!(readers(target.as_ref()), 0);
}

#[test]
fn a_page_that_does_not_come_while_it_is_frozen() {
    let process = start_lazy();
    let target = process.open();
    let page = counter(target.as_ref(), "lazy");
    let frozen_read = move |target: &dyn Target| {
        let frozen = target.freeze(Duration::from_secs(2))?;
        let word = target.read_u64(page);
        frozen.release()?;
        word
    };
    let error = supervised(target.as_ref(), None, frozen_read).expect_err("the page does not come");
    assert!(matches!(&error, TargetError::LetGo { reading: Some(_), .. }), "{error:?}");
    assert!(error.to_string().contains(&format!("reading address {page:#x}")), "{error}");
    eventually("nothing is held", || tracer(process.pid()).is_none());
    process.signal(libc::SIGUSR2);
    eventually("it answers again", || process::open_pid(process.pid()).is_ok());
    assert!(is_running(target.as_ref()));
    // One that has no limit of its own to speak of is let go when the read is given up.
    let process = start_lazy();
    let target = process.open();
    let page = counter(target.as_ref(), "lazy");
    let stop = Arc::new(AtomicBool::new(false));
    let its = Arc::clone(&stop);
    let single = move |target: &dyn Target| {
        let tid = target.info().pid.expect("a process has one");
        let mut word = Ok(0);
        target.with_stopped_thread(tid, &mut |_| {
            its.store(true, Ordering::Relaxed);
            word = target.read_u64(page);
        })?;
        word
    };
    let error = supervised(target.as_ref(), Some(&stop), single).expect_err("nobody waits for it");
    assert!(matches!(&error, TargetError::GivenUp { .. }), "{error:?}");
    eventually("nothing is held", || tracer(process.pid()).is_none());
    process.signal(libc::SIGUSR2);
    eventually("it answers again", || process::open_pid(process.pid()).is_ok());
}

/// The user asks to stop while a reading goes on that would go on without end. What it made of the rest is not returned.
#[test]
fn a_reading_that_is_asked_to_stop_can_read_no_more() {
    let process = start(program(), &["spin"]);
    let target = process.open();
    let address = global(target.as_ref(), "ticks");
    let stop = Arc::new(AtomicBool::new(false));
    let its = Arc::clone(&stop);
    let endless = move |target: &dyn Target| {
        while target.read_u64(address).is_ok() {
            its.store(true, Ordering::Relaxed);
        }
        Ok::<_, TargetError>(7)
    };
    let error = supervised(target.as_ref(), Some(&stop), endless).expect_err("it was asked to stop");
    assert!(matches!(&error, TargetError::GivenUp { .. }), "{error:?}");
    // The next one is not begun, as long as that holds.
    let begun = supervised(target.as_ref(), Some(&stop), |_: &dyn Target| Ok::<_, TargetError>(7));
    assert!(matches!(begun, Err(TargetError::GivenUp { .. })), "{begun:?}");
    let again = supervised(target.as_ref(), None, move |target: &dyn Target| target.read_u64(address));
    assert!(again.is_ok(), "{again:?}");
}
