//! A goroutine profile as a snapshot: rows without an id that stand for as many equal tasks as were counted.

use super::DumpError;
use super::go_code::{CodeTable, NamedFrame, header};
use super::go_profile::{CountedStack, GoProfile, ProfileFrame};
use crate::snapshot::{LocationId, Snapshot, SnapshotBuilder, SourceKind, StackStatus, Task};

impl TryFrom<&GoProfile> for Snapshot {
    type Error = DumpError;

    /// What a profile does not tell stays unknown: ids, states, reasons, ages, creators.
    fn try_from(profile: &GoProfile) -> Result<Snapshot, DumpError> {
        let count = profile.counted();
        if count > Snapshot::MOST_TASKS {
            return Err(DumpError::TooMany { count, most: Snapshot::MOST_TASKS });
        }
        let mut builder = SnapshotBuilder::new();
        let mut code = CodeTable::default();
        for stack in &profile.stacks {
            let task = task(stack, &mut code, &mut builder);
            builder.counted(task, stack.count);
        }
        builder.header = header(SourceKind::Profile, code.into_version());
        if profile.is_cut() {
            let warning = format!(
                "the profile says that it has {} goroutines, but its stacks count {count}: a part of it is \
                 missing",
                profile.total
            );
            builder.header.warnings.push(warning);
        }
        Ok(builder.finish())
    }
}

fn task(stack: &CountedStack, code: &mut CodeTable, into: &mut SnapshotBuilder) -> Task {
    let locations = locations(stack, code, into);
    let labels = stack.labels.iter().map(|(k, v)| (k.as_str(), v.as_str()));
    Task {
        labels: (!stack.labels.is_empty()).then(|| into.labels(labels)),
        stack_status: status(stack),
        stack: (!locations.is_empty()).then(|| into.stack(locations)),
        ..Task::default()
    }
}

/// The outermost address is that of `runtime.goexit`, which has no line, unless the runtime had no room
/// for all.
fn status(stack: &CountedStack) -> StackStatus {
    match (stack.frames.last(), stack.pcs.last()) {
        (None, _) => StackStatus::Unknown,
        (Some(last), Some(&outermost)) if is_at(last.pc, outermost) => StackStatus::Truncated,
        _ => StackStatus::Complete,
    }
}

/// The lines give the address of the call, the list the one behind it, where it returns to.
fn is_at(call: u64, address: u64) -> bool {
    call == address || call.checked_add(1) == Some(address)
}

fn locations(stack: &CountedStack, code: &mut CodeTable, into: &mut SnapshotBuilder) -> Vec<LocationId> {
    let mut addresses = stack.pcs.iter().copied();
    places(&stack.frames)
        .filter_map(|frames| {
            let last = frames.last()?;
            // The list holds addresses of functions that are not shown, too.
            let mut ahead = addresses.clone();
            let address = ahead.find(|&address| is_at(last.pc, address));
            if address.is_some() {
                addresses = ahead;
            }
            let address = address.unwrap_or(last.pc);
            let named = frames.iter().map(|frame| NamedFrame {
                function: &frame.function,
                file: &frame.file,
                line: frame.line,
                foreign: false,
            });
            let offset = last.offset.saturating_add(address.wrapping_sub(last.pc));
            Some(code.location(Some(address), Some(offset), named, into))
        })
        .collect()
}

/// Frames with the same address were inlined into the last of them. A frame that comes once more is
/// the next one of a recursion.
fn places(frames: &[ProfileFrame]) -> impl Iterator<Item = &[ProfileFrame]> {
    let mut rest = frames;
    std::iter::from_fn(move || {
        let first = rest.first()?;
        let same = rest.iter().take_while(|frame| frame.pc == first.pc).count();
        let again = rest.iter().take(same).skip(1).position(|frame| frame == first);
        let (place, after) = rest.split_at(again.map_or(same, |at| at + 1));
        rest = after;
        Some(place)
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    const PROFILE: &str = "goroutine profile: total 5\n\
        3 @ 0x11 0x21 0x31 0x31 0x41\n\
        # labels: {\"a\":\"b\"}\n\
        #\t0x20\tmain.inner+0x2b\t/src/x.go:12\n\
        #\t0x20\tmain.outer+0x2b\t/src/x.go:40\n\
        #\t0x30\tmain.again+0x10\t/src/x.go:50\n\
        #\t0x30\tmain.again+0x10\t/src/x.go:50\n\
        \n\
        1 @ 0x51 0x61\n\
        #\t0x50\tmain.deep+0x1\t/src/x.go:60\n\
        #\t0x60\tmain.deep+0x11\t/src/x.go:61\n\
        1 @ 0x71\n";

    #[test]
    fn becomes_a_snapshot() {
        let snapshot = Snapshot::try_from(&GoProfile::parse(PROFILE.as_bytes())).unwrap();
        snapshot.validate().unwrap();
        assert_eq!(snapshot.tasks.iter().map(Task::count).collect::<Vec<_>>(), [3, 1, 1]);
        assert_eq!((snapshot.tasks[0].id, snapshot.tasks[0].stack_status), (None, StackStatus::Complete));
        let stack: Vec<_> = (snapshot.stack_of(&snapshot.tasks[0]).iter())
            .map(|id| &snapshot.locations[id.index()])
            .map(|location| (location.address, location.offset, location.frames.len()))
            .collect();
        assert_eq!(stack, [(Some(0x21), 0x2c, 2), (Some(0x31), 0x11, 1), (Some(0x31), 0x11, 1)]);
        assert_eq!(snapshot.tasks[1].stack_status, StackStatus::Truncated);
        assert_eq!(snapshot.tasks[2].stack_status, StackStatus::Unknown);
        assert_eq!(snapshot.header.warnings, [""; 0]);
    }

    #[test]
    fn absurd_counts_are_refused_and_missing_ones_said() {
        let read = |text: &str| Snapshot::try_from(&GoProfile::parse(text.as_bytes()));
        let error = read("goroutine profile: total 1\n99999999999 @ 0x1\n18446744073709551615 @ 0x1\n");
        assert!(matches!(error, Err(DumpError::TooMany { count: u64::MAX, .. })));
        let snapshot = read("goroutine profile: total 7\n2 @ 0x1\n").unwrap();
        assert!(snapshot.header.warnings[0].contains("has 7 goroutines, but its stacks count 2"));
    }
}
