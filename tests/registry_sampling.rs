//! Whose samples are, in a program that exports its tasks.

#![allow(clippy::unwrap_used, dead_code, reason = "a test may panic")]

use std::time::Duration;

use loiter::code::{CodeBuilder, CodeTables, LabelSetId};
use loiter::process::{self, Moment};
use loiter::runtimes::{self, Claim, NativeStacks, Owner};
use loiter::sampler::{Record, Sampler, SamplerOptions};

mod common;
#[path = "registry/programs.rs"]
mod programs;

use programs::{Running, Workshop};

fn name(code: &CodeTables, labels: Option<LabelSetId>) -> &str {
    let pairs = labels.map_or(&[][..], |id| &code.label_sets[id.index()].pairs);
    pairs.iter().find(|(key, _)| code.str(*key) == "name").map_or("", |(_, value)| code.str(*value))
}

/// Samples that are counted.
const SAMPLES: usize = 1500;
/// A sample is named if loiter had looked before, in the same poll: its clock is coarse. Polls take 40 and 60 ms of CPU time
/// (fixtures/registry/burning.c). Where loiter looked later than this after the time before, because it had no CPU, samples
/// are not counted.
const LATE_NS: u64 = 40_000_000;

#[test]
fn samples_are_of_the_task_that_the_thread_polls() {
    let workshop = Workshop::new();
    let program = workshop.c("fixtures/registry/burning.c", "burning", &["-O2", "-pthread"]);
    let running = Running::start::<&str>(&program, &[]);
    let target = process::open_pid(running.pid()).unwrap();
    let found = runtimes::attach(target.as_ref()).unwrap();
    let mut attribution = found.runtimes[0].attribution(target.as_ref(), 0).unwrap().unwrap();
    let mut native = NativeStacks::new(target.as_ref()).unwrap();
    let mut code = CodeBuilder::new();
    let options = SamplerOptions { rate_hz: 999, ..SamplerOptions::default() };
    let mut sampler = Sampler::attach(running.pid(), &options).unwrap();
    let mut claims: Vec<(Option<Claim>, Vec<_>, bool)> = Vec::new();
    let mut in_time = 0;
    let mut looked_ns: Option<u64> = None;
    while in_time < SAMPLES && claims.len() < 20 * SAMPLES {
        sampler.wait(Duration::from_millis(10));
        let mut batch = Vec::new();
        sampler.drain(&mut |record| {
            let Record::Sample { moment, .. } = record else { return };
            let (stack, _) = native.stack(&moment, &mut code);
            batch.push((moment.tid, moment.at_ns, moment.registers, stack));
        });
        let moments: Vec<Moment<'_>> = batch
            .iter()
            .map(|&(tid, at_ns, registers, _)| Moment {
                tid,
                at_ns,
                registers,
                in_kernel: false,
                chain: &[],
                kernel_chain: &[],
                stack: &[],
            })
            .collect();
        attribution.refresh(&moments, &mut code).unwrap();
        let now_ns = target.monotonic_ns().unwrap();
        let is_counted = looked_ns.is_some_and(|looked_ns| now_ns - looked_ns < LATE_NS);
        if !moments.is_empty() {
            looked_ns = Some(now_ns);
        }
        let answers: Vec<_> = moments.iter().map(|moment| attribution.whose(moment, &mut code)).collect();
        for (claim, (.., stack)) in answers.into_iter().zip(batch) {
            in_time += usize::from(is_counted);
            claims.push((claim, stack, is_counted));
        }
    }
    let code = code.finish();
    let (mut of_tasks, mut named) = (0, 0);
    for (claim, stack, is_counted) in &claims {
        let function =
            |id: &loiter::code::LocationId| code.function_name(code.locations[id.index()].frames[0].function);
        let truth =
            stack.iter().map(function).find_map(|name| name.strip_prefix("burn_").filter(|n| *n != "for"));
        of_tasks += u32::from(*is_counted && matches!(truth, Some("one" | "two")));
        let Some(claim) = claim else { continue };
        assert!(claim.stack.is_empty(), "the stack is the thread's own");
        if let Owner::Task(task, labels) = claim.owner {
            assert!(task.id.is_some());
            // At the very beginning and end of a poll, the thread is in none of the functions.
            assert!(truth.is_none_or(|truth| truth == name(&code, labels)), "{truth:?} is not {claim:?}");
            named += u32::from(*is_counted);
        }
    }
    eprintln!("{named} of {of_tasks} samples of tasks are named, of {} in all", claims.len());
    assert!(named * 2 > of_tasks, "{named} of {of_tasks}");
}
