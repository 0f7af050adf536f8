//! What `-vv` prints: what was tried and found, in order, each with its time.

use std::fmt::{self, Write};
use std::time::Instant;

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

/// Writes events as sentences: "   12 ms  a Go runtime is in /srv/api (thread 7)".
pub(super) struct Sentences {
    /// When loiter started.
    start: Instant,
}

impl Sentences {
    /// Times count from now.
    pub(super) fn new() -> Self {
        Sentences { start: Instant::now() }
    }
}

impl<S, N> FormatEvent<S, N> for Sentences
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut out: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut said = Said::default();
        event.record(&mut said);
        let important = if *event.metadata().level() <= Level::WARN { "warning: " } else { "" };
        let ms = self.start.elapsed().as_secs_f64() * 1e3;
        write!(out, "{ms:>8.1} ms  {important}{}", said.message)?;
        if !said.facts.is_empty() {
            write!(out, " ({})", said.facts)?;
        }
        writeln!(out)
    }
}

/// The text of an event.
#[derive(Default)]
struct Said {
    message: String,
    /// "thread 7, error EPERM".
    facts: String,
}

impl Visit for Said {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.record_debug(field, &format_args!("{value}"));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // Writing to a string does not fail.
        let _ = if field.name() == "message" {
            write!(self.message, "{value:?}")
        } else {
            let comma = if self.facts.is_empty() { "" } else { ", " };
            write!(self.facts, "{comma}{} {value:?}", field.name().replace('_', " "))
        };
    }
}
