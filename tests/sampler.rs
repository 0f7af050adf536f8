//! Sampling real processes.
#![allow(clippy::unwrap_used, missing_docs, reason = "a test may panic")]

use std::time::Duration;

use loiter::sampler::{Record, Sampler, SamplerOptions};

#[path = "sampler/program.rs"]
mod program;

use program::Program;

/// Reads until enough samples are there.
fn samples(sampler: &mut Sampler, enough: u64, with: &mut dyn FnMut(Record<'_>)) {
    while sampler.tally().samples < enough {
        sampler.wait(Duration::from_millis(10));
        sampler.drain(with);
    }
}

#[test]
fn a_running_thread_is_sampled_with_its_registers_and_its_stack() {
    let program = Program::start(&["spin", "1"]);
    let burn = program.function("burn");
    for every_cpu in [Some(true), Some(false), None] {
        let options = SamplerOptions { rate_hz: 999, every_cpu, ..SamplerOptions::default() };
        let mut sampler = Sampler::attach(program.pid(), &options).unwrap();
        let (mut inside, mut all, mut last) = (0, 0, 0);
        samples(&mut sampler, 100, &mut |record| {
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
        let tally = sampler.tally();
        assert_eq!((tally.lost, tally.malformed), (0, 0), "{tally:?} {:?}", sampler.facts());
        eprintln!("{tally:?} {:?}", sampler.facts());
    }
}
