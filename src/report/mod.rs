//! One file a format; every exporter is a pure function of a snapshot.
//!
//! What a snapshot holds is hostile: nothing leaves here for a terminal or a file of text without
//! having gone through [`escape()`].

pub mod escape;
pub mod file_name;
pub mod finding;
pub mod flame;
pub mod go;
pub mod json;
pub mod line;
pub mod markdown;
pub mod nothing;
pub mod path;
mod places;
pub mod pprof;
pub mod profile;
pub mod runtime_names;
pub mod task_facts;
pub mod text;
pub mod units;

pub use escape::escape;
