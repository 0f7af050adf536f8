//! Futures of `block_on` as tasks of the model: they have a thread and no id.

use super::super::roots::{Doing, Root};
use super::{Converter, Found, function};
use crate::code::Location;
use crate::snapshot::{SnapshotBuilder, StackStatus, Task, TaskState, WaitClass};

/// The name of one whose type is unknown.
const NAMELESS: &str = "future of block_on";
/// What its label says.
const KIND: &str = "block_on";

impl Converter<'_> {
    /// Adds the futures of `block_on`, after all tasks.
    pub(in super::super) fn roots(&mut self, roots: Vec<Root>, into: &mut SnapshotBuilder) {
        self.end = into.task_count();
        let lost = roots.iter().filter(|root| root.is_lost).count();
        if lost > 0 {
            into.header.warnings.push(format!(
                "where {} awaits is unknown: the debug information does not say for certain where it is on the stack of its \
                 thread",
                if lost == 1 { "a future of block_on".to_owned() } else { format!("each of {lost} futures of block_on") }
            ));
        }
        for root in roots {
            self.root(root, into);
        }
    }

    fn root(&mut self, root: Root, into: &mut SnapshotBuilder) {
        let function = function(root.name.as_deref().unwrap_or(NAMELESS), &mut into.code);
        let frame = into.code.frame(function, "", 0);
        let location = into.code.location(Location::in_source(vec![frame]));
        let state = match root.doing {
            Doing::Rests => TaskState::Waiting,
            Doing::Polled => TaskState::Running,
            Doing::Unknown => TaskState::Unknown,
        };
        let is_known = matches!(root.doing, Doing::Polled);
        let mut task = Task {
            runtime: self.runtime,
            address: root.address,
            state,
            wait_class: if is_known { WaitClass::Nothing } else { WaitClass::Unknown },
            creator: root.caller,
            entry: Some(function),
            labels: Some(into.code.labels([("kind", KIND)])),
            thread: Some(root.tid),
            locked_to_thread: true,
            stack: Some(into.code.stack(vec![location])),
            stack_status: StackStatus::Unknown,
            ..Task::default()
        };
        match root.chain {
            Found::Own(template, kept) => {
                let ready = self.ready(&template, &task, into);
                self.add_chain(&mut task, &ready, &kept, into);
            }
            Found::Known(..) | Found::Unknown => {}
            Found::Moved => {
                task.stack_status = StackStatus::Torn;
                into.header.reading.torn += 1;
            }
        }
        if state == TaskState::Running {
            let (locations, status) = root.stack;
            task.stack_status = StackStatus::Running;
            if !locations.is_empty() {
                (task.stack, task.stack_status) = (Some(into.code.stack(locations)), status);
            }
        }
        into.task(task);
    }
}
