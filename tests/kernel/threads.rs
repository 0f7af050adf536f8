//! Threads as the tasks of a process.

use std::cell::UnsafeCell;
use std::io::Read;
use std::sync::{Arc, Mutex, mpsc};

use loiter::process::Target;
use loiter::runtimes::{Pause, ReadOptions, Readable};
use loiter::snapshot::{HoldKind, ObjectKind, Snapshot, Task, TaskState, WaitClass, WaitOp};

use crate::support::{number, ourselves, until};

fn snapshot(target: &dyn Target) -> Snapshot {
    let options = ReadOptions { pause: Pause::Nothing, ..ReadOptions::default() };
    Readable::of_threads(target).read(target, &options).expect("we can be read")
}

fn task(snapshot: &Snapshot, tid: u32) -> (u32, &Task) {
    let all = (0..).zip(&snapshot.tasks);
    all.into_iter().find(|(_, task)| task.id == Some(tid.into())).expect("every thread is a task")
}

/// Starts a thread, and gives its id.
fn start(run: impl FnOnce() + Send + 'static) -> u32 {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        // SAFETY: gettid has no arguments.
        sender.send(unsafe { libc::gettid() }).expect("it is awaited");
        run();
    });
    u32::try_from(receiver.recv().expect("it says so")).expect("small")
}

fn is_waiting(tid: u32, class: WaitClass) -> bool {
    let snapshot = snapshot(ourselves().as_ref());
    let (_, task) = task(&snapshot, tid);
    task.state == TaskState::Waiting && task.wait_class == class
}

/// A mutex of the C library.
struct CMutex(UnsafeCell<libc::pthread_mutex_t>);

// SAFETY: it is only given to functions that are made for several threads.
unsafe impl Sync for CMutex {}
// SAFETY: it is never moved while it is locked.
unsafe impl Send for CMutex {}

impl CMutex {
    fn lock(&self) {
        // SAFETY: it was initialised, and lives as long as the process.
        assert_eq!(unsafe { libc::pthread_mutex_lock(self.0.get()) }, 0);
    }
}

#[test]
fn a_mutex_of_the_c_library_names_its_owner() {
    let mutex: &'static CMutex =
        Box::leak(Box::new(CMutex(UnsafeCell::new(libc::PTHREAD_MUTEX_INITIALIZER))));
    let (reader, _writer) = std::io::pipe().expect("a pipe");
    let fd = number(&reader);
    let (locked, wait) = mpsc::channel();
    let holder = start(move || {
        mutex.lock();
        locked.send(()).expect("it is awaited");
        drop({ reader }.read(&mut [0]));
    });
    wait.recv().expect("it is locked");
    let waiter = start(move || mutex.lock());
    until("the wait for a lock", || is_waiting(waiter, WaitClass::Lock));
    until("the wait of the holder", || is_waiting(holder, WaitClass::Io));
    let snapshot = snapshot(ourselves().as_ref());
    assert_eq!(snapshot.header.runtimes[0].task_noun, "thread");
    let (row, waiting) = task(&snapshot, waiter);
    let [wait] = snapshot.waits_of(waiting) else { panic!("one wait") };
    let object = snapshot.objects[wait.object.index()];
    assert_eq!((wait.op, object.kind), (WaitOp::Lock, ObjectKind::Mutex));
    assert_eq!(object.address, mutex.0.get() as u64);
    let call = snapshot.call_of(row).expect("it is in a system call");
    assert_eq!((snapshot.str(call.name), call.arguments[0]), ("futex", object.address));
    let (row, holding) = task(&snapshot, holder);
    let [hold] = snapshot.holds_of(holding) else { panic!("one hold") };
    assert_eq!((hold.object, hold.how), (wait.object, HoldKind::Exclusive));
    // It reads, and so do its descriptor and its call.
    let [wait] = snapshot.waits_of(holding) else { panic!("one wait") };
    assert_eq!((wait.op, snapshot.objects[wait.object.index()].address), (WaitOp::Read, fd.into()));
    assert!(snapshot.descriptor(fd).is_some_and(|descriptor| descriptor.access.read));
    assert_eq!(snapshot.call_of(row).map(|call| snapshot.str(call.name)), Some("read"));
    assert!(holding.mark.is_some() && holding.mark == task_again(holder), "it has not run");
}

fn task_again(tid: u32) -> Option<u64> {
    let snapshot = snapshot(ourselves().as_ref());
    task(&snapshot, tid).1.mark
}

#[test]
fn a_mutex_of_rust_has_no_owner() {
    let lock = Arc::new(Mutex::new(0u64));
    let its = Arc::clone(&lock);
    let guard = lock.lock().expect("not poisoned");
    let waiter = start(move || drop(its.lock()));
    until("the wait", || is_waiting(waiter, WaitClass::Other));
    let snapshot = snapshot(ourselves().as_ref());
    let (_, waiting) = task(&snapshot, waiter);
    let [wait] = snapshot.waits_of(waiting) else { panic!("one wait") };
    assert_eq!(snapshot.objects[wait.object.index()].kind, ObjectKind::Futex);
    assert!(snapshot.tasks.iter().all(|task| snapshot.holds_of(task).is_empty()));
    drop(guard);
}

#[test]
fn a_thread_that_watches_a_set_waits_for_what_is_in_it() {
    use std::os::fd::AsRawFd;
    // SAFETY: epoll_create1 takes an integer.
    let set = crate::support::owned(unsafe { libc::epoll_create1(0) });
    let (reader, _writer) = std::io::pipe().expect("a pipe");
    let mut event = libc::epoll_event { events: libc::EPOLLIN as u32, u64: 0 };
    // SAFETY: `event` is a valid epoll_event.
    unsafe { libc::epoll_ctl(set.as_raw_fd(), libc::EPOLL_CTL_ADD, reader.as_raw_fd(), &raw mut event) };
    let tid = start(move || {
        let mut event = libc::epoll_event { events: 0, u64: 0 };
        // SAFETY: there is room for one event.
        unsafe { libc::epoll_wait(set.as_raw_fd(), &raw mut event, 1, -1) };
    });
    until("the wait", || is_waiting(tid, WaitClass::Io));
    let snapshot = snapshot(ourselves().as_ref());
    let (_, waiting) = task(&snapshot, tid);
    let waits: Vec<_> = snapshot
        .waits_of(waiting)
        .iter()
        .map(|wait| (wait.op, snapshot.objects[wait.object.index()].address))
        .collect();
    assert_eq!(waits, [(WaitOp::Read, number(&reader).into())]);
}

#[test]
fn a_child_and_a_sleep() {
    #[allow(clippy::zombie_processes, reason = "a thread waits for it")]
    let mut child = std::process::Command::new("sleep").arg("1000").spawn().expect("sleep starts");
    let pid = child.id();
    let tid = start(move || {
        let mut status = 0;
        // SAFETY: `status` is valid.
        unsafe { libc::waitpid(pid.cast_signed(), &raw mut status, 0) };
    });
    until("the wait", || is_waiting(tid, WaitClass::Join));
    let ours = snapshot(ourselves().as_ref());
    let [wait] = ours.waits_of(task(&ours, tid).1) else { panic!("one wait") };
    let object = ours.objects[wait.object.index()];
    assert_eq!((object.kind, object.address), (ObjectKind::Process, pid.into()));
    let sleeps = loiter::process::open_pid(pid).expect("it can be read");
    until("its sleep", || task(&snapshot(sleeps.as_ref()), pid).1.wait_class == WaitClass::Sleep);
    let its = snapshot(sleeps.as_ref());
    let [wait] = its.waits_of(task(&its, pid).1) else { panic!("one wait") };
    assert_eq!(its.objects[wait.object.index()].kind, ObjectKind::Timer);
    assert!(its.timer_of(wait.object).is_some());
    child.kill().expect("it runs");
}
