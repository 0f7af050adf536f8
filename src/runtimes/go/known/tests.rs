#![allow(clippy::indexing_slicing, clippy::panic, reason = "a test may panic")]

use proptest::prelude::*;

use super::*;
use crate::runtimes::go::goroutine::Raw;
use crate::runtimes::go::proof::Verdict;
use crate::snapshot::WaitOp;

/// What happens to a goroutine before the next reading.
#[derive(Debug, Clone, Copy)]
enum Turn {
    Waits,
    Runs,
    /// It runs, and is not parked when it is read.
    IsRunning,
    Ends,
    /// It ends, and its struct becomes another goroutine's.
    IsReused,
}

fn turn() -> impl Strategy<Value = Turn> {
    prop_oneof![
        6 => Just(Turn::Waits),
        2 => Just(Turn::Runs),
        1 => Just(Turn::IsRunning),
        1 => Just(Turn::Ends),
        1 => Just(Turn::IsReused),
    ]
}

const IN_PIECE: usize = 4;
const MOST: usize = 30;

/// Goroutines in pieces, as the readers and the main thread handle them.
struct Target {
    judge: Judge,
    known: Known,
    pieces: Vec<Piece>,
    /// In the order of the pieces. None for a struct that no goroutine has.
    now: Vec<Option<Raw>>,
    next_goid: u64,
}

fn stops(raw: &Raw) -> u8 {
    raw.glance().parked.stops()
}

/// Goroutines with even ids wait for channels that may change.
fn channel(raw: &Raw) -> RawWait {
    let channel = RawChannel { len: raw.goid % 2, cap: 1, closed: false, element_type: raw.goid };
    RawWait::Channel { op: WaitOp::Send, address: raw.address, detail: Some(channel) }
}

impl Target {
    fn new(len: usize) -> Target {
        let addresses: Vec<u64> = (1..=len as u64).map(|at| 0x1000 * at).collect();
        let pieces = addresses.chunks(IN_PIECE).map(Piece::new).collect();
        // In another order than the addresses, and with room between them for those of later goroutines.
        let id = |nth: u64| (nth * 7) % 31 * 1000 + 950 + nth % 2;
        let with_ids = addresses.iter().zip(1..).map(|(at, nth)| (*at, id(nth)));
        let now = with_ids.map(|(at, goid)| Some(Raw::waiting(goid, at, 0))).collect();
        let judge = Judge::new(&[String::new(), "chan send".to_owned()]);
        let mut target = Target { judge, known: Known::default(), pieces, now, next_goid: 2000 };
        target.read(&[Turn::Runs; MOST]);
        target
    }

    fn take_turn(&mut self, at: usize, address: u64, turn: Turn) {
        let raw = &mut self.now[at];
        match (turn, raw.as_mut()) {
            (Turn::Waits, _) | (Turn::Runs | Turn::IsRunning, None) => {}
            (Turn::Ends, _) => *raw = None,
            (Turn::Runs | Turn::IsRunning, Some(one)) => {
                *raw = Some(Raw::waiting(one.goid, address, stops(one) + 1));
            }
            (Turn::IsReused, _) => {
                // Ids are given out in batches: some are lower than those of older goroutines.
                self.next_goid += 1;
                *raw = Some(Raw::waiting(self.next_goid ^ 16, address, 0));
            }
        }
    }

    /// The goroutine ids that a reading gives out, with the numbers of their stops.
    fn read(&mut self, turns: &[Turn]) -> Vec<(u64, u8)> {
        let mut news = self.known.no_news();
        for (at, &turn) in turns.iter().enumerate().take(self.now.len()) {
            let (number, within) = (at / IN_PIECE, at % IN_PIECE);
            let address = self.pieces[number].addresses[within];
            self.take_turn(at, address, turn);
            let piece = &mut self.pieces[number];
            piece.seen.resize(piece.addresses.len(), None);
            if within == 0 {
                news.channels(
                    self.known.channels(piece, false).into_iter().map(|of| self.again(of)).collect(),
                );
            }
            let seen = &mut self.pieces[number].seen[within];
            let raw = self.now[at];
            let verdict = seen
                .as_ref()
                .zip(raw.as_ref())
                .map(|(seen, raw)| self.judge.verdict(&seen.look, &raw.glance()));
            if let (Some(raw), Some(seen), Some(Verdict::LooksSame)) = (raw, seen.as_mut(), verdict) {
                news.same(&seen.stays(raw.waitsince));
                continue;
            }
            *seen = None;
            if let Some(raw) = raw {
                let without = Goroutine::without_stack(raw, StackStatus::Complete);
                let is_parked = !matches!(turn, Turn::IsRunning);
                let place = is_parked.then_some((number as u32, within as u32));
                news.fresh(&Goroutine { stack: Some(5), ..without }, &[channel(&raw)], place);
            }
        }
        let mut given = Vec::new();
        self.known.advance(news, &mut self.pieces, &self.judge, |goroutine, waits| {
            given.push((goroutine.raw.goid, stops(&goroutine.raw)));
            let [RawWait::Channel { address, detail: Some(channel), .. }] = waits else {
                panic!("it waits for one channel: {waits:?}")
            };
            assert_eq!((*address, channel.element_type), (goroutine.raw.address, goroutine.raw.goid));
        });
        given
    }

    /// A channel is read again: of the goroutine that had it.
    fn again(&self, (number, address): (u32, u64)) -> (u32, Option<RawChannel>) {
        let RawWait::Channel { address: known, detail, .. } = self.known.waits[number as usize] else {
            panic!("number {number} is no channel")
        };
        assert_eq!(known, address);
        assert!(detail.is_some_and(|channel| channel.element_type % 2 == 0), "only those that may change");
        (number, detail)
    }
}

proptest! {
    #[test]
    fn every_goroutine_is_given_once_in_the_order_of_ids(
        len in 1..MOST,
        readings in prop::collection::vec(prop::collection::vec(turn(), MOST), 1..30),
    ) {
        let mut target = Target::new(len);
        for turns in readings {
            let given = target.read(&turns);
            let now = target.now.iter().flatten();
            let mut expected: Vec<_> = now.clone().map(|raw| (raw.goid, stops(raw))).collect();
            expected.sort_unstable();
            prop_assert_eq!(given, expected);
            let known = &target.known;
            prop_assert!(known.rows.is_sorted_by_key(|row| row.kept.parked.goid));
            prop_assert!(known.rows.len() <= 2 * len + 1 && known.waits.len() <= SPARE_WAITS + 3 * len);
            for piece in &target.pieces {
                for (at, (seen, address)) in piece.seen.iter().zip(&piece.addresses).enumerate() {
                    let Some(row) = seen.as_ref().map(|seen| known.rows[seen.row as usize]) else { continue };
                    prop_assert!(row.kept.address == *address && !row.is_gone);
                    let moves = !row.waits.slice(&known.waits)[0].stays();
                    prop_assert!(!moves || piece.moving.contains(&(at as u32)));
                }
            }
        }
    }
}

#[test]
fn a_row_is_two_cache_lines() {
    assert_eq!(size_of::<Row>(), 2 * 64);
}
