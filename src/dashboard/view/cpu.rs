//! What is said of CPU sampling as a whole.

use crate::dashboard::cpu::Sampling;
use crate::dashboard::state::AppState;
use crate::report::units::{count, duration, percent};

/// CPU time of the whole process as a share of one CPU: its sum, and whose it is. None if it is not known.
pub(super) fn process(state: &AppState, noun: &str) -> Option<(String, Vec<String>)> {
    let table = state.tables.cpu.as_ref().filter(|_| state.cpu.is_on())?;
    let sum = format!("{} over {}", table.share(table.times.all()), duration(table.times.covers.window));
    let tasks = format!("{noun}s {}", table.share(table.tasks));
    Some((sum, [tasks].into_iter().chain(table.rest()).collect()))
}

/// What the sampler says of itself: "CPU 99 Hz", "covers 98 %", "lost 0", "costs 0.4 % of a core". Empty if it is off.
pub(super) fn sampler(state: &AppState) -> Vec<String> {
    let times = match (&state.cpu.sampling, &state.cpu.shown) {
        (Sampling::Off | Sampling::Failed { .. }, _) => return Vec::new(),
        (Sampling::Waiting, _) => return vec!["CPU: waiting for the next program".to_owned()],
        (Sampling::Starting, _) | (_, None) => return vec!["CPU: starting".to_owned()],
        (Sampling::On, Some(times)) => times,
    };
    let user = if times.kernel { "" } else { " user code" };
    // Too little CPU time says nothing.
    let covers = times.coverage().map_or("covers ?".to_owned(), |percent| format!("covers {percent:.0} %"));
    let mut facts = vec![format!("CPU {} Hz{user}", times.rate_hz), covers, format!("lost {}", times.lost)];
    if times.threads_missed > 0 {
        facts.push(format!("{} not sampled", count(times.threads_missed, "thread")));
    }
    facts.push(format!("costs {} of a core", percent(times.own_ns, times.covers.window)));
    facts
}
