//! Decides whether two snapshots are of one process.

use crate::snapshot::{Header, SourceKind};

/// How tasks of one reading are found again in the next.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Matching {
    /// By identity: the same process was read each time.
    #[default]
    ById,
    /// By id; but the readings do not identify their process.
    ByIdOnly {
        /// What that means, as a sentence.
        why: String,
    },
    /// Not at all: only the counts of signatures can be compared.
    BySignature {
        /// Why, as a sentence.
        why: String,
    },
}

impl Matching {
    /// Whether single tasks are found again.
    pub fn by_id(&self) -> bool {
        !matches!(self, Matching::BySignature { .. })
    }

    /// What the user should know.
    pub fn warning(&self) -> Option<&str> {
        match self {
            Matching::ById => None,
            Matching::ByIdOnly { why } | Matching::BySignature { why } => Some(why),
        }
    }

    /// Takes one more pair of readings into account. The worst one counts.
    pub(super) fn check(&mut self, before: &Header, after: &Header) {
        if !self.by_id() {
            return;
        }
        match matching(before, after) {
            Matching::ById => {}
            worse => *self = worse,
        }
    }
}

fn matching(before: &Header, after: &Header) -> Matching {
    use SourceKind::{Core, Dump, Process, Profile};
    let by_signature = |why: String| Matching::BySignature { why };
    let (a, b) = (&before.target, &after.target);
    match (a.source, b.source) {
        (Profile, _) | (_, Profile) => {
            return by_signature(
                "a profile does not identify single tasks: compared by signature only".to_owned(),
            );
        }
        (Dump, Dump) => {
            return Matching::ByIdOnly {
                why:
                    "dumps do not say which process they are of: tasks are told apart by id alone, which is \
                      wrong if the process was restarted in between"
                        .to_owned(),
            };
        }
        (Dump, _) | (_, Dump) => {
            let why = "a dump does not say which process it is of: compared by signature only";
            return by_signature(why.to_owned());
        }
        (Process | Core, Process | Core) => {}
    }
    let not_the_same =
        |what: &str| by_signature(format!("not the same process, {what}: compared by signature only"));
    if let (Some(a), Some(b)) = (&a.host, &b.host)
        && a != b
    {
        return not_the_same(&format!("hosts {a} and {b}"));
    }
    if a.pid != b.pid {
        let [a, b] = [a.pid, b.pid].map(|pid| pid.unwrap_or(0));
        return not_the_same(&format!("pids {a} and {b}"));
    }
    if differ(&a.build_id, &b.build_id) {
        return not_the_same("the program was built anew");
    }
    // A core file does not say when its process started.
    if differ(&a.start_ticks, &b.start_ticks) {
        return not_the_same("it was started anew");
    }
    Matching::ById
}

/// The time between two readings, nanoseconds: by the monotonic clock if both are of one process, else by the
/// time of day. None if one of them has no time, or if time ran backwards.
pub(super) fn elapsed_ns(first: &Header, next: &Header) -> Option<u64> {
    let one_boot = matches!(matching(first, next), Matching::ById);
    match (first.monotonic_ns, next.monotonic_ns) {
        (Some(first), Some(next)) if one_boot => next.checked_sub(first),
        _ => next.taken_at_ns?.checked_sub(first.taken_at_ns?),
    }
}

/// Both are known, and they differ.
fn differ<T: PartialEq>(a: &Option<T>, b: &Option<T>) -> bool {
    a.is_some() && b.is_some() && a != b
}
