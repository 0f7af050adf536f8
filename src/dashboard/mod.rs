//! The dashboard: a target watched in a terminal.
//!
//! [`reader`] reads on its own thread and makes a [`Picture`] of each reading. `worker` computes on another
//! thread what the views show of it ([`tables`]); `finder` looks for the causes for which tasks wait on a third one ([`chain`]). [`state`] holds what is known and chosen, [`update`] changes
//! it on events, [`view`] draws it: none of the three does any input or output. [`run`] owns the terminal.

mod branches;
pub mod chain;
mod copy;
pub mod cpu;
mod crash;
mod cursor;
mod detail_row;
mod event;
pub mod filter_query;
pub mod finder;
pub mod flame;
pub mod keys;
pub mod layout;
pub mod pick;
pub mod query;
pub mod reader;
pub mod run;
mod shares;
pub mod state;
pub mod tables;
pub mod task_detail;
pub mod update;
pub mod view;
mod worker;
mod write;

#[cfg(feature = "test-support")]
pub use crate::session::{Picture, SessionView};
