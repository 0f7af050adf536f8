use proptest::prelude::*;

use super::super::abi::{self, misc};
use super::super::parse::Body;
use super::*;

const PID: u32 = 42;
const LAYOUT: Layout = Layout { moments: true, stack: true };

fn record(kind: u32, misc: u16, body: &[u8]) -> Vec<u8> {
    let size = u16::try_from(body.len() + 8).unwrap();
    [&kind.to_le_bytes()[..], &misc.to_le_bytes(), &size.to_le_bytes(), body].concat()
}

fn words(words: &[u64]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

fn pair(low: u32, high: u32) -> u64 {
    u64::from(high) << 32 | u64::from(low)
}

/// A record that is no sample, of thread 43 of a process.
fn other(kind: u32, misc: u16, body: &[u8], pid: u32, at_ns: u64) -> Vec<u8> {
    record(kind, misc, &[body, &words(&[pair(pid, 43), at_ns, 1, 5])].concat())
}

fn sample(chain: &[u64], stack: &[u8], valid: u64) -> Vec<u8> {
    let registers: Vec<u64> = (100..100 + abi::REGISTER_COUNT as u64).collect();
    let body = [
        words(&[5, 0x1000, pair(PID, 43), 77, 1, 1_000_000, chain.len() as u64]),
        words(chain),
        words(&[2]),
        words(&registers),
        words(&[stack.len() as u64]),
        stack.to_vec(),
        words(&[valid]),
    ];
    record(record::SAMPLE, misc::MODE_KERNEL, &body.concat())
}

/// What is in a ring, as text, and how much of it makes no sense.
fn read_parts(first: &[u8], second: &[u8]) -> (Vec<String>, u64) {
    let mut told = Vec::new();
    let malformed =
        read(first, second, PID, LAYOUT, &mut |stamp, body| told.push(format!("{stamp:?} {body:?}")));
    (told, malformed)
}

fn bodies(bytes: &[u8], with: &mut dyn FnMut(Body<'_>)) {
    assert_eq!(read(bytes, &[], PID, LAYOUT, &mut |_, body| with(body)), 0);
}

#[test]
fn a_sample_has_both_chains_registers_and_the_valid_part_of_the_stack() {
    let chain = [abi::CONTEXT_KERNEL, 1, 2, abi::CONTEXT_USER, 3, 4];
    let mut seen = 0;
    bodies(&sample(&chain, &[7; 32], 16), &mut |body| {
        let Body::Sample { period, in_kernel, registers, chain, kernel_chain, stack } = body else {
            panic!("{body:?}")
        };
        assert_eq!((period, in_kernel), (1_000_000, true));
        assert_eq!((kernel_chain, chain), (&[1, 2][..], &[3, 4][..]));
        assert_eq!(stack, [7; 16]);
        // The kernel's order: ax, bx, cx, dx, si, di, bp, sp, ip, r8 to r15.
        assert_eq!((registers.pc, registers.sp, registers.bp), (108, 107, 106));
        let general = [100, 102, 103, 101, 107, 106, 104, 105, 109, 110, 111, 112, 113, 114, 115, 116];
        assert_eq!(registers.general, general);
        seen += 1;
    });
    assert_eq!(seen, 1);
}

#[test]
fn records_of_each_kind() {
    let mapping =
        [words(&[pair(PID, 43), 0x7000, 0x2000, 0x100, 0, 0, 0, pair(5, 2)]), b"/a/b\0\0\0\0".to_vec()];
    let ring = [
        other(record::SWITCH, misc::SWITCH_OUT, &[], PID, 1),
        other(record::SWITCH_CPU_WIDE, misc::SWITCH_OUT | misc::SWITCH_OUT_PREEMPT, &words(&[0]), PID, 2),
        other(record::SWITCH, 0, &[], PID, 3),
        other(record::SWITCH, 0, &[], PID + 1, 3),
        other(record::MMAP2, 0, &mapping.concat(), PID, 4),
        other(record::FORK, 0, &words(&[pair(PID, PID), pair(44, 43), 5]), PID, 5),
        other(record::EXIT, 0, &words(&[pair(PID, PID), pair(44, 43), 6]), PID, 6),
        other(
            record::COMM,
            misc::COMM_EXEC,
            &[&words(&[pair(PID, 43)])[..], b"name\0\0\0\0"].concat(),
            PID,
            7,
        ),
        other(record::LOST, 0, &words(&[5, 3]), 0, 8),
        other(record::THROTTLE, 0, &words(&[9, 5, 5]), 0, 9),
        other(99, 0, &[], PID, 10),
    ]
    .concat();
    let mut seen = Vec::new();
    bodies(&ring, &mut |body| seen.push(format!("{body:?}")));
    let expected = [
        Body::SwitchedOut { preempted: false },
        Body::SwitchedOut { preempted: true },
        Body::SwitchedIn,
        Body::Mapped { address: 0x7000, len: 0x2000, offset: 0x100, path: b"/a/b", executable: true },
        Body::Started { pid: PID, tid: 44 },
        Body::Ended { tid: 44 },
        Body::Named { name: b"name", is_exec: true },
        Body::Lost { count: 3 },
        Body::Throttled,
        Body::Other,
    ];
    assert_eq!(seen, expected.map(|body| format!("{body:?}")));
}

#[test]
fn a_ring_may_wrap_anywhere() {
    let ring =
        [sample(&[abi::CONTEXT_USER, 3], &[7; 32], 32), other(record::SWITCH, 0, &[], PID, 3)].concat();
    let whole = read_parts(&ring, &[]);
    assert_eq!((whole.0.len(), whole.1), (2, 0));
    for at in 0..=ring.len() {
        assert_eq!(read_parts(&ring[..at], &ring[at..]), whole, "{at}");
    }
}

#[test]
fn nonsense_is_counted() {
    let good = other(record::SWITCH, 0, &[], PID, 3);
    let with_size = |size: u16| [&9_u32.to_le_bytes()[..], &[0, 0], &size.to_le_bytes(), &[0; 64]].concat();
    for size in [0, 1, 7, 12, 80, u16::MAX] {
        // Where the next record begins is unknown: the rest is left out.
        let ring = [good.clone(), with_size(size), good.clone()].concat();
        let (told, malformed) = read_parts(&ring, &[]);
        assert_eq!((told.len(), malformed), (1, 1), "{size}");
    }
    let too_long_a_chain = {
        let mut bytes = sample(&[], &[], 0);
        bytes[56..64].copy_from_slice(&u64::MAX.to_le_bytes());
        bytes
    };
    for odd in [
        sample(&[], &[7; 8], 9),
        too_long_a_chain,
        record(record::SWITCH, 0, &[]),
        record(record::SAMPLE, 0, &[]),
    ] {
        let (told, malformed) = read_parts(&[good.clone(), odd, good.clone()].concat(), &[]);
        assert_eq!((told.len(), malformed), (2, 1), "the next record is read again");
    }
}

#[test]
fn later_records_are_left_for_the_next_time() {
    let ring = [1, 2, 3].map(|at_ns| other(record::SWITCH, 0, &[], PID, at_ns)).concat();
    let mut times = Vec::new();
    let read =
        find(Unread(&ring, &[]), PID, 2, &mut Skipped::default(), &mut |_, stamp| times.push(stamp.at_ns));
    assert_eq!((times, read), (vec![1, 2], ring.len() / 3 * 2));
}

proptest! {
    #[test]
    fn whatever_is_in_a_ring_is_read_to_its_end(
        bytes in proptest::collection::vec(any::<u8>(), 0..600),
        at in 0_usize..600,
    ) {
        let (first, second) = bytes.split_at(at.min(bytes.len()));
        read_parts(first, second);
    }

    #[test]
    fn whatever_is_in_records_of_the_right_size_is_read(
        records in proptest::collection::vec((0_u32..20, any::<u16>(), proptest::collection::vec(any::<u64>(), 0..80)), 0..8),
        at in any::<prop::sample::Index>(),
        stack in any::<bool>(),
    ) {
        let ring: Vec<u8> = records.iter().flat_map(|(kind, misc, body)| record(*kind, *misc, &words(body))).collect();
        let (first, second) = ring.split_at(at.index(ring.len() + 1));
        for pid in [PID, 0] {
            let mut count = 0;
            let layout = Layout { moments: true, stack };
            let malformed = read(first, second, pid, layout, &mut |_, _| count += 1);
            prop_assert!(count + malformed <= records.len() as u64);
        }
    }
}
