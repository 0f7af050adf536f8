//! Filters and groups snapshots. Works on the model alone: which runtime a snapshot came from, or
//! how it was taken, makes no difference here.

pub mod apart;
pub mod diff;
pub mod each;
pub mod filter;
pub mod flame;
pub mod frames;
pub mod group;
pub mod leaks;
pub mod locks;
pub mod lore;
pub mod modules;
pub mod odds;
pub mod pattern;
pub mod rates;
pub mod series;
pub mod signature;
pub mod tally;
pub mod trend;
pub mod waits;

pub use each::Each;
pub use filter::Filter;
pub use frames::ShownFrame;
pub use group::{Group, GroupKey, Grouped, SortBy};
pub use pattern::Pattern;
pub use series::{Series, SeriesOptions};
