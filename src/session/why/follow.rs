//! The first readings: from process to process, along what tasks wait for.

use std::collections::BTreeSet;

use super::ends::Known;
use super::reach::{Frontier, reach};
use super::seen::{Refused, Seen, same_tasks};
use super::{Inquiry, InquiryStep, OnStep};
use crate::analysis::why::{Graph, NodeId, OpenEnd, System};
use crate::snapshot::{Descriptor, Protocol, Snapshot, SocketState};

/// Of at most this many descriptors of one process it is asked who has them.
const MAX_ENDS: usize = 1 << 10;

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
    let asked = inquiry.seen.first().and_then(|seen| seen.first.clone());
    loop {
        let depth: Vec<u32> = inquiry.seen.iter().map(|seen| seen.depth).collect();
        let system = system(&inquiry.seen, &known);
        let graph = Graph::new(&system);
        // The first process may have been read anew.
        let now = system.processes.first().map(|seen| &seen.first);
        let rows = from.zip(asked.as_ref()).zip(now).map(|((rows, asked), now)| same_tasks(asked, rows, now));
        let starts = starts(&graph, rows.as_deref());
        let Frontier { descriptors, ends, processes } = reach(&graph, starts, &depth);
        let mut new = new_descriptors(&system, &descriptors, &known);
        if !new.is_empty() {
            if inquiry.is_late() {
                too_late = true;
                break;
            }
            on_step(InquiryStep::Looks(new.len()));
            new.iter_mut().for_each(|(pid, descriptor)| addressed(&inquiry.seen, *pid, descriptor));
            known.ask(new, &inquiry.search_limit());
            continue;
        }
        let holders: Vec<(&OpenEnd, u32)> = ends
            .iter()
            .flat_map(|&(file, at)| known.ends.of(file).iter().map(move |end| (end, at)))
            .collect();
        let mut any = ask_who(inquiry, &holders, on_step);
        let holding = holders.iter().map(|(end, at)| (end.pid, *at));
        for (pid, at) in processes.into_iter().chain(holding) {
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
                let ends = holders.iter().filter(|(end, _)| end.pid == pid).map(|(end, _)| end.fd);
                any |= read(inquiry, pid, at + 1, ends.take(MAX_ENDS).collect(), on_step);
            }
        }
        if !any {
            break;
        }
    }
    say_what_was_left(inquiry, &too_deep, &too_many, too_late);
    known
}

/// Reads processes anew of which it was not asked yet who has these ends. Returns whether there were any.
fn ask_who(inquiry: &mut Inquiry, holders: &[(&OpenEnd, u32)], on_step: &mut OnStep<'_>) -> bool {
    let (mut any, mut gone) = (false, Vec::new());
    let is_late = inquiry.is_late();
    for (nth, seen) in inquiry.seen.iter_mut().enumerate() {
        let own = holders.iter().filter(|(end, _)| end.pid == seen.pid).map(|(end, _)| end.fd);
        let room = MAX_ENDS.saturating_sub(seen.ends.len());
        let new: Vec<u32> = own.filter(|fd| !seen.ends.contains(fd)).take(room).collect();
        if new.is_empty() || is_late || inquiry.options.is_stopped() {
            continue;
        }
        seen.ends.extend(new);
        on_step(InquiryStep::Reads { pid: seen.pid, name: &seen.name });
        match seen.read(&inquiry.options.read) {
            Ok(()) => any = true,
            // The first process stays: its end is noticed later.
            Err(_) if nth == 0 => {}
            Err(error) => gone.push((seen.pid, error)),
        }
    }
    inquiry.seen.retain(|seen| gone.iter().all(|(pid, _)| *pid != seen.pid));
    let sentences = gone.into_iter().filter_map(|(pid, error)| Refused::new(pid, error).sentence());
    inquiry.left_out.extend(sentences);
    any
}

/// Reads one more process. Returns whether it could be read.
fn read(inquiry: &mut Inquiry, pid: u32, depth: u32, ends: BTreeSet<u32>, on_step: &mut OnStep<'_>) -> bool {
    let seen = Seen::open(pid, depth).and_then(|mut seen| {
        seen.ends = ends;
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
            "{} that are more than {} steps away were not read (--depth)",
            processes(too_deep.len()),
            options.depth
        ));
    }
    if !too_many.is_empty() {
        inquiry.left_out.push(format!(
            "{} with other ends were not read: loiter reads at most {}",
            processes(too_many.len()),
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

/// "2 processes".
pub(super) fn processes(n: usize) -> String {
    if n == 1 { "1 process".to_owned() } else { format!("{n} processes") }
}

/// What was read so far.
pub(super) fn system(seen: &[Seen], known: &Known) -> System {
    System {
        processes: seen.iter().filter_map(Seen::seen).collect(),
        asked: seen.iter().filter(|seen| seen.depth == 0).count(),
        ends: known.ends.clone(),
        peers: known.peers.clone(),
        ..System::default()
    }
}

/// The tasks that are followed: these of the first process, or those of all processes.
fn starts<'g>(graph: &'g Graph<'_>, from: Option<&'g [u32]>) -> Box<dyn Iterator<Item = NodeId> + 'g> {
    match from {
        Some(rows) => Box::new(rows.iter().filter_map(|&row| graph.task_node(0, row))),
        None => Box::new(graph.tasks().filter(|(_, task)| !task.system).map(|(id, _)| id)),
    }
}

/// Notes where a unix socket is being connected to, or where a datagram is being sent to.
fn addressed(seen: &[Seen], pid: u32, descriptor: &mut Descriptor) {
    let fd = descriptor.fd;
    let Some(socket) = descriptor.socket.as_mut().filter(|socket| {
        match socket.protocol {
            // One that is connected may send elsewhere, too.
            Protocol::UnixDatagram => true,
            Protocol::UnixStream | Protocol::UnixSequence => socket.state == SocketState::Close,
            _ => false,
        }
    }) else {
        return;
    };
    let of_pid = seen.iter().find(|seen| seen.pid == pid);
    if let Some(address) = of_pid.and_then(|seen| seen.addressed(fd)) {
        socket.peer = address;
    }
}

/// Descriptors that were reached and not asked for yet, with their processes.
fn new_descriptors(system: &System, reached: &[(u32, u32)], known: &Known) -> Vec<(u32, Descriptor)> {
    let new = reached.iter().filter_map(|&(process, fd)| {
        let seen = system.processes.get(process as usize)?;
        let snapshot: &Snapshot = &seen.first;
        let descriptor = snapshot.descriptor(fd).filter(|descriptor| !known.has(seen.pid, descriptor))?;
        Some((seen.pid, descriptor.clone()))
    });
    // Tasks may wait for one descriptor in several ways.
    let mut new: Vec<(u32, Descriptor)> = new.collect();
    let mut once = BTreeSet::new();
    new.retain(|(pid, descriptor)| once.insert((*pid, descriptor.fd)));
    new
}
