//! The words of runtimes: what their wait reasons and the names of their functions mean in the model's terms.
//!
//! Whoever reads a runtime, from its memory or from what it wrote about itself, asks here once and keeps the
//! answer in the snapshot: [`Task::wait_class`](crate::snapshot::Task::wait_class) and
//! [`Function::role`](crate::snapshot::Function::role). Everybody else goes by these.

pub mod go;
pub mod rust;
