//! The dashboard: a target watched in a terminal.
//!
//! [`reader`] reads on a thread of its own and makes a [`Picture`] of each reading; [`worker`] works
//! out on another one what the views show of it ([`tables`]). [`state`] is what is known and chosen,
//! [`update`] changes it when something happens, [`view`] draws it: neither of the three does any
//! input or output. [`run`] has the terminal.

pub mod history;
pub mod picture;
pub mod query;
pub mod tables;
pub mod wanted;

pub use picture::{Album, Picture};
