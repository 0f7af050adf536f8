//! What is said of a task besides its id: its name, and what distinguishes it from others of that name.

use super::chain::FutureKind;
use super::find::Vtable;
use super::names::Name;
use super::owned::{Kind, Scheduler};
use super::scan::{Header, state};

/// What is known of the types of futures, by the index of the vtable.
#[derive(Debug, Clone, Default)]
pub(super) struct FutureType {
    pub(super) name: Option<Name>,
    /// Where the poll function is, as "program+0x1234".
    pub(super) place: String,
    /// What the debug information of an image, by its number, says.
    pub(super) kind: Option<(usize, FutureKind)>,
}

/// How a task is called: by its type, or by the place of its code and its size if the type has no name.
pub(super) fn name(known: Option<&FutureType>, vtable: Option<&Vtable>, is_worker: bool) -> String {
    match (known.and_then(|known| known.name.as_ref()), known) {
        (Some(name), _) => name.text.clone(),
        (None, _) if is_worker => "tokio worker".to_owned(),
        (None, Some(known)) => {
            let size = vtable.map_or(0, |vtable| vtable.trailer.saturating_sub(vtable.stage()));
            let what = if vtable.is_some_and(Vtable::is_blocking) { "closure" } else { "future" };
            format!("{what} of {} ({size} bytes)", known.place)
        }
        (None, None) => "future".to_owned(),
    }
}

/// What the labels of a task depend on.
pub(super) type LabelKey = (u64, bool, bool);

/// What the labels of a task depend on: the list that owns it, whether it is a job of the blocking pool, and whether it
/// was aborted.
pub(super) fn label_key(header: &Header, vtable: Option<&Vtable>) -> LabelKey {
    (header.owner, vtable.is_some_and(Vtable::is_blocking), header.has(state::CANCELLED))
}

/// Its labels: the runtime, where there are several; the kind of task, if it is unusual; that it was aborted.
pub(super) fn labels(
    (owner, blocking, cancelled): LabelKey,
    schedulers: &[Scheduler],
) -> Vec<(&'static str, String)> {
    let scheduler = schedulers.iter().find(|scheduler| scheduler.owner == owner);
    let runtime = scheduler
        .filter(|_| schedulers.len() > 1)
        .map(|scheduler| format!("{} {}", scheduler.kind.name(), scheduler.owner));
    let kind = match (blocking, scheduler.map(|scheduler| scheduler.kind)) {
        (true, _) => Some("blocking"),
        (_, Some(Kind::LocalSet)) => Some("local"),
        _ => None,
    };
    let pairs = [
        cancelled.then(|| ("cancelled", "yes".to_owned())),
        kind.map(|kind| ("kind", kind.to_owned())),
        runtime.map(|runtime| ("runtime", runtime)),
    ];
    pairs.into_iter().flatten().collect()
}
