//! Simulated courses of task numbers in healthy and in leaking programs: each must get the right verdict. The
//! random generator has a seed, so every run sees the same numbers.

use super::*;

/// Random numbers.
struct Dice(u64);

impl Dice {
    /// From 0 to 1, by splitmix64.
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn between(&mut self, least: f64, most: f64) -> f64 {
        least + (most - least) * self.next()
    }

    /// A memoryless time with this mean.
    fn exponential(&mut self, mean: f64) -> f64 {
        -mean * (1.0 - self.next()).ln()
    }
}

/// A task from its birth to its end, seconds before or after the first reading.
#[derive(Debug, Clone, Copy)]
struct Life {
    born: f64,
    dies: f64,
    /// It runs once in this many seconds.
    runs: f64,
    given: Given,
}

const FOREVER: f64 = f64::INFINITY;

fn life(born: f64, dies: f64, given: Given) -> Life {
    Life { born, dies, runs: FOREVER, given }
}

/// Tasks born at a steady rate.
fn arrivals(from: f64, every: f64, given: Given, mut lives: impl FnMut() -> f64) -> Vec<Life> {
    (0..)
        .map(|nth| from + every * nth as f64)
        .take_while(|&at| at < 300.0)
        .map(|at| life(at, at + lives(), given))
        .collect()
}

/// This many readings of a process of this age, five seconds apart.
fn watched(age: u64, readings: u64, lives: &[Life]) -> Series {
    Series::of(
        series_options(),
        (0..readings).map(|nth| {
            let at = nth * 5;
            let now = at as f64;
            let there = (0..).zip(lives).filter(|(_, life)| life.born <= now && now < life.dies);
            let tasks: Vec<Given> = there
                .map(|(id, life)| {
                    let stands = now - life.born.max(-(age as f64));
                    let mark = if life.runs.is_finite() { (stands / life.runs) as u64 } else { 0 };
                    let wait = life.given.wait.map(|(op, kind, address)| {
                        // An address of 0 means one of its own.
                        (op, kind, if address == 0 { 0x1000 + id * 0x60 } else { address })
                    });
                    let age = if stands >= 120.0 && !life.runs.is_finite() {
                        Age::AtLeast(stands as u64 * SECOND)
                    } else {
                        Age::Unknown
                    };
                    Given { id, mark, wait, age, ..life.given }
                })
                .collect();
            let mut snapshot = reading(at, &tasks);
            snapshot.header.target.age_ns = Some((age + at) * SECOND);
            snapshot
        }),
    )
}

/// The surest finding, and how many tasks are undecided.
fn verdict(series: &Series) -> (Option<Sureness>, u64) {
    let report = report(series, &Options::default());
    (report.surest(), report.undecided.iter().map(|rest| rest.count).sum())
}

const HANDLER: Given = Given {
    stack: &["app.handle"],
    creator: "app.serve",
    reason: "select",
    wait: Some((WaitOp::Receive, ObjectKind::Channel, 0)),
    ..SENDER
};
/// It waits for the end of a context, as far as the snapshot shows.
const SUBSCRIBER: Given = Given { stack: &["app.follow"], wait: None, ..HANDLER };
const SLEEPER: Given = Given { stack: &["app.later"], reason: "sleep", ..SENDER };
const READER: Given = Given { stack: &["net.(*conn).Read", "app.read"], reason: "IO wait", ..SENDER };

/// A hub that has been in a steady state for long: memoryless lives of this mean, seconds.
fn hub(dice: &mut Dice, size: u64, mean: f64, given: Given) -> Vec<Life> {
    let mut lives: Vec<Life> =
        (0..size).map(|_| life(-dice.exponential(mean), dice.exponential(mean), given)).collect();
    let mut at = dice.exponential(mean / size as f64);
    while at < 60.0 {
        lives.push(life(at, at + dice.exponential(mean), given));
        at += dice.exponential(mean / size as f64);
    }
    lives
}

#[test]
fn few_healthy_hubs_are_suspect() {
    const HUBS: u64 = 300;
    let mut dice = Dice(1);
    let (mut suspect, mut likely) = (0, 0);
    for nth in 0..HUBS {
        // Lives of ten seconds to twenty minutes; with some of them thousands come and go, with others a handful.
        let mean = [10.0, 60.0, 300.0, 1_200.0][(nth % 4) as usize];
        let given = [READER, HANDLER, SUBSCRIBER][(nth % 3) as usize];
        let lives = hub(&mut dice, 100, mean, given);
        let found = found(&watched(7_200, 7, &lives));
        match found.first() {
            None => {}
            Some((rules, Sureness::Suspect, _)) => {
                eprintln!("{mean} s, {:?}: {rules:?}", given.stack);
                suspect += 1;
            }
            Some(_) => likely += 1,
        }
    }
    eprintln!("of {HUBS} healthy hubs {suspect} are suspect and {likely} likely");
    assert!(suspect <= HUBS / 50 && likely <= HUBS / 100, "{suspect} suspect, {likely} likely");
}

/// The same hub, watched until many of the new tasks have ended while old ones are still.
#[test]
fn old_connections_that_end_as_often_as_new_ones_are_healthy() {
    let mut dice = Dice(2);
    for given in [READER, HANDLER] {
        let lives = hub(&mut dice, 1_000, 100.0, given);
        assert_eq!(verdict(&watched(7_200, 13, &lives)), (None, 0), "{given:?}");
    }
}

/// Some of them never end, though the others do.
#[test]
fn old_ones_that_never_end_are_found() {
    let mut dice = Dice(3);
    let stuck = (0..50).map(|_| life(-4_000.0, FOREVER, HANDLER));
    let others = arrivals(-20.0, 0.1, Given { stack: &["app.work"], ..HANDLER }, || dice.exponential(2.0));
    let lives: Vec<Life> = stuck.chain(others).collect();
    let (surest, _) = verdict(&watched(7_200, 13, &lives));
    assert!(surest >= Some(Sureness::Suspect));
}

#[test]
fn healthy_shapes_are_no_leaks() {
    let mut dice = Dice(4);
    let mut shapes: Vec<(&str, u64, Vec<Life>)> = Vec::new();
    // It starts workers as it needs them, up to a limit.
    let pool =
        |n: u64, every: f64| (0..n).map(|nth| life(nth as f64 * every, FOREVER, HANDLER)).collect::<Vec<_>>();
    shapes.push(("a pool that fills", 100, pool(32, 0.4)));
    let mut bursts = Vec::new();
    for nth in 0..20 {
        let begin = f64::from(nth) * 3.0;
        bursts.extend((0..200).map(|_| life(begin, begin + dice.between(0.5, 1.5), SENDER)));
    }
    shapes.push(("bursts", 100, bursts));
    let warm = |dice: &mut Dice, from, given| arrivals(from, 0.5, given, || dice.between(60.0, 90.0));
    shapes.push(("one sleep each, from the start", 1, warm(&mut dice, 0.0, SLEEPER)));
    shapes.push(("one sleep each, for half a minute", 30, warm(&mut dice, -30.0, SLEEPER)));
    shapes.push(("one sleep each, in its steady state", 200, warm(&mut dice, -200.0, SLEEPER)));
    shapes.push(("retries", 1, arrivals(0.0, 0.3, HANDLER, || 25.0)));
    let storm = (0..500).map(|_| (dice.between(0.0, 10.0), dice.between(10.0, 15.0)));
    let storm = storm.flat_map(|(ends, again)| [life(-900.0, ends, READER), life(again, FOREVER, READER)]);
    shapes.push(("a reconnect storm", 1_000, storm.collect()));
    let cron = (0..300).map(|_| Life { runs: dice.between(1.0, 3_600.0), ..life(-900.0, FOREVER, SLEEPER) });
    shapes.push(("cron", 900, cron.collect()));
    let batch = (0..1_000).map(|_| (dice.between(7.0, 8.0), dice.between(20.0, 40.0)));
    shapes.push((
        "a batch of sleepers",
        900,
        batch.map(|(at, lives)| life(at, at + lives, SLEEPER)).collect(),
    ));
    let (mut ramp, mut at) = (Vec::new(), -20.0_f64);
    while at < 60.0 {
        ramp.push(life(at, at + dice.exponential(4.0), HANDLER));
        at += 1.0 / (10.0 + 3.0 * (at + 20.0));
    }
    shapes.push(("a load ramp", 900, ramp));
    for (name, age, lives) in shapes {
        let report = report(&watched(age, 7, &lives), &Options::default());
        let surest = report.surest();
        assert!(surest.is_none(), "{name}: {:#?}", report.findings.first().map(|f| (&f.hits, f.now)));
    }
    // A pool that still fills in the last reading is not called healthy.
    assert!(verdict(&watched(1, 7, &warm(&mut dice, 0.0, SLEEPER))).1 > 50);
    let jump: Vec<Life> = (0..400).map(|_| life(26.0, FOREVER, HANDLER)).collect();
    assert_eq!(verdict(&watched(900, 7, &jump)), (None, 400));
}

#[test]
fn leaks_of_every_shape_are_found() {
    let full = Some((WaitOp::Send, ObjectKind::Channel, 0x77));
    let own = Given { wait: Some((WaitOp::Send, ObjectKind::Channel, 0)), ..SENDER };
    let forever = |from, every, given| arrivals(from, every, given, || FOREVER);
    let mut dice = Dice(5);
    let looping =
        |given| forever(-5.0, 0.5, given).into_iter().map(|life| Life { runs: 1.0, ..life }).collect();
    let bursts = (0..60).map(|nth| life(f64::from(nth / 10) * 5.0 + 1.0, FOREVER, own)).collect();
    let queue: Vec<Life> = (0..20_000)
        // 25 a second come, and 10 a second are served, for ten minutes.
        .map(f64::from)
        .map(|nth| life(nth / 25.0 - 600.0, nth / 10.0 - 600.0, Given { wait: full, ..SENDER }))
        .collect();
    let few: Vec<Life> = (arrivals(-20.0, 0.02, HANDLER, || dice.exponential(2.0)).into_iter().enumerate())
        .map(|(nth, life)| if nth % 20 == 0 { Life { dies: FOREVER, ..life } } else { life })
        .collect();
    let lock = Some((WaitOp::Lock, ObjectKind::Mutex, 0x50));
    let mutex =
        Given { stack: &["sync.(*Mutex).Lock", "app.f"], reason: "sync.Mutex.Lock", wait: lock, ..SENDER };
    let group = Some((WaitOp::Wait, ObjectKind::WaitGroup, 0x60));
    let cond = Some((WaitOp::Wait, ObjectKind::Cond, 0x70));
    let ended = (0..200).map(|nth| life(-1_000.0 + f64::from(nth), FOREVER, own)).collect();
    use Sureness::{Likely, Stuck, Suspect};
    let shapes: [(&str, Vec<Life>, Sureness); 12] = [
        ("one every five seconds", forever(-600.0, 5.0, own), Suspect),
        ("one every three seconds", forever(-600.0, 3.0, own), Likely),
        ("bursts", bursts, Suspect),
        ("one that no longer grows", ended, Suspect),
        ("a queue that is not served", queue, Likely),
        ("one in twenty handlers", few, Suspect),
        ("one channel", forever(-600.0, 0.5, Given { wait: full, ..SENDER }), Likely),
        ("one cond", forever(-600.0, 0.5, Given { reason: "sync.Cond.Wait", wait: cond, ..SENDER }), Likely),
        ("one mutex", forever(-600.0, 0.5, mutex), Stuck),
        (
            "one wait group",
            forever(-600.0, 0.5, Given { reason: "sync.WaitGroup.Wait", wait: group, ..SENDER }),
            Likely,
        ),
        ("a loop that sleeps", looping(SLEEPER), Likely),
        ("reads without a deadline", forever(-600.0, 0.5, READER), Likely),
    ];
    for (name, lives, least) in shapes {
        let report = report(&watched(600, 7, &lives), &Options::default());
        assert!(report.surest() >= Some(least), "{name}: {:?} {:#?}", report.surest(), report.undecided);
    }
}

/// Among equally sure findings the most costly one comes first.
#[test]
fn findings_rank_by_what_they_cost() {
    let full = Given { wait: Some((WaitOp::Send, ObjectKind::Channel, 0x77)), ..SENDER };
    let other = Given { stack: &["app.wait"], creator: "app.other", ..HANDLER };
    let few = arrivals(-600.0, 0.5, other, || FOREVER);
    let many = (0..20_000).map(f64::from).map(|nth| life(nth / 25.0 - 600.0, nth / 10.0 - 600.0, full));
    let series = watched(600, 7, &few.into_iter().chain(many).collect::<Vec<_>>());
    let report = report(&series, &Options::default());
    let order: Vec<_> =
        report.findings.iter().map(|f| (f.sureness, f.hits.first().map_or("", |hit| hit.rule))).collect();
    assert_eq!(order, [(Sureness::Likely, "send"), (Sureness::Likely, "receive")]);
    let costs: Vec<u64> = report.findings.iter().map(Finding::cost).collect();
    assert!(costs.is_sorted_by(|a, b| a >= b), "{costs:?}");
}

#[test]
fn few_readings_leave_it_undecided() {
    let full = Given { wait: Some((WaitOp::Send, ObjectKind::Channel, 0x77)), ..SENDER };
    let pile: Vec<Life> =
        (0..14_000).map(f64::from).map(|nth| life(nth / 25.0 - 500.0, nth / 10.0 - 400.0, full)).collect();
    for readings in [2, 3] {
        let report = report(&watched(40, readings, &pile), &Options::default());
        let undecided: u64 = report.undecided.iter().map(|rest| rest.count).sum();
        let healthy: u64 = report.healthy.iter().map(|rest| rest.count).sum();
        assert_eq!(
            (undecided + report.findings.iter().map(|f| f.now).sum::<u64>(), healthy),
            (report.tasks, 0)
        );
    }
}
