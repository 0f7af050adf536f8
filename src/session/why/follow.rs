//! The first readings: from process to process, along what tasks wait for.

use std::collections::BTreeSet;

use super::ends::Known;
use super::reach::{Frontier, reach};
use super::seen::{Refused, Seen};
use super::{Inquiry, InquiryStep, OnStep};
use crate::analysis::why::{Graph, NodeId, System};
use crate::snapshot::{Descriptor, Snapshot};

/// Reads the processes that the tasks depend on, one after the other. Returns who has which ends.
pub(super) fn follow(inquiry: &mut Inquiry, from: Option<&[u32]>, on_step: &mut OnStep<'_>) -> Known {
    let mut known = Known::default();
    if !inquiry.options.others {
        return known;
    }
    // Pids that were read, or cannot be, or are not to be read.
    let mut tried: BTreeSet<u32> = inquiry.seen.iter().map(|seen| seen.pid).collect();
    tried.insert(std::process::id());
    let (mut too_deep, mut too_many, mut too_late) = (BTreeSet::new(), BTreeSet::new(), false);
    loop {
        let depth: Vec<u32> = inquiry.seen.iter().map(|seen| seen.depth).collect();
        let system = system(&inquiry.seen, &known);
        let graph = Graph::new(&system);
        let Frontier { descriptors, ends, processes } = reach(&graph, starts(&graph, from), &depth);
        let new = new_descriptors(&system, &descriptors, &known);
        if !new.is_empty() {
            if inquiry.is_late() {
                too_late = true;
                break;
            }
            on_step(InquiryStep::Looks(new.len()));
            known.ask(new);
            continue;
        }
        let holders = ends.iter().flat_map(|&(file, at)| {
            let open = known.ends.of(file).iter();
            open.map(move |end| (end.pid, at))
        });
        let mut any = false;
        for (pid, at) in processes.into_iter().chain(holders) {
            if tried.contains(&pid) {
                continue;
            }
            if at >= inquiry.options.depth {
                too_deep.insert(pid);
            } else if inquiry.seen.len() >= inquiry.options.processes {
                too_many.insert(pid);
            } else if inquiry.is_late() {
                too_late = true;
            } else {
                tried.insert(pid);
                any |= read(inquiry, pid, at + 1, on_step);
            }
        }
        if !any {
            break;
        }
    }
    say_what_was_left(inquiry, &too_deep, &too_many, too_late);
    known
}

/// Reads one more process. Returns whether it could be read.
fn read(inquiry: &mut Inquiry, pid: u32, depth: u32, on_step: &mut OnStep<'_>) -> bool {
    let seen = Seen::open(pid, depth).and_then(|mut seen| {
        on_step(InquiryStep::Reads { pid, name: &seen.name });
        seen.read(&inquiry.options.read)?;
        Ok(seen)
    });
    match seen {
        Ok(seen) => {
            inquiry.seen.push(seen);
            true
        }
        Err(error) => {
            inquiry.left_out.extend(Refused::new(pid, error).sentence());
            false
        }
    }
}

fn say_what_was_left(
    inquiry: &mut Inquiry,
    too_deep: &BTreeSet<u32>,
    too_many: &BTreeSet<u32>,
    too_late: bool,
) {
    let options = &inquiry.options;
    if !too_deep.is_empty() {
        inquiry.left_out.push(format!(
            "{} processes more than {} steps away were not read (--depth)",
            too_deep.len(),
            options.depth
        ));
    }
    if !too_many.is_empty() {
        inquiry.left_out.push(format!(
            "{} more processes have other ends and were not read: loiter reads at most {}",
            too_many.len(),
            options.processes
        ));
    }
    if too_late {
        let seconds = options.limit.as_secs();
        inquiry
            .left_out
            .push(format!("not everything was followed: after {seconds} s loiter looks no further"));
    }
}

/// What was read so far.
pub(super) fn system(seen: &[Seen], known: &Known) -> System {
    let mut system = System::default();
    system.processes = seen.iter().filter_map(Seen::seen).collect();
    system.ends = known.ends.clone();
    system.peers.clone_from(&known.peers);
    system
}

/// The tasks that are followed: these of the first process, or those of all processes.
fn starts<'g>(graph: &'g Graph<'_>, from: Option<&'g [u32]>) -> Box<dyn Iterator<Item = NodeId> + 'g> {
    match from {
        Some(rows) => Box::new(rows.iter().filter_map(|&row| graph.task_node(0, row))),
        None => Box::new(graph.tasks().filter(|(_, task)| !task.system).map(|(id, _)| id)),
    }
}

/// Descriptors that were reached and not asked for yet, with their processes.
fn new_descriptors(system: &System, reached: &[(u32, u32)], known: &Known) -> Vec<(u32, Descriptor)> {
    let new = reached.iter().filter_map(|&(process, fd)| {
        let seen = system.processes.get(process as usize)?;
        let snapshot: &Snapshot = &seen.first;
        let descriptor = snapshot.descriptor(fd).filter(|_| !known.has(seen.pid, fd))?;
        Some((seen.pid, descriptor.clone()))
    });
    // Tasks may wait for one descriptor in several ways.
    let mut new: Vec<(u32, Descriptor)> = new.collect();
    let mut once = BTreeSet::new();
    new.retain(|(pid, descriptor)| once.insert((*pid, descriptor.fd)));
    new
}
