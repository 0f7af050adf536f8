//! The two ways of holding a program, as the gate uses them.

use std::time::Instant;

use crate::process::hold::{Event, Traced, Worker};

/// A program that is held when it ends.
pub(super) trait HeldProgram {
    /// Its pid.
    fn pid(&self) -> u32;
    /// Waits for what happens to it.
    fn wait(&mut self, deadline: Option<Instant>) -> Event;
    /// It has ended.
    fn has_ended(&mut self) -> bool;
    /// It was executed: it is not the process of loiter that was to execute it.
    fn was_started(&self) -> bool;
    /// It is traced, and has only its main thread left when it is held.
    fn is_traced(&self) -> bool;
    /// The status with which it is about to end, if that can be known while it is held.
    fn status(&self) -> Option<u8>;
    /// Sends it a signal.
    fn signal(&self, signal: i32);
    /// Lets it end with this status, if that is possible now.
    fn end_with(&mut self, status: u8);
    /// Lets it end.
    fn let_go(&mut self);
}

impl HeldProgram for Worker {
    fn pid(&self) -> u32 {
        Worker::pid(self)
    }

    fn wait(&mut self, deadline: Option<Instant>) -> Event {
        Worker::wait(self, deadline)
    }

    fn has_ended(&mut self) -> bool {
        Worker::has_ended(self)
    }

    fn was_started(&self) -> bool {
        Worker::was_started(self)
    }

    fn is_traced(&self) -> bool {
        false
    }

    fn status(&self) -> Option<u8> {
        Worker::status(self)
    }

    fn signal(&self, signal: i32) {
        Worker::signal(self, signal);
    }

    fn end_with(&mut self, status: u8) {
        if let Err(errno) = Worker::end_with(self, status) {
            let why = errno.desc();
            tracing::error!(why, "the status of the program could not be changed: it ends with 0");
        }
    }

    fn let_go(&mut self) {
        Worker::let_go(self);
    }
}

impl HeldProgram for Traced {
    fn pid(&self) -> u32 {
        Traced::pid(self)
    }

    fn wait(&mut self, deadline: Option<Instant>) -> Event {
        Traced::wait(self, deadline)
    }

    fn has_ended(&mut self) -> bool {
        Traced::has_ended(self)
    }

    fn was_started(&self) -> bool {
        Traced::was_started(self)
    }

    fn is_traced(&self) -> bool {
        true
    }

    fn status(&self) -> Option<u8> {
        Traced::status(self)
    }

    fn signal(&self, signal: i32) {
        Traced::signal(self, signal);
    }

    /// Loiter is the parent, and ends with that status itself.
    fn end_with(&mut self, _status: u8) {
        Traced::let_go(self);
    }

    fn let_go(&mut self) {
        Traced::let_go(self);
    }
}
