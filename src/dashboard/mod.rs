//! The dashboard: a target watched in a terminal.
//!
//! [`reader`] reads on a thread of its own and makes a [`Picture`] of each reading; `worker` works
//! out on another one what the views show of it ([`tables`]). [`state`] is what is known and chosen,
//! [`update`] changes it when something happens, [`view`] draws it: neither of the three does any
//! input or output. [`run`] has the terminal.

mod copy;
mod crash;
mod event;
pub mod filter_query;
pub mod flame;
pub mod keys;
pub mod layout;
pub mod pick;
pub mod query;
pub mod reader;
pub mod run;
pub mod state;
pub mod tables;
pub mod task_detail;
pub mod update;
pub mod view;
mod worker;
mod write;

#[cfg(feature = "test-support")]
pub use crate::session::{Picture, SessionView};
