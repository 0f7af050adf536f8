//! The chain in `loiter watch`: on processes that run, and on what was saved of them.

use std::process::Command;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::command::small;
use crate::terminal::Terminal;

/// Opens the task with this id.
fn open(terminal: &mut Terminal, id: u64) {
    terminal.press(&format!("3/id:{id}\r"));
    terminal.shows("FUNCTION  (1 goroutine)");
    terminal.press("\r");
    terminal.shows(&format!("goroutine {id} "));
}

#[test]
fn the_chain_of_a_task_is_walked_on_the_screen() {
    let (system, [waiter, holder, owner, last]) = small();
    let (pid, second) = (system.pid(0).to_string(), system.pid(1));
    let [waiter, holder, owner, last] = [waiter, holder, owner, last].map(|place| system.id(place));
    let mut terminal = Terminal::start(100, 30, system.directory(), &[&pid, "--interval", "200ms"]);
    terminal.shows("live 0.2 s");
    open(&mut terminal, waiter);
    terminal.press("w");
    terminal.shows("all of it held together at ");
    let screen = terminal.shows(&format!("goroutine {waiter} waits to lock mutex"));
    let flat = screen.split_whitespace().collect::<Vec<_>>().join(" ");
    for text in [
        format!("held by goroutine {holder}"),
        format!("pid {second} "),
        format!("goroutine {owner} "),
        format!("goroutine {last} "),
    ] {
        assert!(flat.contains(&text), "no {text}:\n{screen}");
    }
    // To the holder, a task of this process, and back.
    terminal.shows(&format!("Enter: goroutine {holder} "));
    terminal.press("\r");
    terminal.until("the stack of the holder", |screen| {
        screen.contains(&format!("goroutine {holder}  ")) && screen.contains("created by")
    });
    terminal.press("\x1b");
    terminal.shows("all of it held together at ");
    // Down to the other process, and on from there.
    let lead = format!("Enter: why goroutine {owner} of pid {second} ");
    while !terminal.contents().contains(&lead) {
        let before = terminal.contents();
        terminal.press("j");
        terminal.until("another line", |screen| screen != before);
    }
    terminal.press("\r");
    terminal.shows(&format!("why goroutine {owner} of pid {second} "));
    terminal.shows("by the same readings");
    terminal.press("\x1b");
    terminal.shows(&format!("goroutine {waiter} waits to lock mutex"));
    // It looks again when it is asked to.
    terminal.press("w");
    terminal.shows("all of it held together at ");
    terminal.press("q");
    assert!(terminal.wait().success());
    terminal.assert_restored();
}

#[test]
fn what_ended_and_what_was_saved_is_followed_as_far_as_it_goes() {
    let (system, [waiter, holder, ..]) = small();
    let [waiter, holder] = [waiter, holder].map(|place| system.id(place));
    let path = system.directory().join("x.loiter");
    let pid = system.pid(0);
    let save = ["snapshot", &pid.to_string(), "-o", path.to_str().unwrap()];
    assert!(Command::new(env!("CARGO_BIN_EXE_loiter")).args(save).status().unwrap().success());
    let follow = |terminal: &mut Terminal| {
        open(terminal, waiter);
        terminal.press("w");
        terminal.shows(&format!("held by goroutine {holder}"));
        terminal.shows("one saved reading of one process");
        terminal.press("q");
        assert!(terminal.wait().success());
    };
    let mut saved = Terminal::start(80, 24, system.directory(), &["x.loiter"]);
    saved.shows("saved snapshot");
    follow(&mut saved);
    let arguments = [&pid.to_string(), "--interval", "200ms"];
    let mut terminal = Terminal::start(80, 24, system.directory(), &arguments);
    terminal.shows("live 0.2 s");
    kill(Pid::from_raw(pid.cast_signed()), Signal::SIGKILL).unwrap();
    terminal.shows("this is the last reading");
    follow(&mut terminal);
}
