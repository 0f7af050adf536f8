//! The options that choose tasks, the same for every command that has them.

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};

use super::output::tell;
use super::parse;
use crate::analysis::{Filter, Pattern};
use crate::report::nothing::nothing;
use crate::snapshot::{Snapshot, TaskState};

/// Which tasks are looked at, and how much of their stacks.
#[derive(Debug, Clone, Args)]
pub(super) struct FilterArgs {
    /// What the task is doing
    #[arg(
        long,
        value_name = "STATE",
        value_delimiter = ',',
        ignore_case = true,
        value_parser = PossibleValuesParser::new(parse::STATES.map(TaskState::name)).map(|name| parse::state(&name)),
        help_heading = "Filters"
    )]
    state: Vec<TaskState>,

    /// Why it waits: a pattern, like "chan send"
    #[arg(long, value_name = "PATTERN", help_heading = "Filters")]
    reason: Vec<String>,

    /// A function among its frames that are shown: a pattern
    #[arg(long, value_name = "PATTERN", help_heading = "Filters")]
    function: Vec<String>,

    /// The package of such a function: net/http itself, net/* for those below net
    #[arg(long, value_name = "PACKAGE", help_heading = "Filters")]
    package: Vec<String>,

    /// The function that started it: a pattern
    #[arg(long, value_name = "PATTERN", help_heading = "Filters")]
    creator: Vec<String>,

    /// A label that it has, with any value or with this one
    #[arg(long, value_name = "KEY[=VALUE]", value_parser = parse::label, help_heading = "Filters")]
    label: Vec<(String, Option<String>)>,

    /// Its id
    #[arg(long, value_name = "ID", value_delimiter = ',', help_heading = "Filters")]
    id: Vec<u64>,

    /// How long it has been in its state, at least: 90s, 1h30m
    ///
    /// Where only a lower bound is known, that counts. Tasks of unknown age do not match.
    #[arg(long, value_name = "DURATION", value_parser = parse::duration, help_heading = "Filters")]
    min_age: Option<u64>,

    /// Show the runtime's own tasks, too
    #[arg(long, help_heading = "Filters")]
    system: bool,

    /// Show all frames: the runtime's machinery and all of very deep stacks
    #[arg(long, help_heading = "Output")]
    pub(super) all_frames: bool,
}

impl FilterArgs {
    /// Says on stderr why none of the tasks that a command was asked for is there, and what there is.
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
