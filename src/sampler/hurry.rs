//! Reading in time on a machine whose CPUs are all busy.

use std::marker::PhantomData;

use super::sys;

/// With it a reader gets a fifth of a CPU beside a hundred threads that want to run there.
const NICENESS: i32 = -15;

/// Lets the calling thread run before others, until it is dropped. Take it before
/// [`Sampler::attach`](super::Sampler::attach): on a busy machine a thread with the usual priority gets so little CPU time that the rings
/// run full. It takes CAP_SYS_NICE, as root has it; without, nothing changes. Threads and processes that are started
/// meanwhile inherit it.
#[derive(Debug)]
pub struct Hurry {
    before: Option<i32>,
    /// It is of the thread that made it.
    of_thread: PhantomData<*const ()>,
}

impl Hurry {
    /// For the calling thread.
    pub fn begin() -> Hurry {
        let before = sys::niceness();
        let is_faster = before > NICENESS && sys::set_niceness(NICENESS);
        Hurry { before: is_faster.then_some(before), of_thread: PhantomData }
    }
}

impl Drop for Hurry {
    fn drop(&mut self) {
        if let Some(before) = self.before {
            sys::set_niceness(before);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hurry_ends() {
        let before = sys::niceness();
        let hurry = Hurry::begin();
        assert!(sys::niceness() <= before);
        drop(hurry);
        assert_eq!(sys::niceness(), before);
    }
}
