//! All orders in which a writer and a reader can meet, by loom:
//! `RUSTFLAGS="--cfg loom" cargo test -p loiter-registry --release --test loom`
#![cfg(loom)]

use loiter_registry::ids::Ids;
use loiter_registry::seqlock::{FreeList, changed, read, write};
use loom::sync::Arc;
use loom::sync::atomic::{
    AtomicU32, AtomicU64,
    Ordering::{Acquire, Relaxed, Release, SeqCst},
    fence,
};
use loom::thread;

#[derive(Default)]
struct Entry {
    seq: AtomicU32,
    one: AtomicU64,
    two: AtomicU64,
}

#[test]
fn a_reader_sees_no_mixed_fields() {
    loom::model(|| {
        let entry = Arc::new(Entry::default());
        let writer = {
            let entry = entry.clone();
            thread::spawn(move || {
                for value in 1..=2 {
                    write(&entry.seq, || {
                        entry.one.store(value, Relaxed);
                        entry.two.store(value * 10, Relaxed);
                    });
                }
            })
        };
        if let Some((one, two)) = read(&entry.seq, || (entry.one.load(Relaxed), entry.two.load(Relaxed))) {
            assert_eq!(two, one * 10);
        }
        writer.join().unwrap();
        assert!(read(&entry.seq, || ()).is_some());
    });
}

/// What `task.rs` does: an entry's identity stays after the end of its task, and the next task's polls
/// are written while the next identity is. A reader that copies twice, in whatever order, takes nothing
/// of one task for the other's.
#[test]
fn a_reader_sees_no_task_with_the_polls_of_another() {
    #[derive(Default)]
    struct Both {
        seq: AtomicU32,
        id: AtomicU64,
        poll_seq: AtomicU32,
        /// 0: free; else it says whose it is.
        state: AtomicU64,
    }
    for polls_first in [false, true] {
        loom::model(move || {
            let entry = Arc::new(Both::default());
            let begin = |entry: &Both, id: u64| {
                write(&entry.seq, || {
                    entry.id.store(id, Relaxed);
                    write(&entry.poll_seq, || entry.state.store(id * 10, Relaxed));
                });
            };
            begin(&entry, 1);
            let writer = {
                let entry = entry.clone();
                thread::spawn(move || {
                    write(&entry.poll_seq, || entry.state.store(0, Relaxed));
                    begin(&entry, 2);
                })
            };
            let identity = || (entry.seq.load(Acquire), entry.id.load(Acquire));
            let polls = || (entry.poll_seq.load(Acquire), entry.state.load(Acquire));
            let copy = || {
                if polls_first {
                    let polls = polls();
                    (identity(), polls)
                } else {
                    (identity(), polls())
                }
            };
            let first = copy();
            fence(SeqCst);
            let second = copy();
            let ((seq, id), (poll_seq, state)) = first;
            if first == second && seq % 2 == 0 && poll_seq % 2 == 0 {
                assert!(state == 0 || state == id * 10, "{state} of task {id}");
            }
            writer.join().unwrap();
        });
    }
}

/// What `at.rs` does: the place around is added before the one in it, and removed after it.
#[test]
fn a_reader_sees_no_place_without_the_one_around_it() {
    loom::model(|| {
        let chain = Arc::new((AtomicU32::new(0), AtomicU64::new(0), AtomicU64::new(0)));
        let writer = {
            let chain = chain.clone();
            thread::spawn(move || {
                for (slot, from, to) in [(0, 0, 1), (1, 0, 2), (1, 2, 0), (0, 1, 0)] {
                    let slot = if slot == 0 { &chain.1 } else { &chain.2 };
                    slot.compare_exchange(from, to, Release, Relaxed).unwrap();
                    changed(&chain.0);
                }
            })
        };
        let before = chain.0.load(Acquire);
        let (outer, inner) = (chain.1.load(Acquire), chain.2.load(Acquire));
        fence(Acquire);
        if chain.0.load(Relaxed) == before {
            assert!(inner == 0 || outer == 1, "{inner} in {outer}");
        }
        writer.join().unwrap();
    });
}

#[test]
fn no_free_entry_is_given_out_twice() {
    loom::model(|| {
        let list = Arc::new((FreeList::new(), [AtomicU32::new(0), AtomicU32::new(0)]));
        list.0.push(0, &list.1[0]);
        list.0.push(1, &list.1[1]);
        let take_and_return = |list: Arc<(FreeList, [AtomicU32; 2])>| {
            let taken = list.0.pop(|index| list.1.get(index as usize));
            if let Some(index) = taken {
                list.0.push(index, &list.1[index as usize]);
            }
            list.0.pop(|index| list.1.get(index as usize))
        };
        let other = {
            let list = list.clone();
            thread::spawn(move || take_and_return(list))
        };
        let (one, two) = (take_and_return(list.clone()), other.join().unwrap());
        assert!(one.is_none() || one != two);
    });
}

/// What the hooks rely on: whatever others enter and remove, and however the table grows meanwhile, who
/// knows of an id finds its number.
#[test]
fn an_id_is_found_while_others_come_and_go() {
    loom::model(|| {
        let ids = Arc::new(Ids::new());
        assert!(ids.enter(7, 70));
        let other = {
            let ids = ids.clone();
            thread::spawn(move || {
                assert!(ids.enter(8, 80)); // the table grows
                assert_eq!(ids.find(8), Some(80));
                assert_eq!(ids.remove(8), Some(80));
            })
        };
        assert_eq!(ids.find(7), Some(70));
        assert_eq!(ids.remove(7), Some(70));
        assert_eq!(ids.find(7), None);
        other.join().unwrap();
        assert_eq!(ids.find(8), None);
    });
}

/// An id that was entered in a larger table is found by a thread that was told of it.
#[test]
fn who_is_told_of_an_id_finds_it() {
    loom::model(|| {
        let ids = Arc::new((Ids::new(), AtomicU32::new(0)));
        assert!(ids.0.enter(7, 70));
        let other = {
            let ids = ids.clone();
            thread::spawn(move || {
                assert!(ids.0.enter(8, 80));
                ids.1.store(1, Release);
            })
        };
        if ids.1.load(Acquire) == 1 {
            assert_eq!(ids.0.find(8), Some(80));
        }
        assert_eq!(ids.0.find(7), Some(70));
        other.join().unwrap();
    });
}
