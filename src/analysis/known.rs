//! Finds well-known tasks that are parked for a good reason.

use std::cell::RefCell;
use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::lore::{self, Lore};
use super::pattern::Pattern;
use super::signature::Signature;
use crate::snapshot::WaitClass;

use super::lore::KnownTask;

/// The lists of all runtimes, prepared for look-ups.
#[derive(Debug)]
pub(super) struct KnownTasks {
    lists: Vec<List>,
}

impl Default for KnownTasks {
    fn default() -> Self {
        KnownTasks { lists: lore::ALL.iter().map(|lore| List::new(lore)).collect() }
    }
}

impl KnownTasks {
    /// The first entry that fits tasks with this signature and this kind of wait.
    pub(super) fn find(&self, signature: &Signature, waits: WaitClass) -> Option<&'static KnownTask> {
        let lore = lore::of(&signature.runtime);
        self.lists.iter().find(|list| std::ptr::eq(list.lore, lore))?.find(signature, waits)
    }
}

/// One list. Each name is matched once, because there may be very many stacks.
#[derive(Debug)]
struct List {
    lore: &'static Lore,
    /// Every pattern of the list.
    patterns: Vec<Pattern>,
    /// For each entry of the list the bits of its patterns: for the stack, for the creator.
    needs: Vec<(u128, u128)>,
    /// Which patterns a name fits, one bit each; keyed by the address of the name, which is kept only once.
    names: RefCell<FxHashMap<usize, u128>>,
}

impl List {
    fn new(lore: &'static Lore) -> Self {
        let mut patterns = Vec::new();
        let mut bit = |text: &str| {
            patterns.push(Pattern::whole(text));
            1_u128.checked_shl(patterns.len() as u32 - 1).unwrap_or(0)
        };
        let mut needs = Vec::new();
        for known in lore.known {
            let frames = known.frames.iter().fold(0, |bits, text| bits | bit(text));
            needs.push((frames, if known.creator.is_empty() { 0 } else { bit(known.creator) }));
        }
        List { lore, patterns, needs, names: RefCell::default() }
    }

    fn find(&self, signature: &Signature, waits: WaitClass) -> Option<&'static KnownTask> {
        let stack = signature.frames.iter().fold(0, |bits, place| bits | self.fits(&place.function));
        let creator = signature.creator.as_ref().map_or(0, |place| self.fits(&place.function));
        let fits = |(known, (on_stack, started)): &(&KnownTask, &(u128, u128))| {
            (known.waits.is_empty() || known.waits.contains(&waits))
                && stack & on_stack == *on_stack
                && creator & started == *started
        };
        self.lore.known.iter().zip(&self.needs).find(fits).map(|(known, _)| known)
    }

    fn fits(&self, name: &Arc<str>) -> u128 {
        let address = Arc::as_ptr(name).cast::<u8>() as usize;
        *self.names.borrow_mut().entry(address).or_insert_with(|| {
            let bits = self.patterns.iter().enumerate();
            bits.fold(0, |bits, (nth, pattern)| bits | (u128::from(pattern.matches(name)) << nth))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::signature::SignatureFrame;

    fn find(runtime: &str, frames: &[&str], creator: &str, waits: WaitClass) -> Option<&'static str> {
        let place = |name: &str| SignatureFrame { function: name.into(), ..SignatureFrame::default() };
        let signature = Signature {
            runtime: runtime.into(),
            doing: "".into(),
            frames: frames.iter().map(|name| place(name)).collect(),
            creator: (!creator.is_empty()).then(|| place(creator)),
        };
        KnownTasks::default().find(&signature, waits).map(|known| known.names[0])
    }

    #[test]
    fn every_pattern_has_a_bit() {
        for list in KnownTasks::default().lists {
            assert!(list.patterns.len() <= 128, "{}", list.patterns.len());
            for (known, (stack, creator)) in list.lore.known.iter().zip(&list.needs) {
                assert_eq!(stack.count_ones() as usize, known.frames.len(), "{known:?}");
                assert_eq!(*creator != 0, !known.creator.is_empty(), "{known:?}");
            }
        }
    }

    #[test]
    fn an_idle_connection_is_known_and_a_busy_one_is_not() {
        const CONNECTION: Option<&str> = Some("task of an http connection");
        let idle = ["internal/poll.(*FD).Read", "bufio.(*Reader).Peek", "net/http.(*conn).serve"];
        assert_eq!(find("go", &idle, "net/http.(*Server).Serve", WaitClass::Network), CONNECTION);
        let busy = ["main.handle", "net/http.HandlerFunc.ServeHTTP", "net/http.(*conn).serve"];
        assert_eq!(find("go", &busy, "net/http.(*Server).Serve", WaitClass::Receive), None);
        let idle = ["bufio.(*Reader).Peek", "net/http.(*persistConn).readLoop"];
        let found = find("go", &idle, "net/http.(*Transport).dialConn", WaitClass::Network);
        assert_eq!(found, Some("task of an http client"));
        // It waits for the end of a body that is never read.
        assert_eq!(find("go", &["net/http.(*persistConn).readLoop"], "", WaitClass::Select), None);
    }

    #[test]
    fn names_of_one_runtime_say_nothing_in_another() {
        let main = |runtime| find(runtime, &["main.main"], "", WaitClass::Receive);
        assert_eq!((main("go"), main("registry"), main("cilk")), (Some("main function"), None, None));
        // A task that accepts connections does so in any runtime, because the runtime's reader said it.
        let accepts = |runtime| find(runtime, &["serve"], "", WaitClass::Accept);
        assert_eq!((accepts("registry"), accepts("cilk")), (Some("accept loop"), Some("accept loop")));
    }
}
