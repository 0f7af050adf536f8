//! A target whose memory lies: loiter gives errors or marked tasks, never a panic, in bounded time
//! and memory. The only test of its file, because it bounds the memory of its whole process.

#![allow(clippy::unwrap_used)]

mod common;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use common::random::Random;
use common::{Fixture, Flavour, Program, QUICK_VERSIONS, Toolchain, amount, build};
use loiter::process::{
    self, Blocked, Frozen, HoldTime, Image, Mapping, Memory, Range, Result, Target, WithRegisters,
};
use loiter::runtimes::{self, Pause, ReadOptions};
use loiter::snapshot::{ProcessFigures, Snapshot, TargetInfo};

/// Address space for the whole test; what asks for more is killed.
const ADDRESS_SPACE: u64 = 8 << 30;

/// For one reading, in a build without optimisation on a loaded machine.
const TIME: Duration = Duration::from_secs(900);

/// How memory lies.
#[derive(Debug, Clone, Copy)]
enum Lie {
    /// One byte in so many is another one.
    Bytes(u64),
    /// One aligned word in so many is another one: a pointer elsewhere, a huge or negative length.
    Words(u64),
    /// One read in so many fails.
    Failures(u64),
    /// Nothing but noise.
    Noise,
    /// Everything points to itself or to its neighbour: endless lists.
    Loops,
}

/// A live target whose memory lies once it has been read `honest` times.
struct Liar {
    inner: Box<dyn Target>,
    lie: Lie,
    seed: u64,
    honest: u64,
    reads: AtomicU64,
}

impl Liar {
    /// Damages what was read, by a rule that depends on the seed and the number of the read, so
    /// that a second look at the same place may show something else. False if the read fails.
    fn damage(&self, address: u64, buf: &mut [u8]) -> bool {
        let read = self.reads.fetch_add(1, Ordering::Relaxed);
        if read < self.honest {
            return true;
        }
        let mut random = Random::new(self.seed ^ read.wrapping_mul(0x9e37_79b9));
        match self.lie {
            Lie::Failures(one_in) => return random.below(one_in) != 0,
            Lie::Noise => buf.iter_mut().for_each(|byte| *byte = random.next() as u8),
            Lie::Loops => {
                for (i, word) in buf.chunks_exact_mut(8).enumerate() {
                    let near = address.wrapping_add(i as u64 * 8).wrapping_sub(random.below(4) * 8);
                    word.copy_from_slice(&near.to_le_bytes());
                }
            }
            Lie::Bytes(one_in) => {
                let mut at = random.below(one_in * 2);
                while let Some(byte) = buf.get_mut(at as usize) {
                    *byte = random.next() as u8;
                    at += 1 + random.below(one_in * 2);
                }
            }
            Lie::Words(one_in) => {
                let mut at = random.below(one_in * 2);
                while let Some(word) = buf.chunks_exact_mut(8).nth(at as usize) {
                    let value = match random.below(6) {
                        0 => u64::MAX,
                        1 => i64::MIN as u64,
                        2 => random.next(),
                        3 => random.below(1 << 32),
                        // A pointer that is mapped, but to something else.
                        4 => address.wrapping_add(random.below(1 << 16)),
                        _ => 0,
                    };
                    word.copy_from_slice(&value.to_le_bytes());
                    at += 1 + random.below(one_in * 2);
                }
            }
        }
        true
    }
}

impl Memory for Liar {
    fn read(&self, address: u64, buf: &mut [u8]) -> Result<()> {
        self.inner.read(address, buf)?;
        match self.damage(address, buf) {
            true => Ok(()),
            false => Err(process::TargetError::Unmapped { address, len: buf.len() }),
        }
    }

    fn read_many(&self, ranges: &[Range], buf: &mut [u8], ok: &mut [bool]) -> Result<()> {
        self.inner.read_many(ranges, buf, ok)?;
        let mut rest = buf;
        for (range, ok) in ranges.iter().zip(ok) {
            let (part, after) = rest.split_at_mut(range.len);
            *ok &= self.damage(range.address, part);
            rest = after;
        }
        Ok(())
    }
}

impl Target for Liar {
    fn info(&self) -> &TargetInfo {
        self.inner.info()
    }

    fn mappings(&self) -> Result<Vec<Mapping>> {
        self.inner.mappings()
    }

    fn images(&self) -> Result<Vec<Image>> {
        self.inner.images()
    }

    fn threads(&self) -> Result<Vec<u32>> {
        self.inner.threads()
    }

    fn thread_from_inside(&self, tid: u32) -> Option<u32> {
        self.inner.thread_from_inside(tid)
    }

    fn with_stopped_thread(&self, tid: u32, with: &mut WithRegisters<'_>) -> Result<HoldTime> {
        self.inner.with_stopped_thread(tid, with)
    }

    fn blocked_at(&self, tid: u32) -> Option<Blocked> {
        let place = self.inner.blocked_at(tid)?;
        let mut bytes = [place.pc.to_le_bytes(), place.sp.to_le_bytes()].concat();
        if !self.damage(place.sp, &mut bytes) {
            return None;
        }
        let word = |at: usize| bytes[at..at + 8].try_into().map(u64::from_le_bytes).unwrap();
        Some(Blocked { pc: word(0), sp: word(8), ..place })
    }

    fn freeze(&self, limit: Duration) -> Result<Frozen> {
        self.inner.freeze(limit)
    }

    fn is_static(&self) -> bool {
        self.inner.is_static()
    }

    fn monotonic_ns(&self) -> Option<u64> {
        self.inner.monotonic_ns()
    }

    fn figures(&self) -> ProcessFigures {
        self.inner.figures()
    }
}

/// Every index of a snapshot is inside its table.
fn check_whole(snapshot: &Snapshot) {
    let strings = snapshot.code.strings.len();
    assert!(snapshot.code.functions.iter().all(|f| f.name.index() < strings && f.package.index() < strings));
    for location in &snapshot.code.locations {
        assert!(!location.frames.is_empty());
        assert!(location.frames.iter().all(|f| f.function.index() < snapshot.code.functions.len()));
    }
    assert!(
        snapshot
            .code
            .stacks
            .iter()
            .flat_map(|s| &s.locations)
            .all(|l| l.index() < snapshot.code.locations.len())
    );
    for task in &snapshot.tasks {
        assert!(task.stack.is_none_or(|id| id.index() < snapshot.code.stacks.len()));
        assert!(task.labels.is_none_or(|id| id.index() < snapshot.code.label_sets.len()));
        assert!(task.waits.end() <= snapshot.waits.len() as u64);
    }
    assert!(snapshot.waits.iter().all(|w| w.object.index() < snapshot.objects.len()));
}

fn bound_memory() {
    let limit = libc::rlimit { rlim_cur: ADDRESS_SPACE, rlim_max: ADDRESS_SPACE };
    // SAFETY: the pointer is to a valid rlimit that outlives the call.
    let result = unsafe { libc::setrlimit(libc::RLIMIT_AS, &limit) };
    assert_eq!(result, 0, "setrlimit: {}", std::io::Error::last_os_error());
}

#[test]
fn memory_that_lies() {
    let [oldest, newest] = QUICK_VERSIONS;
    let programs = [(oldest, Flavour::Stripped), (newest, Flavour::Stripped), (newest, Flavour::Cgo)]
        .map(|(version, flavour)| build(&Toolchain::get(version), Program::Fixtures, flavour));
    let fixtures = programs.map(|program| Fixture::start(&program, &["all"]));
    bound_memory();
    let lies = [
        Lie::Words(8),
        Lie::Words(64),
        Lie::Words(1024),
        Lie::Bytes(16),
        Lie::Bytes(512),
        Lie::Bytes(8192),
        Lie::Failures(3),
        Lie::Failures(50),
        Lie::Noise,
        Lie::Loops,
    ];
    let mut random = Random::new(7);
    // All of them are run: one run shows everything that is wrong.
    let mut wrong = Vec::new();
    let (mut readings, mut errors, mut slowest) = (0, 0, Duration::ZERO);
    for round in 0..amount("LOITER_LIES", 50, 60) {
        let fixture = &fixtures[round as usize % fixtures.len()];
        let lie = lies[round as usize / fixtures.len() % lies.len()];
        // Lies from the first byte on test the search for the runtime, late ones the reading.
        let honest = match random.below(4) {
            0 => 0,
            _ => random.below(400),
        };
        let seed = random.next();
        let inner = process::open_pid(fixture.pid()).unwrap();
        let liar = Liar { inner, lie, seed, honest, reads: AtomicU64::new(0) };
        let pause = [Pause::Nothing, Pause::RunningThreads, Pause::Everything][random.below(3) as usize];
        let actors = Duration::from_millis(500);
        let options = ReadOptions { actors, ..common::reading(pause) };
        let began = Instant::now();
        let result = catch_unwind(AssertUnwindSafe(|| runtimes::snapshot(&liar, &options)));
        let took = began.elapsed();
        let what = format!("round {round}: {lie:?}, seed {seed}, honest {honest}, {pause:?}");
        match result {
            Ok(Ok(snapshot)) => check_whole(&snapshot),
            Ok(Err(_)) => errors += 1,
            Err(_) => wrong.push(format!("{what}: loiter panicked")),
        }
        if took > TIME {
            wrong.push(format!("{what}: took {took:?}"));
        }
        slowest = slowest.max(took);
        readings += 1;
    }
    eprintln!("{readings} readings of lying memory, {errors} gave errors, the slowest took {slowest:?}");
    assert!(wrong.is_empty(), "{}", common::compare::report("lying memory", &wrong));
}
