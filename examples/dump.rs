#![allow(clippy::all, missing_docs)]
use loiter::{runtimes, target};
fn main() {
    let pid: u32 = std::env::args().nth(1).unwrap().parse().unwrap();
    let full = std::env::args().nth(2).is_some();
    let t0 = std::time::Instant::now();
    let target = target::open_pid(pid).unwrap();
    let t1 = t0.elapsed();
    let s = match runtimes::snapshot(target.as_ref(), &Default::default()) {
        Ok(s) => s,
        Err(e) => {
            println!("ERR {e} {e:?}");
            return;
        }
    };
    println!(
        "open {:?} total {:?} tasks {} stacks {} reading {:?}",
        t1,
        t0.elapsed(),
        s.tasks.len(),
        s.stacks.len(),
        s.header.reading
    );
    if !full {
        return;
    }
    println!("{:#?}", s.header.runtimes[0]);
    println!("{:?}", s.header.warnings);
    for t in s.tasks.iter().take(40) {
        println!(
            "goroutine {:?} {:?} {:?} sys={} {:?} {:?} age {:?} waits {:?}",
            t.id,
            t.state,
            t.reason.map(|r| s.str(r)),
            t.system,
            t.stack_status,
            t.thread,
            t.age,
            s.waits_of(t)
                .iter()
                .map(|w| (
                    w.op,
                    s.objects[w.object.index()],
                    s.objects[w.object.index()].channel.and_then(|c| c.element).map(|e| s.str(e))
                ))
                .collect::<Vec<_>>()
        );
        for l in s.stack_of(t) {
            for f in &s.locations[l.index()].frames {
                println!("    {} {}:{}", s.function_name(f.function), s.str(f.file), f.line);
            }
        }
        if let Some(c) = t.creator {
            for f in &s.locations[c.index()].frames {
                println!(
                    "  by {} {}:{} in {:?}",
                    s.function_name(f.function),
                    s.str(f.file),
                    f.line,
                    t.parent
                );
            }
        }
    }
}
