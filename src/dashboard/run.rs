//! The terminal: set up, always restored, and the event loop in between.

use std::io::{self, BufWriter, Stdout, Write, stdout};
use std::panic;
use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender, SyncSender};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, raise};
use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::cursor::Show;
use ratatui::crossterm::event::{
    self, DisableBracketedPaste, DisableMouseCapture, EnableBracketedPaste, EnableMouseCapture,
    Event as TerminalEvent, KeyEventKind,
};
use ratatui::crossterm::execute;
use ratatui::crossterm::style::force_color_output;
use ratatui::crossterm::terminal::{
    Clear, ClearType, EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
};
use signal_hook::consts::{SIGCONT, SIGTSTP};
use signal_hook::iterator::Signals;

use super::copy;
use super::crash;
use super::event::Happened;
use super::finder::Finder;
use super::query::Query;
use super::reader::{self, Control, Feed};
use super::state::{AppState, Source};
use super::update::{Command, Event, update};
use super::view::{Theme, draw};
use super::worker::Worker;
use crate::ending;
use crate::process::{end_all_stops, while_nothing_is_held};
use crate::session::ProgramId;
use crate::session::record::{CpuNews, LiveCpu};
use crate::session::why::InquiryOptions;

/// At most this many events wait here; after that, senders wait.
const INBOX: usize = 16;
/// If nothing happens for this long, the loop checks how long the reader has been quiet.
const TICK: Duration = Duration::from_millis(500);

/// How the dashboard begins, and how it looks.
#[derive(Debug, Clone)]
pub struct Options {
    /// What is shown at first.
    pub query: Query,
    /// Include the runtime's own tasks.
    pub system: bool,
    /// Colours and characters.
    pub theme: Theme,
    /// The mouse selects and scrolls; otherwise the terminal keeps it.
    pub mouse: bool,
    /// How processes are read to say why tasks wait.
    pub why: InquiryOptions,
}

/// Shows the dashboard until the user leaves it or a signal arrives that ends programs. Returns that signal;
/// the terminal is restored by then.
///
/// # Errors
/// Errors of the terminal, and of a dashboard thread that failed.
pub fn run(feed: Feed, options: Options) -> io::Result<Option<i32>> {
    force_color_output(options.theme.color);
    let (out, inbox) = mpsc::sync_channel(INBOX);
    watch_signals(out.clone())?;
    let screen = Screen::enter(options.mouse)?;
    watch_terminal(out.clone());
    let mut state = first_state(&feed, options.query);
    let control = reader::spawn(feed, options.system, out.clone());
    let worker = Worker::spawn(out.clone());
    let finder = Finder::spawn(options.why, out.clone());
    let terminal = terminal()?;
    let size = terminal.size()?;
    state.size = (size.width, size.height);
    let mut desk =
        App { terminal, screen, state, theme: options.theme, inbox, control, worker, finder, out, cpu: None };
    let signal = desk.work()?;
    drop(desk);
    // The reader may be in the middle of a stop, and another thread may be writing a file.
    end_all_stops();
    ending::clean_up();
    Ok(signal)
}

fn first_state(feed: &Feed, query: Query) -> AppState {
    let (interval, source, record) = match feed {
        Feed::Live { session, album } => {
            let record = album.as_ref().map(|album| album.directory().display().to_string());
            (session.interval(), Source::Waiting, record)
        }
        Feed::File(_) => (Duration::ZERO, Source::File, None),
        Feed::Replay(files) => (Duration::ZERO, Source::Opening { done: 0, of: files.len() }, None),
    };
    AppState { record, ..AppState::new(query, interval, source) }
}

pub(super) type Tui = Terminal<CrosstermBackend<BufWriter<Stdout>>>;

/// The terminal, with unknown content.
pub(super) fn terminal() -> io::Result<Tui> {
    Terminal::new(CrosstermBackend::new(BufWriter::new(stdout())))
}

/// Signals arrive with all other events.
fn watch_signals(out: SyncSender<Happened>) -> io::Result<()> {
    ending::signals_are_handled_elsewhere();
    let mut signals = Signals::new(ending::ending_signals().into_iter().chain([SIGTSTP, SIGCONT]))?;
    thread::spawn(move || {
        for signal in signals.forever() {
            if out.send(Happened::Signal(signal)).is_err() {
                break;
            }
        }
    });
    Ok(())
}

/// So do keys and the mouse.
fn watch_terminal(out: SyncSender<Happened>) {
    thread::spawn(move || {
        loop {
            let happened = match event::read() {
                Ok(TerminalEvent::Key(key)) if key.kind != KeyEventKind::Release => Event::Key(key),
                Ok(TerminalEvent::Mouse(mouse)) => Event::Mouse(mouse),
                Ok(TerminalEvent::Paste(text)) => Event::Paste(text),
                Ok(TerminalEvent::Resize(width, height)) => Event::Resize(width, height),
                Ok(_) => continue,
                Err(error) => {
                    let _ = out.send(Happened::Broken(error));
                    break;
                }
            };
            if out.send(Happened::Event(happened)).is_err() {
                break;
            }
        }
    });
}

/// The state of the loop.
struct App {
    terminal: Tui,
    screen: Screen,
    state: AppState,
    theme: Theme,
    inbox: Receiver<Happened>,
    control: Sender<Control>,
    worker: Worker,
    finder: Finder,
    /// Where threads that are started later send what happens.
    out: SyncSender<Happened>,
    /// Samples CPU time, while that is on.
    cpu: Option<LiveCpu>,
}

/// Why the loop ends.
enum End {
    /// The user leaves.
    Quit,
    /// A signal came that ends programs.
    Signal(i32),
}

impl App {
    /// Works until the user leaves or a signal arrives, which is returned.
    fn work(&mut self) -> io::Result<Option<i32>> {
        let mut last_picture = Instant::now();
        self.draw()?;
        loop {
            let mut happened = match self.inbox.recv_timeout(TICK) {
                Ok(happened) => Some(happened),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => return Ok(None),
            };
            let mut shows = happened.is_none();
            // Everything that has already arrived is drawn at once.
            for _ in 0..INBOX * 4 {
                let Some(one) = happened else { break };
                shows |= self.shows(&one);
                if matches!(one, Happened::Event(Event::Picture(_))) {
                    last_picture = Instant::now();
                }
                match self.take(one)? {
                    Some(End::Quit) => return Ok(None),
                    Some(End::Signal(signal)) => return Ok(Some(signal)),
                    None => {}
                }
                happened = self.inbox.try_recv().ok();
            }
            update(&mut self.state, Event::Quiet(last_picture.elapsed()));
            if shows {
                self.draw()?;
            }
        }
    }

    /// Whether it shows at once. A reading does only when its tables are worked out, which follows.
    fn shows(&self, happened: &Happened) -> bool {
        let follows = matches!(happened, Happened::Event(Event::Picture(_) | Event::Source(Source::Live)));
        !follows || self.state.frozen
    }

    fn take(&mut self, happened: Happened) -> io::Result<Option<End>> {
        let event = match happened {
            Happened::Event(event) => event,
            Happened::Signal(SIGTSTP) => {
                self.suspend()?;
                return Ok(None);
            }
            Happened::Signal(SIGCONT) => {
                // Stopped from outside: the shell may have changed the terminal since.
                self.screen.leave()?;
                self.screen.resume()?;
                self.repaint()?;
                return Ok(None);
            }
            Happened::Signal(signal) => return Ok(Some(End::Signal(signal))),
            Happened::Broken(error) => return Err(error),
        };
        for command in update(&mut self.state, event) {
            if self.obey(command)? {
                return Ok(Some(End::Quit));
            }
        }
        Ok(None)
    }

    /// Carries out a command of the state. True: leave.
    fn obey(&mut self, command: Command) -> io::Result<bool> {
        // A reader that has ended needs no orders.
        let tell = |control| _ = self.control.send(control);
        match command {
            Command::Quit => return Ok(true),
            Command::Suspend => self.suspend()?,
            Command::Redraw => self.repaint()?,
            Command::Interval(interval) => tell(Control::Interval(interval)),
            Command::Seek(by) => tell(Control::Seek(by)),
            Command::Compute => {
                if let Some(picture) = &self.state.picture {
                    let (query, cpu) = (self.state.query.clone(), self.state.cpu.shown.clone());
                    self.worker.compute(picture.clone(), query, cpu);
                }
            }
            Command::Follow(None) => self.finder.give_up(),
            Command::Follow(Some(turn)) => {
                if let Some(chain) = &self.state.chain {
                    self.finder.ask(turn, chain.question.clone());
                }
            }
            Command::Sample(None) => self.cpu = None,
            Command::Sample(Some((turn, program))) => self.sample(turn, program),
            Command::Copy(text) => {
                let mut out = stdout();
                out.write_all(copy::sequence(&text).as_bytes()).and_then(|()| out.flush())?;
            }
            Command::Write(what) => {
                if let Some(picture) = &self.state.picture {
                    self.worker.write(what, picture.clone(), self.state.query.clone());
                }
            }
        }
        Ok(false)
    }

    /// Starts to sample a program, and ends what was sampled before.
    fn sample(&mut self, turn: u32, program: ProgramId) {
        let out = self.out.clone();
        let told = LiveCpu::start(program, move |news| {
            let is_last = !matches!(news, CpuNews::Times(_));
            let event = Happened::Event(Event::Cpu(turn, news));
            // If the receiver is gone, nobody wants to know. Sums are told again: the sampler does not wait for room.
            let _ = if is_last { out.send(event).is_ok() } else { out.try_send(event).is_ok() };
        });
        self.cpu = match told {
            Ok(cpu) => Some(cpu),
            Err(error) => {
                let news = CpuNews::Failed { why: error.to_string(), remedy: Vec::new() };
                update(&mut self.state, Event::Cpu(turn, news));
                None
            }
        };
    }

    fn draw(&mut self) -> io::Result<()> {
        if PANICKED.load(Ordering::SeqCst) {
            return Err(io::Error::other("a thread of the dashboard failed; its message is above"));
        }
        let (state, theme) = (&mut self.state, self.theme);
        self.terminal.draw(|frame| {
            let area = frame.area();
            if state.size != (area.width, area.height) {
                update(state, Event::Resize(area.width, area.height));
            }
            draw(frame, state, theme);
        })?;
        Ok(())
    }

    /// Draws everything again. ratatui's own function asks the terminal for the cursor's position. It would
    /// wait for an answer that goes to the thread which reads the keys.
    fn repaint(&mut self) -> io::Result<()> {
        execute!(stdout(), Clear(ClearType::All))?;
        self.terminal = terminal()?;
        Ok(())
    }

    fn suspend(&mut self) -> io::Result<()> {
        self.screen.suspend()?;
        self.repaint()
    }
}

/// Some thread panicked.
static PANICKED: AtomicBool = AtomicBool::new(false);

/// The terminal as the dashboard needs it; restored when this is dropped, and before a panic is reported.
pub(super) struct Screen {
    mouse: bool,
}

impl Screen {
    pub(super) fn enter(mouse: bool) -> io::Result<Screen> {
        static HOOK: Once = Once::new();
        HOOK.call_once(|| {
            let tell = panic::take_hook();
            panic::set_hook(Box::new(move |info| {
                let _ = Screen { mouse }.leave();
                PANICKED.store(true, Ordering::SeqCst);
                tell(info);
            }));
        });
        // From here on it is restored, even if something below fails.
        crash::give_terminal_back();
        let screen = Screen { mouse };
        screen.resume()?;
        Ok(screen)
    }

    pub(super) fn resume(&self) -> io::Result<()> {
        enable_raw_mode()?;
        execute!(stdout(), EnterAlternateScreen, EnableBracketedPaste)?;
        if self.mouse { execute!(stdout(), EnableMouseCapture) } else { Ok(()) }
    }

    /// Restores the terminal and stops until the shell continues the process.
    pub(super) fn suspend(&self) -> io::Result<()> {
        self.leave()?;
        // Not in the middle of a stop: the target would wait for the shell, too.
        while_nothing_is_held(|| raise(Signal::SIGSTOP))?;
        self.resume()
    }

    fn leave(&self) -> io::Result<()> {
        let mut out = stdout();
        let told = execute!(out, DisableBracketedPaste, DisableMouseCapture, LeaveAlternateScreen, Show);
        let raw = disable_raw_mode();
        told.and(out.flush()).and(raw)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // The failure cannot be reported any more.
        let _ = self.leave();
    }
}
