//! What a program left behind at its end, in the formats of people and of build systems.

mod text;
pub mod words;

pub use text::text;
