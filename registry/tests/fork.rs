//! The child of a fork does not pass for its parent.

#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use common::{Memory, Reader};
use loiter_registry::{Registration, Registry};

#[test]
fn a_child_starts_again_from_nothing() {
    let before = Registration::new().name("of the parent").register();
    let id = before.id().unwrap();
    let (mut read, mut write) = std::io::pipe().unwrap();
    // SAFETY: the child registers a task, which is atomics and mmap, waits and leaves.
    let child = unsafe { libc::fork() };
    if child == 0 {
        use std::io::Write;
        drop(before); // an entry of the parent: touches nothing
        let mut task = Registration::new().name("of the child").register();
        task.running();
        write.write_all(b"x").unwrap();
        std::thread::sleep(std::time::Duration::from_secs(20));
        // SAFETY: leaves without running the test harness's code a second time.
        unsafe { libc::_exit(0) };
    }
    std::io::Read::read_exact(&mut read, &mut [0]).unwrap();
    let at = Registry::main().address() as u64;
    let theirs = Reader::new(Memory::of(child as u32), at);
    assert_eq!((theirs.header_u32(220), theirs.header_u32(236)), (child as u32, 1));
    let tasks = theirs.tasks();
    assert_eq!((tasks.len(), tasks[0].id, tasks[0].name.as_str()), (1, 1, "of the child"));
    assert_eq!((theirs.header_u64(512), theirs.header_u64(576)), (1, 0));
    let ours = Reader::main();
    assert_eq!((ours.header_u32(220), ours.header_u32(236)), (std::process::id(), 0));
    assert_eq!(ours.task(id).name, "of the parent");
    // SAFETY: the child is ours, and was not waited for yet.
    unsafe {
        libc::kill(child, libc::SIGKILL);
        libc::waitpid(child, std::ptr::null_mut(), 0);
    }
}
