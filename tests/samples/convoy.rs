//! A server in which nearly everybody waits for a lock.

use super::*;

const STORE: &str = "/home/ci/api/cmd/api-server/store.go";
const LOCK: F = ("sync.(*Mutex).Lock", "sync", Normal, "/usr/local/go/src/sync/mutex.go", 46);
const WLOCK: F = ("sync.(*RWMutex).Lock", "sync", Normal, "/usr/local/go/src/sync/rwmutex.go", 155);

/// One holder of what 40 wait for; readers of which some were found; a wait group; a lock that is
/// perhaps held, one that its holder waits for, one that nobody seems to hold, one that is free; two
/// tasks that wait for each other; and locks of several shards.
pub fn convoy() -> Snapshot {
    let mut m = Maker::new();
    the_convoy(&mut m);
    readers(&mut m);
    uncertain(&mut m);
    knots(&mut m);
    shards(&mut m);
    m.finish()
}

fn main(function: &'static str, line: u32) -> F {
    (function, "main", Normal, STORE, line)
}

fn lock(m: &mut Maker, kind: ObjectKind, address: u64, state: LockState) -> ObjectId {
    let object = m.builder.object(kind, address, |_| None);
    m.builder.set_lock_state(object, state);
    object
}

fn mutex(m: &mut Maker, address: u64) -> ObjectId {
    lock(m, ObjectKind::Mutex, address, LockState::Exclusive)
}

/// A stack that ends where the task waits for `inner` of the runtime; the place above it, too.
fn stack(m: &mut Maker, inner: F, outer: F) -> (StackId, LocationId) {
    let locations: Vec<_> =
        [GOPARK, inner, outer, GOEXIT].iter().map(|&frame| m.location(&[frame])).collect();
    let place = locations[2];
    (m.builder.code.stack(locations), place)
}

/// A task that waits for a lock.
fn locker(m: &mut Maker, id: u64, object: ObjectId, outer: F) -> Task {
    let (stack, _) = stack(m, LOCK, outer);
    let waits = m.wait(WaitOp::Lock, object);
    let task = m.waiting(id, "sync.Mutex.Lock", Age::AtLeast(2 * MINUTE), stack);
    with!(task; waits)
}

/// A task that holds a lock while it waits for a channel.
fn holder(m: &mut Maker, id: u64, object: ObjectId, how: HoldKind, outer: F) -> Task {
    let receive = ("runtime.chanrecv1", "runtime", Internal, "/usr/local/go/src/runtime/chan.go", 489);
    let (stack, place) = stack(m, receive, outer);
    let location = (how != HoldKind::Perhaps).then_some(place);
    let holds = m.builder.holds([Hold { object, how, location }]);
    let channel = m.channel(0xc0_0005_0000 + id * 0x60, 0, 0, 1, "struct {}");
    let waits = m.wait(WaitOp::Receive, channel);
    let task = m.waiting(id, "chan receive", Age::AtLeast(2 * MINUTE), stack);
    with!(task; waits, holds)
}

fn the_convoy(m: &mut Maker) {
    let mutex = mutex(m, 0xc0_0001_2040);
    let refresh = holder(m, 99, mutex, HoldKind::Exclusive, main("main.(*store).refresh", 44));
    m.builder.task(refresh);
    let (stack, _) = stack(m, LOCK, main("main.(*store).get", 21));
    for n in 0..40 {
        let waits = m.wait(WaitOp::Lock, mutex);
        let task = m.waiting(100 + n, "sync.Mutex.Lock", Age::AtLeast(2 * MINUTE), stack);
        m.builder.task(with!(task; waits));
    }
    let group = lock(m, ObjectKind::WaitGroup, 0xc0_0001_3000, LockState::Outstanding(2));
    let wait = ("sync.(*WaitGroup).Wait", "sync", Normal, "/usr/local/go/src/sync/waitgroup.go", 118);
    let stack = m.stack(&[GOPARK, wait, main("main.main", 12), GOEXIT]);
    let waits = m.wait(WaitOp::Wait, group);
    let task = m.waiting(1, "sync.WaitGroup.Wait", Age::AtLeast(HOUR), stack);
    m.builder.task(with!(task; waits, parent: None));
}

fn readers(m: &mut Maker) {
    for (address, said, readers) in
        [(0xc0_0001_4000, 3, &[12, 14, 15][..]), (0xc0_0001_4040, 3, &[16, 17]), (0xc0_0001_4080, 1, &[])]
    {
        let rwmutex = lock(m, ObjectKind::RwMutex, address, LockState::Shared(said));
        for &id in readers {
            let task = holder(m, id, rwmutex, HoldKind::Shared, main("main.(*store).scan", 61));
            m.builder.task(task);
        }
        let (stack, _) = stack(m, WLOCK, main("main.(*store).swap", 70));
        let waits = m.wait(WaitOp::Lock, rwmutex);
        let id = 200 + (address >> 6 & 3);
        let task = m.waiting(id, "sync.RWMutex.Lock", Age::Exactly(9 * SECOND), stack);
        m.builder.task(with!(task; waits));
    }
    // Two readers who have to let the first writer pass.
    let rlock = ("sync.(*RWMutex).RLock", "sync", Normal, "/usr/local/go/src/sync/rwmutex.go", 74);
    let (stack, _) = stack(m, rlock, main("main.(*store).scan", 58));
    let rwmutex = m.builder.object(ObjectKind::RwMutex, 0xc0_0001_4000, |_| None);
    for id in [204, 205] {
        let waits = m.wait(WaitOp::ReadLock, rwmutex);
        let task = m.waiting(id, "sync.RWMutex.RLock", Age::Exactly(8 * SECOND), stack);
        m.builder.task(with!(task; waits));
    }
}

fn uncertain(m: &mut Maker) {
    let perhaps = mutex(m, 0xc0_0001_5000);
    let task = holder(m, 7, perhaps, HoldKind::Perhaps, main("main.audit", 80));
    m.builder.task(task);
    let nobody = mutex(m, 0xc0_0001_5040);
    let free = lock(m, ObjectKind::Mutex, 0xc0_0001_5080, LockState::Free);
    for (id, object, line) in [(210, perhaps, 81), (211, nobody, 82), (212, free, 83)] {
        let task = locker(m, id, object, main("main.report", line));
        m.builder.task(task);
    }
}

/// One that waits for itself, two that wait for each other, and one behind the convoy.
fn knots(m: &mut Maker) {
    let [own, left, right, behind] = [0xc0_0001_6000, 0xc0_0001_6040, 0xc0_0001_6080, 0xc0_0001_60c0];
    let [own, left, right, behind] = [own, left, right, behind].map(|address| mutex(m, address));
    let convoy = m.builder.object(ObjectKind::Mutex, 0xc0_0001_2040, |_| None);
    for (id, holds, waits, line) in
        [(220, own, own, 90), (221, left, right, 91), (222, right, left, 92), (223, behind, convoy, 93)]
    {
        let task = locker(m, id, waits, main("main.(*ledger).move", line));
        let location = m.location(&[main("main.(*ledger).move", line)]);
        let hold = Hold { object: holds, how: HoldKind::Exclusive, location: Some(location) };
        let holds = m.builder.holds([hold]);
        m.builder.task(with!(task; holds));
    }
    let task = locker(m, 224, behind, main("main.(*ledger).sum", 99));
    m.builder.task(task);
}

/// Four that wait for a shard each: of the first two one task holds both, of the third nobody is known.
fn shards(m: &mut Maker) {
    let shards = [0, 1, 2, 3].map(|n| mutex(m, 0xc0_0001_7000 + n * 0x40));
    let (stack, place) = stack(m, LOCK, main("main.(*shard).put", 110));
    for (id, &shard) in (230..).zip(&shards) {
        let waits = m.wait(WaitOp::Lock, shard);
        let task = m.waiting(id, "sync.Mutex.Lock", Age::Unknown, stack);
        m.builder.task(with!(task; waits));
    }
    let hold = |object| Hold { object, how: HoldKind::Exclusive, location: Some(place) };
    let holds = m.builder.holds([hold(shards[0]), hold(shards[1])]);
    m.builder.task(with!(task(240); state: TaskState::Running, holds));
    let holds = m.builder.holds([Hold { how: HoldKind::Perhaps, location: None, ..hold(shards[3]) }]);
    m.builder.task(with!(task(241); state: TaskState::Syscall, holds));
}
