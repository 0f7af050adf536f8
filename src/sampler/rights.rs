//! Finds why the kernel refused a perf event, and what helps.

use std::io;

use super::SamplerError;
use super::attach::Manner;
use super::options::Event;

/// Turns a failed perf_event_open into an error that says why.
pub(super) fn explain(pid: u32, event: Event, manner: Manner, error: io::Error) -> SamplerError {
    let on = if manner.every_cpu { "every CPU".to_owned() } else { format!("pid {pid}") };
    let what = format!("perf_event_open({}) on {on}", event.name());
    SamplerError::Refused { what, source: error.into(), remedy: Vec::new() }
}
