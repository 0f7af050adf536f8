//! The worker: the process that reads the program when it ends, and says when it goes on. If the keeper ends, the
//! worker does its work.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::super::{proc, sys};
use super::desk::Desk;
use super::filter::{Answer, Call};
use super::keeper::time_left;
use super::line::{Line, Received, unpack};
use super::{HoldError, apart, status};

/// How long a thread may need for a CPU, to sleep again in its call.
const ASLEEP: Duration = Duration::from_secs(1);
const PAUSE: Duration = Duration::from_micros(200);

/// What happens to a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Event {
    /// A thread is about to end it, and is held. The thread's id.
    Held(u32),
    /// It has ended, and was not held before.
    Ended,
    /// It could not be started.
    NotStarted,
    /// Nothing happened until the deadline.
    TimedOut,
}

/// The calls that are held.
#[derive(Debug, Default)]
struct Held {
    calls: Vec<Call>,
    since: Option<Instant>,
    is_over: bool,
}

#[derive(Debug)]
struct Shared {
    desk: Desk,
    keeper: Line,
    held: Mutex<Held>,
    limit: Duration,
    /// The process could not become the program.
    has_failed: AtomicBool,
}

impl Shared {
    fn held(&self) -> MutexGuard<'_, Held> {
        // A list of numbers is consistent at every moment.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A call of the program arrived.
    fn note(&self, call: Call, events: &Sender<Event>) {
        let mut held = self.held();
        if held.is_over {
            return self.desk.answer(call.id, Answer::GoOn);
        }
        held.calls.push(call);
        held.since.get_or_insert_with(Instant::now);
        let _ = events.send(Event::Held(call.tid));
    }

    fn let_go(&self) {
        let mut held = self.held();
        held.is_over = true;
        held.since = None;
        held.calls.drain(..).for_each(|call| self.desk.answer(call.id, Answer::GoOn));
        let _ = self.keeper.send(&[0]);
    }
}

/// The program as its worker sees it.
#[derive(Debug)]
pub(crate) struct Worker {
    shared: Arc<Shared>,
    pidfd: Arc<OwnedFd>,
    events: Receiver<Event>,
    cover: Option<JoinHandle<()>>,
}

impl Worker {
    pub(super) fn new(desk: Desk, keeper: Line, program: Line, limit: Duration) -> Result<Worker, HoldError> {
        let pidfd = Arc::new(sys::pidfd_open(desk.program)?);
        let shared = Arc::new(Shared {
            desk,
            keeper,
            held: Mutex::default(),
            limit,
            has_failed: AtomicBool::new(false),
        });
        let (sender, events) = mpsc::channel();
        let cover = Cover {
            shared: Arc::clone(&shared),
            pidfd: Some(Arc::clone(&pidfd)),
            program: Some(program),
            keeper_is_there: true,
            events: sender,
        };
        let cover = thread::Builder::new().name("keeper".to_owned()).spawn(move || cover.run())?;
        Ok(Worker { shared, pidfd, events, cover: Some(cover) })
    }

    /// The pid of the program.
    pub(crate) fn pid(&self) -> u32 {
        self.shared.desk.program
    }

    /// Waits for what happens to the program, no longer than until `deadline`.
    pub(crate) fn wait(&self, deadline: Option<Instant>) -> Event {
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        let event = match left {
            Some(left) => self.events.recv_timeout(left),
            None => self.events.recv().map_err(|_| RecvTimeoutError::Disconnected),
        };
        match event {
            Ok(Event::Held(tid)) => {
                self.wait_until_asleep(tid);
                Event::Held(tid)
            }
            Ok(event) => event,
            Err(RecvTimeoutError::Timeout) => Event::TimedOut,
            // The last process with the filter has ended.
            Err(RecvTimeoutError::Disconnected) => Event::Ended,
        }
    }

    /// The kernel wakes a thread whose call was received, and lets it sleep again in another way
    /// (`seccomp_do_user_notification` of Linux 6.18's `kernel/seccomp.c`). Until it sleeps, nothing says where it is.
    fn wait_until_asleep(&self, tid: u32) {
        let begun = Instant::now();
        // What may not be read is not waited for.
        while begun.elapsed() < ASLEEP
            && !self.has_ended()
            && matches!(proc::is_in_end(self.pid(), tid), Ok(None | Some(false)))
        {
            thread::sleep(PAUSE);
        }
    }

    /// Whether the program was executed.
    pub(crate) fn was_started(&self) -> bool {
        !self.shared.has_failed.load(Ordering::SeqCst)
    }

    /// Whether the program has ended.
    pub(crate) fn has_ended(&self) -> bool {
        sys::pidfd_ended(&self.pidfd)
    }

    /// The status that the held program is about to end with, if it can be known.
    pub(crate) fn status(&self) -> Option<u8> {
        let call = self.shared.held().calls.first().copied()?;
        status::of(self.pid(), call.tid)
    }

    /// Lets the held program end with another status. It goes on with that.
    ///
    /// # Errors
    /// The thread cannot be stopped, or is gone: the program ends as it would.
    pub(crate) fn end_with(&self, status: u8) -> Result<(), Errno> {
        let Some(call) = self.shared.held().calls.first().copied() else { return Err(Errno::ESRCH) };
        let changed = status::change(&self.shared.desk, call, status);
        if changed.is_ok() {
            // The call is made again. It goes on first: another thread may be about to end the program, too.
            self.let_first_go(call);
        }
        self.let_go();
        changed
    }

    /// Waits until the call is there again, and answers it.
    fn let_first_go(&self, before: Call) {
        let deadline = Instant::now() + Duration::from_secs(1);
        while self.wait(Some(deadline)) != Event::TimedOut && !self.has_ended() {
            let calls = self.shared.held().calls.clone();
            if let Some(again) = calls.iter().find(|call| call.tid == before.tid && call.id != before.id) {
                return self.shared.desk.answer(again.id, Answer::GoOn);
            }
        }
    }

    /// Lets the program end. From here on, nothing is held.
    pub(crate) fn let_go(&self) {
        self.shared.let_go();
    }

    /// Sends the program a signal.
    pub(crate) fn signal(&self, signal: i32) {
        sys::pidfd_signal(&self.pidfd, signal);
    }

    /// Keeps nothing of the caller's open any more, and waits until the last process with the filter has ended: it is
    /// this process that answers if the keeper ends before.
    pub(crate) fn cover(mut self) {
        self.let_go();
        apart::silence(&[0, 1, 2]);
        let _ = std::env::set_current_dir("/");
        if let Some(cover) = self.cover.take() {
            let _ = cover.join();
        }
    }
}

/// The thread that listens to the keeper, and does its work after its end.
struct Cover {
    shared: Arc<Shared>,
    /// None once its end was told.
    pidfd: Option<Arc<OwnedFd>>,
    /// Closed when the program has begun. None from then on.
    program: Option<Line>,
    keeper_is_there: bool,
    events: Sender<Event>,
}

impl Cover {
    fn run(mut self) {
        loop {
            let [calls, keeper, program, end] = self.poll();
            if calls.contains(PollFlags::POLLIN) {
                if let Ok(Some(call)) = self.shared.desk.next() {
                    self.shared.note(call, &self.events);
                }
            } else if calls.intersects(PollFlags::POLLHUP | PollFlags::POLLERR) {
                return;
            }
            if !keeper.is_empty() && self.keeper_is_there {
                self.hear_keeper();
            }
            if !program.is_empty() {
                self.hear_program();
            }
            if !end.is_empty() {
                self.pidfd = None;
                let _ = self.events.send(Event::Ended);
            }
            let since = self.shared.held().since;
            if since.is_some_and(|since| since.elapsed() > self.shared.limit) {
                self.shared.let_go();
            }
        }
    }

    /// Waits for something of: a call, the keeper, the program's beginning, the program's end.
    fn poll(&self) -> [PollFlags; 4] {
        let Shared { desk, keeper, .. } = self.shared.as_ref();
        // As long as the keeper is there, only the end of the last process is of interest.
        let calls = if self.keeper_is_there { PollFlags::empty() } else { PollFlags::POLLIN };
        let mut fds = vec![(0, PollFd::new(desk.listener.as_fd(), calls))];
        let wanted = |fd| PollFd::new(fd, PollFlags::POLLIN);
        if self.keeper_is_there {
            fds.push((1, wanted(keeper.fd().as_fd())));
        }
        fds.extend(self.program.as_ref().map(|line| (2, wanted(line.fd().as_fd()))));
        fds.extend(self.pidfd.as_ref().map(|fd| (3, wanted(fd.as_fd()))));
        let (places, mut fds): (Vec<usize>, Vec<PollFd<'_>>) = fds.into_iter().unzip();
        let since = self.shared.held().since;
        let timeout = since.map_or(PollTimeout::NONE, |since| time_left(since, self.shared.limit));
        let mut came = [PollFlags::empty(); 4];
        // An error is an interruption: the descriptors are our own.
        if poll(&mut fds, timeout).is_ok() {
            for (place, fd) in places.into_iter().zip(&fds) {
                if let (Some(came), Some(flags)) = (came.get_mut(place), fd.revents()) {
                    *came = flags;
                }
            }
        }
        came
    }

    fn hear_keeper(&mut self) {
        match self.shared.keeper.receive(false) {
            Received::Message(bytes) => self.shared.note(unpack(bytes), &self.events),
            Received::Nothing => {}
            Received::Gone => {
                self.keeper_is_there = false;
                let told = self.shared.held().calls.clone();
                self.shared.desk.answer_untold(&told);
            }
        }
    }

    /// The program's line closes when it begins; a message says that it could not.
    fn hear_program(&mut self) {
        if let Some(Received::Message(_)) = self.program.take().map(|line| line.receive::<4>(false)) {
            self.shared.has_failed.store(true, Ordering::SeqCst);
            let _ = self.events.send(Event::NotStarted);
        }
    }
}
