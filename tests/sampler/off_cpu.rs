//! Time off CPU of a program with a plan, compared with what the scheduler counts.

use std::collections::BTreeMap;

use loiter::sampler::off_cpu::Interval;
use loiter::sampler::usage::ThreadTime;
use loiter::sampler::{Record, Sampler, SamplerOptions};

use crate::program::Program;
use crate::{options, read_while};

/// How often a thread left its CPU: because it was blocked, and because it was preempted.
fn switches(pid: u32, tid: u32) -> (u64, u64) {
    let status = std::fs::read_to_string(format!("/proc/{pid}/task/{tid}/status")).unwrap();
    let number = |key: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(key)).unwrap();
        line.trim_start_matches(':').trim().parse::<u64>().unwrap()
    };
    (number("voluntary_ctxt_switches"), number("nonvoluntary_ctxt_switches"))
}

fn tids(pid: u32) -> Vec<u32> {
    let entries = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    entries.map(|entry| entry.unwrap().file_name().to_str().unwrap().parse().unwrap()).collect()
}

fn times(pid: u32) -> BTreeMap<u32, (ThreadTime, (u64, u64))> {
    tids(pid).into_iter().map(|tid| (tid, (ThreadTime::of(pid, tid).unwrap(), switches(pid, tid)))).collect()
}

/// Is the thread asleep? One that waits for a CPU has not run for a while either.
fn sleeps(pid: u32, tid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/task/{tid}/stat")).unwrap();
    stat.rsplit(") ").next().unwrap().starts_with('S')
}

/// Waits until no thread has run for a while: all of them wait.
fn settle(pid: u32) {
    let mut last = times(pid);
    let mut quiet = 0;
    while quiet < 5 {
        std::thread::sleep(std::time::Duration::from_millis(20));
        let now = times(pid);
        let is_quiet = now == last && now.keys().all(|&tid| sleeps(pid, tid));
        quiet = if is_quiet { quiet + 1 } else { 0 };
        last = now;
    }
}

/// What was recorded of one thread.
#[derive(Debug, Default, Clone, Copy)]
struct Recorded {
    outs: (u64, u64),
    off_ns: u64,
}

fn add(into: &mut BTreeMap<u32, Recorded>, interval: Interval) {
    into.entry(interval.tid).or_default().off_ns += interval.len_ns();
}

fn check_plan(options: &SamplerOptions) {
    let mut program = Program::start(&["plan"]);
    let pid = program.pid();
    settle(pid);
    let before = times(pid);
    let mut sampler = Sampler::attach(pid, options).unwrap();
    let begun_ns = sampler.begun_ns();
    let mut off = sampler.off_cpu();
    let mut recorded = BTreeMap::<u32, Recorded>::new();
    read_while(
        &mut sampler,
        &mut |record| {
            if let Record::SwitchedOut { tid, preempted, .. } = record {
                let outs = &mut recorded.entry(tid).or_default().outs;
                *(if preempted { &mut outs.1 } else { &mut outs.0 }) += 1;
            }
            if let Some(interval) = off.take(&record) {
                add(&mut recorded, interval);
            }
        },
        || {
            program.go();
            // The plan is over when all threads wait for the main thread, which waits for a line.
            while times(pid).values().map(|(time, _)| time.ran_ns).sum::<u64>()
                < before.values().map(|(time, _)| time.ran_ns).sum::<u64>() + 550_000_000
            {
                std::thread::sleep(std::time::Duration::from_millis(20));
            }
            settle(pid);
        },
    );
    let end_ns = sampler.now_ns();
    assert_eq!((off.unpaired(), sampler.tally().lost), (0, 0));
    let after = times(pid);
    for interval in off.finish(end_ns, &mut |tid| ThreadTime::of(pid, tid)) {
        add(&mut recorded, interval);
    }
    let wall_ns = end_ns - begun_ns;
    let mut preempted = 0;
    for (tid, (time, counts)) in &after {
        let (time_before, counts_before) = before[tid];
        let seen = recorded.get(tid).copied().unwrap_or_default();
        let counted = (counts.0 - counts_before.0, counts.1 - counts_before.1);
        assert_eq!(seen.outs, counted, "blocked and preempted of {tid}");
        let off_ns = wall_ns - (time.ran_ns - time_before.ran_ns);
        let wrong = seen.off_ns.abs_diff(off_ns);
        eprintln!(
            "{tid}: off CPU {} us, {} us by the scheduler, {counted:?}",
            seen.off_ns / 1000,
            off_ns / 1000
        );
        assert!(wrong <= wall_ns / 100, "{tid}: {seen:?}, by the scheduler {off_ns} ns");
        preempted += counted.1;
    }
    assert_eq!(after.len(), 8);
    assert!(preempted > 0, "two threads compete for one CPU");
}

#[test]
fn times_and_counts_are_those_of_the_scheduler_on_every_cpu() {
    check_plan(&SamplerOptions { cpu: false, switches: true, ..options(true) });
}

#[test]
fn times_and_counts_are_those_of_the_scheduler_for_each_thread() {
    check_plan(&SamplerOptions { cpu: false, switches: true, ..options(false) });
    check_plan(&SamplerOptions { switches: true, ..options(false) });
}
