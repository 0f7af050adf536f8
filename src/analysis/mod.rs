//! Filters, groups and compares snapshots. It works on the model alone: which runtime a snapshot came from, and how it
//! was taken, makes no difference here.
//!
//! | question | answer |
//! |---|---|
//! | which tasks? | [`Filter`], [`each::each`] |
//! | what do most of them do? | [`group::group`], [`flame::flame`] |
//! | what do they wait for, and who holds it? | [`waits`], [`locks`] |
//! | what changed? | [`Series`], [`diff::diff`], [`rates`], [`trend`] |
//! | what leaks? | [`leaks::find`] |
//! | what did a program leave behind at its end? | [`gate::judge`] |
//! | what took time, in a recording? | [`recorded`] |

pub(crate) mod apart;
pub mod baseline;
pub mod branches;
pub mod contexts;
pub mod diff;
pub mod each;
pub mod filter;
pub mod flame;
pub mod frames;
pub mod gate;
pub mod group;
pub(crate) mod known;
pub mod leaks;
pub mod locks;
pub mod lore;
pub mod modules;
pub(crate) mod odds;
pub mod owner;
mod parse_error;
pub(crate) mod pattern;
pub mod rates;
pub mod recorded;
pub mod series;
pub mod signature;
pub(crate) mod tally;
pub mod trend;
pub mod trip;
pub mod waits;
pub mod why;

pub use each::Each;
pub use filter::Filter;
pub use frames::ShownFrame;
pub use group::{Group, GroupKey, Grouped, SortBy};
pub use parse_error::ParseError;
pub use pattern::Pattern;
pub use series::{Series, SeriesOptions};
