//! Readers of what Go writes about itself: stack dumps and goroutine profiles.
//!
//! They take bytes from anywhere, never fail and never panic: what makes no sense is left out and
//! counted. What they return is proportional to what they were given.

mod go_profile;
mod go_text;
mod quoted;

pub use go_profile::{CountedStack, GoProfile, ProfileFrame};
pub use go_text::{CreatedBy, DumpFrame, DumpGoroutine, Elided, GoDump};
