//! The options that choose tasks, the same for every command that has them.

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};

use super::output::tell;
use super::parse;
use crate::analysis::{Filter, Pattern};
use crate::report::nothing::nothing;
use crate::snapshot::{Snapshot, TaskState};

/// Which tasks a command selects, and how much of their stacks it shows.
#[derive(Debug, Clone, Args)]
pub(super) struct FilterArgs {
    /// Only tasks in this state
    #[arg(
        long,
        value_name = "STATE",
        value_delimiter = ',',
        ignore_case = true,
        value_parser = PossibleValuesParser::new(TaskState::ALL.map(TaskState::name))
            .try_map(|name| name.parse::<TaskState>()),
        help_heading = "Filters"
    )]
    state: Vec<TaskState>,

    /// Only tasks with a matching wait reason, like "chan send"
    #[arg(long, value_name = "PATTERN", help_heading = "Filters")]
    reason: Vec<String>,

    /// Only tasks with a matching function in their visible stack
    #[arg(long, value_name = "PATTERN", help_heading = "Filters")]
    function: Vec<String>,

    /// Only tasks with a function of this package in their stack: net/http, or net/* for all packages below net
    #[arg(long, value_name = "PACKAGE", help_heading = "Filters")]
    package: Vec<String>,

    /// Only tasks created by a matching function
    #[arg(long, value_name = "PATTERN", help_heading = "Filters")]
    creator: Vec<String>,

    /// Only tasks with this label (and value)
    #[arg(long, value_name = "KEY[=VALUE]", value_parser = parse::label, help_heading = "Filters")]
    label: Vec<(String, Option<String>)>,

    /// Only the task with this id
    #[arg(long, value_name = "ID", value_delimiter = ',', help_heading = "Filters")]
    id: Vec<u64>,

    /// Only tasks that have been in their state for at least this long: 90s, 1h30m
    ///
    /// If only a lower bound of the age is known, the bound is compared. Tasks of unknown age do not match.
    #[arg(long, value_name = "DURATION", value_parser = parse::duration, help_heading = "Filters")]
    min_age: Option<u64>,

    /// Include the runtime's own tasks
    #[arg(long, help_heading = "Filters")]
    system: bool,

    /// Show all frames, including those of the runtime, and very deep stacks in full
    #[arg(long, help_heading = "Output")]
    pub(super) all_frames: bool,
}

impl FilterArgs {
    /// Says on stderr why no task matched the filters, and which values the tasks have instead.
    pub(super) fn explain(&self, snapshot: &Snapshot, passed: u64) {
        let filter = self.filter();
        if passed == 0 && filter.has_conditions() {
            nothing(snapshot, &filter).iter().for_each(|why| tell(why));
        }
    }

    pub(super) fn filter(&self) -> Filter {
        let anywhere =
            |texts: &[String]| texts.iter().map(|text| Pattern::anywhere(text).any_case()).collect();
        Filter {
            states: self.state.clone(),
            reasons: anywhere(&self.reason),
            functions: anywhere(&self.function),
            packages: self.package.iter().map(|text| Pattern::whole(text).any_case()).collect(),
            creators: anywhere(&self.creator),
            labels: self.label.clone(),
            ids: self.id.clone(),
            min_age_ns: self.min_age,
            system: self.system,
            all_frames: self.all_frames,
        }
    }
}
