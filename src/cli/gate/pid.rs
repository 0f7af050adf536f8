//! `loiter gate --pid`: limits on the number of tasks of a process that runs.

use std::path::PathBuf;

use super::outputs::OutputArgs;
use crate::analysis::trip::{PERIOD_READINGS, READINGS, Rules};
use crate::cli::error::{CliError, Result};
use crate::cli::output::Output;
use crate::cli::parse;
use crate::cli::source::process_source;
use crate::source::Source;

mod command;
mod learn;
mod limits;
mod progress;
mod recall;
mod report;
mod said;

/// Options that only make sense for a program that loiter starts.
const FOR_A_PROGRAM: [&str; 13] = [
    "program",
    "how",
    "settle",
    "timeout",
    "watch",
    "ancestors",
    "baseline",
    "write_baseline",
    "ignore",
    "ignore_file",
    "junit",
    "sarif",
    "output",
];

/// Limits on a process that already runs.
#[derive(Debug, clap::Args)]
pub(super) struct PidArgs {
    /// Watch a process that already runs, by its pid or its name, and fail if it exceeds a limit
    ///
    /// It is read again and again, and never stopped. Limits are --max-tasks, --max-growth and the thresholds that
    /// --learn has written to --state. By its name, it is followed when it is started again. The status is that of
    /// --exit-code if a limit was exceeded, or still is.
    #[arg(short, long, value_name = "PID", value_parser = process_source, conflicts_with_all = FOR_A_PROGRAM, help_heading = "Limits on a process")]
    pid: Option<Source>,

    /// How long to watch it [default: 10m; 1h with --learn]
    #[arg(long = "for", value_name = "DURATION", value_parser = parse::duration, requires = "pid", help_heading = "Limits on a process")]
    span: Option<u64>,

    /// How often to read it [default: 5s, or twelve times a period if that is more often]
    #[arg(long, value_name = "DURATION", value_parser = parse::duration, requires = "pid", help_heading = "Limits on a process")]
    every: Option<u64>,

    /// This many tasks are allowed; a single reading with more trips
    #[arg(long, value_name = "N", requires = "pid", help_heading = "Limits on a process")]
    max_tasks: Option<u64>,

    /// All tasks, and each group, may grow by this: 10/min, 600/h, 0.5/s
    ///
    /// A group is tasks with the same start function and creator. Growth is measured over the last ten periods, and
    /// trips if it is above the limit with a certainty of 95 %. One jump is no growth. It takes four periods to judge.
    #[arg(long, value_name = "RATE", value_parser = growth, requires = "pid", help_heading = "Limits on a process")]
    max_growth: Option<f64>,

    /// Learn how many tasks are usual, and write that to --state
    ///
    /// For all tasks and for the 64 largest groups, the P95 of the counts is learned: 95 % of the readings had no more.
    /// Learn in an hour with much work, in which the process is well: what leaks meanwhile is learned as usual.
    #[arg(long, requires_all = ["pid", "state"], conflicts_with_all = ["max_tasks", "max_growth"], help_heading = "Limits on a process")]
    learn: bool,

    /// The file that keeps what was learned, and what has tripped
    ///
    /// It is replaced after each period. The next loiter with this file continues where the last one ended.
    #[arg(long, value_name = "FILE", requires = "pid", help_heading = "Limits on a process")]
    state: Option<PathBuf>,

    /// How far above the learned P95 the threshold is; it is at least ten tasks above
    ///
    /// For a group it is also at least 5 % of all tasks above. A group that was not learned may have this part of the
    /// P95 of all tasks.
    #[arg(long, value_name = "PERCENT", value_parser = percent, default_value = "30%", help_heading = "Limits on a process")]
    over: u32,

    /// The time that is judged as one, by the median of its readings [default: 1m, or a tenth of --for if that is less]
    ///
    /// Periods with fewer than half of their readings are missed. They neither count nor end a row of periods, but
    /// three of them in a row do. A restart of the process begins all rows anew.
    #[arg(long, value_name = "DURATION", value_parser = parse::duration, requires = "pid", help_heading = "Limits on a process")]
    period: Option<u64>,

    /// A threshold trips when it is exceeded in this many periods in a row; it recovers after five good ones
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100), help_heading = "Limits on a process")]
    periods: u32,

    /// Run this command on each trip, with the folder of its report as the last argument
    ///
    /// The folder is in the directory of --keep, or a temporary one that stays.
    /// No shell is involved: the command is split at spaces. LOITER_REPORT has the folder, LOITER_TRIP a sentence. After
    /// a minute it is killed. What goes wrong with it is said, and does not change the status.
    #[arg(long, value_name = "COMMAND", requires = "pid", help_heading = "Limits on a process")]
    on_trip: Option<String>,

    /// Let /bin/sh run the command of --on-trip; "$1" is the folder of the report
    #[arg(long, requires = "on_trip", help_heading = "Limits on a process")]
    shell: bool,
}

const MILLI: u64 = 1_000_000;
const SECOND: u64 = 1_000 * MILLI;
const MINUTE: u64 = 60 * SECOND;
/// Readings are at least this far apart, nanoseconds.
const SHORTEST: u64 = 10 * MILLI;
/// Unless told otherwise, they are at most this far apart, if a period then has few enough.
const USUAL: u64 = 5 * SECOND;
/// Unless told otherwise, a period has at least this many readings.
const IN_A_PERIOD: u64 = 12;
/// Learning keeps all counts: at most this many readings.
const MOST_LEARNED: u64 = 20_000;

/// When a process is read, and how it is judged.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Plan {
    rules: Rules,
    span_ns: u64,
}

impl PidArgs {
    /// Whether a process is to be watched.
    pub(super) fn is_given(&self) -> bool {
        self.pid.is_some()
    }

    fn plan(&self) -> Result<Plan> {
        let usage = |text: String| Err(CliError::Usage(text));
        let span_ns = self.span.unwrap_or(if self.learn { 60 * MINUTE } else { 10 * MINUTE });
        let period_ns = self.period.unwrap_or_else(|| MINUTE.min(span_ns / 10).max(SHORTEST));
        let spread = if self.learn {
            (span_ns / 720).clamp(SHORTEST, USUAL)
        } else {
            let few = period_ns.div_ceil(PERIOD_READINGS as u64);
            (period_ns / IN_A_PERIOD).clamp(SHORTEST, USUAL).max(few)
        };
        let every_ns = self.every.unwrap_or(spread);
        let readings = span_ns / every_ns.max(1) + 1;
        if every_ns < SHORTEST {
            return usage("--every must be 10ms or more".to_owned());
        }
        if self.learn && readings < READINGS as u64 {
            return usage(format!(
                "it takes {READINGS} readings to learn: make --for longer or --every shorter"
            ));
        }
        if self.learn && readings > MOST_LEARNED {
            return usage(format!(
                "these are more than {MOST_LEARNED} readings to learn from: make --every longer"
            ));
        }
        if !self.learn && every_ns > period_ns {
            return usage(
                "--every is longer than a period: there would be periods without a reading".to_owned(),
            );
        }
        if !self.learn && period_ns / every_ns > PERIOD_READINGS as u64 {
            return usage(format!(
                "a period would have more than {PERIOD_READINGS} readings: make --every longer"
            ));
        }
        let rules = Rules {
            period_ns,
            every_ns,
            max_tasks: self.max_tasks,
            max_growth: self.max_growth,
            over_percent: self.over,
            periods: self.periods,
        };
        Ok(Plan { rules, span_ns })
    }
}

pub(super) fn run(
    args: &PidArgs,
    exit_code: u8,
    cache: Option<PathBuf>,
    outputs: &OutputArgs,
    output: &Output,
) -> Result {
    let Some(source) = &args.pid else {
        return Err(CliError::Usage("name a process with --pid".to_owned()));
    };
    let plan = args.plan()?;
    if args.on_trip.as_deref().is_some_and(|command| command.trim().is_empty()) {
        return Err(CliError::Usage("--on-trip needs a command".to_owned()));
    }
    if args.learn {
        learn::run(args, cache, outputs, source, plan, output)
    } else {
        limits::run(args, exit_code, cache, outputs, source, plan, output)
    }
}

/// "10/min": tasks per minute.
fn growth(text: &str) -> Result<f64, String> {
    let problem = || "use a number and a unit, like 10/min, 600/h or 0.5/s".to_owned();
    let (number, unit) = text.split_once('/').ok_or_else(problem)?;
    let number: f64 = number.trim().parse().map_err(|_| problem())?;
    let a_minute = match unit.trim() {
        "s" | "sec" | "second" => 60.0,
        "m" | "min" | "minute" => 1.0,
        "h" | "hour" => 1.0 / 60.0,
        "d" | "day" => 1.0 / 1440.0,
        _ => return Err(problem()),
    };
    let rate = number * a_minute;
    if rate.is_finite() && rate >= 0.0 { Ok(rate) } else { Err("use a number of 0 or more".to_owned()) }
}

/// "30%" or "30".
fn percent(text: &str) -> Result<u32, String> {
    let number = text.trim().trim_end_matches('%').trim_end();
    let percent: u32 = number.parse().map_err(|_| "use a percentage, like 30%".to_owned())?;
    if percent <= 10_000 { Ok(percent) } else { Err("use at most 10000%".to_owned()) }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Gate {
        #[command(flatten)]
        gate: super::super::Args,
    }

    fn plan(arguments: &str) -> Result<(u64, u64, u64), String> {
        let words = ["gate", "--pid", "7"].into_iter().chain(arguments.split_whitespace());
        let gate = Gate::try_parse_from(words).map_err(|error| error.to_string())?;
        let plan = gate.gate.pid.plan().map_err(|error| error.to_string())?;
        Ok((plan.span_ns / MILLI, plan.rules.period_ns / MILLI, plan.rules.every_ns / MILLI))
    }

    #[test]
    fn periods_and_readings_follow_from_the_time() {
        for (arguments, expected) in [
            ("", (600_000, 60_000, 5_000)),
            ("--for 30s", (30_000, 3_000, 250)),
            ("--for 9m", (540_000, 54_000, 4_500)),
            ("--for 365d --period 5m", (365 * 24 * 3_600_000, 300_000, 5_000)),
            ("--period 1h", (600_000, 3_600_000, 15_000)),
            ("--period 1s --every 1s", (600_000, 1_000, 1_000)),
            ("--learn --state f", (3_600_000, 60_000, 5_000)),
            ("--learn --state f --for 1m", (60_000, 6_000, 83)),
        ] {
            assert_eq!(plan(arguments), Ok(expected), "{arguments}");
        }
        for (arguments, problem) in [
            ("--every 2m", "periods without a reading"),
            ("--period 1h --every 1s", "more than 240 readings"),
            ("--every 1ms", "10ms or more"),
            ("--learn --state f --for 10s --every 1s", "it takes 20 readings"),
            ("--learn --state f --for 10d", "more than 20000 readings"),
            ("--learn", "--state"),
            ("--learn --state f --max-tasks 3", "cannot be used with"),
            ("--shell", "--on-trip"),
            ("--junit f", "cannot be used with"),
            ("-- true", "cannot be used with"),
        ] {
            let said = plan(arguments).unwrap_err();
            assert!(said.contains(problem), "{arguments}: {said}");
        }
    }

    #[test]
    fn rates_and_percentages() {
        assert_eq!(
            ["10/min", "600/h", "0.5/s", "1440/d", "0/min"].map(growth),
            [10.0, 10.0, 30.0, 1.0, 0.0].map(Ok)
        );
        for wrong in ["10", "-1/min", "x/min", "1/week", "inf/s", "1e400/s"] {
            assert!(growth(wrong).is_err(), "{wrong}");
        }
        assert_eq!(["30%", "30", "0 %"].map(percent), [30, 30, 0].map(Ok));
        assert!(percent("-3%").is_err() && percent("20000").is_err());
    }
}
