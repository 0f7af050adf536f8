//! What a program left behind at its end, in the formats of people and of build systems.
//!
//! | format | for |
//! |---|---|
//! | [`text`] | people, on standard error |
//! | [`junit`] | test reports |
//! | [`sarif`] | code scanning |
//! | [`annotations`] | GitHub, beside the lines of a change |
//! | [`summary`] | GitHub, on the page of a run |
//!
//! [`crate::report::json::gate`] is for programs. Nothing of the target is written unescaped.

mod github;
mod junit;
mod sarif;
mod text;
mod words;

pub use github::{MAX_ANNOTATIONS, annotations, summary};
pub use junit::junit;
pub use sarif::sarif;
pub use text::text;

use crate::analysis::gate::{Leak, Verdict};
use crate::report::text::TextOptions;

/// Columns of texts inside of other formats.
const WIDTH: usize = 110;

/// A kind that was left, as [`text`] shows it, escaped.
fn block(verdict: &Verdict, leak: &Leak) -> String {
    let options = TextOptions { width: WIDTH, ..TextOptions::default() };
    let mut out = Vec::new();
    // Writing to memory does not fail.
    let _ = text::leak(verdict, leak, &|_| None, &options, &mut out);
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests;
