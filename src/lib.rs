//! placeholder, replaced below
#![warn(clippy::print_stdout)]

#[cfg(not(all(target_os = "linux", target_arch = "x86_64")))]
compile_error!(
    "loiter reads processes of Linux on x86-64 only: it needs that kernel's interfaces and registers"
);

pub mod analysis;
#[cfg(feature = "cli")]
#[doc(hidden)]
pub mod cli;
pub mod code;
#[cfg(feature = "dashboard")]
#[cfg_attr(not(feature = "test-support"), allow(unreachable_pub))]
mod dashboard;
#[cfg(feature = "cli")]
mod ending;
mod error;
#[cfg_attr(not(feature = "test-support"), allow(unreachable_pub))]
mod formats;
pub mod import;
pub mod process;
pub mod report;
pub mod runtimes;
pub mod snapshot;
#[cfg(feature = "cli")]
mod source;
#[cfg_attr(not(feature = "test-support"), allow(unreachable_pub))]
mod symbols;

pub use error::{Error, ErrorKind, Result, full_text};

/// What only the tests, benchmarks and fuzz targets of this repository use. It may change at any time.
#[cfg(feature = "test-support")]
#[doc(hidden)]
pub mod __test {
    /// The command line's man pages.
    #[cfg(feature = "cli")]
    pub mod man {
        pub use crate::cli::man::*;
    }

    /// The dashboard.
    #[cfg(feature = "dashboard")]
    pub mod dashboard {
        pub use crate::dashboard::*;
    }

    /// Where the structs of Go's runtime are found.
    pub mod go {
        pub use crate::runtimes::go::{dwarf, layout, layout_table, structs, types};
    }

    /// Exported registries, wherever they are.
    pub mod registry {
        pub use crate::runtimes::registry::{Registries, Registry, attach_at};
    }

    /// What readers and writers of foreign formats share.
    pub mod formats {
        pub use crate::formats::*;
    }

    /// Line tables, symbols and names.
    pub mod symbols {
        pub use crate::symbols::*;
    }
}
