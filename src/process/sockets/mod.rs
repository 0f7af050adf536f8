//! Sockets: how far their connections are, and where their other ends are.
//!
//! What the kernel says is asked for over netlink where that is possible (`netlink`, `diag`), and read from the tables
//! of a process otherwise (`table`); `view` chooses. `row` is what both give. `facts` fills in the sockets of a
//! process, `ends` finds other ends, `addresses` knows the addresses of this machine.
//!
//! A socket belongs to the network namespace in which it was made. TCP and UDP sockets that a process has, but that were made
//! in another namespace, are not found; unix sockets are (`abroad`), where loiter may look there.

mod abroad;
mod addresses;
mod diag;
mod ends;
mod facts;
mod netlink;
mod row;
mod table;
mod view;

pub use ends::other_ends;
pub(super) use facts::facts;
pub use row::unix_address;
