//! Samples of threads that run.

use std::collections::BTreeSet;

use loiter::sampler::usage::{CpuTime, thread_name};
use loiter::sampler::{Event, Hurry, Record, Sampler, SamplerError};

use crate::program::Program;
use crate::{options, read_samples, read_until, read_while};

#[test]
fn a_sample_has_registers_a_chain_and_the_stack() {
    let program = Program::start(&["spin", "1"]);
    let burn = program.function("burn");
    for every_cpu in [true, false] {
        let mut sampler = Sampler::attach(program.pid(), &options(every_cpu)).unwrap();
        assert_eq!(sampler.facts().every_cpu, every_cpu);
        assert!(sampler.facts().kernel && sampler.facts().reduced.is_empty(), "{:?}", sampler.facts());
        let (mut inside, mut all, mut last) = (0, 0, 0);
        read_samples(&mut sampler, 100, &mut |record| {
            let Record::Sample { moment, weight_ns, .. } = record else { return };
            assert!(moment.at_ns >= last, "the order of time");
            last = moment.at_ns;
            assert_eq!(weight_ns, 1_001_001);
            assert_ne!(moment.tid, program.pid(), "the first thread sleeps");
            assert!(moment.stack.len() >= 64, "{}", moment.stack.len());
            assert_eq!(moment.chain.first(), Some(&moment.registers.pc));
            all += 1;
            inside += u64::from(moment.chain.iter().any(|pc| burn.contains(pc)));
        });
        assert!(inside * 10 > all * 9, "{inside} of {all} in burn");
        assert!(sampler.now_ns() >= last && sampler.begun_ns() <= last);
        let tally = sampler.tally();
        assert_eq!((tally.lost, tally.malformed, tally.threads_missed), (0, 0, 0), "{tally:?}");
        assert_eq!(tally.others > 0, every_cpu, "this test runs, too: {tally:?}");
    }
}

#[test]
fn kernel_frames_come_only_if_they_are_asked_for() {
    // Ending and starting threads is the kernel's work.
    let mut program = Program::start(&["short", "2000", "10"]);
    let mut with = options(true);
    with.kernel = true;
    let [mut with, mut without] =
        [with, options(true)].map(|options| Sampler::attach(program.pid(), &options).unwrap());
    let (mut frames, mut in_kernel) = (0, 0);
    read_while(
        &mut with,
        &mut |record| {
            if let Record::Sample { moment, .. } = record {
                frames += moment.kernel_chain.len();
                assert!(moment.in_kernel || moment.kernel_chain.is_empty());
            }
        },
        || {
            program.go();
            program.hears("done");
        },
    );
    without.stop();
    without.drain(&mut |record| {
        if let Record::Sample { moment, .. } = record {
            in_kernel += usize::from(moment.in_kernel);
            assert!(moment.kernel_chain.is_empty());
        }
    });
    assert!(frames > 0 && in_kernel > 0, "{frames} frames, {in_kernel} samples");
}

/// CPU time that the samples stand for, of the CPU time of threads that use so much each; thousandths.
fn coverage(every_cpu: bool, rate_hz: u32, count: u32, microseconds: u32) -> u64 {
    let mut program = Program::start(&["short", &count.to_string(), &microseconds.to_string()]);
    let mut options = options(every_cpu);
    (options.rate_hz, options.stack_bytes) = (rate_hz, 0);
    let before = CpuTime::of(program.pid()).unwrap();
    let mut sampler = Sampler::attach(program.pid(), &options).unwrap();
    let mut sampled = 0;
    read_while(
        &mut sampler,
        &mut |record| {
            if let Record::Sample { weight_ns, .. } = record {
                sampled += weight_ns;
            }
        },
        || {
            program.go();
            program.hears("done");
        },
    );
    let used = CpuTime::of(program.pid()).unwrap().since(before);
    let promille = sampled * 1000 / used.total_ns;
    eprintln!(
        "every CPU {every_cpu}, {rate_hz} Hz, {count} threads of {microseconds} us: {promille} of 1000, {:?}",
        sampler.tally()
    );
    assert_eq!(sampler.tally().lost, 0);
    promille
}

#[test]
fn short_threads_are_covered_where_every_cpu_is_sampled() {
    // 2 s of CPU time: the standard deviation is under 3 %.
    for (count, microseconds) in [(4000, 500), (500, 4000), (100, 20_000)] {
        let covered = coverage(true, 999, count, microseconds);
        assert!((850..=1150).contains(&covered), "threads of {microseconds} us: {covered} of 1000");
    }
}

#[test]
fn short_threads_are_missed_where_each_thread_is_sampled() {
    // A thread of its own has its first sample after a whole period.
    let shortest = coverage(false, 999, 2000, 500);
    assert!(shortest < 300, "{shortest} of 1000");
    let short = coverage(false, 99, 250, 4000);
    assert!(short < 500, "{short} of 1000");
    // Of 20 ms on two CPUs, 1 ms each is missed at most, and what the thread costs to start.
    let long = coverage(false, 999, 50, 20_000);
    assert!((700..=1150).contains(&long), "{long} of 1000");
}

#[test]
fn nothing_is_lost_of_two_hundred_threads() {
    let program = Program::start(&["spin", "200"]);
    let _hurry = Hurry::begin();
    for every_cpu in [true, false] {
        let mut options = options(every_cpu);
        // As for a Go program.
        (options.switches, options.stack_bytes) = (true, 4096);
        let mut sampler = Sampler::attach(program.pid(), &options).unwrap();
        let mut tids = BTreeSet::new();
        let mut seen = |record: Record<'_>| {
            if let Record::Sample { moment, .. } = record {
                tids.insert(moment.tid);
            }
        };
        read_samples(&mut sampler, 3000, &mut seen);
        sampler.stop();
        sampler.drain(&mut seen);
        let tally = sampler.tally();
        assert_eq!((tally.lost, tally.malformed, tally.threads_missed), (0, 0, 0), "{tally:?}");
        assert!(tids.len() > 100, "{} threads were seen", tids.len());
    }
}

#[test]
fn threads_come_and_go() {
    for every_cpu in [true, false] {
        let mut program = Program::start(&["short", "300", "100"]);
        let mut sampler = Sampler::attach(program.pid(), &options(every_cpu)).unwrap();
        let (mut started, mut ended) = (Vec::new(), Vec::new());
        read_while(
            &mut sampler,
            &mut |record| match record {
                Record::Started { tid, .. } => started.push(tid),
                Record::Ended { tid, .. } => ended.push(tid),
                _ => {}
            },
            || {
                program.go();
                program.hears("done");
                // A thread may still be about to end when it was joined, even if the next one has ended.
                let tasks = format!("/proc/{}/task", program.pid());
                while std::fs::read_dir(&tasks).unwrap().count() > 1 {
                    std::thread::sleep(std::time::Duration::from_millis(1));
                }
            },
        );
        assert_eq!(started.len(), 300);
        started.sort_unstable();
        ended.sort_unstable();
        assert_eq!(started, ended);
    }
}

#[test]
fn names_and_mappings_are_told_and_children_are_not() {
    for every_cpu in [true, false] {
        let mut program = Program::start(&["changes"]);
        let pid = program.pid();
        let mut sampler = Sampler::attach(pid, &options(every_cpu)).unwrap();
        let (mut names, mut mapped, mut tids, mut started) =
            (Vec::new(), 0, BTreeSet::new(), BTreeSet::new());
        read_while(
            &mut sampler,
            &mut |record| match record {
                Record::Named { name, is_exec, .. } => names.push((name.to_vec(), is_exec)),
                Record::Mapped { len: 4096, executable: true, path: b"//anon", .. } => mapped += 1,
                Record::Sample { moment, .. } => _ = tids.insert(moment.tid),
                Record::Started { tid, .. } => _ = started.insert(tid),
                _ => {}
            },
            || {
                program.go();
                program.hears("done");
            },
        );
        assert_eq!(names, [(b"a \x1b[1m name".to_vec(), false)]);
        assert_eq!((mapped, started.len()), (1, 1), "the child is no thread");
        started.insert(pid);
        assert!(tids.contains(&pid) && tids.is_subset(&started), "{tids:?} {started:?}");
        assert!(thread_name(pid, pid).unwrap().starts_with("program-"));
    }
}

#[test]
fn a_program_that_becomes_another_one_is_sampled_on() {
    for every_cpu in [true, false] {
        let mut program = Program::start(&["exec"]);
        let mut sampler = Sampler::attach(program.pid(), &options(every_cpu)).unwrap();
        program.go();
        program.hears("ready");
        let (mut execs, mut after) = (0, 0);
        let mut with = |record: Record<'_>| match record {
            Record::Named { is_exec: true, .. } => execs += 1,
            Record::Sample { .. } if execs == 1 => after += 1,
            _ => {}
        };
        read_samples(&mut sampler, 100, &mut with);
        assert!(execs == 1 && after > 50, "{execs} {after}");
    }
}

#[test]
fn a_program_that_ends_is_read_to_its_end() {
    for every_cpu in [true, false] {
        let mut program = Program::start(&["spin", "3"]);
        let mut sampler = Sampler::attach(program.pid(), &options(every_cpu)).unwrap();
        let mut ended = BTreeSet::new();
        let mut with = |record: Record<'_>| {
            if let Record::Ended { tid, .. } = record {
                ended.insert(tid);
            }
        };
        read_samples(&mut sampler, 20, &mut with);
        assert!(!sampler.has_ended());
        program.end();
        read_until(&mut sampler, &mut with, &mut Sampler::has_ended);
        sampler.stop();
        sampler.drain(&mut with);
        assert_eq!(ended.len(), 4);
        assert_eq!(sampler.tally().lost, 0);
        let error = Sampler::attach(program.pid(), &options(every_cpu)).expect_err("it is gone");
        assert!(matches!(&error, SamplerError::Target(error) if error.is_gone()), "{error:?}");
    }
}

#[test]
fn requests_that_make_no_sense_are_refused() {
    let pid = std::process::id();
    let problem = |change: &dyn Fn(&mut loiter::sampler::SamplerOptions)| {
        let mut options = options(false);
        change(&mut options);
        match Sampler::attach(pid, &options).expect_err("it makes no sense") {
            SamplerError::Options { problem } => problem,
            other => panic!("{other:?}"),
        }
    };
    assert!(problem(&|options| options.rate_hz = 0).contains("0 Hz"));
    assert!(problem(&|options| options.rate_hz = 1_000_000).contains("1000000 Hz"));
    assert!(problem(&|options| options.stack_bytes = 60_000).contains("60000 bytes"));
    assert!(problem(&|options| options.cpu = false).contains("switches"));
    let kernel_thread = Sampler::attach(2, &options(false)).expect_err("kthreadd");
    assert!(kernel_thread.to_string().contains("kernel thread"), "{kernel_thread}");
}

#[test]
fn cycles_are_sampled_or_said_to_be_missing() {
    let program = Program::start(&["spin", "1"]);
    let mut options = options(true);
    options.event = Event::Cycles;
    match Sampler::attach(program.pid(), &options) {
        Ok(mut sampler) => {
            read_samples(&mut sampler, 20, &mut |_| {});
            assert_eq!(sampler.facts().event, Some("cycles"));
        }
        Err(error) => {
            assert!(matches!(error, SamplerError::Missing { .. }), "{error:?}");
            assert!(error.remedy()[0].contains("event cpu-clock"), "{:?}", error.remedy());
        }
    }
}
