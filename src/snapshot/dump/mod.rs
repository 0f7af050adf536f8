//! Readers of what Go writes about itself: stack dumps and goroutine profiles.
//!
//! They take bytes from anywhere and never panic. Those of text never fail: what makes no sense is left
//! out and counted. What they return is proportional to what they were given, but that a pprof profile
//! holds numbers of tasks, which are bounded.

mod go_profile;
mod go_text;
pub mod names;
pub mod pprof;
mod quoted;

pub use go_profile::{CountedStack, GoProfile, ProfileFrame};
pub use go_text::{CreatedBy, DumpFrame, DumpGoroutine, Elided, GoDump};
