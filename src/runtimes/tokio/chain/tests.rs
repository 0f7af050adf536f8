use super::*;
use crate::process::open_pid;

/// Prints the chains of the tasks of a process: a trial by hand.
#[test]
fn trial() {
    let Ok(pid) = std::env::var("TRIAL_PID") else { return };
    let begun = std::time::Instant::now();
    let target = open_pid(pid.parse().unwrap()).unwrap();
    let images = target.images().unwrap();
    let mut chains = Chains::open(&*target, &images[0]);
    println!("open {:?} lack {:?}", begun.elapsed(), chains.lack());
    let tasks = std::fs::read_to_string(std::env::var("TRIAL_TASKS").unwrap()).unwrap();
    let mut builder = SnapshotBuilder::new();
    for line in tasks.lines() {
        let begun = std::time::Instant::now();
        let mut words = line.split_whitespace().map(|word| u64::from_str_radix(word, 16).unwrap());
        let (poll, at) = (words.next().unwrap(), words.next().unwrap());
        let Some(kind) = chains.future(poll) else {
            println!("?? {poll:x}");
            continue;
        };
        println!("== {} size {} [{:?}]", kind.name, kind.size, begun.elapsed());
        let begun = std::time::Instant::now();
        let chain = chains.chain(&kind, &*target, at, &mut builder);
        print(&chain, &builder, 2);
        println!("   [{:?}]", begun.elapsed());
    }
}

fn print(chain: &Chain, builder: &SnapshotBuilder, indent: usize) {
    let pad = " ".repeat(indent);
    for id in &chain.locations {
        let frame = &builder.code.locations()[id.index()].frames[0];
        let name = builder.code.text(builder.code.function_at(frame.function).unwrap().name);
        let file = builder.code.text(frame.file).rsplit('/').next().unwrap();
        println!("{pad}{name}  {file}:{}", frame.line);
    }
    let leaf = chain.leaf.clone().unwrap_or_default();
    let reason = leaf.reason.map(|id| builder.code.text(id)).unwrap_or("-");
    let objects: Vec<_> = leaf.waits.iter().map(|w| (w.op, builder.objects()[w.object.index()])).collect();
    println!(
        "{pad}{:?} leaf {reason} {:?} {objects:x?} task {:x?} deadline {:?}",
        chain.status, leaf.class, leaf.task, leaf.deadline_ns
    );
    for branch in &chain.branches {
        println!("{pad}- {}", branch.name);
        print(&branch.chain, builder, indent + 4);
    }
}
