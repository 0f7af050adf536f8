//! Whose samples are in Tokio programs that give no help: each sample's stack has the id of the task that burns there.

#![allow(clippy::unwrap_used, dead_code, reason = "a test may panic")]

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use loiter::code::{CodeBuilder, CodeTables};
use loiter::process::{self, Moment, Registers};
use loiter::runtimes::{self, Claim, Owner};
use loiter::sampler::{Record, Sampler, SamplerOptions};

mod common;

use common::{BookedTask, TokioFixture, TokioFlavour};

/// As in fixtures/tokio/burners.rs.
const MARK: u64 = 0x6964_2073_6920_6d65;
/// As loiter itself has it.
const STACK: u32 = 16 << 10;
/// Samples of tasks that are looked at, at least.
const SAMPLES: usize = 1200;
/// Of each of these kinds there are samples. Of what burns little ("nested") there may be none.
const KINDS: [&str; 5] = ["blocking", "heavy", "light", "local", "middle"];

/// A sample as it was taken.
struct Taken {
    tid: u32,
    at_ns: u64,
    registers: Registers,
    in_kernel: bool,
    stack: Vec<u8>,
}

impl Taken {
    fn moment(&self) -> Moment<'_> {
        Moment {
            tid: self.tid,
            at_ns: self.at_ns,
            registers: self.registers,
            in_kernel: self.in_kernel,
            chain: &[],
            kernel_chain: &[],
            stack: &self.stack,
        }
    }

    /// The id of the task that burns there.
    fn truth(&self) -> Option<u64> {
        let (words, _) = self.stack.as_chunks();
        let words: Vec<u64> = words.iter().map(|word| u64::from_le_bytes(*word)).collect();
        words.iter().position(|word| *word == MARK).and_then(|at| words.get(at + 1).copied())
    }
}

/// Samples, each with what is said of it, until so many are of burning tasks, and some of each kind: on a busy machine, a
/// thread may get no CPU for a while.
fn samples(
    pid: u32,
    wanted: usize,
    books: &BTreeMap<u64, BookedTask>,
) -> (Vec<(Taken, Option<Claim>)>, CodeTables) {
    let target = process::open_pid(pid).unwrap();
    let found = runtimes::attach(target.as_ref()).unwrap();
    let mut attribution = found.runtimes[0].attribution(target.as_ref(), 0).unwrap().unwrap();
    let mut code = CodeBuilder::new();
    let options = SamplerOptions { rate_hz: 999, stack_bytes: STACK, ..SamplerOptions::default() };
    let mut sampler = Sampler::attach(pid, &options).unwrap();
    let mut all: Vec<(Taken, Option<Claim>)> = Vec::new();
    let (mut burning, mut kinds) = (0, BTreeSet::new());
    let has_all = |kinds: &BTreeSet<String>| KINDS.iter().all(|kind| kinds.contains(*kind));
    while burning < wanted || burning < 10 * wanted && !has_all(&kinds) {
        sampler.wait(Duration::from_millis(10));
        let mut batch = Vec::new();
        sampler.drain(&mut |record| {
            let Record::Sample { moment: Moment { tid, at_ns, registers, in_kernel, stack, .. }, .. } =
                record
            else {
                return;
            };
            batch.push(Taken { tid, at_ns, registers, in_kernel, stack: stack.to_vec() });
        });
        let moments: Vec<_> = batch.iter().map(Taken::moment).collect();
        attribution.refresh(&moments, &mut code).unwrap();
        let claims: Vec<_> = moments.iter().map(|moment| attribution.whose(moment, &mut code)).collect();
        let truths: Vec<u64> = batch.iter().filter_map(Taken::truth).collect();
        burning += truths.len();
        kinds.extend(truths.iter().map(|id| kind(books.get(id))));
        all.extend(batch.into_iter().zip(claims));
    }
    (all, code.finish())
}

/// How many samples of one kind of task there are, and how many of them are named.
type Counts = BTreeMap<String, [usize; 2]>;

/// The kind of a booked task: "heavy" of "heavy 3". Others are short, or within another one.
fn kind(task: Option<&BookedTask>) -> String {
    task.map_or("unbooked", |task| task.subject.split(' ').next().unwrap()).to_owned()
}

fn check(version: &str, flavour: TokioFlavour) {
    let mut fixture = TokioFixture::start(version, flavour, &["burn"]);
    let books = fixture.books();
    let (samples, code) = samples(fixture.pid(), SAMPLES, &books);
    let mut counts = Counts::new();
    for (taken, claim) in &samples {
        let Some(truth) = taken.truth() else { continue };
        let booked = books.get(&truth);
        let about = format!("{version} {flavour:?}: {truth} {booked:?} is not {claim:?}");
        let count = counts.entry(kind(booked)).or_default();
        count[0] += 1;
        let Some(Claim { owner, frames, stack, .. }) = claim else { panic!("{about}") };
        assert!(stack.is_empty(), "the stack is the thread's own");
        match owner {
            Owner::Scheduler => panic!("{about}"),
            Owner::Unknown => {}
            Owner::Task(task, _) => {
                assert!(frames.is_some_and(|frames| frames > 1), "{about}");
                assert!(task.id.is_none_or(|id| id == truth), "{about}");
                count[1] += usize::from(task.id.is_some());
                let name = task.entry.map_or("", |entry| code.function_name(entry));
                if let (Some(booked), true) = (booked, flavour.names_all()) {
                    let of = booked.subject.split(' ').next().unwrap();
                    assert!(
                        booked.kind == "blocking" || name.contains(&format!("burners::{of}")),
                        "{name} {about}"
                    );
                }
            }
        }
    }
    eprintln!("{version} {flavour:?}: {counts:?} of {}", samples.len());
    // What is deeper than the copy of the stack is never named, and what lives shortly is seen too late.
    let known: Vec<_> =
        counts.iter().filter(|(kind, _)| !["deep", "unbooked"].contains(&kind.as_str())).collect();
    for (kind, [all, named]) in &known {
        // The code of these jobs keeps no header there: they count by their type.
        if (flavour, kind.as_str()) == (TokioFlavour::Fat, "blocking") {
            continue;
        }
        assert!(named * 100 >= all * 90, "{version} {flavour:?}: {kind}: {named} of {all}: {counts:?}");
    }
    for kind in KINDS {
        assert!(counts.contains_key(kind), "{version} {flavour:?}: {kind}: {counts:?}");
    }
}

macro_rules! checks {
    ($($name:ident: $version:literal, $flavour:ident;)*) => {
        mod samples_are_of_the_tasks_that_burn {
            use super::*;

            $(#[test]
            fn $name() {
                check($version, TokioFlavour::$flavour);
            })*
        }
    };
}

checks! {
    tokio_1_28_symbols: "1.28.2", Symbols;
    tokio_1_36_dev: "1.36.0", Dev;
    tokio_1_40_lines: "1.40.0", Lines;
    tokio_1_44_stripped: "1.44.2", Stripped;
    tokio_1_54_dev: "1.54.1", Dev;
    tokio_1_54_fat: "1.54.1", Fat;
    tokio_1_54_v0: "1.54.1", V0;
}
