//! Layouts of the runtime's structs by version of Go, for what a binary does not say of itself.
//!
//! The rows are in `layout_table.txt`. `tests/go_layouts.rs` compares it with real toolchains and, with
//! `LOITER_BLESS=1`, writes it anew.

#[cfg(any(test, feature = "test-support"))]
use std::collections::BTreeMap;

#[cfg(any(test, feature = "test-support"))]
use super::structs::StructLayout;
use super::structs::{Field, LayoutSource, Structs};

/// The table. One line per field: `struct.path`, then for each version in which something changed
/// `minor:offset+size`, or `minor:-` where it is gone. The path of a struct's own size is empty.
const TABLE: &str = include_str!("layout_table.txt");

/// Versions with a toolchain. 1.20 has none; its rows are those of 1.19.
pub const EXACT: [u32; 8] = [19, 21, 22, 23, 24, 25, 26, 27];

/// What the table holds: structs and their fields; an empty list means all fields.
pub const WANTED: &[(&str, &str)] = &[
    ("g", ""),
    ("gobuf", ""),
    ("sudog", ""),
    ("_defer", ""),
    ("hchan", ""),
    ("waitq", ""),
    (
        "p",
        "id status m link schedtick syscalltick mcache runqhead runqtail runq runnext goidcache goidcacheend \
           goroutinesCreated gFree sudogcache sudogbuf timers timers.heap preempt gcBgMarkWorker runSafePointFn statsSeq",
    ),
    (
        "m",
        "g0 gsignal procid tls curg caughtsig p nextp oldp id locks dying spinning blocked incgo isextra \
           isExtraInC isExtraInSig ncgocall ncgo alllink schedlink lockedg lockedExt lockedInt freelink \
           libcallpc libcallsp libcallg vdsoSP vdsoPC preemptoff morebuf.sp morebuf.pc morebuf.bp \
           morebuf.g waitlock waitunlockf createstack",
    ),
    (
        "schedt",
        "goidgen lastpoll pollUntil pollingNet lock midle nmidle nmidlelocked mnext maxmcount nmsys nmfreed \
                ngsys nGsyscallNoP pidle npidle nmspinning needspinning runq runq.head runq.tail runq.size runqsize \
                disable gFree gFree.lock gFree.stack gFree.stack.head gFree.stack.size gFree.noStack \
                gFree.noStack.head gFree.noStack.size gFree.n sudogcache freem gcwaiting stopwait sysmonwait \
                safePointWait procresizetime totaltime idleTime goroutinesCreated timeToRun customGOMAXPROCS",
    ),
    ("semaRoot", ""),
    ("semTable", ""),
    ("timer", ""),
    ("pollDesc", ""),
    ("itab", ""),
    ("_type", ""),
    ("notifyList", ""),
    ("notifyListWaiter", ""),
    ("mspan", ""),
    (
        "mheap",
        "allspans arenas heapArenaAlloc arena1Arena arenaHints allArenas sweepArenas markArenas heapArenas \
               userArenaArenas curArena curArena.base curArena.end pages.inUse reclaimIndex pagesInUse pagesSwept \
               sweepgen specialfinalizeralloc speciallock",
    ),
    ("heapArena", ""),
    ("arenaIdx", ""),
    ("special", ""),
    ("specialfinalizer", ""),
    ("finblock", ""),
    (
        "gcControllerState",
        "gcPercent memoryLimit heapMinimum runway heapLive heapScan lastHeapScan lastStackScan \
                           maxStackScan globalsScan heapMarked triggered lastHeapGoal heapInUse heapReleased \
                           heapFree totalAlloc totalFree mappedReady gcPercentHeapGoal sweepHeapLiveBasis trigger \
                           heapGoal",
    ),
    (
        "mstats",
        "heap_sys stacks_sys mspan_sys mcache_sys buckhash_sys gcMiscSys other_sys last_gc_unix \
                last_gc_nanotime pause_total_ns pause_ns pause_end numgc numforcedgc gc_cpu_fraction enablegc",
    ),
    ("moduledata", ""),
    ("pcHeader", ""),
];

/// What the table knows of Go 1.`minor`: the row of that version or of the nearest known one. Without a
/// version, the newest row.
pub fn for_go(minor: Option<u32>) -> (LayoutSource, Structs) {
    let newest = EXACT[EXACT.len() - 1];
    let asked = minor.unwrap_or(newest);
    let row = asked.clamp(EXACT[0], newest);
    let exact = minor == Some(row) && EXACT.contains(&row);
    let source = LayoutSource::Table { minor: row, exact };
    (source, TABLE.lines().filter_map(|line| field(line, row)).fold(Structs::new(), put))
}

/// What a line says for a version: struct, path, offset and size.
fn field(line: &str, minor: u32) -> Option<(&str, &str, Field)> {
    let mut words = line.split_ascii_whitespace();
    let (name, path) = words.next()?.split_once('.')?;
    let last = words
        .filter_map(|word| word.split_once(':'))
        .take_while(|(since, _)| since.parse::<u32>().is_ok_and(|since| since <= minor))
        .last()?;
    let (offset, size) = last.1.split_once('+')?;
    Some((name, path, Field { offset: offset.parse().ok()?, size: size.parse().ok()? }))
}

fn put(mut structs: Structs, (name, path, field): (&str, &str, Field)) -> Structs {
    let layout = structs.entry(name.to_owned()).or_default();
    if path.is_empty() {
        layout.size = field.size;
    } else {
        layout.fields.insert(path.to_owned(), field);
    }
    structs
}

/// The part of a layout that the table holds.
#[cfg(any(test, feature = "test-support"))]
pub fn wanted(structs: &Structs) -> Structs {
    let mut kept = Structs::new();
    for (name, fields) in WANTED {
        let Some(layout) = structs.get(*name) else { continue };
        let keep =
            |path: &str| fields.is_empty() || fields.split_ascii_whitespace().any(|wanted| wanted == path);
        let fields = layout.fields.iter().filter(|(path, _)| keep(path));
        let fields = fields.map(|(path, field)| (path.clone(), *field)).collect();
        kept.insert((*name).to_owned(), StructLayout { size: layout.size, fields });
    }
    kept
}

/// The table's text for the layouts of real toolchains, by version.
#[cfg(any(test, feature = "test-support"))]
pub fn render(versions: &BTreeMap<u32, Structs>) -> String {
    let mut rows: BTreeMap<String, BTreeMap<u32, Field>> = BTreeMap::new();
    for (&minor, structs) in versions {
        for (name, layout) in structs {
            let mut row =
                |path: &str, field| rows.entry(format!("{name}.{path}")).or_default().insert(minor, field);
            row("", Field { offset: 0, size: layout.size });
            for (path, field) in &layout.fields {
                row(path, *field);
            }
        }
    }
    let mut text = String::new();
    for (name, fields) in rows {
        text.push_str(&name);
        let mut previous = None;
        for minor in versions.keys() {
            let now = fields.get(minor);
            if now != previous {
                text.push_str(&match now {
                    Some(field) => format!(" {minor}:{}+{}", field.offset, field.size),
                    None => format!(" {minor}:-"),
                });
            }
            previous = now;
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines() {
        let line = "g.lockedm 19:232+8 21:208+8 23:- 25:1+2";
        let at = |minor| field(line, minor).map(|(_, _, field)| field.offset);
        assert_eq!(
            [18, 19, 20, 21, 22, 23, 24, 25, 99].map(at),
            [None, Some(232), Some(232), Some(208), Some(208), None, None, Some(1), Some(1)]
        );
    }

    #[test]
    fn every_line_is_understood() {
        for line in TABLE.lines() {
            assert!(EXACT.iter().any(|&minor| field(line, minor).is_some()), "{line}");
        }
    }

    #[test]
    fn versions() {
        let source = |minor| for_go(minor).0;
        assert_eq!(source(Some(27)), LayoutSource::Table { minor: 27, exact: true });
        assert_eq!(source(Some(20)), LayoutSource::Table { minor: 20, exact: false });
        assert_eq!(source(Some(31)), LayoutSource::Table { minor: 27, exact: false });
        assert_eq!(source(Some(3)), LayoutSource::Table { minor: 19, exact: false });
        assert_eq!(source(None), LayoutSource::Table { minor: 27, exact: false });
        assert!(for_go(Some(27)).1.contains_key("schedt"));
    }

    #[test]
    fn what_is_rendered_is_read_back() {
        let row = |minor| (minor, for_go(Some(minor)).1);
        assert_eq!(render(&EXACT.map(row).into_iter().collect()), TABLE);
    }
}
