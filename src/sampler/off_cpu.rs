//! Time off CPU, thread by thread, from the records of switches.
//!
//! All is kept by thread, never by CPU: a thread often leaves one CPU and gets another.

use rustc_hash::FxHashMap;

use super::Record;
use super::usage::ThreadTime;
use crate::process::proc;

/// A thread as it was when the recording began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ThreadAtStart {
    /// The thread.
    pub tid: u32,
    /// It ran or waited for a CPU.
    pub runnable: bool,
    /// What the scheduler had counted of it.
    pub time: ThreadTime,
}

/// The threads of a process now.
pub fn threads_at_start(pid: u32) -> Vec<ThreadAtStart> {
    let at_start = |tid| {
        let time = ThreadTime::of(pid, tid)?;
        let runnable = proc::Stat::read_thread(pid, tid).ok()?.state == 'R';
        Some(ThreadAtStart { tid, runnable, time })
    };
    proc::threads(pid).unwrap_or_default().into_iter().filter_map(at_start).collect()
}

/// A time that a thread spent off CPU.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Interval {
    /// The thread.
    pub tid: u32,
    /// CLOCK_MONOTONIC, nanoseconds.
    pub from_ns: u64,
    /// CLOCK_MONOTONIC, nanoseconds.
    pub to_ns: u64,
    /// It waited for a CPU. Otherwise it was blocked; the time between its wakeup and its CPU counts as blocked, too.
    pub preempted: bool,
    /// It was off CPU before the recording began, or still is at its end.
    pub is_cut: bool,
}

impl Interval {
    /// How long it was, nanoseconds.
    pub fn len_ns(&self) -> u64 {
        self.to_ns.saturating_sub(self.from_ns)
    }
}

/// Where a thread is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// It was there when the recording began, and there was no record of it yet.
    Unknown {
        runnable: bool,
        time: ThreadTime,
    },
    On,
    Off {
        from_ns: u64,
        preempted: bool,
    },
}

/// Makes intervals of the records of one process.
#[derive(Debug, Default)]
pub struct OffCpu {
    begun_ns: u64,
    threads: FxHashMap<u32, State>,
    unpaired: u64,
}

impl OffCpu {
    /// A recording that begins at `begun_ns` with these threads.
    pub fn new(begun_ns: u64, threads: &[ThreadAtStart]) -> OffCpu {
        let state = |thread: &ThreadAtStart| State::Unknown { runnable: thread.runnable, time: thread.time };
        let threads = threads.iter().map(|thread| (thread.tid, state(thread))).collect();
        OffCpu { begun_ns, threads, unpaired: 0 }
    }

    /// Takes the next record. The interval that ends with it, if one does.
    pub fn take(&mut self, record: &Record<'_>) -> Option<Interval> {
        match *record {
            // It waits for its first CPU.
            Record::Started { tid, at_ns } => {
                self.threads.insert(tid, State::Off { from_ns: at_ns, preempted: true });
                None
            }
            Record::SwitchedOut { tid, at_ns, preempted } => {
                let before = self.threads.insert(tid, State::Off { from_ns: at_ns, preempted });
                // A record in between was lost: how long the thread was off CPU is not known.
                self.unpaired += u64::from(matches!(before, Some(State::Off { .. })));
                None
            }
            Record::SwitchedIn { tid, at_ns } => {
                let before = self.threads.insert(tid, State::On);
                self.unpaired += u64::from(before == Some(State::On));
                self.interval(tid, before?, at_ns)
            }
            // A thread ends on a CPU, and there is no record that it leaves it.
            Record::Ended { tid, at_ns } => {
                let before = self.threads.remove(&tid)?;
                if matches!(before, State::Off { .. }) { self.interval(tid, before, at_ns) } else { None }
            }
            _ => None,
        }
    }

    /// The end of the recording: the intervals that are still open. `time` says what the scheduler has counted of a
    /// thread by now. A thread without any record was off CPU all the time if it has not run.
    pub fn finish(self, end_ns: u64, time: &mut dyn FnMut(u32) -> Option<ThreadTime>) -> Vec<Interval> {
        let is_open = |tid: u32, state: State| match state {
            State::On => false,
            State::Off { .. } => true,
            State::Unknown { time: before, .. } => {
                time(tid).is_some_and(|now| (now.ran_ns, now.slices) == (before.ran_ns, before.slices))
            }
        };
        let mut is_open = is_open;
        let mut open: Vec<Interval> = self
            .threads
            .iter()
            .filter(|&(&tid, &state)| is_open(tid, state))
            .filter_map(|(&tid, &state)| self.interval(tid, state, end_ns))
            .map(|interval| Interval { is_cut: true, ..interval })
            .collect();
        open.sort_unstable_by_key(|interval| (interval.from_ns, interval.tid));
        open
    }

    /// Intervals of which only one end was recorded, because records were lost.
    pub fn unpaired(&self) -> u64 {
        self.unpaired
    }

    fn interval(&self, tid: u32, state: State, to_ns: u64) -> Option<Interval> {
        let (from_ns, preempted) = match state {
            State::On => return None,
            State::Off { from_ns, preempted } => (from_ns, preempted),
            State::Unknown { runnable, .. } => (0, runnable),
        };
        let (clipped, is_cut) = (from_ns.max(self.begun_ns), from_ns < self.begun_ns);
        (to_ns > clipped).then_some(Interval { tid, from_ns: clipped, to_ns, preempted, is_cut })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sleeper(tid: u32) -> ThreadAtStart {
        ThreadAtStart { tid, runnable: false, time: ThreadTime { ran_ns: 5, waited_ns: 0, slices: 1 } }
    }

    fn out(tid: u32, at_ns: u64, preempted: bool) -> Record<'static> {
        Record::SwitchedOut { tid, at_ns, preempted }
    }

    fn on(tid: u32, at_ns: u64) -> Record<'static> {
        Record::SwitchedIn { tid, at_ns }
    }

    fn interval(tid: u32, from_ns: u64, to_ns: u64, preempted: bool) -> Interval {
        Interval { tid, from_ns, to_ns, preempted, is_cut: false }
    }

    #[test]
    fn intervals_are_of_threads() {
        let mut off = OffCpu::new(100, &[sleeper(1), sleeper(2)]);
        assert_eq!(off.take(&on(1, 110)), Some(Interval { is_cut: true, ..interval(1, 100, 110, false) }));
        assert_eq!(off.take(&out(1, 120, false)), None);
        assert_eq!(off.take(&out(2, 125, true)), None, "it was on CPU from the beginning");
        assert_eq!(off.take(&on(1, 130)), Some(interval(1, 120, 130, false)));
        assert_eq!(off.take(&on(2, 135)), Some(interval(2, 125, 135, true)));
        assert_eq!(off.unpaired(), 0);
    }

    #[test]
    fn the_ends_of_a_recording() {
        let ran = |ran_ns| Some(ThreadTime { ran_ns, waited_ns: 9, slices: 1 });
        let mut off = OffCpu::new(100, &[sleeper(1), sleeper(2), sleeper(3), sleeper(4)]);
        off.take(&out(3, 90, false));
        off.take(&on(4, 95));
        let open = off.finish(200, &mut |tid| if tid == 1 { ran(5) } else { ran(6) });
        let cut = |tid| Interval { is_cut: true, ..interval(tid, 100, 200, false) };
        assert_eq!(open, [cut(1), cut(3)], "2 has run, 4 is on CPU");
    }

    #[test]
    fn threads_that_come_and_go() {
        let mut off = OffCpu::new(100, &[]);
        off.take(&Record::Started { tid: 7, at_ns: 110 });
        assert_eq!(off.take(&on(7, 115)), Some(interval(7, 110, 115, true)));
        assert_eq!(off.take(&Record::Ended { tid: 7, at_ns: 120 }), None);
        assert_eq!(off.finish(130, &mut |_| None), []);
    }

    #[test]
    fn lost_records_are_counted_and_make_no_time() {
        let mut off = OffCpu::new(100, &[]);
        off.take(&out(1, 110, false));
        off.take(&out(1, 150, true));
        assert_eq!(off.take(&on(1, 160)), Some(interval(1, 150, 160, true)));
        assert_eq!(off.take(&on(1, 170)), None);
        assert_eq!(off.unpaired(), 2);
        assert_eq!(off.take(&on(9, 180)), None, "a thread that was never heard of");
        off.take(&out(9, 190, false));
        assert_eq!(off.take(&on(9, 185)), None, "time that runs backwards");
    }
}
