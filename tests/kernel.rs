//! What the kernel tells of real processes: descriptors, sockets and their other ends, system calls, and threads as
//! tasks. Compared with what the programs themselves know, and with `ss`.

#[path = "kernel/calls.rs"]
mod calls;
#[path = "kernel/descriptors.rs"]
mod descriptors;
#[path = "kernel/namespaces.rs"]
mod namespaces;
#[path = "kernel/roles.rs"]
mod roles;
#[path = "kernel/sockets.rs"]
mod sockets;
#[path = "kernel/support.rs"]
mod support;
#[path = "kernel/threads.rs"]
mod threads;
#[path = "kernel/unix.rs"]
mod unix;
