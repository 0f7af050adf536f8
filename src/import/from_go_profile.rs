//! Converts a goroutine profile into a snapshot: its rows have no id and stand for the counted number of equal tasks.

use super::DumpError;
use super::go_code::{CodeTable, NamedFrame, header};
use super::go_profile::{CountedStack, GoProfile, ProfileFrame};
use crate::snapshot::{LocationId, Snapshot, SnapshotBuilder, SourceKind, StackStatus, Task};
use crate::words;

impl TryFrom<&GoProfile> for Snapshot {
    type Error = DumpError;

    /// What a profile does not contain stays unknown: ids, states, reasons, ages, creators.
    fn try_from(profile: &GoProfile) -> Result<Snapshot, DumpError> {
        let count = profile.counted();
        if count > Snapshot::MOST_TASKS {
            return Err(DumpError::TooMany { count, most: Snapshot::MOST_TASKS });
        }
        let mut builder = SnapshotBuilder::new();
        let mut code = CodeTable::default();
        let nameless = profile.stacks.iter().filter(|stack| stack.frames.is_empty());
        let few = nameless.map(|stack| stack.pcs.len()).fold(0, usize::saturating_add) <= MAX_NAMELESS;
        for stack in &profile.stacks {
            let task = task(stack, few, &mut code, &mut builder);
            builder.counted(task, stack.count);
        }
        builder.header = header(SourceKind::Profile, code.into_version());
        builder.header.warnings = warnings(profile, count);
        let mut snapshot = builder.finish();
        words::go::classify(&mut snapshot);
        Ok(snapshot)
    }
}

/// At most this many addresses without functions are shown themselves. A real profile has none.
const MAX_NAMELESS: usize = 1 << 16;

fn task(stack: &CountedStack, nameless: bool, code: &mut CodeTable, into: &mut SnapshotBuilder) -> Task {
    let locations = if stack.frames.is_empty() && !nameless { vec![] } else { locations(stack, code, into) };
    let labels = stack.labels.iter().map(|(k, v)| (k.as_str(), v.as_str()));
    Task {
        labels: (!stack.labels.is_empty()).then(|| into.code.labels(labels)),
        stack_status: if locations.is_empty() { StackStatus::Unknown } else { status(stack) },
        stack: (!locations.is_empty()).then(|| into.code.stack(locations)),
        ..Task::default()
    }
}

/// The number of addresses in stacks that the runtime cuts: 32 up to Go 1.22, 128 later.
const CUT_AT: [usize; 2] = [32, 128];

/// The outermost address is that of `runtime.goexit`, which has no line, unless the runtime had no room for
/// all addresses.
fn status(stack: &CountedStack) -> StackStatus {
    let cut = match (stack.frames.last(), stack.pcs.last()) {
        (Some(last), Some(&outermost)) => CountedStack::is_at(last.pc, outermost),
        _ => CUT_AT.contains(&stack.pcs.len()),
    };
    match (stack.other_lines > 0 || stack.missing() > 0, stack.frames.is_empty() && stack.pcs.is_empty()) {
        (_, true) => StackStatus::Unknown,
        (true, _) => StackStatus::Gaps,
        _ if cut => StackStatus::Truncated,
        _ => StackStatus::Complete,
    }
}

/// Warnings for the user, one sentence each.
fn warnings(profile: &GoProfile, count: u64) -> Vec<String> {
    let mut warnings = Vec::new();
    if profile.profiles > 1 {
        warnings.push(format!(
            "the input has {} goroutine profiles: this is the last complete one, or the last one if none is complete",
            profile.profiles
        ));
    }
    if profile.kind.is_empty() {
        warnings.push(
            "the first line of the profile is missing: it may not count goroutines, and more of it may be missing"
                .to_owned(),
        );
    }
    if count < profile.total {
        warnings.push(format!(
            "the profile's total is {} goroutines, but its stacks add up to {count}: a part of it is missing",
            profile.total
        ));
    } else if count > profile.total {
        warnings.push(format!(
            "the profile's total is {} goroutines, but its stacks add up to {count}: several profiles are mixed",
            profile.total
        ));
    }
    if let more @ 1.. = profile.repeated() {
        warnings.push(format!(
            "{more} stacks occur more than once, which Go never writes: several profiles are mixed, and counted \
             together"
        ));
    }
    if let lines @ 1.. = profile.other_lines {
        warnings.push(format!(
            "{lines} lines within the profile were not understood: frames or goroutines may be missing"
        ));
    }
    let of = |is: &dyn Fn(&CountedStack) -> bool| {
        let all = profile.stacks.iter().filter(|stack| is(stack));
        all.fold(0_u64, |sum, stack| sum.saturating_add(stack.count))
    };
    let goroutines = |n: u64| if n == 1 { "1 goroutine".to_owned() } else { format!("{n} goroutines") };
    if let some @ 1.. = of(&|stack| stack.missing() > 0) {
        warnings.push(format!(
            "the stacks of {} have addresses without a line: frames are missing",
            goroutines(some)
        ));
    }
    if let some @ 1.. = of(&|stack| stack.frames.is_empty() && !stack.pcs.is_empty()) {
        warnings
            .push(format!("the stacks of {} have addresses only: functions are unknown", goroutines(some)));
    }
    warnings
}

fn locations(stack: &CountedStack, code: &mut CodeTable, into: &mut SnapshotBuilder) -> Vec<LocationId> {
    if stack.frames.is_empty() {
        let nameless = || NamedFrame { function: "", file: "", line: 0, foreign: false };
        return stack.pcs.iter().map(|&pc| code.location(Some(pc), None, [nameless()], into)).collect();
    }
    let mut addresses = stack.pcs.iter().copied();
    places(&stack.frames)
        .filter_map(|frames| {
            let last = frames.last()?;
            // The list includes addresses of hidden functions.
            let mut ahead = addresses.clone();
            let address = ahead.find(|&address| CountedStack::is_at(last.pc, address));
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

/// Frames with the same address were inlined into the last of them. A repeated frame is the next call of a recursion.
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
            .map(|id| &snapshot.code.locations[id.index()])
            .map(|location| (location.address, location.offset, location.frames.len()))
            .collect();
        assert_eq!(
            stack,
            [(Some(0x21), Some(0x2c), 2), (Some(0x31), Some(0x11), 1), (Some(0x31), Some(0x11), 1)]
        );
        assert_eq!(snapshot.tasks[1].stack_status, StackStatus::Truncated);
        // Stacks without lines have known addresses, which distinguish them.
        assert_eq!(snapshot.tasks[2].stack_status, StackStatus::Complete);
        assert_eq!(snapshot.stack_of(&snapshot.tasks[2]).len(), 1);
        assert_eq!(
            snapshot.header.warnings,
            ["the stacks of 1 goroutine have addresses only: functions are unknown"]
        );
    }

    #[test]
    fn absurd_counts_are_refused_and_missing_ones_said() {
        let read = |text: &str| Snapshot::try_from(&GoProfile::parse(text.as_bytes()));
        let error = read("goroutine profile: total 1\n99999999999 @ 0x1\n18446744073709551615 @ 0x1\n");
        assert!(matches!(error, Err(DumpError::TooMany { count: u64::MAX, .. })));
        let snapshot = read("goroutine profile: total 7\n2 @ 0x1\n").unwrap();
        assert!(snapshot.header.warnings[0].contains("total is 7 goroutines, but its stacks add up to 2"));
    }
}
